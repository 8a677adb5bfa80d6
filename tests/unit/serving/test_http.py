"""The protocol over real HTTP, from a real process; also as Triton's own client speaks it."""

from __future__ import annotations

import asyncio
import json
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tritonclient.http as triton
from tritonclient.utils import InferenceServerException

from tests.unit.serving.bundles import GOLDEN, NUMBERS, ORDER, request, score, tensor
from tests.unit.serving.servers import NAME, REVISION, Answer, ServerProcess, received
from tidemill.serving.bundles import read_bundle
from tidemill.serving.counters import Counters
from tidemill.serving.http import Application, Limits, Served
from tidemill.serving.model import OnnxModel
from tidemill.serving.telemetry import Telemetry, registry_of

MODEL = f"/v2/models/{NAME}"
VERSION = f"{MODEL}/versions/{REVISION}"

READS: dict[str, tuple[str, int, Any]] = {
    "the server": (
        "/v2",
        200,
        {"name": "tidemill", "version": "0.1.0", "extensions": ["binary_tensor_data"]},
    ),
    "that it lives": ("/v2/health/live", 200, {"live": True}),
    "that it is ready": ("/v2/health/ready", 200, {"ready": True}),
    "that the model is ready": (f"{MODEL}/ready", 200, {"name": NAME, "ready": True}),
    "that the version is ready": (f"{VERSION}/ready", 200, {"name": NAME, "ready": True}),
    "another model": ("/v2/models/x", 404, {"error": "there is no model at /v2/models/x"}),
    "another version": (
        f"{MODEL}/versions/1/ready",
        404,
        {"error": f"there is no model at {MODEL}/versions/1/ready"},
    ),
    "no such path": ("/v1/models", 404, {"error": "Not Found"}),
    "inference without a body": (
        f"{MODEL}/infer",
        405,
        {"error": "send inference requests with POST"},
    ),
}


@pytest.mark.parametrize(("path", "status", "expected"), READS.values(), ids=READS)
def test_read(path: str, status: int, expected: Any, server: ServerProcess) -> None:
    answer = server.get(path)

    assert (answer.status, answer.json) == (status, expected)
    assert answer.headers["content-type"] == "application/json"


@pytest.mark.parametrize("path", [MODEL, VERSION])
def test_metadata_lists_inputs_in_the_order_of_the_signature(
    path: str, server: ServerProcess
) -> None:
    assert server.get(path).json == {
        "name": NAME,
        "versions": [REVISION],
        "platform": "onnxruntime_onnx",
        "inputs": [
            {"name": name, "datatype": "FP64" if name in NUMBERS else "BYTES", "shape": [-1]}
            for name in ORDER
        ],
        "outputs": [
            {"name": "probability", "datatype": "FP64", "shape": [-1]},
            {"name": "decision", "datatype": "BOOL", "shape": [-1]},
        ],
    }


@pytest.mark.parametrize("path", [f"{MODEL}/infer", f"{VERSION}/infer"])
def test_an_inference(path: str, server: ServerProcess, model: bytes) -> None:
    answer = server.infer(request(GOLDEN, id="a-1"), path)

    scores = score(model, GOLDEN)
    assert answer.status == 200
    assert answer.json == {
        "model_name": NAME,
        "model_version": REVISION,
        "id": "a-1",
        "outputs": [
            {"name": "probability", "datatype": "FP64", "shape": [3], "data": scores},
            {
                "name": "decision",
                "datatype": "BOOL",
                "shape": [3],
                "data": [value >= 0.5 for value in scores],
            },
        ],
    }


def test_only_the_outputs_asked_for_come_back(server: ServerProcess) -> None:
    answer = server.infer(request(GOLDEN[:1], outputs=[{"name": "decision"}]))

    assert [output["name"] for output in answer.json["outputs"]] == ["decision"]


def test_an_answer_has_an_id_even_if_the_request_had_none(server: ServerProcess) -> None:
    body = request(GOLDEN[:1])

    assert server.infer(body, X_Request_Id="from-envoy").json["id"] == "from-envoy"
    assert len(server.infer(body).json["id"]) == 32


