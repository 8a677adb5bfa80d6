"""One server process from start to a graceful end.

SIGTERM makes readiness fail at once, but requests are served on for `drain_seconds`, while the
Service and the Gateway learn of it; answers then close their connections, so that clients leave by
themselves. After that the socket closes, requests in work end, the log is stored, and the process
exits with 0: no request fails because a revision is replaced. A second signal skips the waiting.
"""

import asyncio
import contextlib
import gc
import logging
import os
import signal
import socket
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor

import uvicorn

from tidemill.serving.bundles import LoadedBundle, read_bundle
from tidemill.serving.counters import Counters
from tidemill.serving.failures import Exit, StartError
from tidemill.serving.http import Application, Limits, Served
from tidemill.serving.logentry import Log
from tidemill.serving.model import OnnxModel
from tidemill.serving.settings import ServingSettings
from tidemill.serving.stores import open_store
from tidemill.serving.telemetry import Telemetry, registry_of

_LOG = logging.getLogger(__name__)
_SIGNALS = (signal.SIGTERM, signal.SIGINT)
_LOG_SECONDS = 10.0
_KEEP_ALIVE_SECONDS = 3700
"""Longer than Envoy keeps an idle connection (an hour): whoever closes first must be the client,
or a request already on its way meets a closed socket."""


def serve(settings: ServingSettings) -> None:
    """Load the model, serve until told to end, and end gracefully. Raises StartError."""
    loaded = read_bundle(settings.model_path)
    model = OnnxModel(loaded, settings.threads)
    listener = _listen(settings.listen_port)
    served = _served(settings, loaded, model)
    limits = Limits(
        rows=settings.max_rows,
        body_bytes=settings.max_body_bytes,
        body_seconds=settings.body_seconds,
        concurrency=settings.max_concurrency,
        sample=settings.request_log_sample,
    )
    del loaded
    with ThreadPoolExecutor(settings.threads, thread_name_prefix="predict") as pool:
        application = Application(served, limits, pool)
        server = DrainingServer(application, settings)
        if served.log is not None:
            served.log.start()
        gc.collect()
        gc.freeze()  # what was made so far stays: no collection need look at it again
        _LOG.info(
            "serving %s, version %s, on port %d; up to %d rows are predicted inline",
            served.name,
            served.revision,
            listener.getsockname()[1],
            model.inline_rows,
        )
        server.run(sockets=[listener])
    if served.log is not None:
        served.log.close(_LOG_SECONDS)
    _LOG.info("served %d predictions; the end", served.counters.rows)


def _listen(port: int) -> socket.socket:
    """Open the port on IPv6 and IPv4, or on what there is."""
    try:
        if socket.has_dualstack_ipv6():
            try:
                return socket.create_server(
                    ("", port), family=socket.AF_INET6, dualstack_ipv6=True, backlog=2048
                )
            except OSError:
                pass  # IPv6 is compiled in and switched off
        return socket.create_server(("", port), backlog=2048)
    except OSError as error:
        said = f"port {port} cannot be opened: {os.strerror(error.errno or 0)}"
        raise StartError(Exit.UNAVAILABLE, "PortUnavailable", said) from error


def _served(settings: ServingSettings, loaded: LoadedBundle, model: OnnxModel) -> Served:
    digest = loaded.bundle.model.digest
    revision = settings.revision or digest.removeprefix("sha256:")[:12]
    counters = Counters(loaded.features, loaded.profile.prediction)
    log = _request_log(settings, model, revision, digest) if settings.request_log_uri else None
    telemetry = Telemetry(digest, counters, lambda: log.dropped if log is not None else 0)
    return Served(
        name=settings.model_name,
        revision=revision,
        model=model,
        counters=counters,
        telemetry=telemetry,
        registry=registry_of(telemetry),
        log=log,
    )


def _request_log(settings: ServingSettings, model: OnnxModel, revision: str, digest: str) -> Log:
    from tidemill.serving.requestlog import LogOptions, RequestLog  # 30 MB of pyarrow

    options = LogOptions(
        pod=settings.pod_name,
        revision=revision,
        keep_seconds=settings.request_log_keep_seconds,
        rows=settings.request_log_rows,
        seconds=settings.request_log_seconds,
        queue=settings.request_log_queue,
    )
    described = {"tidemill.model": settings.model_name, "tidemill.digest": digest}
    return RequestLog(open_store(settings.request_log_uri), model.layout, options, described)


class DrainingServer(uvicorn.Server):
    """uvicorn, but a signal begins a drain and the exit code is 0."""

    def __init__(self, application: Application, settings: ServingSettings) -> None:
        self._application = application
        self._drain_seconds = settings.drain_seconds
        super().__init__(
            uvicorn.Config(
                application,
                loop="uvloop",
                http="httptools",
                ws="none",
                lifespan="off",
                interface="asgi3",
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,
                timeout_keep_alive=_KEEP_ALIVE_SECONDS,
                timeout_graceful_shutdown=max(1, round(settings.finish_seconds)),
            )
        )

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Handle signals on the event loop while the server runs."""
        loop = asyncio.get_running_loop()
        for number in _SIGNALS:
            loop.add_signal_handler(number, self._told_to_end)
        try:
            yield
        finally:
            for number in _SIGNALS:
                loop.remove_signal_handler(number)

    def _told_to_end(self) -> None:
        if self._application.draining:
            self.should_exit = True
            return
        _LOG.info("told to end; serving on for %g s", self._drain_seconds)
        self._application.drain()
        asyncio.get_running_loop().call_later(self._drain_seconds, self._stop)

    def _stop(self) -> None:
        self.should_exit = True
