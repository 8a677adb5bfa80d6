"""A Kubeflow Pipelines API server as far as the operator can tell, for tests.

It answers as a real KFP 2.17.0 was recorded to answer (`recorded/`): test_kfp_stub.py replays the
recordings against it. Only the list of experiments, 401 and 403 are not recorded; they follow the
API's definition. A second create with the same run id answers 500 and still makes a Workflow, as
the real one does: `workflows` counts them.
"""

import copy
import json
import re
import threading
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

Body = dict[str, Any]

RECORDED = Path(__file__).parent / "recorded"
NEVER = "1970-01-01T00:00:00Z"
ENDED = ("SUCCEEDED", "FAILED", "SKIPPED", "CANCELED")
ROOT = "/apis/v2beta1"


def recording(name: str) -> Body:
    """One recorded exchange: request, status, response."""
    held: Body = json.loads((RECORDED / f"{name}.json").read_text())
    return held


@dataclass
class Answer:
    """An HTTP answer."""

    status: int
    body: Any
    headers: dict[str, str] = field(default_factory=dict)
    raw: bytes | None = None


@dataclass
class Fault:
    """What goes wrong with the next request that matches."""

    method: str
    path: str
    answer: Answer | None = None
    """Answered instead of carrying the request out."""
    lost: bool = False
    """Carried out, but the connection ends without an answer."""
    hang: bool = False
    """Neither carried out nor answered until the stub is released."""
    late: bool = False
    """Not answered until the stub is released; only then carried out."""
    times: int = 1


def refusal(code: int, message: str, detail: str | None = None) -> Body:
    """A google.rpc.Status as the gateway writes it."""
    return {
        "code": code,
        "message": message,
        "details": [
            {
                "@type": "type.googleapis.com/google.rpc.Status",
                "code": code,
                "message": detail if detail is not None else message,
            }
        ],
    }


