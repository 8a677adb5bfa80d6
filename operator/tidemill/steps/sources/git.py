"""Files of a Git repository at one commit: plain, in Git LFS, or tracked by DVC.

The look is one request for the references. Reading fetches the one commit without its history
into a bare repository below scratch; nothing is checked out, so that no hook, filter, link or
submodule of it is ever followed. Only http and https are spoken, through the guarded client.
"""

import logging
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

import urllib3
from dulwich.client import HTTPUnauthorized, Urllib3HttpGitClient
from dulwich.errors import GitProtocolError, NotGitRepository
from dulwich.objects import Blob, Commit, Tag, Tree
from dulwich.repo import Repo
from urllib3.exceptions import HTTPError

from tidemill.api.v1alpha1.datasetversion import SourceRead
from tidemill.api.v1alpha1.datasource import GitSource
from tidemill.steps.failures import StepError
from tidemill.steps.objects import plain
from tidemill.steps.sources import dvc, gitpack, lfs
from tidemill.steps.sources.client import (
    Client,
    Limits,
    Pace,
    basic,
    basic_credential,
    checked,
    guard,
    refusal,
    too_large,
    unpack,
)
from tidemill.steps.sources.formats import FORMATS, format_of, glob_pattern, suffix_of
from tidemill.steps.sources.reading import Look, Reading, SourceFile
from tidemill.steps.windows import rfc3339

logger = logging.getLogger(__name__)

ADVICE = "mend it in the repository, or make source.git.path match others"
_COMMIT = re.compile(r"[0-9a-f]{40}")
_STATUS = re.compile(r"unexpected http resp (\d{3})")
_REGULAR = (0o100644, 0o100755, 0o100664)
_FOLDER = 0o040000
_DEPTH = 64
_MOST_FILES = 200_000
_PIECE = 64 << 10


@dataclass(frozen=True, slots=True)
class _Entry:
    """A regular file of the commit."""

    path: str
    sha: bytes


class _Metered(urllib3.PoolManager):
    """Connections whose answers are bounded in bytes and judged by their speed."""

    def __init__(self, most: int) -> None:
        limits = Limits()
        timeout = urllib3.Timeout(connect=limits.connect, read=limits.silent)
        super().__init__(timeout=timeout, retries=False)
        guard(self)
        self.limits = limits
        self.most = most
        self.answers: list[Any] = []

    def hang_up(self) -> None:
        """Close what is open, answers that nobody has read too."""
        for answer in self.answers:
            answer.close()
        self.clear()

    def request(self, method: str, url: str, **more: Any) -> Any:  # type: ignore[override]
        """Ask, and meter what comes."""
        response: Any = super().request(method, url, redirect=False, **more)
        self.answers.append(response)
        response.read = _Meter(url, response, self.most, self.limits).read
        return response


class _Meter:
    """Reads an answer: just as much as is asked for, as long as it comes fast enough."""

    def __init__(self, url: str, response: Any, most: int, limits: Limits) -> None:
        self._url = url
        self._response = response
        self._left = most
        self._most = most
        self._pace = Pace(url, limits)

    def read(self, amount: int | None = None, **_: object) -> bytes:
        """Read so many bytes, fewer only at the end; all of them without a number."""
        pieces, wanted = [], self._most + 1 if amount is None else amount
        while wanted > 0 and (piece := self._response.read1(min(wanted, _PIECE))):
            pieces.append(piece)
            wanted -= len(piece)
            self._judge(len(piece))
        return b"".join(pieces)

    def _judge(self, came: int) -> None:
        self._left -= came
        if self._left < 0:
            raise too_large(self._url.partition("/info/")[0], self._most)
        self._pace.take(came)