def test_many_rows_are_predicted_in_the_pool(server: ServerProcess, model: bytes) -> None:
    answer = server.infer(request(GOLDEN * 1000))

    assert answer.json["outputs"][0]["data"] == score(model, GOLDEN) * 1000


JSON = "application/json"
GOOD = json.dumps(request(GOLDEN[:1])).encode()
HOSTILE: dict[str, tuple[bytes, dict[str, str], int, str]] = {
    "no JSON": (b"{", {}, 400, "the body is not JSON: "),
    "an empty body": (b"", {}, 400, "the body is not JSON: "),
    "not UTF-8": (b'{"inputs": "\xff"}', {}, 400, "the body is not JSON: "),
    "NaN": (GOOD.replace(b"40.5", b"NaN"), {}, 400, "the body is not JSON: "),
    "deeply nested": (b'{"inputs":' + b"[" * 500_000, {}, 400, "the body is not JSON: "),
    "a missing feature": (
        json.dumps({"inputs": request(GOLDEN)["inputs"][1:]}).encode(),
        {},
        422,
        "the request lacks an input for: dep_hour; send null if unknown",
    ),
    "too many rows": (
        json.dumps(request(GOLDEN * 3334)).encode(),
        {},
        413,
        "the request has 10002 rows; at most 10000 are taken",
    ),
    "a body that is too long": (
        b" " * (5 << 20),
        {},
        413,
        "the body is longer than 4194304 bytes",
    ),
    "a form": (
        b"a=1",
        {"Content-Type": "application/x-www-form-urlencoded"},
        400,
        "Content-Type must be application/json, or application/octet-stream with binary data",
    ),
    "a compressed body": (
        b"\x1f\x8b",
        {"Content-Encoding": "gzip"},
        400,
        "Content-Encoding must be identity",
    ),
    "a length that is no number": (
        GOOD,
        {"Inference-Header-Content-Length": "-1"},
        400,
        "Inference-Header-Content-Length is not a number",
    ),
}


@pytest.mark.parametrize(("body", "headers", "status", "message"), HOSTILE.values(), ids=HOSTILE)
def test_refused(
    body: bytes, headers: dict[str, str], status: int, message: str, server: ServerProcess
) -> None:
    answer = server.ask("POST", f"{MODEL}/infer", body, {"Content-Type": JSON, **headers})

    assert answer.status == status
    assert answer.json["error"].startswith(message)
    assert answer.headers["content-type"] == JSON
    assert server.infer(GOOD).status == 200


def test_another_model_cannot_be_asked(server: ServerProcess) -> None:
    answer = server.infer(GOOD, "/v2/models/other/infer")

    assert (answer.status, answer.json) == (
        404,
        {"error": "there is no model at /v2/models/other/infer"},
    )


def test_a_chunked_body_is_read_and_bounded(server: ServerProcess) -> None:
    def chunks(count: int) -> Iterator[bytes]:
        yield GOOD
        for _ in range(count):
            yield b" " * (1 << 20)

    headers = {"Content-Type": JSON}
    assert server.ask("POST", f"{MODEL}/infer", chunks(3), headers).status == 200
    refused = server.ask("POST", f"{MODEL}/infer", chunks(5), headers)
    assert (refused.status, refused.json) == (
        413,
        {"error": "the body is longer than 4194304 bytes"},
    )


def changed(server: ServerProcess, act: Callable[[], Any]) -> dict[str, float]:
    """Return what acting adds to our series, times and the event time aside."""
    before = server.metrics()
    act()
    after = server.metrics()
    assert before.keys() == after.keys()
    return {
        name.removeprefix("tidemill_"): after[name] - before[name]
        for name in after
        if after[name] != before[name]
        and name.startswith("tidemill_")
        and not name.startswith(("tidemill_request_seconds", "tidemill_event_time"))
    }


