"""`OnnxModel.load`: what cannot be a model of ours is refused with a reason."""

import numpy as np
import onnx
import onnxruntime
import pytest

from tests.unit.steps.test_models import made, rows, trained
from tidemill.api.documents.bundle import Feature
from tidemill.api.documents.profile import ValueType
from tidemill.steps.failures import StepError
from tidemill.steps.onnxmodel import OnnxModel

X = (Feature(name="x", type=ValueType.NUMBER),)


def test_the_graph_has_the_signature_of_a_bundle() -> None:
    given = made(count=500)

    data = trained(given).onnx.data

    session = onnxruntime.InferenceSession(data)
    assert {item.name: (item.type, item.shape[1:]) for item in session.get_inputs()} == {
        "load": ("tensor(float)", [1]),
        "grade": ("tensor(float)", [1]),
        "place": ("tensor(string)", [1]),
        "many": ("tensor(string)", [1]),
    }
    inputs = {
        "load": np.array([[np.nan], [1.0]], dtype=np.float32),
        "grade": np.array([[2.0], [np.nan]], dtype=np.float32),
        "place": np.array([[""], ["west"]], dtype=object),
        "many": np.array([["never seen"], ["v1"]], dtype=object),
    }
    label, probabilities = session.run(["label", "probabilities"], inputs)
    assert (label.dtype, label.shape) == (np.int64, (2,))
    assert (probabilities.dtype, probabilities.shape) == (np.float32, (2, 2))
    assert probabilities.sum(axis=1) == pytest.approx([1, 1])


def test_the_bytes_do_not_depend_on_the_process() -> None:
    """The converter's own order of operator sets follows from the seed of Python's hashes."""
    found = onnx.load_from_string(trained(made(count=500)).onnx.data)

    assert [item.domain for item in found.opset_import] == ["", "ai.onnx.ml"]


def test_a_loaded_model_answers_in_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    given = made(count=500)
    model = trained(given).onnx
    whole = model.probabilities(given)
    monkeypatch.setattr("tidemill.steps.onnxmodel._BATCH", 7)

    again = OnnxModel.load(model.data, model.features, "again")

    assert (again.probabilities(given) == whole).all()
    assert len(again.probabilities(given.take(np.array([], dtype=np.int64)))) == 0


def test_features_may_come_in_another_order() -> None:
    given = made(count=500)
    model = trained(given).onnx

    backwards = OnnxModel.load(model.data, model.features[::-1], "backwards")

    assert (backwards.probabilities(given) == model.probabilities(given)).all()


def test_bytes_that_are_no_model_are_refused() -> None:
    with pytest.raises(StepError) as raised:
        OnnxModel.load(b"this is no model", X, "s3://b/model.onnx")

    assert raised.value.reason == "ModelUnreadable"
    assert str(raised.value).startswith("s3://b/model.onnx cannot be loaded as an ONNX model: ")


def test_a_model_of_another_signature_is_refused() -> None:
    model = trained(rows([0, 1] * 60, {"y": list(range(120))})).onnx

    with pytest.raises(StepError) as raised:
        OnnxModel.load(model.data, X, "s3://b/model.onnx")

    assert raised.value.reason == "ModelUnreadable"
    assert str(raised.value) == (
        "s3://b/model.onnx takes {'y': 'tensor(float)'} and gives ['label', 'probabilities']; its"
        " signature says {'x': 'tensor(float)'} in, label and probabilities out"
    )


def test_a_model_without_our_outputs_is_refused() -> None:
    node = onnx.helper.make_node("Identity", ["x"], ["y"])
    kind = onnx.TensorProto.FLOAT
    graph = onnx.helper.make_graph(
        [node],
        "g",
        [onnx.helper.make_tensor_value_info("x", kind, [None, 1])],
        [onnx.helper.make_tensor_value_info("y", kind, [None, 1])],
    )
    model = onnx.helper.make_model(
        graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8
    )

    with pytest.raises(StepError) as raised:
        OnnxModel.load(model.SerializeToString(), X, "it")

    assert "gives ['y']" in str(raised.value)


@pytest.mark.parametrize("name", ["label", "probabilities", "model/x"])
def test_a_feature_that_is_called_like_an_output_is_refused(name: str) -> None:
    with pytest.raises(StepError) as raised:
        trained(rows([0, 1] * 60, {name: list(range(120))}))

    assert raised.value.reason == "InvalidColumnName"
    assert str(raised.value) == (
        f"a feature may not be called {name}: the model's output is; rename it at the source"
    )
