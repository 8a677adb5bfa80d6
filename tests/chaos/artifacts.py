"""An artifact store in a directory, as `file://` or behind an S3 address that can be switched off.

Documents are written only if absent, as steps write them. What each digest is of is remembered,
so that digests in objects can be told apart though they differ from run to run.
"""

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote

from aiohttp import web

from tidemill.api.base import Model
from tidemill.api.v1alpha1.datasetversion import StoredDocument

AWAY = -1


@dataclass
class Artifacts:
    """The documents under one root."""

    directory: Path
    root: str = ""
    """What the operator is told; empty: the directory as file://."""
    known: dict[str, str] = field(default_factory=dict)
    """Digest -> URI, of documents that are another in every run."""

    def __post_init__(self) -> None:
        self.directory.mkdir(parents=True, exist_ok=True)
        self.root = self.root or f"file://{self.directory}"

    def put(self, uri: str, document: Model | bytes, *, own: bool = True) -> StoredDocument:
        """Write a document if it is absent; where it lies and its digest.

        `own`: it holds names or times of its run.
        """
        data = document if isinstance(document, bytes) else json.dumps(document.to_wire()).encode()
        path = self._path(uri)
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with path.open("xb") as new:
                new.write(data)
        except FileExistsError:
            data = path.read_bytes()
        digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
        if own:
            self.known[digest] = uri
        return StoredDocument(uri=uri, digest=digest)

    def _path(self, uri: str) -> Path:
        if not uri.startswith(f"{self.root}/"):
            raise AssertionError(f"{uri} does not lie under {self.root}")
        return self.directory / uri.removeprefix(f"{self.root}/")


@dataclass
class Bucket:
    """An S3 server of one directory that is only read from; it can refuse and be away."""

    directory: Path
    url: str = ""
    refuses: int = 0
    """Answer this code to everything; AWAY: hang up."""
    asked: int = 0
    """How many requests there were."""
    refused: int = 0
    _runner: web.AppRunner | None = None

    async def __aenter__(self) -> "Bucket":
        app = web.Application()
        app.router.add_get("/bucket/{key:.+}", self._get)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    @property
    def environment(self) -> dict[str, str]:
        """What makes an operator use it, with the root s3://bucket/tidemill."""
        return {
            "TIDEMILL_ARTIFACT_ROOT": "s3://bucket/tidemill",
            "AWS_ACCESS_KEY_ID": "any",
            "AWS_SECRET_ACCESS_KEY": "any",
            "AWS_REGION": "us-east-1",
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ALLOW_HTTP": "true",
        }

    async def _get(self, request: web.Request) -> web.Response:
        self.asked += 1
        if self.refuses:
            self.refused += 1
            if self.refuses == AWAY and request.transport is not None:
                request.transport.close()
                return web.Response()
            return web.Response(status=self.refuses)
        path = self.directory / unquote(request.match_info["key"]).removeprefix("tidemill/")
        if not path.is_file():
            return web.Response(
                status=404, text="<Error><Code>NoSuchKey</Code></Error>", content_type="text/xml"
            )
        data = path.read_bytes()
        marks = {
            "ETag": f'"{hashlib.sha256(data).hexdigest()[:32]}"',
            "Last-Modified": "Thu, 01 Jan 2026 00:00:00 GMT",
        }
        return web.Response(body=data, headers=marks)
