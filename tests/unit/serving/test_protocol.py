"""The protocol without HTTP: what a body means, and which ones are refused with which words."""

from __future__ import annotations

import json
import struct
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.unit.serving.bundles import GOLDEN, ORDER, request, tensor
from tidemill.serving.batch import Layout
from tidemill.serving.protocol import OUTPUTS, Query, RequestError, decode, encode

LAYOUT = Layout(numbers=("dep_hour", "temp", "weekend"), texts=("carrier", "origin"))
ROW = GOLDEN[0]


def read(document: Any, max_rows: int = 100) -> Query:
    return decode(json.dumps(document).encode(), None, LAYOUT, max_rows)


def with_input(name: str, /, **changes: Any) -> dict[str, Any]:
    """A good request of one row with one input changed; None takes a member away."""
    inputs = [{**entry, **changes} if entry["name"] == name else entry for entry in inputs_of()]
    return {"inputs": [{k: v for k, v in entry.items() if v is not None} for entry in inputs]}


def inputs_of() -> list[dict[str, Any]]:
    return list(request([ROW])["inputs"])


def test_a_request_becomes_columns_with_nan_and_empty_text_for_missing() -> None:
    query = read(request(GOLDEN, id="a-1", parameters={"event_time": 1357034400}))

    assert (query.id, query.event_time, query.batch.rows) == ("a-1", 1357034400.0, 3)
    np.testing.assert_array_equal(query.batch.numbers, [[6, 20, 12], [40.5, 70, np.nan], [0, 1, 0]])
    assert query.batch.texts == (["UA", "EV", ""], ["EWR", "LGA", "JFK"])
    assert (query.outputs, query.binary) == (OUTPUTS, frozenset())


@pytest.mark.parametrize(
    "datatype",
    ["FP64", "FP32", "FP16", "INT8", "INT16", "INT32", "INT64", "UINT8", "UINT16", "UINT64"],
)
def test_a_number_may_come_in_any_numeric_datatype(datatype: str) -> None:
    query = read(with_input("dep_hour", datatype=datatype, data=[7]))

    assert query.batch.numbers[0].tolist() == [7.0]


SAME = {
    "as [N, 1] in nested lists": with_input("dep_hour", shape=[1, 1], data=[[6]]),
    "as [N, 1] in one flat list": with_input("dep_hour", shape=[1, 1], data=[6]),
    "in any order": {"inputs": inputs_of()[::-1]},
    "beside a tensor that is no feature": {
        "inputs": [*inputs_of(), tensor("tailnum", ["N1"], "BYTES")]
    },
    "with members the protocol does not know": {**request([ROW]), "colour": "blue"},
    "with an empty list of outputs": request([ROW], outputs=[]),
}


@pytest.mark.parametrize("document", SAME.values(), ids=SAME)
def test_the_same_row_may_be_sent(document: dict[str, Any]) -> None:
    batch = read(document).batch

    assert batch.numbers.T.tolist() == [[6.0, 40.5, 0.0]]
    assert batch.texts == (["UA"], ["EWR"])


@pytest.mark.parametrize(("name", "datatype"), [("temp", "BYTES"), ("carrier", "FP64")])
def test_nulls_have_no_type_of_their_own(name: str, datatype: str) -> None:
    batch = read(with_input(name, datatype=datatype, data=[None])).batch

    assert np.isnan(batch.numbers[1, 0]) == (name == "temp")
    assert batch.texts[0] == ([""] if name == "carrier" else ["UA"])


TIMES = {
    "epoch seconds": (1357034400, 1357034400.0),
    "epoch seconds with a fraction": (1357034400.5, 1357034400.5),
    "RFC 3339 in UTC": ("2013-01-01T10:00:00Z", 1357034400.0),
    "RFC 3339 with an offset": ("2013-01-01T05:00:00-05:00", 1357034400.0),
    "nothing": (None, None),
}


@pytest.mark.parametrize(("sent", "read_as"), TIMES.values(), ids=TIMES)
def test_event_time_is(sent: Any, read_as: float | None) -> None:
    assert read(request([ROW], parameters={"event_time": sent})).event_time == read_as


SELECTED = {
    "all": ({}, OUTPUTS, set()),
    "one": ({"outputs": [{"name": "decision"}]}, ("decision",), set()),
    "in the order asked for": (
        {"outputs": [{"name": "decision"}, {"name": "probability"}]},
        ("decision", "probability"),
        set(),
    ),
    "all binary": ({"parameters": {"binary_data_output": True}}, OUTPUTS, set(OUTPUTS)),
    "one of them binary": (
        {
            "outputs": [
                {"name": "probability", "parameters": {"binary_data": True}},
                {"name": "decision"},
            ]
        },
        OUTPUTS,
        {"probability"},
    ),
}


