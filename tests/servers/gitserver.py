"""A real Git server: git http-backend behind a small HTTP server, with Git LFS's batch API."""

import base64
import hashlib
import http.server
import json
import os
import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

_ENVIRONMENT = {
    "GIT_AUTHOR_NAME": "A Miller",
    "GIT_AUTHOR_EMAIL": "miller@example.com",
    "GIT_COMMITTER_NAME": "A Miller",
    "GIT_COMMITTER_EMAIL": "miller@example.com",
    "GIT_AUTHOR_DATE": "2026-10-01T12:00:00Z",
    "GIT_COMMITTER_DATE": "2026-10-01T12:00:00Z",
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_CONFIG_NOSYSTEM": "1",
}


def git(*argv: str | Path, cwd: Path) -> str:
    """Run git and return what it says."""
    environment = {**os.environ, **_ENVIRONMENT}
    done = subprocess.run(
        ["git", *argv], cwd=cwd, env=environment, check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


def pointer(content: bytes) -> bytes:
    """What Git LFS puts into the repository for a content."""
    oid = hashlib.sha256(content).hexdigest()
    said = f"version https://git-lfs.github.com/spec/v1\noid sha256:{oid}\nsize {len(content)}\n"
    return said.encode()


@dataclass
class GitServer:
    """One repository, harbour.git, and what is asked of it."""

    root: Path
    address: str = ""
    lfs: dict[str, bytes] = field(default_factory=dict)
    """oid -> content."""
    password: str | None = None
    status: int | None = None
    """Answered to everything, if set."""
    asked: list[str] = field(default_factory=list)
    credentials: set[str] = field(default_factory=set)
    served: dict[str, bytes] = field(default_factory=dict)
    """Other paths -> bytes, such as what DVC keeps."""

    @property
    def url(self) -> str:
        """Where to fetch from."""
        return f"{self.address}/harbour.git"

    @property
    def bare(self) -> Path:
        """The repository on disk."""
        return self.root / "harbour.git"

    def commit(self, files: dict[str, bytes | None], branch: str = "main") -> str:
        """Commit files (None: gone) onto a branch and return the commit's id."""
        work = self.root / "work"
        if not work.exists():
            git("init", "-q", "--bare", "-b", "main", self.bare, cwd=self.root)
            git("config", "uploadpack.allowAnySHA1InWant", "true", cwd=self.bare)
            git("init", "-q", "-b", branch, work, cwd=self.root)
        elif git("branch", "--show-current", cwd=work) != branch:
            git("checkout", "-q", "-B", branch, cwd=work)
        for name, content in files.items():
            path = work / name
            if content is None:
                path.unlink()
            else:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)
        git("add", "-A", cwd=work)
        git("commit", "-q", "--allow-empty", "-m", "Tides", cwd=work)
        git("push", "-q", "--force", self.bare, branch, cwd=work)
        return git("rev-parse", "HEAD", cwd=work)

    def track(self, content: bytes) -> bytes:
        """Keep a content in Git LFS and return its pointer."""
        self.lfs[hashlib.sha256(content).hexdigest()] = content
        return pointer(content)


class _Handler(http.server.BaseHTTPRequestHandler):
    server_of: GitServer

    def do_GET(self) -> None:
        """References, packs of the dumb kind, contents."""
        self._answer(b"")

    def do_POST(self) -> None:
        """Packs, and Git LFS's batches."""
        self._answer(self.rfile.read(int(self.headers.get("Content-Length", "0"))))

    def _answer(self, body: bytes) -> None:
        of, path = self.server_of, urlsplit(self.path).path
        of.asked.append(f"{self.command} {path}")
        told = self.headers.get("Authorization", "")
        of.credentials.add(told)
        if of.status is not None:
            return self._send(of.status, b"")
        wanted = base64.b64encode(f"git:{of.password}".encode()).decode()
        if of.password is not None and told != f"Basic {wanted}":
            return self._send(401, b"", {"WWW-Authenticate": 'Basic realm="harbour"'})
        if path.endswith("/info/lfs/objects/batch"):
            return self._send(200, self._batch(json.loads(body)))
        if path.startswith("/lfs/"):
            return self._send(200, of.lfs[path.removeprefix("/lfs/")])
        if path in of.served:
            return self._send(200, of.served[path])
        return self._backend(path, body)

    def _batch(self, asked: dict[str, object]) -> bytes:
        assert asked["operation"] == "download"
        assert isinstance(asked["objects"], list)
        objects = []
        for one in asked["objects"]:
            if one["oid"] in self.server_of.lfs:
                href = f"{self.server_of.address}/lfs/{one['oid']}"
                objects.append({**one, "actions": {"download": {"href": href}}})
            else:
                objects.append({**one, "error": {"code": 404, "message": "Object does not exist"}})
        return json.dumps({"transfer": "basic", "objects": objects}).encode()

    def _backend(self, path: str, body: bytes) -> None:
        environment = {
            **os.environ,
            **_ENVIRONMENT,
            "GIT_PROJECT_ROOT": str(self.server_of.root),
            "GIT_HTTP_EXPORT_ALL": "1",
            "PATH_INFO": path,
            "QUERY_STRING": urlsplit(self.path).query,
            "REQUEST_METHOD": self.command,
            "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "CONTENT_LENGTH": str(len(body)),
            "REMOTE_ADDR": "127.0.0.1",
        }
        if "Content-Encoding" in self.headers:
            environment["HTTP_CONTENT_ENCODING"] = self.headers["Content-Encoding"]
        done = subprocess.run(
            ["git", "http-backend"], input=body, env=environment, capture_output=True
        )
        head, _, content = done.stdout.partition(b"\r\n\r\n")
        lines = dict(line.split(": ", 1) for line in head.decode().splitlines() if ": " in line)
        status = int(lines.pop("Status", "200").split()[0])
        self._send(status, content, lines)

    def _send(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def git_server(root: Path) -> Iterator[GitServer]:
    """A server until the end of the block; it needs git itself."""
    assert shutil.which("git"), "please install git"
    made = GitServer(root)
    handler = type("Handler", (_Handler,), {"server_of": made})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    made.address = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield made
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
