"""Kubeflow Pipelines over its v2beta1 API: the only module of the operator that imports kfp.

The real `kfp.Client` brings address and login (a projected ServiceAccount token, read again for
every call); its generated API classes do the calls, because `Client.run_pipeline` can set neither
run id nor description, and prints. kfp weighs 70 MB and is imported at the first call, in a thread
of our own pool, as is every call, each with time-outs.

Kept away from on purpose: the client's context file in HOME, `set_user_namespace` (writes that
file), `wait_for_run_completion` (blocks), its retries (a create sent twice makes two Workflows),
redirects.

    TransientError   no answer, no sense in the answer, 408, 429, 5xx
    ConflictError    409
    TerminalError    other 4xx: Unauthorized, Forbidden, InvalidRun, NotKubeflow; and a 500 whose
                     message says that the pipeline itself is at fault: InvalidPipeline
"""

import asyncio
import importlib
import json
import time
import warnings
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tidemill.core.attempts import StartError
from tidemill.core.plan import Body
from tidemill.errors import ConflictError, TerminalError, TidemillError, TransientError

EXPERIMENT = "tidemill"
TOKEN_PATH = "/var/run/secrets/kubeflow/pipelines/token"  # noqa: S105
"""Where the kubelet puts a token for audience pipelines.kubeflow.org; without it nobody logs in."""
CONNECT_SECONDS = 5.0
READ_SECONDS = 30.0
DOUBT_SECONDS = 110.0
"""No second create of a run so soon after one whose answer was lost. Less than the time the core
looks for it, so that the core's next try is not refused."""

_THREADS = 4
_REMEMBERED = 10_000
_LONGEST_MESSAGE = 512
_AT_FAULT = ("InvalidInputError", "Invalid input error", "unknown template format")
_NAMES_OF_NO_CONTEXT = "tidemill"


class _UnsentError(TransientError):
    """It certainly never reached the server."""