@pytest.mark.parametrize(("more", "outputs", "binary"), SELECTED.values(), ids=SELECTED)
def test_outputs_selected(more: dict[str, Any], outputs: Any, binary: Any) -> None:
    query = read(request([ROW], **more))

    assert (query.outputs, query.binary) == (outputs, binary)


NUMERIC = "BOOL, UINT8, UINT16, UINT32, UINT64, INT8, INT16, INT32, INT64, FP16, FP32, FP64"

REFUSED: dict[str, tuple[Any, int, str]] = {
    "a list is no request": ([], 400, "the body is not a JSON object"),
    "no inputs": ({}, 400, "inputs is not a list of tensors"),
    "empty inputs": ({"inputs": []}, 400, "inputs is not a list of tensors"),
    "inputs of another type": ({"inputs": {"a": 1}}, 400, "inputs is not a list of tensors"),
    "an input that is no object": (
        {"inputs": ["temp"]},
        400,
        "inputs holds something other than a tensor with a name",
    ),
    "a name that is no string": (
        with_input("temp", name=["temp"]),
        400,
        "inputs holds something other than a tensor with a name",
    ),
    "an input twice": (
        {"inputs": [*inputs_of(), inputs_of()[0]]},
        400,
        'input "dep_hour" is there twice',
    ),
    "too many inputs": (
        {"inputs": inputs_of() * 250},
        400,
        "inputs has 1250 tensors; at most 1024",
    ),
    "an unknown datatype": (
        with_input("temp", datatype="STRING"),
        400,
        f'input "temp": datatype is none of {NUMERIC}, BYTES',
    ),
    "no datatype": (
        with_input("temp", datatype=None),
        400,
        f'input "temp": datatype is none of {NUMERIC}, BYTES',
    ),
    "a missing feature is named": (
        {"inputs": inputs_of()[1:]},
        422,
        "the request lacks an input for: dep_hour; send null if unknown",
    ),
    "all missing features are named": (
        {"inputs": inputs_of()[2:]},
        422,
        "the request lacks an input for: dep_hour, carrier; send null if unknown",
    ),
    "text for a number": (
        with_input("temp", datatype="BYTES", data=["40.5"]),
        422,
        "input temp has datatype BYTES, but the feature is a number: "
        "send FP64, FP32, an INT type or BOOL",
    ),
    "a number for a category": (
        with_input("carrier", datatype="INT64", data=[4]),
        422,
        "input carrier has datatype INT64, but the feature is a category: send BYTES",
    ),
    "a string among numbers": (
        with_input("temp", data=["warm"]),
        422,
        'input temp, row 0: "warm" is not a number',
    ),
    "a list in a flat tensor": (
        with_input("temp", data=[[1]]),
        422,
        "input temp, row 0: [1] is not a number",
    ),
    "an object among strings": (
        with_input("carrier", data=[{"a": 1}]),
        422,
        'input carrier, row 0: {"a":1} is not a string',
    ),
    "rows of two values": (
        with_input("temp", shape=[1, 1], data=[[1, 2]]),
        400,
        'input "temp": data does not have shape [N, 1]',
    ),
    "data of another length": (
        with_input("temp", data=[1, 2]),
        400,
        "input temp: 2 values for 1 rows",
    ),
    "data of another type": (
        with_input("temp", data="40.5"),
        400,
        'input "temp": data is not a list',
    ),
    "no data": (
        with_input("temp", data=None),
        400,
        'input "temp": no data and no binary_data_size',
    ),
    "tensors of different lengths": (
        with_input("temp", shape=[2], data=[1, 2]),
        400,
        "input temp has 2 rows; input dep_hour has 1",
    ),
    "too many rows": (
        request([ROW] * 101),
        413,
        "the request has 101 rows; at most 100 are taken",
    ),
    "an unknown output": (
        request([ROW], outputs=[{"name": "label"}]),
        400,
        'there is no output "label"; there are probability and decision',
    ),
    "outputs of another type": (
        request([ROW], outputs="all"),
        400,
        "outputs is not a list of output names",
    ),
    "an output that is no object": (
        request([ROW], outputs=["probability"]),
        400,
        "there is no output null; there are probability and decision",
    ),
    "an id that is no string": (
        request([ROW], id=7),
        400,
        "id is not a string of at most 256 characters",
    ),
    "a long id": (
        request([ROW], id="x" * 257),
        400,
        "id is not a string of at most 256 characters",
    ),
    "parameters of another type": (
        request([ROW], parameters=[]),
        400,
        "parameters of the request is not an object",
    ),
}
SHAPES: list[Any] = [[], [0], [-1], [1, 2], [1, 1, 1], ["1"], [True], [1.0], 1, None, {}]
for shape in SHAPES:
    REFUSED[f"shape {shape}"] = (
        with_input("temp", shape=shape),
        400,
        'input "temp": shape is neither [N] nor [N, 1] with N > 0',
    )
