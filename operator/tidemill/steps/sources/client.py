"""HTTP as a source's client speaks it: bounded in every way a hostile server could abuse.

Addresses are checked when a connection is made, after the name was resolved, so that no name and
no redirect leads to the machine's own metadata service. Redirects are few, never leave http and
https, never fall back from https to http, and carry no credential to another origin. What comes
is bounded in bytes, also unpacked, and a server that is too slow is left.
"""

import base64
import gzip
import ipaddress
import os
import socket
import ssl
import time
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from urllib.parse import urljoin, urlsplit

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import HTTPError, NameResolutionError, NewConnectionError
from urllib3.response import BaseHTTPResponse

from tidemill.steps.failures import StepError
from tidemill.steps.objects import SOURCE, plain

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_LATER = frozenset({408, 425, 429, 500, 502, 503, 504})
_CHUNK = 64 << 10
_GZIP = b"\x1f\x8b"
_LAYERS = 2
_SHOWN = 100
_NEVER = (
    *(ipaddress.ip_network(one) for one in ("169.254.0.0/16", "0.0.0.0/8", "100.100.100.200/32")),
    *(ipaddress.ip_network(one) for one in ("fe80::/10", "fd00:ec2::/32", "::/128")),
    *(ipaddress.ip_network(one) for one in ("224.0.0.0/4", "255.255.255.255/32", "ff00::/8")),
)
"""Link-local, the clouds' metadata services, unspecified, multicast and broadcast."""
_NAT64 = ipaddress.ip_network("64:ff9b::/96")


@dataclass(frozen=True, slots=True)
class Limits:
    """How patient a client is. Seconds and bytes."""

    connect: float = 10.0
    silent: float = 30.0
    """Longest without a byte."""
    redirects: int = 5
    tries: int = 5
    pause: float = 1.0
    """Before the second try; twice as long before each further one."""
    longest_pause: float = 15.0
    window: float = 60.0
    """A transfer is judged over as long."""
    least: int = 64 << 10
    """Bytes that have to come in a window."""


class Pace:
    """Leaves a server that sends too slowly."""

    def __init__(self, url: str, limits: Limits) -> None:
        self._url = url
        self._limits = limits
        self._since = time.monotonic()
        self._came = 0

    def take(self, came: int) -> None:
        """Count what has come. Raises SourceUnavailable if a window brought less than the least."""
        self._came += came
        took = time.monotonic() - self._since
        if took > self._limits.window:
            if self._came < self._limits.least:
                said = f"{plain(self._url)} is too slow: {self._came:,} bytes in {took:.0f} s"
                raise StepError("SourceUnavailable", said, transient=True)
            self._since, self._came = time.monotonic(), 0


def is_refused(address: str) -> bool:
    """Whether nothing may be fetched from an IP address, however it is written."""
    found = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(found, ipaddress.IPv6Address):
        within = found.ipv4_mapped or found.sixtofour
        if within is None and found in _NAT64:
            within = ipaddress.IPv4Address(int(found) & 0xFFFFFFFF)
        found = within or found
    return any(found.version == net.version and found in net for net in _NEVER)


def _connected(connection: HTTPConnection, connect: Callable[[], socket.socket]) -> socket.socket:
    """A socket to the first of the host's addresses that answers, if none of them is refused."""
    name, port = connection.host, connection.port
    try:
        found = socket.getaddrinfo(name.strip("[]"), port, type=socket.SOCK_STREAM)
    except (socket.gaierror, UnicodeError) as error:
        raise NameResolutionError(name, connection, socket.gaierror(str(error))) from error
    addresses = list(dict.fromkeys(str(item[4][0]) for item in found))
    if refused := [item for item in addresses if is_refused(item)]:
        said = f"{name} is at {refused[0]}, a link-local, metadata or multicast address, from which"
        raise StepError("InvalidUri", f"{said} nothing is ever fetched; name another host")
    failure: NewConnectionError | None = None
    for address in addresses:
        connection.host = address
        try:
            return connect()
        except NewConnectionError as error:
            failure = error
        finally:
            connection.host = name
    raise failure or NewConnectionError(connection, f"{name} has no address")


