"""adapters/kubeflow.py with the real kfp.Client, against a server that answers as recorded."""

import asyncio
import json
import logging
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.contract.kfp_stub import Answer, KfpStub, recording, refusal, serve
from tidemill.adapters.kubeflow import KubeflowPipelines
from tidemill.errors import ConflictError, TerminalError, TransientError

RUN = "199325a1-3fbe-5d75-826f-b987c48a71b5"
SPEC = recording("create-run-with-client-run-id")["request"]["body"]["pipeline_spec"]
BODY = {
    "run_id": RUN,
    "display_name": "team.churn-train-1",
    "description": "PipelineExecution team/churn-train, uid u1, attempt 1",
    "pipeline_spec": {"pipeline_spec": SPEC, "platform_spec": {"platforms": {}}},
    "parameters": {"n": 4},
    "service_account": "trainer",
}
CREATE = "/runs$"
GET = f"/runs/{RUN}$"
PAGE = Answer(200, None, {"Content-Type": "text/html"}, raw=b"<html>Sign in</html>")


class Clock:
    """A monotonic clock that tests move."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def stub() -> Iterator[KfpStub]:
    with serve() as running:
        yield running


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def pipelines(stub: KfpStub, clock: Clock) -> AsyncIterator[KubeflowPipelines]:
    made = KubeflowPipelines(
        stub.url, connect_seconds=2, read_seconds=1, clock=clock, token_path="/nowhere"
    )
    yield made
    stub.released.set()
    await made.close()


async def test_a_missing_run_is_none(pipelines: KubeflowPipelines) -> None:
    assert await pipelines.get(RUN) is None


async def test_a_run_is_told_as_the_server_tells_it(
    stub: KfpStub, pipelines: KubeflowPipelines
) -> None:
    await pipelines.create("team", BODY)
    stub.play(RUN, "get-run-failed")

    run = await pipelines.get(RUN)

    assert run is not None
    assert run["state"] == "FAILED"
    told = recording("get-run-failed")["response"]
    assert run["run_details"] == told["run_details"]


async def test_a_state_that_is_absent_stays_absent(
    stub: KfpStub, pipelines: KubeflowPipelines
) -> None:
    await pipelines.create("team", BODY)
    stub.set_state(RUN, None)

    run = await pipelines.get(RUN)

    assert run is not None
    assert "state" not in run


async def test_create_looks_first_then_asks_with_our_run_id_in_our_experiment(
    stub: KfpStub, pipelines: KubeflowPipelines
) -> None:
    run = await pipelines.create("team", BODY)

    assert run["run_id"] == RUN
    assert [(method, path.partition("?")[0]) for method, path, _ in stub.requests] == [
        ("GET", f"/apis/v2beta1/runs/{RUN}"),
        ("GET", "/apis/v2beta1/experiments"),
        ("POST", "/apis/v2beta1/experiments"),
        ("POST", "/apis/v2beta1/runs"),
    ]
    assert stub.requests[2][2] == {"display_name": "tidemill", "namespace": "team"}
    assert stub.requests[3][2] == {
        "run_id": RUN,
        "experiment_id": next(iter(stub.experiments)),
        "display_name": "team.churn-train-1",
        "description": "PipelineExecution team/churn-train, uid u1, attempt 1",
        "pipeline_spec": BODY["pipeline_spec"],
        "runtime_config": {"parameters": {"n": 4}},
        "service_account": "trainer",
    }


async def test_the_experiment_is_asked_for_once(
    stub: KfpStub, pipelines: KubeflowPipelines
) -> None:
    await pipelines.create("team", BODY)
    await pipelines.create("team", {**BODY, "run_id": "a2"})

    assert stub.asked("GET", "/experiments") == 1
    assert len(stub.experiments) == 1


async def test_an_experiment_made_by_another_at_the_same_time_is_read_back(
    stub: KfpStub, pipelines: KubeflowPipelines
) -> None:
    stub.answer("POST", "/apis/v2beta1/experiments", {"display_name": "tidemill"})
    stub.fail("GET", "/experiments", answer=Answer(200, {}))

    run = await pipelines.create("team", BODY)

    assert run["experiment_id"] in stub.experiments
    assert len(stub.experiments) == 1


async def test_the_admins_namespace_goes_before_the_executions(stub: KfpStub) -> None:
    made = KubeflowPipelines(stub.url, namespace="kubeflow", token_path="/nowhere")
    await made.create("team", BODY)
    await made.close()

    assert stub.requests[2][2] == {"display_name": "tidemill", "namespace": "kubeflow"}


async def test_an_experiment_that_was_deleted_is_made_again_at_the_next_try(
    stub: KfpStub, pipelines: KubeflowPipelines
) -> None:
    await pipelines.create("team", BODY)
    stub.experiments.clear()

    with pytest.raises(TransientError, match="Experiment .* not found"):
        await pipelines.create("team", {**BODY, "run_id": "a2"})
    run = await pipelines.create("team", {**BODY, "run_id": "a2"})

    assert run["experiment_id"] in stub.experiments


async def test_a_run_that_is_there_is_adopted(stub: KfpStub, pipelines: KubeflowPipelines) -> None:
    await pipelines.create("team", BODY)

    run = await pipelines.create("team", BODY)

    assert run["run_id"] == RUN
    assert stub.workflows[RUN] == 1


async def test_a_duplicate_that_slipped_through_is_adopted(
    stub: KfpStub, pipelines: KubeflowPipelines
) -> None:
    await pipelines.create("team", BODY)
    stub.fail("GET", GET, answer=Answer(404, recording("get-run-missing")["response"]))

    run = await pipelines.create("team", BODY)

    assert run["run_id"] == RUN
    assert pipelines.start_error(RUN) is None


async def test_a_create_whose_answer_was_lost_is_found(
    stub: KfpStub, pipelines: KubeflowPipelines
) -> None:
    stub.fail("POST", CREATE, lost=True)

    run = await pipelines.create("team", BODY)

    assert run["run_id"] == RUN
    assert stub.workflows[RUN] == 1


async def test_a_create_in_doubt_is_not_repeated_until_the_doubt_is_over(
    stub: KfpStub, pipelines: KubeflowPipelines, clock: Clock
) -> None:
    failing = Answer(500, refusal(13, "transport is closing", "Internal Server Error"))
    stub.fail("POST", CREATE, answer=failing)
    with pytest.raises(TransientError, match="answered 500: transport is closing"):
        await pipelines.create("team", BODY)
    error = pipelines.start_error(RUN)
    assert error is not None
    assert (error.reason, error.final, error.sent) == ("EngineUnreachable", False, True)

    clock.now = 109.0
    with pytest.raises(TransientError, match="may still come"):
        await pipelines.create("team", BODY)
    assert stub.asked("POST", CREATE) == 1

    clock.now = 111.0
    assert (await pipelines.create("team", BODY))["run_id"] == RUN
    assert stub.asked("POST", CREATE) == 2
    assert pipelines.start_error(RUN) is None


async def test_a_create_that_is_carried_out_late_is_found_by_get(
    stub: KfpStub, pipelines: KubeflowPipelines
) -> None:
    stub.fail("POST", CREATE, late=True)
    with pytest.raises(TransientError, match="did not answer"):
        await pipelines.create("team", BODY)
    with pytest.raises(TransientError, match="may still come"):
        await pipelines.create("team", BODY)

    stub.released.set()
    async with asyncio.timeout(10):
        while await pipelines.get(RUN) is None:
            await asyncio.sleep(0.02)

    assert pipelines.start_error(RUN) is None
    assert stub.workflows[RUN] == 1


async def test_a_nonsense_pipeline_is_refused_for_good_though_the_answer_is_500(
    stub: KfpStub, pipelines: KubeflowPipelines
) -> None:
    with pytest.raises(TerminalError, match="unknown template format") as caught:
        await pipelines.create("team", {**BODY, "pipeline_spec": {"nonsense": 1}})

    assert caught.value.reason == "InvalidPipeline"
    error = pipelines.start_error(RUN)
    assert error is not None
    assert (error.reason, error.final, error.sent) == ("InvalidPipeline", True, False)


async def test_an_unknown_parameter_is_refused_for_good(
    pipelines: KubeflowPipelines,
) -> None:
    with pytest.raises(TerminalError, match="not required by pipeline: nope") as caught:
        await pipelines.create("team", {**BODY, "parameters": {"nope": 1}})

    assert caught.value.reason == "InvalidRun"
    error = pipelines.start_error(RUN)
    assert error is not None
    assert error.final


async def test_a_stranger_is_told_how_to_log_in(
    stub: KfpStub, pipelines: KubeflowPipelines
) -> None:
    stub.token = "s3cret-token"

    with pytest.raises(TerminalError, match="projected token") as caught:
        await pipelines.create("team", BODY)

    assert caught.value.reason == "Unauthorized"
    assert pipelines.start_error(RUN) is None


async def test_a_forbidden_experiment_names_the_missing_rights_and_can_be_healed(
    stub: KfpStub, pipelines: KubeflowPipelines
) -> None:
    denied = Answer(403, refusal(7, "PermissionDenied: User may not create experiments"))
    stub.fail("POST", "/experiments", answer=denied)

    with pytest.raises(TerminalError, match="create, get, list and terminate") as caught:
        await pipelines.create("team", BODY)
    error = pipelines.start_error(RUN)

    assert caught.value.reason == "Forbidden"
    assert error is not None
    assert (error.final, error.sent) == (False, False)
    assert (await pipelines.create("team", BODY))["run_id"] == RUN


async def test_the_token_is_read_again_for_every_call_and_never_told(
    stub: KfpStub, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    token = tmp_path / "token"
    token.write_text("first-token")
    stub.token = "first-token"
    made = KubeflowPipelines(stub.url, token_path=str(token))
    assert await made.get(RUN) is None

    token.write_text("second-token")
    with pytest.raises(TerminalError) as caught:
        await made.get(RUN)
    stub.token = "second-token"
    assert await made.get(RUN) is None

    token.unlink()
    with pytest.raises(TransientError, match="token for Kubeflow Pipelines cannot be read"):
        await made.get(RUN)
    await made.close()
    said = f"{caught.value} {caplog.text}"
    assert "first-token" not in said
    assert "second-token" not in said


async def test_a_silent_server_costs_its_time_out_and_blocks_nobody(
    stub: KfpStub, pipelines: KubeflowPipelines
) -> None:
    await pipelines.get(RUN)
    stub.fail("GET", GET, hang=True)

    turns = 0
    asking = asyncio.ensure_future(pipelines.get(RUN))
    while not asking.done():
        await asyncio.sleep(0.01)
        turns += 1

    with pytest.raises(TransientError, match="did not answer"):
        await asking
    assert turns > 20
    assert stub.asked("GET", GET) == 2


async def test_a_server_that_is_not_there_was_sent_nothing() -> None:
    made = KubeflowPipelines("http://127.0.0.1:9", connect_seconds=1, token_path="/nowhere")

    with pytest.raises(TransientError, match="cannot be reached"):
        await made.get(RUN)
    await made.close()


async def test_an_outage_before_the_create_was_sent_nothing(
    stub: KfpStub, pipelines: KubeflowPipelines
) -> None:
    stub.fail("GET", "/experiments", answer=Answer(503, None, raw=b"upstream connect error"))

    with pytest.raises(TransientError, match="answered 503"):
        await pipelines.create("team", BODY)
    error = pipelines.start_error(RUN)

    assert error is not None
    assert not error.sent


@pytest.mark.parametrize(
    ("answer", "error", "said"),
    [
        (PAGE, TerminalError, "login page"),
        (Answer(200, None, raw=b'{"run_id": "1'), TerminalError, "not the Kubeflow"),
        (Answer(200, ["a list"]), TerminalError, "not the Kubeflow"),
        (Answer(302, None, {"Location": "/dex/auth"}, raw=b""), TerminalError, "login page"),
        (Answer(500, None, raw=b"<html>"), TransientError, "answered 500"),
        (Answer(429, refusal(8, "slow down"), {"Retry-After": "7"}), TransientError, "slow down"),
        (Answer(409, refusal(10, "changed")), ConflictError, "changed"),
        (Answer(400, refusal(3, "bad id")), TerminalError, "bad id"),
    ],
    ids=["a login page", "half an answer", "a list", "a redirect", "HTML with 500", "429", "409",
         "400"],
)  # fmt: skip
async def test_odd_answers(
    stub: KfpStub,
    pipelines: KubeflowPipelines,
    answer: Answer,
    error: type[Exception],
    said: str,
) -> None:
    stub.fail("GET", GET, answer=answer)

    with pytest.raises(error, match=said) as caught:
        await pipelines.get(RUN)

    if answer.status == 429:
        assert isinstance(caught.value, TransientError)
        assert caught.value.retry_after == 7.0
    assert len(stub.requests) == 1


async def test_terminate_asks_once_and_takes_ended_and_missing_runs_as_done(
    stub: KfpStub, pipelines: KubeflowPipelines
) -> None:
    await pipelines.create("team", BODY)

    await pipelines.terminate(RUN)
    assert stub.runs[RUN]["state"] == "CANCELING"
    await pipelines.terminate(RUN)
    stub.set_state(RUN, "CANCELED")
    await pipelines.terminate(RUN)
    await pipelines.terminate("b498975b-64f6-4a92-98a5-65a8107a5120")

    assert stub.asked("POST", ":terminate$") == 4


async def test_nothing_is_printed_and_nobodys_home_matters(stub: KfpStub, tmp_path: Path) -> None:
    context = tmp_path / ".config" / "kfp" / "context.json"
    context.parent.mkdir(parents=True)
    context.write_text(json.dumps({"namespace": "", "client_authentication_cookie": "evil=1"}))
    script = (
        "import asyncio, json, sys\n"
        "from tidemill.adapters.kubeflow import KubeflowPipelines\n"
        "assert 'kfp' not in sys.modules and 'kubernetes' not in sys.modules\n"
        "async def main():\n"
        f"    made = KubeflowPipelines({stub.url!r}, token_path='/nowhere')\n"
        "    await made.create('team', json.loads(sys.argv[1]))\n"
        "    await made.close()\n"
        "asyncio.run(main())\n"
    )
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", script, json.dumps(BODY)],
        env={"HOME": str(tmp_path), "PYTHONPATH": str(root / "operator")},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert stub.workflows[RUN] == 1
    assert not any("cookie" in {name.lower() for name in sent} for sent in stub.headers)
    assert stub.asked("GET", "/healthz") == 0
    assert json.loads(context.read_text())["namespace"] == ""


async def test_an_untrusted_certificate_names_the_setting(stub: KfpStub, tmp_path: Path) -> None:
    certificate = _certificate(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, tmp_path / "key.pem")
    front = await asyncio.start_server(_one_run(stub), "127.0.0.1", 0, ssl=context)
    port = front.sockets[0].getsockname()[1]
    url = f"https://127.0.0.1:{port}"

    distrusting = KubeflowPipelines(url, token_path="/nowhere")
    with pytest.raises(TransientError, match="TIDEMILL_KUBEFLOW_CA"):
        await distrusting.get(RUN)
    trusting = KubeflowPipelines(url, ca=str(certificate), token_path="/nowhere")
    assert await trusting.get(RUN) is None

    await distrusting.close()
    await trusting.close()
    front.close()


def test_an_address_without_a_scheme_is_refused() -> None:
    with pytest.raises(ValueError, match="must begin with http:// or https://"):
        KubeflowPipelines("ml-pipeline.kubeflow:8888")


def _certificate(directory: Path) -> Path:
    made = directory / "cert.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
         "-nodes", "-keyout", str(directory / "key.pem"), "-out", str(made), "-days", "1",
         "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"],
        check=True,
        capture_output=True,
    )  # fmt: skip
    return made


def _one_run(stub: KfpStub) -> Any:
    """A TLS front that answers one request as the stub would."""

    async def serve_one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        method, path, _ = head.decode().split("\r\n")[0].split(" ")
        answer = stub.answer(method, path, None)
        data = json.dumps(answer.body).encode()
        writer.write(
            f"HTTP/1.1 {answer.status} X\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(data)}\r\nConnection: close\r\n\r\n".encode()
            + data
        )
        await writer.drain()
        writer.close()

    return serve_one