class KfpStub:
    """The server's state, and what tests may do with it."""

    def __init__(self) -> None:
        self.runs: dict[str, Body] = {}
        self.experiments: dict[str, Body] = {}
        self.workflows: Counter[str] = Counter()
        self.requests: list[tuple[str, str, Body | None]] = []
        self.headers: list[dict[str, str]] = []
        self.faults: list[Fault] = []
        self.token: str | None = None
        self.released = threading.Event()
        self.lock = threading.RLock()
        self.url = ""

    def fail(self, method: str, path: str, **what: Any) -> Fault:
        """Let the next request of this method whose path matches go wrong."""
        fault = Fault(method, path, **what)
        self.faults.append(fault)
        return fault

    def asked(self, method: str, path: str) -> int:
        """How many requests of this method had a path that matches."""
        return sum(m == method and re.search(path, p) is not None for m, p, _ in self.requests)

    def set_state(self, run_id: str, state: str | None) -> None:
        """Move a run; None leaves `state` out, as was seen between PENDING and RUNNING."""
        with self.lock:
            run = self.runs[run_id]
            run.pop("state", None)
            entry = {"update_time": _now()}
            if state is not None:
                run["state"] = state
                entry["state"] = state
            if state in ENDED:
                run["finished_at"] = _now()
            run["state_history"].append(entry)

    def play(self, run_id: str, name: str) -> None:
        """Give a run state, history and tasks of a recorded one."""
        told = recording(name)["response"]
        with self.lock:
            run = self.runs[run_id]
            for key in ("state", "run_details", "state_history", "finished_at"):
                run.pop(key, None)
                if key in told:
                    run[key] = copy.deepcopy(told[key])

    def answer(self, method: str, path: str, body: Body | None) -> Answer:
        """Carry out one request."""
        url = urlsplit(path)
        query = {key: values[0] for key, values in parse_qs(url.query).items()}
        routes: tuple[tuple[str, str, Callable[..., Answer]], ...] = (
            ("GET", "/healthz", self._healthz),
            ("POST", "/experiments", self._create_experiment),
            ("GET", "/experiments", self._list_experiments),
            ("POST", "/runs", self._create_run),
            ("GET", "/runs", self._list_runs),
            ("GET", "/runs/([^/:]+)", self._get_run),
            ("POST", "/runs/([^/:]+):terminate", self._terminate_run),
            ("DELETE", "/runs/([^/:]+)", self._delete_run),
        )
        for wanted, pattern, route in routes:
            found = re.fullmatch(re.escape(ROOT) + pattern, url.path)
            if wanted == method and found is not None:
                with self.lock:
                    return route(*found.groups(), query=query, body=body or {})
        return Answer(404, refusal(5, "Not Found"))

    def _healthz(self, query: Body, body: Body) -> Answer:
        return Answer(200, recording("healthz")["response"])

    def _create_experiment(self, query: Body, body: Body) -> Answer:
        name = body["display_name"]
        if any(item["display_name"] == name for item in self.experiments.values()):
            said = f"Failed to create a new experiment. The name {name} already exists. Please"
            said += " specify a new name"
            whole = f"Failed to create a experiment: Already exist error: {said}"
            return Answer(409, refusal(6, whole, said))
        made = {
            "experiment_id": str(uuid.uuid4()),
            "display_name": name,
            "created_at": _now(),
            "storage_state": "AVAILABLE",
            "last_run_created_at": NEVER,
        }
        self.experiments[made["experiment_id"]] = made
        return Answer(200, made)

    def _list_experiments(self, query: Body, body: Body) -> Answer:
        found = [item for item in self.experiments.values() if _matches(item, query.get("filter"))]
        return Answer(200, {"experiments": found, "total_size": len(found)} if found else {})

    def _create_run(self, query: Body, body: Body) -> Answer:
        experiment = body.get("experiment_id", "")
        refused = self._refuse_run(body, experiment)
        if refused is not None:
            return refused
        run_id = body.get("run_id") or str(uuid.uuid4())
        # The real server makes the Workflow before it stores the run.
        self.workflows[run_id] += 1
        name = body["display_name"]
        if run_id in self.runs:
            said = (
                "Failed to create a new run: Failed to create a run: InternalServerError: Failed"
                f" to store run {name} to table: Error 1062 (23000): Duplicate entry '{run_id}' for"
                " key 'PRIMARY'"
            )
            return Answer(500, refusal(13, said, "Internal Server Error"))
        made = {
            "experiment_id": experiment,
            "run_id": run_id,
            "display_name": name,
            "storage_state": "AVAILABLE",
            "description": body.get("description", ""),
            "pipeline_spec": _as_struct(body["pipeline_spec"]),
            "runtime_config": _as_struct(body.get("runtime_config", {})),
            "service_account": body.get("service_account") or "pipeline-runner",
            "created_at": _now(),
            "scheduled_at": _now(),
            "finished_at": NEVER,
            "state": "PENDING",
            "state_history": [{"update_time": _now(), "state": "PENDING"}],
        }
        self.runs[run_id] = {key: value for key, value in made.items() if value != ""}
        return Answer(200, self.runs[run_id])

    def _refuse_run(self, body: Body, experiment: str) -> Answer | None:
        if experiment not in self.experiments:
            said = f"Experiment {experiment} not found"
            whole = (
                "Failed to create a new run: Failed to create a run due to invalid experimentId"
                f" and namespace combination: Failed to fetch namespace for experiment {experiment}"
                f": Failed to fetch namespace from experiment {experiment}: ResourceNotFoundError:"
                f" {said}"
            )
            return Answer(404, refusal(5, whole, said))
        spec = body["pipeline_spec"].get("pipeline_spec", body["pipeline_spec"])
        if "pipelineInfo" not in spec:
            return Answer(500, recording("create-run-bad-spec")["response"])
        declared = spec["root"].get("inputDefinitions", {}).get("parameters", {})
        given = body.get("runtime_config", {}).get("parameters", {})
        unknown = [name for name in given if name not in declared]
        if unknown:
            said = f"parameter(s) provided are not required by pipeline: {', '.join(unknown)}"
            whole = (
                "Failed to create a new run: Failed to generate the ExecutionSpec: invalid pipeline"
                f" job inputs: Invalid input error: {said}"
            )
            return Answer(400, refusal(3, whole, said))
        return None

    def _list_runs(self, query: Body, body: Body) -> Answer:
        found = [item for item in self.runs.values() if _matches(item, query.get("filter"))]
        return Answer(200, {"runs": found, "total_size": len(found)} if found else {})

    def _get_run(self, run_id: str, query: Body, body: Body) -> Answer:
        if run_id in self.runs:
            return Answer(200, self.runs[run_id])
        said = f"Run {run_id} not found"
        whole = f"Failed to get a run: Failed to fetch run {run_id}: ResourceNotFoundError: {said}"
        return Answer(404, refusal(5, whole, said))

    def _terminate_run(self, run_id: str, query: Body, body: Body) -> Answer:
        run = self.runs.get(run_id)
        if run is None:
            said = f"Run {run_id} not found"
            whole = (
                f"Failed to terminate a run: Failed to terminate run {run_id} due to error"
                f" fetching the run: Failed to fetch run {run_id}: ResourceNotFoundError: {said}"
            )
            return Answer(404, refusal(5, whole, said))
        if run.get("state") in (*ENDED, "CANCELING"):
            said = f"Failed to terminate a run {run_id}. Row not found"
            whole = f"Failed to terminate a run: Failed to terminate run {run_id}: Invalid input"
            return Answer(400, refusal(3, f"{whole} error: {said}", said))
        run["state"] = "CANCELING"
        return Answer(200, {})

    def _delete_run(self, run_id: str, query: Body, body: Body) -> Answer:
        self.runs.pop(run_id, None)
        return Answer(200, {})

    def next_fault(self, method: str, path: str) -> Fault | None:
        """The fault for this request, which is used up."""
        with self.lock:
            for fault in self.faults:
                if fault.method == method and re.search(fault.path, path):
                    fault.times -= 1
                    if fault.times <= 0:
                        self.faults.remove(fault)
                    return fault
        return None