class Git:
    """The source of a Git repository."""

    def __init__(self, spec: GitSource, client: Client | None = None) -> None:
        self._spec = spec
        self._url = checked(spec.url)
        self._client = client or Client()
        self._pattern = glob_pattern(spec.path)

    def look(self) -> Look:
        """Ask for the references; a revision that is a commit needs no asking."""
        return Look(self._resolve(), None)

    def _resolve(self) -> str:
        """The commit that the revision is now."""
        wanted = self._spec.revision or "HEAD"
        if _COMMIT.fullmatch(wanted):
            return wanted
        with self._telling(), self._git() as client:
            refs = client.get_refs(self._path, protocol_version=0).refs
        for name in (wanted, f"refs/heads/{wanted}", f"refs/tags/{wanted}"):
            found = refs.get(cast(Any, f"{name}^{{}}".encode())) or refs.get(
                cast(Any, name.encode())
            )
            if found is not None:
                return found.decode()
        said = f"{plain(self._url)} has no branch or tag {wanted}; check source.git.revision"
        raise StepError("NoObjects", said)

    @property
    def _path(self) -> str:
        return urlsplit(self._url).path

    @contextmanager
    def _git(self) -> Iterator[Urllib3HttpGitClient]:
        """A client that never follows a redirect and speaks the smart protocol only."""
        pools = _Metered(self._spec.max_bytes)
        name, word = basic_credential() or (None, None)
        try:
            yield Urllib3HttpGitClient(
                self._url,
                thin_packs=False,
                quiet=True,
                username=name,
                password=word,
                pool_manager=pools,
            )
        finally:
            pools.hang_up()

    def read(self, scratch: Path, *, whole: bool = False) -> Reading:
        """Fetch the commit and write the files that match."""
        commit = self._resolve()
        folder = scratch / "git"
        folder.mkdir()
        with Repo.init_bare(str(folder)) as repository:
            with self._telling(), self._git() as client:
                self._fetch(client, repository, commit)
            found = _commit_of(repository, commit)
            entries = list(_files(repository, found.tree))
            try:
                files = list(self._write(repository, entries, scratch))
            finally:
                self._client.close()
        if not files:
            said = f"{plain(self._url)} has no data files that match {self._spec.path} at commit"
            said = f"{said} {commit[:12]}; a name ends in one of {', '.join(FORMATS)}"
            raise StepError("NoObjects", said)
        moment = datetime.fromtimestamp(found.commit_time, UTC)
        return Reading(
            fingerprint=commit,
            changed=rfc3339(moment),
            files=files,
            advice=ADVICE,
            record=SourceRead(kind="Git", commit=commit),
        )

    def _fetch(self, client: Urllib3HttpGitClient, repository: Repo, commit: str) -> None:
        sha = commit.encode()

        def wants(refs: object, depth: int | None = None) -> list[Any]:
            if client.dumb:
                said = f"{plain(self._url)} speaks only Git's dumb protocol; name a Git server"
                raise StepError("InvalidUri", said)
            return [sha]

        file, done, abort = repository.object_store.add_pack()
        try:
            client.fetch_pack(
                self._path,
                cast(Any, wants),
                repository.get_graph_walker(heads=[]),
                file.write,
                depth=1,
                protocol_version=0,
            )
            file.flush()
            file.seek(0)
            gitpack.measure(file, plain(self._url))
            file.seek(0, 2)
        except BaseException:
            abort()
            raise
        done()

    def _write(
        self, repository: Repo, entries: list[_Entry], scratch: Path
    ) -> Iterator[SourceFile]:
        """The files that match: their contents, wherever those are."""
        plans: dict[str, Callable[[Path], None]] = {}
        pointers: dict[Path, lfs.Pointer] = {}
        for entry in entries:
            if self._fits(entry.path):
                plans[entry.path] = self._of_blob(repository, entry, pointers)
        for output, remote in self._tracked(repository, entries, scratch):
            plans.setdefault(output.path, _of_dvc(remote, output))
        written = []
        for number, path in enumerate(sorted(plans)):
            target = scratch / f"object-{number}{suffix_of(path).removesuffix('.gz')}"
            plans[path](target)
            written.append(SourceFile(path, target))
        private = basic(basic_credential())
        limit = self._spec.max_bytes
        lfs.fetch_objects(self._client, self._url, private, pointers, limit)
        for item in written:
            unpack(item.name, item.path, limit)
            yield item

    def _fits(self, path: str) -> bool:
        return format_of(path) is not None and bool(self._pattern.fullmatch(path))

    def _of_blob(
        self, repository: Repo, entry: _Entry, pointers: dict[Path, lfs.Pointer]
    ) -> Callable[[Path], None]:
        def write(target: Path) -> None:
            data = _blob(repository, entry)
            pointer = lfs.pointer_of(data)
            if pointer is None:
                target.write_bytes(data)
            else:
                pointers[target] = pointer

        return write

    def _tracked(
        self, repository: Repo, entries: list[_Entry], scratch: Path
    ) -> Iterator[tuple[dvc.Output, dvc.Remote]]:
        """The files tracked by DVC that match, each with where its content lies."""
        config = next((_blob(repository, one) for one in entries if one.path == dvc.CONFIG), None)
        for entry in entries:
            if not entry.path.endswith(".dvc"):
                continue
            for output in dvc.outputs_of(entry.path, _blob(repository, entry)):
                if not output.is_directory and not self._fits(output.path):
                    continue
                if output.is_directory and not self._may_hold(output.path):
                    continue
                remote = self._remote(config, output.remote)
                for file in remote.files_of(output, scratch):
                    if self._fits(file.path):
                        yield file, remote

    def _may_hold(self, folder: str) -> bool:
        """Whether the glob may match something below a folder."""
        fixed = re.split(r"[*?]", self._spec.path, maxsplit=1)[0]
        return fixed.startswith(f"{folder}/") or f"{folder}/".startswith(fixed)

    def _remote(self, config: bytes | None, name: str | None) -> dvc.Remote:
        """Where DVC's contents lie. The Secret's password is told only to a remote that the spec
        names, or that is on the repository's own server.
        """
        url = self._spec.dvc_remote or dvc.remote_of(config, name)
        own = urlsplit(url)[:2] == urlsplit(self._url)[:2] or self._spec.dvc_remote is not None
        private = basic(basic_credential()) if own else {}
        return dvc.Remote(url, self._client, private, self._spec.max_bytes)

    @contextmanager
    def _telling(self) -> Iterator[None]:
        """Turn what dulwich raises into a StepError."""
        where = plain(self._url)
        try:
            yield
        except NotGitRepository:
            raise refusal(self._url, 404) from None
        except HTTPUnauthorized:
            raise refusal(self._url, 401) from None
        except (GitProtocolError, HTTPError, ConnectionError, TimeoutError) as error:
            told = _STATUS.search(str(error))
            if told and 300 <= int(told[1]) < 400:
                said = f"{where} sends on to another URL; name the repository where it lies"
                raise StepError("InvalidUri", said) from None
            if told:
                raise refusal(self._url, int(told[1])) from None
            if "not our ref" in str(error) or "want" in str(error):
                said = f"{where} does not have commit {self._spec.revision}, or does not serve it"
                said = f"{said} by its id; name a branch or a tag"
                raise StepError("NoObjects", said) from None
            why = plain(str(error)).rpartition(": ")[2][:100] or type(error).__name__
            said = f"{where} cannot be reached: {why}"
            raise StepError("SourceUnavailable", said, transient=True) from None