class _Plain(HTTPConnection):
    def _new_conn(self) -> socket.socket:
        return _connected(self, super()._new_conn)


class _Secure(HTTPSConnection):
    def _new_conn(self) -> socket.socket:
        return _connected(self, super()._new_conn)


class _PlainPool(HTTPConnectionPool):
    ConnectionCls = _Plain


class _SecurePool(HTTPSConnectionPool):
    ConnectionCls = _Secure


def guard(pools: urllib3.PoolManager) -> None:
    """Make connections be refused to the addresses nothing is fetched from."""
    pools.pool_classes_by_scheme = {"http": _PlainPool, "https": _SecurePool}


def credential() -> dict[str, str]:
    """The header that the source's Secret asks for: token, or username and password."""
    token = os.environ.get(f"{SOURCE}token")
    if token:
        return {"Authorization": f"Bearer {token.strip()}"}
    name, word = os.environ.get(f"{SOURCE}username"), os.environ.get(f"{SOURCE}password")
    return {} if name is None and word is None else basic((name or "", word or ""))


def basic_credential() -> tuple[str, str] | None:
    """User name and password of the source's Secret, as Git servers take them: a token is the
    password of whatever user.
    """
    word = os.environ.get(f"{SOURCE}password") or os.environ.get(f"{SOURCE}token")
    return (os.environ.get(f"{SOURCE}username") or "git", word.strip()) if word else None


def basic(pair: tuple[str, str] | None) -> dict[str, str]:
    """The header of a user name and password."""
    if pair is None:
        return {}
    return {"Authorization": f"Basic {base64.b64encode(':'.join(pair).encode()).decode()}"}