def _matches(item: Body, text: str | None) -> bool:
    predicates = json.loads(text)["predicates"] if text else []
    return all(item.get(one["key"]) == one["stringValue"] for one in predicates)


def _as_struct(value: Any) -> Any:
    """As JSON comes back from a protobuf Struct: a whole number has no fraction."""
    if isinstance(value, dict):
        return {key: _as_struct(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_as_struct(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    stub: KfpStub

    def _serve(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        body = json.loads(self.rfile.read(length)) if length else None
        with self.stub.lock:
            self.stub.requests.append((self.command, self.path, body))
            self.stub.headers.append(dict(self.headers))
        fault = self.stub.next_fault(self.command, self.path)
        if fault is not None and (fault.hang or fault.late):
            self.stub.released.wait(60)
        if fault is not None and fault.hang:
            self.close_connection = True
            return
        answer = fault.answer if fault is not None and fault.answer is not None else None
        if answer is None and self.stub.token is not None:
            answer = self._check_token()
        if answer is None:
            answer = self.stub.answer(self.command, self.path, body)
        if fault is not None and fault.lost:
            self.close_connection = True
            return
        self._send(answer)

    def _check_token(self) -> Answer | None:
        if self.headers.get("Authorization") == f"Bearer {self.stub.token}":
            return None
        return Answer(401, refusal(16, "Unauthenticated: there is no valid token in the request"))

    def _send(self, answer: Answer) -> None:
        data = answer.raw if answer.raw is not None else json.dumps(answer.body).encode()
        try:
            self.send_response(answer.status)
            headers = {"Content-Type": "application/json", **answer.headers}
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)
        except OSError:  # whoever asked has hung up
            self.close_connection = True

    do_GET = do_POST = do_DELETE = _serve  # noqa: N815

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing: tests read `requests`."""


@contextmanager
def serve() -> Iterator[KfpStub]:
    """Run a stub on a port of this machine."""
    stub = KfpStub()
    handler = type("Handler", (_Handler,), {"stub": stub})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    stub.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield stub
    finally:
        stub.released.set()
        server.shutdown()
        thread.join()
        server.server_close()