def test_what_was_answered_is_counted(server: ServerProcess) -> None:
    row = {**GOLDEN[0], "carrier": "ZZ", "temp": 200, "weekend": None}
    (scored,) = score_of(server.infer(request([row])))

    assert changed(server, lambda: server.infer(request([row, row]))) == {
        'requests_total{code="200"}': 1,
        "predictions_total": 2,
        f'prediction_values_total{{bin="{int(scored * 20)}"}}': 2,
        'feature_values_total{bin="0",feature="dep_hour"}': 2,
        'feature_values_total{bin="3",feature="temp"}': 2,
        'feature_out_of_range_total{feature="temp"}': 2,
        'feature_unknown_total{feature="carrier"}': 2,
        'feature_missing_total{feature="weekend"}': 2,
        'feature_values_total{bin="0",feature="origin"}': 2,
    }


def score_of(answer: Answer) -> list[float]:
    return list(answer.json["outputs"][0]["data"])


def test_what_was_refused_is_counted_by_code_and_by_feature(server: ServerProcess) -> None:
    inputs = [*request(GOLDEN[:2])["inputs"][1:], tensor("dep_hour", [1, "x"])]

    assert changed(server, lambda: server.infer({"inputs": inputs})) == {
        'requests_total{code="422"}': 1,
        'feature_invalid_total{feature="dep_hour"}': 1,
    }
    assert changed(server, lambda: server.infer(b"{")) == {'requests_total{code="400"}': 1}
    assert changed(server, lambda: server.infer(GOOD, "/v2/models/x/infer")) == {
        'requests_total{code="404"}': 1
    }


def test_health_and_metrics_are_no_inference_requests(server: ServerProcess) -> None:
    assert changed(server, lambda: [server.get("/v2/health/ready"), server.get("/nowhere")]) == {}


def test_metrics_come_as_the_scraper_asks(server: ServerProcess) -> None:
    plain = server.get("/metrics")
    assert plain.headers["content-type"].startswith("text/plain; version=")
    wanted = "application/openmetrics-text; version=1.0.0"
    opened = server.get("/metrics", Accept=wanted)
    assert opened.headers["content-type"].startswith("application/openmetrics-text; version=1.0.0")
    assert opened.body.endswith(b"# EOF\n")
    assert b"process_resident_memory_bytes" in plain.body


def test_event_times_are_noted_and_the_future_is_now(start: Callable[..., ServerProcess]) -> None:
    server = start().wait_ready()
    series = "tidemill_event_time_seconds"
    assert server.metrics()[series] == 0

    past = request(GOLDEN[:1], parameters={"event_time": "2013-01-01T10:00:00Z"})
    assert server.infer(past).status == 200
    assert server.metrics()[series] == 1357034400
    begun = time.time()
    server.infer(request(GOLDEN[:1], parameters={"event_time": begun + 86400}))
    assert begun <= server.metrics()[series] <= time.time()


def test_a_body_that_does_not_arrive_is_given_up(start: Callable[..., ServerProcess]) -> None:
    server = start(body_seconds=0.2).wait_ready()
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as connection:
        head = f"POST {MODEL}/infer HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n"
        connection.sendall(f"{head}{{".encode())
        answer = received(connection)

    assert answer.status == 400
    assert answer.json == {"error": "the body did not arrive within 0.2 s"}


async def test_long_bodies_in_flight_are_bounded_all_together(bundle: Path) -> None:
    with ThreadPoolExecutor(1) as pool:
        application = make_application(bundle, pool, body_bytes=1000)
        waiting = [asyncio.Queue[dict[str, Any]]() for _ in range(4)]
        asking = [asyncio.create_task(ask(application, queue.get)) for queue in waiting]
        for queue in waiting:
            queue.put_nowait({"type": "http.request", "body": b" " * 1000, "more_body": True})
        await asyncio.sleep(0)
        while any(queue.qsize() for queue in waiting):
            await asyncio.sleep(0)

        refused = await ask(application, pieces(b" ", GOOD))
        assert refused == (429, {"error": "too many long bodies are arriving; try again"})
        assert (await ask(application, pieces(GOOD)))[0] == 200
        for queue in waiting:
            queue.put_nowait({"type": "http.disconnect"})
        answers = await asyncio.gather(*asking)
        assert answers == [(400, {"error": "the sender went away"})] * 4
        assert (await ask(application, pieces(b" ", GOOD)))[0] == 200


