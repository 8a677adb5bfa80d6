"""Open Inference Protocol v2 over REST: bodies to batches, answers to bodies. No HTTP, no model.

https://github.com/kserve/open-inference-protocol (inference_rest.md), with Triton's binary tensor
data extension. Each feature is one tensor of shape [N] or [N, 1]; numbers come in any numeric
datatype or BOOL, categories as BYTES, null (or NaN, or "") is missing. Tensors that are no feature
of the model are ignored: a client may send one body to two models that use different features.
"""

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from tidemill.serving.batch import GREATEST, Batch, Layout

OUTPUTS = ("probability", "decision")
EXTENSIONS = ("binary_tensor_data",)

_NUMPY = {
    "BOOL": np.dtype("?"),
    "UINT8": np.dtype("<u1"),
    "UINT16": np.dtype("<u2"),
    "UINT32": np.dtype("<u4"),
    "UINT64": np.dtype("<u8"),
    "INT8": np.dtype("<i1"),
    "INT16": np.dtype("<i2"),
    "INT32": np.dtype("<i4"),
    "INT64": np.dtype("<i8"),
    "FP16": np.dtype("<f2"),
    "FP32": np.dtype("<f4"),
    "FP64": np.dtype("<f8"),
}
_NUMERIC: frozenset[type] = frozenset((int, float, bool, type(None)))
_TEXTUAL: frozenset[type] = frozenset((str, type(None)))
_MAX_TENSORS = 1024
_MAX_ID = 256
_YEAR_9999 = 253_402_300_799