class KubeflowPipelines:
    """ports.Pipelines over one server. `close` it at the end."""

    def __init__(
        self,
        url: str,
        *,
        namespace: str = "",
        ca: str = "",
        token_path: str = TOKEN_PATH,
        connect_seconds: float = CONNECT_SECONDS,
        read_seconds: float = READ_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if urlsplit(url).scheme not in ("http", "https"):
            raise ValueError(
                f"TIDEMILL_KUBEFLOW_URL is {url!r}; it must begin with http:// or https://"
            )
        self._url = url
        self._namespace = namespace
        self._ca = ca
        self._token_path = token_path
        self._timeout = (connect_seconds, read_seconds)
        self._clock = clock
        self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="kubeflow")
        self._loading = asyncio.Lock()
        self._client: Any = None
        self._experiments: dict[str, str] = {}
        self._errors: OrderedDict[str, tuple[float, StartError]] = OrderedDict()

    async def close(self) -> None:
        """Take no more calls; those under way end by their time-outs."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    async def get(self, run_id: str) -> Body | None:
        """The run as the API tells it, or None if there is none."""
        client = await self._loaded()
        try:
            run = await self._call(client._run_api.run_service_get_run, run_id)
        except _MissingError:
            return None
        self._errors.pop(run_id, None)
        return run

    async def create(self, namespace: str, body: Body) -> Body:
        """Start a run with the id body["run_id"], or adopt the one of that id.

        Raises TransientError without asking while an earlier ask may still be carried out.
        """
        run_id = str(body["run_id"])
        self._refuse_in_doubt(run_id)
        found = await self.get(run_id)
        if found is not None:
            return found
        try:
            experiment = await self._experiment(self._namespace or namespace)
        except TidemillError as error:
            self._remember(run_id, error, sent=False)
            raise
        try:
            run = await self._post(experiment, body)
        except _MissingError as error:
            # The experiment was deleted behind our back: make it again at the next try.
            self._experiments.clear()
            self._remember(run_id, error, sent=False)
            raise TransientError(str(error), 1.0) from error
        except TidemillError as error:
            found = await self._look(run_id, error)
            if found is not None:
                return found
            sent = not isinstance(error, _UnsentError | TerminalError)
            self._remember(run_id, error, sent=sent)
            raise
        self._errors.pop(run_id, None)
        return run

    async def terminate(self, run_id: str) -> None:
        """Ask a run to end; one that has ended or does not exist is fine."""
        client = await self._loaded()
        try:
            await self._call(client._run_api.run_service_terminate_run, run_id)
        except _MissingError:
            return
        except TerminalError as error:
            if error.reason != "InvalidRun":  # 400: it is ending or has ended
                raise

    def start_error(self, run_id: str) -> StartError | None:
        """Why the last `create` of this run failed; None once it was created or seen."""
        held = self._errors.get(run_id)
        return held[1] if held is not None else None

    def _refuse_in_doubt(self, run_id: str) -> None:
        held = self._errors.get(run_id)
        if held is None or not held[1].sent:
            return
        left = DOUBT_SECONDS - (self._clock() - held[0])
        if left > 0:
            raise TransientError(f"run {run_id} may still come: {held[1].message}", min(left, 5.0))

    async def _look(self, run_id: str, error: TidemillError) -> Body | None:
        """After a failed create: the run, if it was made all the same."""
        if isinstance(error, _UnsentError | TerminalError):
            return None
        try:
            return await self.get(run_id)
        except TidemillError:
            return None

    def _remember(self, run_id: str, error: TidemillError, *, sent: bool) -> None:
        final = isinstance(error, TerminalError) and error.reason not in _HEALABLE
        reason = error.reason if isinstance(error, TerminalError) else "EngineUnreachable"
        told = StartError(reason=reason, message=str(error), final=final, sent=sent)
        self._errors[run_id] = (self._clock(), told)
        self._errors.move_to_end(run_id)
        while len(self._errors) > _REMEMBERED:
            self._errors.popitem(last=False)

    async def _post(self, experiment: str, body: Body) -> Body:
        client = await self._loaded()
        run = {
            "run_id": body["run_id"],
            "experiment_id": experiment,
            "display_name": body["display_name"],
            "description": body.get("description", ""),
            "pipeline_spec": body["pipeline_spec"],
            "runtime_config": {"parameters": body.get("parameters", {})},
        }
        if body.get("service_account"):
            run["service_account"] = body["service_account"]
        return await self._call(client._run_api.run_service_create_run, run)

    async def _experiment(self, namespace: str) -> str:
        """The id of our experiment in a namespace, which is made where it is missing."""
        known = self._experiments.get(namespace)
        if known is not None:
            return known
        client = await self._loaded()
        api = client._experiment_api
        found = await self._find_experiment(api, namespace)
        if found is None:
            wanted = {"display_name": EXPERIMENT, "namespace": namespace}
            try:
                made = await self._call(api.experiment_service_create_experiment, wanted)
                found = str(made["experiment_id"])
            except ConflictError:
                found = await self._find_experiment(api, namespace)
        if found is None:
            raise TransientError(f"the experiment {EXPERIMENT} came and went")
        self._experiments[namespace] = found
        return found

    async def _find_experiment(self, api: Any, namespace: str) -> str | None:
        predicate = {"operation": "EQUALS", "key": "display_name", "stringValue": EXPERIMENT}
        answer = await self._call(
            api.experiment_service_list_experiments,
            namespace=namespace,
            filter=json.dumps({"predicates": [predicate]}),
            page_size=2,
        )
        for item in answer.get("experiments") or ():
            if item.get("display_name") == EXPERIMENT:
                return str(item["experiment_id"])
        return None

    async def _loaded(self) -> Any:
        async with self._loading:
            if self._client is None:
                loop = asyncio.get_running_loop()
                try:
                    self._client = await loop.run_in_executor(self._pool, self._load)
                except ImportError as error:
                    raise TerminalError(
                        "EngineNotInstalled",
                        f"The operator's image has no Kubeflow client ({error.name}); install"
                        " requirements/kubeflow.txt or use the Job engine.",
                    ) from error
            return self._client

    def _load(self) -> Any:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            kfp_client = importlib.import_module("kfp.client.client")
            volume = importlib.import_module("kfp.client.set_volume_credentials")
            # No file of anybody's HOME says whom we talk to, and in which namespace.
            kfp_client.Client._LOCAL_KFP_CONTEXT = ""
            has_token = Path(self._token_path).is_file()
            credentials = (
                volume.ServiceAccountTokenVolumeCredentials(self._token_path) if has_token else None
            )
            # With a namespace of its own the client never asks healthz (25 s of sleeps) and never
            # writes a context; each call says its own namespace.
            client = kfp_client.Client(
                host=self._url,
                namespace=_NAMES_OF_NO_CONTEXT,
                credentials=credentials,
                ssl_ca_cert=self._ca or None,
            )
        pool = client._run_api.api_client.rest_client.pool_manager
        pool.connection_pool_kw["retries"] = False
        return client

    async def _call(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Body:
        """One request in a thread of our own; the answer as plain JSON."""
        loop = asyncio.get_running_loop()

        def call() -> bytes:
            answer = function(
                *args, **kwargs, _preload_content=False, _request_timeout=self._timeout
            )
            try:
                return bytes(answer.data)
            finally:
                answer.release_conn()

        try:
            # urllib3's read time-out starts afresh with every packet; this one does not.
            async with asyncio.timeout(2 * sum(self._timeout)):
                raw = await loop.run_in_executor(self._pool, call)
        except TimeoutError as error:
            raise TransientError("Kubeflow Pipelines did not answer in time") from error
        except Exception as error:
            raise _to_error(error) from error
        return _json(raw)


class _MissingError(TerminalError):
    """404."""


_HEALABLE = ("Unauthorized", "Forbidden", "NotKubeflow", "EngineNotInstalled")
"""Refusals that an admin can end: the attempt waits for that until its deadline."""


def _to_error(error: Exception) -> TidemillError:
    """The error that a failed call stands for: the table at the head of this module."""
    if isinstance(error, AttributeError) and isinstance(error.__context__, Exception):
        # kfp trips over the missing body of its own error for a failed TLS handshake.
        error = error.__context__
    name = type(error).__name__
    status = getattr(error, "status", None)
    if name.endswith("ApiException") or isinstance(status, int):
        return from_status(status or 0, getattr(error, "body", None), getattr(error, "headers", {}))
    # Refused, no route, no such name, or no time left to connect: nothing was sent.
    if name in ("NewConnectionError", "ConnectTimeoutError", "NameResolutionError"):
        return _UnsentError("Kubeflow Pipelines cannot be reached")
    if isinstance(error, OSError) and "token" in str(error.filename or ""):
        return _UnsentError("the token for Kubeflow Pipelines cannot be read")
    return TransientError(f"Kubeflow Pipelines did not answer ({name})")


def from_status(status: int, body: Any, headers: Any) -> TidemillError:
    """The error for an HTTP answer that is not 2xx. 0 is a TLS failure."""
    said = _message(body)
    if status == 0:
        return _UnsentError(
            "the certificate of Kubeflow Pipelines is not trusted; set TIDEMILL_KUBEFLOW_CA"
        )
    if status == 401:
        return TerminalError(
            "Unauthorized",
            "Kubeflow Pipelines does not know the operator (401). It logs in with a projected token"
            f" for audience pipelines.kubeflow.org at {TOKEN_PATH}.",
        )
    if status == 403:
        return TerminalError(
            "Forbidden",
            f"Kubeflow Pipelines forbids it ({said or 403}). The operator's ServiceAccount needs"
            " create, get, list and terminate on runs and experiments of pipelines.kubeflow.org.",
        )
    if status == 404:
        return _MissingError("NotFound", said or "not found")
    if status == 409:
        return ConflictError(said)
    if status == 500 and any(mark in said for mark in _AT_FAULT):
        return TerminalError("InvalidPipeline", f"Kubeflow Pipelines refuses the pipeline: {said}")
    if status in (408, 429) or status >= 500:
        return TransientError(f"Kubeflow Pipelines answered {status}: {said}", _after(headers))
    if 300 <= status < 400:
        return _not_kubeflow()
    return TerminalError("InvalidRun", f"Kubeflow Pipelines refuses the run: {said or status}")


def _json(raw: bytes) -> Body:
    try:
        answer = json.loads(raw)
    except ValueError as error:
        raise _not_kubeflow() from error
    if not isinstance(answer, dict):
        raise _not_kubeflow()
    return answer


def _not_kubeflow() -> TerminalError:
    return TerminalError(
        "NotKubeflow",
        "TIDEMILL_KUBEFLOW_URL answers with something that is not the Kubeflow Pipelines API; a"
        " login page of a proxy, perhaps. Use the address of the ml-pipeline Service, port 8888.",
    )


def _message(body: Any) -> str:
    """What a google.rpc.Status says, in one line."""
    try:
        text = body.decode() if isinstance(body, bytes) else str(body or "")
        said = json.loads(text).get("message", "")
    except (ValueError, AttributeError):
        return ""
    return " ".join(str(said).split())[:_LONGEST_MESSAGE]


def _after(headers: Any) -> float | None:
    try:
        return max(0.0, float(headers.get("Retry-After")))
    except (AttributeError, TypeError, ValueError):
        return None
