"""The artifact store: documents by URI, through obstore.

The operator's own credential comes from its environment (AWS_*, AZURE_*, GOOGLE_* as obstore
reads them). Only what lies under the admin's artifact root is ever read.
"""

import asyncio
import hashlib
from collections import OrderedDict
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from tidemill.errors import TerminalError, TransientError

if TYPE_CHECKING:
    from obstore.store import ObjectStore

_CACHE_BYTES = 8 * 1024 * 1024
_TIMEOUT = 15.0


class ArtifactStore:
    """Fills ports.Documents."""

    def __init__(self, root: str, *, cache_bytes: int = _CACHE_BYTES) -> None:
        self._root = root.rstrip("/") + "/"
        self._cache_bytes = cache_bytes
        self._cache: OrderedDict[str, bytes] = OrderedDict()
        self._store: ObjectStore | None = None

    async def read(self, uri: str, digest: str | None = None, limit: int = 262144) -> bytes | None:
        """The bytes of one object, or None if there is none.

        Raises TerminalError: ForeignUri (not under the artifact root), DigestMismatch, TooLarge
        (more than `limit` bytes); TransientError when the store cannot be reached.
        """
        path = self._path(uri)
        if digest is not None and digest in self._cache:
            self._cache.move_to_end(digest)
            held = self._cache[digest]
            if len(held) > limit:
                raise _too_large(uri, len(held), limit)
            return held
        content = await self._fetch(uri, path, limit)
        if content is None or digest is None:
            return content
        found = f"sha256:{hashlib.sha256(content).hexdigest()}"
        if found != digest:
            raise TerminalError("DigestMismatch", f"{uri} is {found}; expected {digest}.")
        self._keep(digest, content)
        return content

    async def _fetch(self, uri: str, path: str, limit: int) -> bytes | None:
        # Imported on first use: an operator that reads no document has no need of it.
        from obstore.exceptions import BaseError, NotFoundError, PermissionDeniedError

        try:
            async with asyncio.timeout(_TIMEOUT):
                answer = await self._opened().get_async(path)
                if answer.meta["size"] > limit:
                    raise _too_large(uri, answer.meta["size"], limit)
                return bytes(await answer.bytes_async())
        except (NotFoundError, FileNotFoundError):
            return None
        except (PermissionDeniedError, PermissionError) as error:
            raise TransientError(f"the artifact store refuses to read {uri}", 60.0) from error
        except (BaseError, OSError) as error:
            raise TransientError(
                f"the artifact store did not give {uri}: {_brief(error)}"
            ) from error

    def _opened(self) -> "ObjectStore":
        from obstore.store import LocalStore, from_url

        if self._store is None:
            if self._root.startswith("file://"):
                self._store = LocalStore(unquote(urlsplit(self._root).path))
            else:
                # No client options: given here they would replace those of the environment,
                # AWS_ALLOW_HTTP among them.
                self._store = from_url(self._root, retry_config={"max_retries": 2})
        return self._store

    def _path(self, uri: str) -> str:
        path = uri.removeprefix(self._root)
        if path == uri or not path or ".." in path.split("/"):
            raise TerminalError(
                "ForeignUri", f"{uri} does not lie under the artifact root {self._root}."
            )
        return path

    def _keep(self, digest: str, content: bytes) -> None:
        self._cache[digest] = content
        while sum(map(len, self._cache.values())) > self._cache_bytes:
            self._cache.popitem(last=False)


def _too_large(uri: str, size: int, limit: int) -> TerminalError:
    return TerminalError("TooLarge", f"{uri} has {size} bytes; at most {limit} are read.")


def _brief(error: BaseException) -> str:
    """The first line of what obstore says; the rest is its debugging and may hold a request."""
    return str(error).partition("\n")[0][:200]