class RequestError(Exception):
    """A request that gets an answer other than 200; the message is for its sender."""

    def __init__(self, status: int, message: str, invalid: Mapping[str, int] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.invalid = invalid or {}
        """Feature -> how many of its values could not be read."""


@dataclass(frozen=True, slots=True)
class Query:
    """One well-formed inference request."""

    id: str | None
    event_time: float | None
    """Epoch seconds, from the request's parameter `event_time`."""
    batch: Batch
    outputs: tuple[str, ...]
    binary: frozenset[str]
    """The outputs wanted as binary data."""


@dataclass(frozen=True, slots=True)
class _Tensor:
    """One input as it was sent."""

    name: str
    datatype: str
    rows: int
    data: list[Any] | memoryview


def decode(body: bytes, json_length: int | None, layout: Layout, max_rows: int) -> Query:
    """Read a request body; `json_length` is that of its JSON part if binary data follows.

    Raises RequestError: 400 for what is no request of this protocol, 413 for too many rows, 422
    for one that does not fit the model.
    """
    document, rest = _split(body, json_length)
    parameters = _parameters(document, "the request")
    tensors = _tensors(document, rest)
    batch = _batch(tensors, layout, max_rows)
    outputs, binary = _outputs(document, bool(parameters.get("binary_data_output", False)))
    return Query(
        id=_id(document.get("id")),
        event_time=_event_time(parameters.get("event_time")),
        batch=batch,
        outputs=outputs,
        binary=binary,
    )


def _split(body: bytes, json_length: int | None) -> tuple[dict[str, Any], memoryview]:
    view = memoryview(body)
    if json_length is not None and not 0 <= json_length <= len(body):
        raise RequestError(400, "Inference-Header-Content-Length is longer than the body")
    try:
        document = orjson.loads(body if json_length is None else view[:json_length])
    except orjson.JSONDecodeError as error:
        raise RequestError(400, f"the body is not JSON: {error}") from None
    if not isinstance(document, dict):
        raise RequestError(400, "the body is not a JSON object")
    return document, view[len(body) if json_length is None else json_length :]


def _parameters(holder: dict[str, Any], what: str) -> dict[str, Any]:
    parameters = holder.get("parameters")
    if parameters is None:
        return {}
    if not isinstance(parameters, dict):
        raise RequestError(400, f"parameters of {what} is not an object")
    return parameters


def _id(value: Any) -> str | None:
    if value is None or value == "":
        return None
    if not isinstance(value, str) or len(value) > _MAX_ID:
        raise RequestError(400, f"id is not a string of at most {_MAX_ID} characters")
    return value


def _event_time(value: Any) -> float | None:
    """Return epoch seconds of an RFC 3339 string or a number of seconds."""
    if value is None:
        return None
    if isinstance(value, int | float) and not isinstance(value, bool):
        if 0 <= value <= _YEAR_9999:
            return float(value)
    elif isinstance(value, str):
        try:
            moment = datetime.fromisoformat(value)
        except ValueError:
            pass
        else:
            if moment.tzinfo is not None and moment.year > 1:
                return moment.timestamp()
    said = "parameter event_time is neither an RFC 3339 time with a zone nor epoch seconds"
    raise RequestError(400, said)


def _tensors(document: dict[str, Any], rest: memoryview) -> dict[str, _Tensor]:
    """Check the form of every input, and hand out the binary data in order."""
    inputs = document.get("inputs")
    if not isinstance(inputs, list) or not inputs:
        raise RequestError(400, "inputs is not a list of tensors")
    if len(inputs) > _MAX_TENSORS:
        raise RequestError(400, f"inputs has {len(inputs)} tensors; at most {_MAX_TENSORS}")
    tensors: dict[str, _Tensor] = {}
    for entry in inputs:
        if not isinstance(entry, dict) or not isinstance(name := entry.get("name"), str):
            raise RequestError(400, "inputs holds something other than a tensor with a name")
        if name in tensors:
            raise RequestError(400, f"input {_shown(name)} is there twice")
        datatype = entry.get("datatype")
        if not isinstance(datatype, str) or (datatype not in _NUMPY and datatype != "BYTES"):
            known = ", ".join((*_NUMPY, "BYTES"))
            raise RequestError(400, f"input {_shown(name)}: datatype is none of {known}")
        rows, column = _shape(name, entry.get("shape"))
        data = entry.get("data")
        if data is None:
            data, rest = _take(name, entry, rest)
        elif not isinstance(data, list):
            raise RequestError(400, f"input {_shown(name)}: data is not a list")
        elif column and data and type(data[0]) is list:
            data = _flat(name, data)
        tensors[name] = _Tensor(name, datatype, rows, data)
    if len(rest):
        raise RequestError(400, f"{len(rest)} bytes of binary data belong to no input")
    return tensors


def _shape(name: str, shape: Any) -> tuple[int, bool]:
    """Return the rows, and whether each may be a list of its own."""
    if (
        isinstance(shape, list)
        and len(shape) in (1, 2)
        and all(type(size) is int for size in shape)
        and shape[0] >= 1
        and shape[1:] in ([], [1])
    ):
        return shape[0], len(shape) == 2
    raise RequestError(400, f"input {_shown(name)}: shape is neither [N] nor [N, 1] with N > 0")


def _take(name: str, entry: dict[str, Any], rest: memoryview) -> tuple[memoryview, memoryview]:
    """Cut this input's part off the binary data."""
    size = _parameters(entry, f"input {_shown(name)}").get("binary_data_size")
    if type(size) is not int or size < 0:
        raise RequestError(400, f"input {_shown(name)}: no data and no binary_data_size")
    if size > len(rest):
        raise RequestError(400, f"input {_shown(name)}: the body ends before its binary data")
    return rest[:size], rest[size:]


def _flat(name: str, data: list[Any]) -> list[Any]:
    if any(type(row) is not list or len(row) != 1 for row in data):
        raise RequestError(400, f"input {_shown(name)}: data does not have shape [N, 1]")
    return [row[0] for row in data]


def _batch(tensors: dict[str, _Tensor], layout: Layout, max_rows: int) -> Batch:
    """Pick the model's features out of the tensors."""
    missing = [name for name in (*layout.numbers, *layout.texts) if name not in tensors]
    if missing:
        names = ", ".join(missing)
        raise RequestError(422, f"the request lacks an input for: {names}; send null if unknown")
    first = tensors[(layout.numbers or layout.texts)[0]]
    if first.rows > max_rows:
        raise RequestError(413, f"the request has {first.rows} rows; at most {max_rows} are taken")
    for name in (*layout.numbers, *layout.texts):
        if tensors[name].rows != first.rows:
            said = f"{tensors[name].rows} rows; input {first.name} has {first.rows}"
            raise RequestError(400, f"input {name} has {said}")
    numbers = np.empty((len(layout.numbers), first.rows))
    for place, name in enumerate(layout.numbers):
        numbers[place] = _numbers(tensors[name])
    if (np.abs(numbers) > GREATEST).any():
        _refuse_beyond(numbers, layout)
    return Batch(first.rows, numbers, tuple(_texts(tensors[name]) for name in layout.texts))


def _numbers(tensor: _Tensor) -> NDArray[np.float64]:
    """Return the values of a number; null is NaN."""
    if tensor.datatype == "BYTES" and not _all_null(tensor):
        raise _wrong_type(tensor, "a number: send FP64, FP32, an INT type or BOOL")
    data = tensor.data
    if isinstance(data, memoryview):
        kind = _NUMPY[tensor.datatype]
        if len(data) != tensor.rows * kind.itemsize:
            raise _wrong_length(tensor, f"{len(data)} bytes")
        with np.errstate(invalid="ignore"):  # a signalling NaN is missing like any other
            values = np.frombuffer(data, dtype=kind).astype(np.float64)
            values[np.isnan(values)] = np.nan
        return values
    if len(data) != tensor.rows:
        raise _wrong_length(tensor, f"{len(data)} values")
    if not _NUMERIC.issuperset(map(type, data)):
        raise _not_all(tensor, data, _NUMERIC, "a number")
    return np.array(data, dtype=np.float64)


def _texts(tensor: _Tensor) -> list[str]:
    """Return the values of a category; null is ""."""
    if tensor.datatype != "BYTES" and not _all_null(tensor):
        raise _wrong_type(tensor, "a category: send BYTES")
    data = tensor.data
    if isinstance(data, memoryview):
        return _strings(tensor, data)
    if len(data) != tensor.rows:
        raise _wrong_length(tensor, f"{len(data)} values")
    if not _TEXTUAL.issuperset(kinds := set(map(type, data))):
        raise _not_all(tensor, data, _TEXTUAL, "a string")
    return data if len(kinds) == 1 and str in kinds else [value or "" for value in data]


def _strings(tensor: _Tensor, data: memoryview) -> list[str]:
    """Read strings that are each preceded by their length, four bytes, little-endian."""
    values: list[str] = []
    broken = place = 0
    while place + 4 <= len(data) and len(values) < tensor.rows:
        (size,) = struct.unpack_from("<I", data, place)
        end = place + 4 + size
        if end > len(data):
            break
        try:
            values.append(str(data[place + 4 : end], "utf-8"))
        except UnicodeDecodeError:
            values.append("")
            broken += 1
        place = end
    if len(values) != tensor.rows or place != len(data):
        raise _wrong_length(tensor, f"{len(values)} whole strings in {len(data)} bytes")
    if broken:
        said = f"input {tensor.name}: {broken} of {tensor.rows} strings are not UTF-8"
        raise RequestError(422, said, {tensor.name: broken})
    return values


def _all_null(tensor: _Tensor) -> bool:
    """A sender that tells the datatype from the values cannot know that of nulls."""
    return isinstance(tensor.data, list) and all(value is None for value in tensor.data)


def _wrong_type(tensor: _Tensor, wanted: str) -> RequestError:
    said = f"input {tensor.name} has datatype {tensor.datatype}, but the feature is {wanted}"
    return RequestError(422, said, {tensor.name: tensor.rows})


def _wrong_length(tensor: _Tensor, found: str) -> RequestError:
    return RequestError(400, f"input {tensor.name}: {found} for {tensor.rows} rows")


def _not_all(tensor: _Tensor, data: list[Any], kinds: frozenset[type], what: str) -> RequestError:
    wrong = [row for row, value in enumerate(data) if type(value) not in kinds]
    said = f"input {tensor.name}, row {wrong[0]}: {_shown(data[wrong[0]])} is not {what}"
    return RequestError(422, said, {tensor.name: len(wrong)})


def _refuse_beyond(numbers: NDArray[np.float64], layout: Layout) -> None:
    beyond = (np.abs(numbers) > GREATEST).sum(axis=1)
    wrong = {name: int(n) for name, n in zip(layout.numbers, beyond, strict=True) if n}
    name = next(iter(wrong))
    said = f"input {name}: {wrong[name]} values are infinite or beyond {GREATEST:.3g}"
    raise RequestError(422, said, wrong)


def _shown(value: Any) -> str:
    """Return a value as the sender wrote it, cut short."""
    text = orjson.dumps(value, default=str).decode(errors="replace")
    return text if len(text) <= 80 else f"{text[:77]}..."


def _outputs(document: dict[str, Any], binary: bool) -> tuple[tuple[str, ...], frozenset[str]]:
    wanted = document.get("outputs")
    if wanted is None or wanted == []:
        return OUTPUTS, frozenset(OUTPUTS) if binary else frozenset()
    if not isinstance(wanted, list) or len(wanted) > _MAX_TENSORS:
        raise RequestError(400, "outputs is not a list of output names")
    names: dict[str, bool] = {}
    for entry in wanted:
        name = entry.get("name") if isinstance(entry, dict) else None
        if name not in OUTPUTS:
            said = f"there is no output {_shown(name)}; there are {' and '.join(OUTPUTS)}"
            raise RequestError(400, said)
        asked = _parameters(entry, f"output {name}").get("binary_data", binary)
        names[name] = bool(asked)
    return tuple(names), frozenset(name for name in names if names[name])


def encode(
    model: Mapping[str, str],
    request_id: str,
    query: Query,
    probabilities: NDArray[np.float64],
    decisions: NDArray[np.bool_],
) -> tuple[bytes, int | None]:
    """Return the answer's body, and the length of its JSON part if binary data follows.

    A probability that is not a finite number is null, and so is its decision.
    """
    null = ~np.isfinite(probabilities)
    if null.any():
        probabilities = np.where(null, np.nan, probabilities)
    outputs: list[dict[str, Any]] = []
    blobs: list[bytes] = []
    for name in query.outputs:
        values: NDArray[Any] = probabilities if name == "probability" else decisions
        output: dict[str, Any] = {
            "name": name,
            "datatype": "FP64" if name == "probability" else "BOOL",
            "shape": [query.batch.rows],
        }
        if name in query.binary:
            blobs.append(values.tobytes())
            output["parameters"] = {"binary_data_size": len(blobs[-1])}
        else:
            output["data"] = _nulled(values.tolist(), null)
        outputs.append(output)
    head = orjson.dumps({**model, "id": request_id, "outputs": outputs})
    return (b"".join((head, *blobs)), len(head)) if blobs else (head, None)


def _nulled(values: list[Any], null: NDArray[np.bool_]) -> list[Any]:
    if not null.any():
        return values
    return [None if gone else value for value, gone in zip(values, null.tolist(), strict=True)]


def error_body(message: str) -> bytes:
    """Return the body of every answer that is not a success."""
    return orjson.dumps({"error": message})


def metadata(name: str, version: str, layout: Layout, order: Sequence[str]) -> dict[str, Any]:
    """Return the model's metadata; `order` is the signature's order of the features."""
    numbers = frozenset(layout.numbers)
    inputs = [
        {"name": feature, "datatype": "FP64" if feature in numbers else "BYTES", "shape": [-1]}
        for feature in order
    ]
    return {
        "name": name,
        "versions": [version],
        "platform": "onnxruntime_onnx",
        "inputs": inputs,
        "outputs": [
            {"name": "probability", "datatype": "FP64", "shape": [-1]},
            {"name": "decision", "datatype": "BOOL", "shape": [-1]},
        ],
    }