TIMES_REFUSED: list[Any] = [
    "yesterday",
    "2013-01-01T10:00:00",
    -1,
    1e15,
    True,
    [],
    "0001-01-01T00:00:00Z",
]
for moment in TIMES_REFUSED:
    REFUSED[f"event time {moment}"] = (
        request([ROW], parameters={"event_time": moment}),
        400,
        "parameter event_time is neither an RFC 3339 time with a zone nor epoch seconds",
    )


@pytest.mark.parametrize(("document", "status", "message"), REFUSED.values(), ids=REFUSED)
def test_refused(document: Any, status: int, message: str) -> None:
    with pytest.raises(RequestError) as refusal:
        read(document)

    assert (refusal.value.status, str(refusal.value)) == (status, message)


def test_values_that_could_not_be_read_are_counted() -> None:
    rows = [{**ROW, "temp": value} for value in (1, "a", None, [2])]

    with pytest.raises(RequestError) as refusal:
        read(request(rows))

    assert str(refusal.value) == 'input temp, row 1: "a" is not a number'
    assert refusal.value.invalid == {"temp": 2}


@pytest.mark.parametrize("number", ["3.5e38", "-4e38"])
def test_numbers_beyond_float32_are_invalid(number: str) -> None:
    body = json.dumps(with_input("temp", data=[-12345])).replace("-12345", number)

    with pytest.raises(RequestError) as refusal:
        decode(body.encode(), None, LAYOUT, 100)

    assert refusal.value.status == 422
    assert str(refusal.value) == "input temp: 1 values are infinite or beyond 3.4e+38"
    assert refusal.value.invalid == {"temp": 1}


NOT_JSON = {
    "nothing": b"",
    "half a document": b'{"inputs": [',
    "not UTF-8": b'{"inputs": "\xff\xfe"}',
    "NaN as no JSON knows it": json.dumps(with_input("temp", data=[float("nan")])).encode(),
    "lists within lists within lists": b"[" * 100_000 + b"]" * 100_000,
    "a number beyond all numbers": b'{"inputs": 1e999}',
    "half of a surrogate pair": b'{"inputs": "\\ud800"}',
}


@pytest.mark.parametrize("body", NOT_JSON.values(), ids=NOT_JSON)
def test_a_body_that_is_no_json(body: bytes) -> None:
    with pytest.raises(RequestError, match="^the body is not JSON: ") as refusal:
        decode(body, None, LAYOUT, 100)

    assert refusal.value.status == 400


def binary(*parts: tuple[str, str, bytes], rows: int = 2) -> tuple[bytes, int]:
    """A request whose inputs are binary data; returns the body and the JSON part's length."""
    inputs = [
        {
            "name": name,
            "datatype": datatype,
            "shape": [rows],
            "parameters": {"binary_data_size": len(data)},
        }
        for name, datatype, data in parts
    ]
    head = json.dumps({"inputs": inputs}).encode()
    return head + b"".join(data for _, _, data in parts), len(head)


def strings(*values: bytes) -> bytes:
    return b"".join(struct.pack("<I", len(value)) + value for value in values)


PARTS = [
    ("dep_hour", "INT32", np.array([6, 20], "<i4").tobytes()),
    ("carrier", "BYTES", strings(b"UA", "Zürich".encode())),
    ("temp", "FP32", np.array([40.5, np.nan], "<f4").tobytes()),
    ("origin", "BYTES", strings(b"", b"LGA")),
    ("weekend", "BOOL", b"\x00\x01"),
]


def test_binary_data_reads_as_json_does() -> None:
    batch = decode(*binary(*PARTS), LAYOUT, 100).batch

    np.testing.assert_array_equal(batch.numbers, [[6, 20], [40.5, np.nan], [0, 1]])
    assert batch.texts == (["UA", "Zürich"], ["", "LGA"])


def changed(place: int, data: bytes) -> tuple[bytes, int]:
    parts = list(PARTS)
    parts[place] = (*parts[place][:2], data)
    return binary(*parts)


