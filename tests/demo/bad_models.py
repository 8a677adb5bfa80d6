"""Two ways to spoil a good model: make it slow, or make it say the opposite.

Both make a whole, valid bundle of their own beside the one they are given: digests are right, and
the golden examples are the spoilt model's. So it is fetched, verified and started like any other,
and only watching what it does can tell that it should not serve.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import obstore
import onnx
import onnxruntime
from obstore.store import ObjectStore, from_url
from onnx import TensorProto, helper

from tidemill.api.documents.bundle import Bundle, GoldenExample, Signature, StoredFile
from tidemill.api.documents.profile import ValueType

_SIZE = 512
_PROBABILITIES = "probabilities"
_LABEL = "label"


def slow_bundle(store: ObjectStore | None, uri: str, milliseconds: float = 150.0) -> dict[str, str]:
    """Make a bundle whose model answers the same, but never sooner than so many milliseconds.

    `uri` is that of a bundle.json; `store` is a store of its whole bucket, or None to open one
    with the environment's credential. Returns the new bundle's `uri` and `digest`.
    """
    return _spoil(store, uri, "slow", lambda model, golden: slow_model(model, golden, milliseconds))


def wrong_bundle(store: ObjectStore | None, uri: str) -> dict[str, str]:
    """Make a bundle whose model answers 1 - p where the given one answers p; see slow_bundle."""
    return _spoil(store, uri, "wrong", lambda model, _: wrong_model(model))


def slow_model(model: bytes, feeds: dict[str, Any], milliseconds: float) -> bytes:
    """Return a model that multiplies large matrices on the way, as often as this machine needs.

    A quarter is put on top, for a machine that is a little faster.
    """
    quick = _seconds(model, feeds)
    rounds = 4
    each = (_seconds(_with_matrices(model, rounds), feeds) - quick) / rounds
    return _with_matrices(model, max(1, round(1.25 * milliseconds / 1000 / each)))


def wrong_model(model: bytes) -> bytes:
    """Return a model with both classes exchanged."""
    made = onnx.load_from_string(model)
    _rename(made, _PROBABILITIES, "right_probabilities")
    _rename(made, _LABEL, "right_label")
    made.graph.initializer.extend(
        [
            helper.make_tensor("one_float", TensorProto.FLOAT, [], [1.0]),
            helper.make_tensor("one_int", TensorProto.INT64, [], [1]),
        ]
    )
    made.graph.node.extend(
        [
            helper.make_node("Sub", ["one_float", "right_probabilities"], [_PROBABILITIES]),
            helper.make_node("Sub", ["one_int", "right_label"], [_LABEL]),
        ]
    )
    onnx.checker.check_model(made)
    return bytes(made.SerializeToString())


def _with_matrices(model: bytes, rounds: int) -> bytes:
    """Add nought times a product of matrices that depends on the answer, so nobody can skip it."""
    made = onnx.load_from_string(model)
    _rename(made, _PROBABILITIES, "quick_probabilities")
    square = [_SIZE, _SIZE]
    mean = helper.make_tensor("mean", TensorProto.FLOAT, [1], [1.0 / _SIZE])
    body = helper.make_graph(
        [
            helper.make_node("MatMul", ["averaging", "before"], ["after"]),
            helper.make_node("Identity", ["go_on"], ["go_on_still"]),
        ],
        "one_product",
        [
            helper.make_tensor_value_info("round", TensorProto.INT64, []),
            helper.make_tensor_value_info("go_on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("before", TensorProto.FLOAT, square),
        ],
        [
            helper.make_tensor_value_info("go_on_still", TensorProto.BOOL, []),
            helper.make_tensor_value_info("after", TensorProto.FLOAT, square),
        ],
    )
    made.graph.initializer.extend(
        [
            helper.make_tensor("square", TensorProto.INT64, [2], square),
            helper.make_tensor("rounds", TensorProto.INT64, [], [rounds]),
            helper.make_tensor("always", TensorProto.BOOL, [], [True]),
            helper.make_tensor("nought", TensorProto.FLOAT, [], [0.0]),
        ]
    )
    made.graph.node.extend(
        [
            helper.make_node("ConstantOfShape", ["square"], ["averaging"], value=mean),
            helper.make_node("ReduceMax", ["quick_probabilities"], ["largest"], keepdims=0),
            helper.make_node("Expand", ["largest", "square"], ["first"]),
            helper.make_node("Loop", ["rounds", "always", "first"], ["last"], body=body),
            helper.make_node("ReduceMax", ["last"], ["product"], keepdims=0),
            helper.make_node("Mul", ["product", "nought"], ["nothing"]),
            helper.make_node("Add", ["quick_probabilities", "nothing"], [_PROBABILITIES]),
        ]
    )
    onnx.checker.check_model(made)
    return bytes(made.SerializeToString())


def _rename(model: Any, name: str, new: str) -> None:
    """Give a value inside the graph another name; the graph's output keeps the old one."""
    for node in model.graph.node:
        for names in (node.input, node.output):
            for place, value in enumerate(names):
                if value == name:
                    names[place] = new


