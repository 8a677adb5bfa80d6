"""The model: what the graph must be, and that it must reproduce its golden examples."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from tests.unit.serving.bundles import GOLDEN, MadeBundle, score
from tidemill.serving.batch import Batch
from tidemill.serving.bundles import read_bundle
from tidemill.serving.failures import Exit, StartError
from tidemill.serving.model import OnnxModel


def test_probabilities_are_those_of_onnx_runtime(bundle: Path, model: bytes) -> None:
    served = OnnxModel(read_bundle(bundle))

    scores = served.predict(Batch.of_rows(GOLDEN, served.layout))

    assert scores.tolist() == score(model, GOLDEN)


def test_a_quick_model_predicts_many_rows_inline(bundle: Path) -> None:
    assert OnnxModel(read_bundle(bundle)).inline_rows > 1


def refusal_of(made: MadeBundle, directory: Path) -> StartError:
    made.write(directory)
    with pytest.raises(StartError) as refusal:
        OnnxModel(read_bundle(directory))
    return refusal.value


def test_an_answer_other_than_the_golden_one_refuses_the_model(
    model: bytes, tmp_path: Path
) -> None:
    expected = score(model, GOLDEN)
    expected[1] += 2e-4

    refusal = refusal_of(MadeBundle(model, probabilities=expected), tmp_path)

    assert (refusal.code, refusal.reason) == (Exit.GOLDEN_MISMATCH, "GoldenMismatch")
    assert str(refusal) == (
        f"golden example 1: probability {expected[1] - 2e-4:.6f}, the bundle says "
        f"{expected[1]:.6f} (tolerance 0.0001)"
    )


def test_a_difference_of_rounding_is_none(model: bytes, tmp_path: Path) -> None:
    expected = [probability + 5e-5 for probability in score(model, GOLDEN)]
    MadeBundle(model, probabilities=expected).write(tmp_path)

    OnnxModel(read_bundle(tmp_path))


def test_a_golden_example_of_another_type_is_refused(model: bytes, tmp_path: Path) -> None:
    made = MadeBundle(model, golden=[{**GOLDEN[0], "temp": "warm"}], probabilities=[0.5])

    assert str(refusal_of(made, tmp_path)) == (
        "a golden example does not fit the signature: could not convert string to float: 'warm'"
    )


def test_a_model_without_golden_examples_is_still_run_once(model: bytes, tmp_path: Path) -> None:
    MadeBundle(model, golden=[], probabilities=[]).write(tmp_path)

    OnnxModel(read_bundle(tmp_path))


def graph(*, temp: int = TensorProto.FLOAT, output: str = "probabilities", width: int = 2) -> bytes:
    """A graph that answers the dep_hour, whatever else it is given."""
    kinds = dict.fromkeys(("dep_hour", "weekend"), TensorProto.FLOAT) | {"temp": temp}
    kinds |= dict.fromkeys(("carrier", "origin"), TensorProto.STRING)
    inputs = [helper.make_tensor_value_info(name, kind, [None, 1]) for name, kind in kinds.items()]
    outputs = [helper.make_tensor_value_info(output, TensorProto.FLOAT, [None, width])]
    node = helper.make_node("Concat", ["dep_hour"] * width, [output], axis=1)
    made = helper.make_model(
        helper.make_graph([node], "constant", inputs, outputs),
        opset_imports=[helper.make_opsetid("", 17)],
    )
    made.ir_version = 9
    onnx.checker.check_model(made)
    return bytes(made.SerializeToString())


GRAPHS = {
    "no ONNX at all": (b"not a model", "the model cannot be loaded: "),
    "an input of another type": (
        graph(temp=TensorProto.DOUBLE),
        "input temp is tensor(double) in the graph and tensor(float) by the signature",
    ),
    "no probabilities": (
        graph(output="scores"),
        "the graph has no output probabilities of float32, shape [N, 2]",
    ),
    "an output of one column": (graph(width=1), "the model does not run: index 1 is out of bounds"),
}


@pytest.mark.parametrize(("made", "message"), GRAPHS.values(), ids=GRAPHS)
def test_refused(made: bytes, message: str, tmp_path: Path) -> None:
    refusal = refusal_of(MadeBundle(made, golden=[], probabilities=[]), tmp_path)

    assert refusal.code is Exit.INVALID_BUNDLE
    assert str(refusal).startswith(message)


def test_an_input_the_graph_lacks_is_named(model: bytes, tmp_path: Path) -> None:
    made = MadeBundle(model)
    made.profile["features"].append({**made.profile["features"][0], "name": "wind"})
    document_of = made.document

    def with_wind(directory: Path) -> dict[str, object]:
        document = document_of(directory)
        document["signature"]["features"].append({"name": "wind", "type": "Number"})
        return document

    made.document = with_wind  # type: ignore[method-assign]

    assert str(refusal_of(made, tmp_path)) == (
        "input wind is nothing in the graph and tensor(float) by the signature"
    )


def test_missing_values_reach_the_model_as_nan_and_empty_text(bundle: Path, model: bytes) -> None:
    served = OnnxModel(read_bundle(bundle))
    (scored,) = served.predict(Batch.of_rows([{}], served.layout))

    assert np.isclose(scored, score(model, [{}])[0])
