"""/healthz, /readyz and /metrics over HTTP."""

import time
from collections.abc import Callable, Mapping

from aiohttp import web
from prometheus_client import generate_latest

from tidemill.shell.telemetry import Telemetry

STUCK_SECONDS = 10.0
"""An event loop whose heart has not beaten for so long is stuck, and the process is restarted."""


async def serve(
    port: int, telemetry: Telemetry, ready: Callable[[], Mapping[str, bool]]
) -> web.AppRunner:
    """Listen on a port; `cleanup` of what is returned ends it.

    /readyz answers 200 when all of `ready()` is true, else 503 and what is not.
    """

    async def healthz(request: web.Request) -> web.Response:
        late = time.monotonic() - telemetry.beat
        alive = late < STUCK_SECONDS
        return web.Response(
            text="ok" if alive else f"the loop is {late:.0f} s late", status=200 if alive else 500
        )

    async def readyz(request: web.Request) -> web.Response:
        missing = [name for name, done in ready().items() if not done]
        if missing:
            return web.Response(text="not yet: " + ", ".join(sorted(missing)), status=503)
        return web.Response(text="ok")

    async def metrics(request: web.Request) -> web.Response:
        return web.Response(
            body=generate_latest(telemetry.registry),
            headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"},
        )

    app = web.Application()
    app.add_routes(
        [web.get("/healthz", healthz), web.get("/readyz", readyz), web.get("/metrics", metrics)]
    )
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, port=port).start()
    return runner