def _origin(url: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port


def checked(url: str) -> str:
    """The URL, if it is one to ask. Raises InvalidUri."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        host = None
    if not host or parts.scheme not in ("http", "https"):
        raise StepError("InvalidUri", f"{plain(url)[:_SHOWN]} is no http or https URL; mend it")
    if parts.username is not None or parts.password is not None:
        said = f"{plain(url)} holds a user name or password; put them into the Secret of"
        raise StepError("InvalidUri", f"{said} secretRef, as username and password")
    return url


class Client:
    """Asks one server, or those it sends us on to."""

    def __init__(
        self, limits: Limits | None = None, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self._limits = limits or Limits()
        self._sleep = sleep
        timeout = urllib3.Timeout(connect=self._limits.connect, read=self._limits.silent)
        self._pools = urllib3.PoolManager(timeout=timeout, retries=False)
        guard(self._pools)

    def close(self) -> None:
        """Hang up. It may be asked again."""
        self._pools.clear()

    @contextmanager
    def ask(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        private: Mapping[str, str] | None = None,
        body: bytes | None = None,
        allowed: frozenset[int] = frozenset(),
    ) -> Iterator[BaseHTTPResponse]:
        """The answer, its body not yet read. `private` headers stay with the URL's own origin.

        Trouble that may pass is tried again a few times. Raises StepError for any answer but
        success and the `allowed`.
        """
        response = self._answer(method, checked(url), dict(headers or {}), private or {}, body)
        try:
            if not 200 <= response.status < 300 and response.status not in allowed:
                raise refusal(url, response.status)
            with _reaching(url):
                yield response
        finally:
            response.close()

    def _answer(
        self,
        method: str,
        url: str,
        headers: dict[str, str],
        private: Mapping[str, str],
        body: bytes | None,
    ) -> BaseHTTPResponse:
        pause = self._limits.pause
        for left in reversed(range(self._limits.tries)):
            try:
                with _reaching(url):
                    response = self._follow(method, url, headers, private, body)
            except StepError as failure:
                if not failure.transient or left == 0:
                    raise
                asked = ""
            else:
                if response.status not in _LATER or left == 0:
                    return response
                asked = response.headers.get("Retry-After", "")
                response.close()
            wait = float(asked) if asked.isdigit() else pause
            self._sleep(min(wait, self._limits.longest_pause))
            pause *= 2
        raise AssertionError("unreachable: the last try returns or raises")

    def _follow(
        self,
        method: str,
        url: str,
        headers: dict[str, str],
        private: Mapping[str, str],
        body: bytes | None,
    ) -> BaseHTTPResponse:
        at = url
        for _ in range(self._limits.redirects + 1):
            own = private if _origin(at) == _origin(url) else {}
            response = self._pools.request(
                method,
                at,
                headers={"Accept-Encoding": "identity", **headers, **own},
                body=body,
                redirect=False,
                preload_content=False,
                decode_content=False,
            )
            if response.status not in _REDIRECTS:
                return response
            target = urljoin(at, response.headers.get("Location", ""))
            response.close()
            scheme = urlsplit(target).scheme
            if scheme not in ("http", "https") or (at.startswith("https:") and scheme == "http"):
                said = f"{plain(url)} sends on to {plain(target)[:_SHOWN]}, which is no https URL"
                raise StepError("InvalidUri", f"{said}; name the file where it lies")
            at = checked(target)
        said = f"{plain(url)} sends on more than {self._limits.redirects} times"
        raise StepError("InvalidUri", f"{said}; name the file where it lies")

    def save(self, url: str, response: BaseHTTPResponse, target: Path, limit: int) -> None:
        """Write a body to a file. Raises ObjectTooLarge above `limit` bytes."""
        promised = response.headers.get("Content-Length", "")
        if promised.isdigit() and int(promised) > limit:
            raise too_large(url, limit)
        written, pace = 0, Pace(url, self._limits)
        with target.open("wb") as file:
            while piece := response.read1(_CHUNK, decode_content=False):
                written += len(piece)
                if written > limit:
                    raise too_large(url, limit)
                file.write(piece)
                pace.take(len(piece))


def too_large(url: str, limit: int) -> StepError:
    """The failure of a file above a limit."""
    said = f"{plain(url)} has more than {limit:,} bytes, which is the limit"
    return StepError("ObjectTooLarge", f"{said}; raise maxBytes if it should be read")


def unpack(url: str, file: Path, limit: int) -> None:
    """Replace a file that is gzip by what it holds, twice at most. Raises ObjectTooLarge."""
    for _ in range(_LAYERS):
        with file.open("rb") as head:
            if head.read(2) != _GZIP:
                return
        unpacked = file.with_name(f"{file.name}.unpacked")
        written = 0
        try:
            with gzip.open(file, "rb") as packed, unpacked.open("wb") as out:
                while piece := packed.read(_CHUNK):
                    written += len(piece)
                    if written > limit:
                        raise too_large(f"{plain(url)}, unpacked,", limit)
                    out.write(piece)
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            said = f"{plain(url)} cannot be unpacked: {error}; mend it at its source"
            raise StepError("UnreadableObject", said) from error
        unpacked.replace(file)


@contextmanager
def _reaching(url: str) -> Iterator[None]:
    """Turn what urllib3 raises into a StepError."""
    try:
        yield
    except (HTTPError, HTTPException, ConnectionError, TimeoutError, ssl.SSLError) as error:
        cause = getattr(error, "reason", None) or error
        why = plain(str(cause)).rpartition(": ")[2] or type(error).__name__
        said = f"{plain(url)} cannot be reached: {why[:_SHOWN]}"
        raise StepError("SourceUnavailable", said, transient=True) from error


def refusal(url: str, status: int) -> StepError:
    """What a status says of a source."""
    where = plain(url)
    if status in (401, 403):
        said = f"{where} may not be read with the credential given (HTTP {status}); check secretRef"
        return StepError("AccessDenied", said)
    if status in (404, 410):
        return StepError("NoObjects", f"{where} is not there (HTTP {status}); check the URI")
    said = f"{where} cannot be reached: it answers HTTP {status}"
    return StepError("SourceUnavailable", said, transient=True)