def _seconds(model: bytes, feeds: dict[str, Any]) -> float:
    """Return the shortest time of a few runs on one thread, as a server would run it."""
    session = _session(model)
    times = []
    for _ in range(5):
        start = time.perf_counter()
        session.run([_PROBABILITIES], feeds)
        times.append(time.perf_counter() - start)
    return min(times)


def _session(model: bytes) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def _feeds(signature: Signature, golden: Sequence[GoldenExample]) -> dict[str, Any]:
    """Return the golden inputs as the graph takes them."""
    feeds: dict[str, Any] = {}
    for feature in signature.features:
        values = [example.inputs.get(feature.name) for example in golden]
        if feature.type is ValueType.NUMBER:
            feeds[feature.name] = np.array(values, dtype=np.float64).astype(np.float32)
        else:
            feeds[feature.name] = np.array([value or "" for value in values], dtype=object)
        feeds[feature.name] = feeds[feature.name].reshape(-1, 1)
    return feeds


def _spoil(
    store: ObjectStore | None,
    uri: str,
    how: str,
    spoil: Callable[[bytes, dict[str, Any]], bytes],
) -> dict[str, str]:
    """Read a bundle, spoil its model and store the result under a name of its own."""
    directory, _, name = uri.rpartition("/")
    root = f"{urlsplit(uri).scheme}://{urlsplit(uri).netloc}"
    bucket = store if store is not None else from_url(root if urlsplit(uri).netloc else f"{root}/")
    path = directory.removeprefix(root).strip("/")
    bundle = Bundle.model_validate_json(_get(bucket, f"{path}/{name}"))
    feeds = _feeds(bundle.signature, bundle.golden)
    model = spoil(_get(bucket, f"{path}/{bundle.model.name}"), feeds)
    scores = _session(model).run([_PROBABILITIES], feeds)[0][:, 1]
    golden = tuple(
        example.model_copy(update={"probability": float(score)})
        for example, score in zip(bundle.golden, scores, strict=True)
    )
    changes = {
        "model": StoredFile(name="model.onnx", digest=_digest(model)),
        "twin": None,
        "golden": golden,
        "algorithm": f"{how} {bundle.algorithm}".strip(),
    }
    document = bundle.model_copy(update=changes).model_dump_json(by_alias=True).encode()
    place = f"{path}-{how}-{_digest(document)[7:15]}"
    obstore.put(bucket, f"{place}/model.onnx", model)
    profile = _get(bucket, f"{path}/{bundle.profile.name}")
    obstore.put(bucket, f"{place}/{bundle.profile.name}", profile)
    obstore.put(bucket, f"{place}/bundle.json", document)
    return {"uri": f"{root}/{place}/bundle.json", "digest": _digest(document)}


def _get(store: ObjectStore, path: str) -> bytes:
    return bytes(obstore.get(store, path).bytes())


def _digest(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"
