"""A web server that answers as a test tells it, on a loopback port of its own."""

import http.server
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from tidemill.steps.sources.client import Client, Limits


@dataclass
class Page:
    """What is at a path: the answers to each request in turn, the last one for ever."""

    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    statuses: list[int] = field(default_factory=lambda: [200])
    head: int | None = None
    """The status of HEAD, if it is refused."""
    chunks: int = 0
    """Above 0: sent in as many chunks of the body each, without a length."""
    pause: float = 0.0
    """Seconds between chunks."""
    cut: int = 0
    """So many bytes of the promised length are not sent."""
    changing: bool = False
    """Its ETag differs each time."""


@dataclass
class Server:
    """Pages by path, and what was asked."""

    pages: dict[str, Page] = field(default_factory=dict)
    asked: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)
    address: str = ""
    over: threading.Event = field(default_factory=threading.Event)

    def url(self, path: str) -> str:
        """Where a page is."""
        return f"{self.address}{path}"

    def methods(self) -> list[str]:
        """What was asked for, in order."""
        return [method for method, _, _ in self.asked]


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_of: Server

    def do_HEAD(self) -> None:
        """Headers only."""
        self._answer(head=True)

    def do_GET(self) -> None:
        """Headers and body."""
        self._answer(head=False)

    def do_POST(self) -> None:
        """The same; what was sent is dropped."""
        self.rfile.read(int(self.headers.get("Content-Length", "0")))
        self._answer(head=False)

    def _answer(self, *, head: bool) -> None:
        of = self.server_of
        of.asked.append((self.command, self.path, dict(self.headers)))
        path = self.path.partition("?")[0]
        page = of.pages.get(self.path) or of.pages.get(path) or Page(statuses=[404])
        status = page.statuses.pop(0) if len(page.statuses) > 1 else page.statuses[0]
        self.send_response(page.head if head and page.head else status)
        for name, value in page.headers.items():
            self.send_header(name, value)
        if page.changing:
            self.send_header("ETag", f'"{len(of.asked)}"')
        if page.chunks:
            self.send_header("Transfer-Encoding", "chunked")
        else:
            self.send_header("Content-Length", str(len(page.body)))
        self.end_headers()
        if head:
            return
        if page.chunks:
            self._chunked(page)
        else:
            self.wfile.write(page.body[: len(page.body) - page.cut])
        self.close_connection = self.close_connection or bool(page.cut)

    def _chunked(self, page: Page) -> None:
        try:
            for _ in range(page.chunks):
                self.wfile.write(b"%x\r\n%b\r\n" % (len(page.body), page.body))
                self.wfile.flush()
                if page.pause:
                    time.sleep(page.pause)
                if self.server_of.over.is_set():
                    break
            self.wfile.write(b"0\r\n\r\n")
        except OSError:
            self.close_connection = True

    def log_message(self, *_: object) -> None:
        """Say nothing."""


class _Quiet(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """A client that hangs up is no news."""


@contextmanager
def web_server() -> Iterator[Server]:
    """A server until the end of the block."""
    made = Server()
    handler = type("Handler", (_Handler,), {"server_of": made})
    server = _Quiet(("127.0.0.1", 0), handler)
    made.address = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield made
    finally:
        made.over.set()
        server.shutdown()
        thread.join()
        server.server_close()


@dataclass
class Waits:
    """Stands in for sleeping: keeps what was asked for."""

    slept: list[float] = field(default_factory=list)

    def __call__(self, seconds: float) -> None:
        self.slept.append(seconds)


def impatient(waits: Waits | None = None, **changes: float) -> Client:
    """A client that never waits between tries, and not long for an answer."""
    limits = {"connect": 2.0, "silent": 2.0, **changes}
    return Client(Limits(**limits), sleep=waits or Waits())  # type: ignore[arg-type]