def make_application(bundle: Path, pool: ThreadPoolExecutor, body_bytes: int) -> Application:
    """The application without a server around it."""
    loaded = read_bundle(bundle)
    counters = Counters(loaded.features, loaded.profile.prediction)
    telemetry = Telemetry(loaded.bundle.model.digest, counters, lambda: 0)
    served = Served(
        name=NAME,
        revision=REVISION,
        model=OnnxModel(loaded),
        counters=counters,
        telemetry=telemetry,
        registry=registry_of(telemetry),
        log=None,
    )
    limits = Limits(rows=100, body_bytes=body_bytes, body_seconds=20, concurrency=100, sample=1)
    return Application(served, limits, pool)


def pieces(*parts: bytes) -> Callable[[], Any]:
    """A body that arrives in these pieces."""
    left = list(parts)

    async def receive() -> dict[str, Any]:
        body = left.pop(0)
        return {"type": "http.request", "body": body, "more_body": bool(left)}

    return receive


async def ask(application: Application, receive: Callable[[], Any]) -> tuple[int, Any]:
    """Send one inference request straight to the application."""
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "POST", "path": f"{MODEL}/infer", "headers": []}
    await application(scope, receive, send)
    return sent[0]["status"], json.loads(sent[1]["body"])


# As Triton's own client, which shares no code with ours, speaks the protocol.


@pytest.fixture
def client(server: ServerProcess) -> Iterator[Any]:
    with triton.InferenceServerClient(f"127.0.0.1:{server.port}") as made:
        yield made


def triton_inputs(binary: bool, shape: tuple[int, ...] = (3, 1)) -> list[Any]:
    inputs = []
    for name in ORDER:
        values = [row[name] for row in GOLDEN]
        number = name in NUMBERS
        if number:
            column = np.array([np.nan if v is None else v for v in values], dtype=np.float64)
        else:
            column = np.array([v or "" for v in values], dtype=np.object_)
        made = triton.InferInput(name, list(shape), "FP64" if number else "BYTES")
        made.set_data_from_numpy(column.reshape(shape), binary_data=binary)
        inputs.append(made)
    return inputs


def test_triton_finds_server_and_model(client: Any) -> None:
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready(NAME)
    assert client.is_model_ready(NAME, REVISION)
    assert not client.is_model_ready("other")
    assert client.get_server_metadata()["name"] == "tidemill"
    assert [i["name"] for i in client.get_model_metadata(NAME)["inputs"]] == list(ORDER)


@pytest.mark.parametrize("shape", [(3,), (3, 1)], ids=["N", "N x 1"])
def test_triton_sends_and_receives_binary_data(
    client: Any, model: bytes, shape: tuple[int, ...]
) -> None:
    result = client.infer(NAME, triton_inputs(binary=True, shape=shape), request_id="t-1")

    scores = score(model, GOLDEN)
    assert result.as_numpy("probability").tolist() == scores
    assert result.as_numpy("decision").tolist() == [value >= 0.5 for value in scores]
    assert result.get_response()["id"] == "t-1"
    assert result.get_response()["model_version"] == REVISION


@pytest.mark.parametrize("binary", [True, False])
def test_triton_selects_an_output(client: Any, model: bytes, binary: bool) -> None:
    rows = [row for row in GOLDEN if None not in row.values()]
    inputs = []
    for name in ORDER:
        number = name in NUMBERS
        kind = np.float64 if number else np.object_
        made = triton.InferInput(name, [len(rows)], "FP64" if number else "BYTES")
        made.set_data_from_numpy(np.array([row[name] for row in rows], dtype=kind), binary)
        inputs.append(made)
    wanted = [triton.InferRequestedOutput("probability", binary_data=binary)]
    result = client.infer(NAME, inputs, outputs=wanted, model_version=REVISION)

    assert result.as_numpy("probability").tolist() == score(model, rows)
    assert result.as_numpy("decision") is None


def test_triton_is_told_what_is_wrong(client: Any) -> None:
    with pytest.raises(InferenceServerException) as refusal:
        client.infer(NAME, triton_inputs(binary=True)[1:])

    assert refusal.value.status() == "422"
    assert refusal.value.message() == (
        "the request lacks an input for: dep_hour; send null if unknown"
    )