BROKEN: dict[str, tuple[tuple[bytes, int], int, str]] = {
    "a JSON part longer than the body": (
        (b"{}", 3),
        400,
        "Inference-Header-Content-Length is longer than the body",
    ),
    "data cut short": (
        (binary(*PARTS)[0][:-1], binary(*PARTS)[1]),
        400,
        'input "weekend": the body ends before its binary data',
    ),
    "data left over": (
        (binary(*PARTS)[0] + b"more", binary(*PARTS)[1]),
        400,
        "4 bytes of binary data belong to no input",
    ),
    "a number of another size": (
        changed(0, b"\x00" * 7),
        400,
        "input dep_hour: 7 bytes for 2 rows",
    ),
    "a string longer than the data": (
        changed(1, strings(b"UA") + struct.pack("<I", 2**32 - 1) + b"B6"),
        400,
        "input carrier: 1 whole strings in 12 bytes for 2 rows",
    ),
    "too few strings": (
        changed(1, strings(b"UA")),
        400,
        "input carrier: 1 whole strings in 6 bytes for 2 rows",
    ),
    "too many strings": (
        changed(1, strings(b"UA", b"B6", b"EV")),
        400,
        "input carrier: 2 whole strings in 18 bytes for 2 rows",
    ),
    "strings that are not UTF-8": (
        changed(1, strings(b"UA", b"\xff\xfe")),
        422,
        "input carrier: 1 of 2 strings are not UTF-8",
    ),
    "an infinite number": (
        changed(2, np.array([1, np.inf], "<f4").tobytes()),
        422,
        "input temp: 1 values are infinite or beyond 3.4e+38",
    ),
}


@pytest.mark.parametrize(("sent", "status", "message"), BROKEN.values(), ids=BROKEN)
def test_refused_binary_data(sent: tuple[bytes, int], status: int, message: str) -> None:
    with pytest.raises(RequestError) as refusal:
        decode(*sent, LAYOUT, 100)

    assert (refusal.value.status, str(refusal.value)) == (status, message)


def test_an_answer_without_a_number_is_null() -> None:
    query = read(request(GOLDEN))
    scores = np.array([0.25, np.nan, np.inf])

    body, length = encode({"model_name": "m"}, "7", query, scores, scores >= 0.5)

    assert length is None
    assert orjson.loads(body) == {
        "model_name": "m",
        "id": "7",
        "outputs": [
            {
                "name": "probability",
                "datatype": "FP64",
                "shape": [3],
                "data": [0.25, None, None],
            },
            {"name": "decision", "datatype": "BOOL", "shape": [3], "data": [False, None, None]},
        ],
    }


def test_a_binary_answer_follows_its_json() -> None:
    query = read(request(GOLDEN, parameters={"binary_data_output": True}))
    scores = np.array([0.25, 0.75, 0.5])

    body, length = encode({}, "7", query, scores, scores >= 0.5)

    assert length is not None
    outputs = orjson.loads(body[:length])["outputs"]
    assert [output["parameters"]["binary_data_size"] for output in outputs] == [24, 3]
    assert np.frombuffer(body[length : length + 24]).tolist() == [0.25, 0.75, 0.5]
    assert body[length + 24 :] == b"\x00\x01\x01"


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8)
    | st.sampled_from(["BYTES", "FP64", "INT64", *ORDER, *OUTPUTS]),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                ["name", "datatype", "shape", "data", "parameters", "binary_data_size", "id"]
            ),
            inner,
            max_size=6,
        )
    ),
    max_leaves=12,
)
FUZZ = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
MEMBERS = st.sampled_from(["name", "datatype", "shape", "data", "parameters"])


@FUZZ
@given(
    place=st.integers(0, len(ORDER) - 1),
    changes=st.dictionaries(MEMBERS, JSON, max_size=3),
    more=st.dictionaries(st.sampled_from(["id", "parameters", "outputs", "inputs"]), JSON),
)
def test_any_request_is_read_or_refused(
    place: int, changes: dict[str, Any], more: dict[str, Any]
) -> None:
    document = {**with_input(ORDER[place], **changes), **more}

    try:
        query = decode(orjson.dumps(document), None, LAYOUT, 100)
    except RequestError as refusal:
        assert refusal.status in (400, 413, 422)
    else:
        assert query.batch.numbers.shape == (3, query.batch.rows)
        assert [len(column) for column in query.batch.texts] == [query.batch.rows] * 2


@FUZZ
@given(body=st.binary(max_size=200), length=st.none() | st.integers(-1, 300))
def test_any_bytes_are_refused(body: bytes, length: int | None) -> None:
    with pytest.raises(RequestError):
        decode(body, length, LAYOUT, 100)


@FUZZ
@given(at=st.integers(0, 1000), patch=st.binary(min_size=1, max_size=4))
def test_any_change_of_binary_data_is_read_or_refused(at: int, patch: bytes) -> None:
    body, length = binary(*PARTS)
    place = length + at % (len(body) - length)

    try:
        decode(body[:place] + patch + body[place + len(patch) :], length, LAYOUT, 100)
    except RequestError as refusal:
        assert refusal.status in (400, 422)