def _commit_of(repository: Repo, name: str) -> Commit:
    """The commit that was fetched, also behind a tag."""
    found = repository.object_store[cast(Any, name.encode())]
    for _ in range(8):
        if not isinstance(found, Tag):
            break
        found = repository.object_store[found.object[1]]
    if not isinstance(found, Commit):
        raise StepError("NoObjects", f"{name[:12]} is no commit; check source.git.revision")
    return found


def _files(repository: Repo, tree: bytes, folder: str = "", depth: int = 0) -> Iterator[_Entry]:
    """All regular files below a tree: no links, no submodules."""
    if depth > _DEPTH:
        raise StepError("UnreadableObject", f"the repository nests deeper than {_DEPTH} folders")
    found = repository.object_store[cast(Any, tree)]
    if not isinstance(found, Tree):
        return
    for count, item in enumerate(found.iteritems()):
        if count > _MOST_FILES:
            said = f"the repository has more than {_MOST_FILES:,} files in a folder"
            raise StepError("UnreadableObject", said)
        path = f"{folder}{item.path.decode(errors='replace')}"
        if item.mode == _FOLDER:
            yield from _files(repository, item.sha, f"{path}/", depth + 1)
        elif item.mode in _REGULAR:
            yield _Entry(path, item.sha)


def _blob(repository: Repo, entry: _Entry) -> bytes:
    found = repository.object_store[cast(Any, entry.sha)]
    return found.data if isinstance(found, Blob) else b""


def _of_dvc(remote: dvc.Remote, output: dvc.Output) -> Callable[[Path], None]:
    return lambda target: remote.fetch(output, target)
