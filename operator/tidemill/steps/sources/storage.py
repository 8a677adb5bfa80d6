"""Objects in an object store: which there are now, and their bytes, unchanged while read."""

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

from tidemill.api.v1alpha1.datasource import NewestBy, ObjectsSource
from tidemill.steps.failures import StepError
from tidemill.steps.objects import Found, Store, plain
from tidemill.steps.sources.formats import FORMATS, format_of, glob_pattern, suffix_of
from tidemill.steps.sources.reading import Look, Reading, SourceFile
from tidemill.steps.windows import rfc3339

_WILD = re.compile(r"[*?]")


@dataclass(frozen=True, slots=True)
class Sighting:
    """The objects to read, in the order of their paths, and how the source looks with them."""

    root: str
    """The URI their paths are below."""
    objects: tuple[Found, ...]

    @property
    def fingerprint(self) -> str:
        """sha256 over names and versions: it changes when an object comes, goes or is written."""
        lines = "".join(f"{item.path}\0{item.version}\n" for item in self.objects)
        return f"sha256:{hashlib.sha256(lines.encode()).hexdigest()}"

    @property
    def changed(self) -> str:
        """When the newest of them was last modified, as RFC 3339 in UTC."""
        newest = max(item.modified for item in self.objects)
        return rfc3339(newest.replace(microsecond=0))


class Storage:
    """The source of objects in an object store."""

    def __init__(self, store: Store, spec: ObjectsSource) -> None:
        self._store = store
        self._spec = spec
        self._sighting: Sighting | None = None

    def look(self) -> Look:
        """List the objects."""
        self._sighting = sight(self._store, self._spec)
        return Look(self._sighting.fingerprint, self._sighting.changed)

    def read(self, scratch: Path, *, whole: bool = False) -> Reading:
        """Download those that were seen."""
        seen = self._sighting or sight(self._store, self._spec)
        read, files = fetch(self._store, seen, scratch)
        pairs = zip(read.objects, files, strict=True)
        return Reading(
            fingerprint=read.fingerprint,
            changed=read.changed,
            files=[SourceFile(item.path, file) for item, file in pairs],
        )


def sight(store: Store, source: ObjectsSource) -> Sighting:
    """Look at the source, at the price of one listing. Raises StepError, NoObjects included."""
    root, path = _root(source.uri)
    if _WILD.search(path):
        found = _matching(store, source.uri, root, path)
    else:
        found = [store.look(source.uri)]
        if format_of(found[0].name) is None:
            said = f"{plain(source.uri)} tells no format: it ends in none of {', '.join(FORMATS)}"
            raise StepError("UnreadableObject", said)
    kept = [item for item in found if item.name not in source.exclude]
    if not kept:
        said = f"{plain(source.uri)} matches {len(found)} objects and all of them are excluded"
        raise StepError("NoObjects", said)
    if source.newest is not None:
        by_name = source.newest_by is NewestBy.NAME
        kept.sort(key=lambda item: (item.path,) if by_name else (item.modified, item.path))
        kept = kept[-source.newest :]
    return Sighting(root, tuple(sorted(kept, key=lambda item: item.path)))


def _root(uri: str) -> tuple[str, str]:
    scheme, _, rest = uri.partition("://")
    if scheme == "file":
        return "file://", rest.lstrip("/")
    host, _, path = rest.partition("/")
    return f"{scheme}://{host}", path


def _matching(store: Store, uri: str, root: str, path: str) -> list[Found]:
    """All data objects a glob matches."""
    wild = _WILD.search(path)
    fixed = path[: wild.start()] if wild else path
    folder = fixed.rpartition("/")[0]
    pattern = glob_pattern(path)
    below = f"{root}/{folder}"
    try:
        listed = store.list_below(below)
    except StepError as failure:
        if failure.reason != "NoObjects":
            raise
        listed = []
    matched = [item for item in listed if pattern.fullmatch(item.path)]
    data = [item for item in matched if format_of(item.name)]
    if not data:
        place = plain(below).rstrip("/")
        said = f"{plain(uri)} matches none of the {len(listed)} objects below {place}/"
        if matched:
            said = f"{plain(uri)} matches {len(matched)} objects; none ends in {', '.join(FORMATS)}"
        raise StepError("NoObjects", f"{said}; check the pattern, or upload the data")
    return data


def fetch(store: Store, sighting: Sighting, scratch: Path) -> tuple[Sighting, list[Path]]:
    """Download the objects; return the versions that were read and their files.

    An object that is written meanwhile is read once more; after that it is SourceChanged.
    """
    read, files = [], []
    for number, item in enumerate(sighting.objects):
        target = scratch / f"object-{number}{suffix_of(item.name)}"
        read.append(_stable(store, f"{sighting.root}/{item.path}", target))
        files.append(target)
    return Sighting(sighting.root, tuple(read)), files


def _stable(store: Store, uri: str, target: Path) -> Found:
    for _ in range(2):
        read = store.download(uri, target)
        after = store.look(uri)
        if read.version == after.version and target.stat().st_size == read.size:
            return read
    said = f"{plain(uri)} was written while it was read, twice; it will be tried again"
    raise StepError("SourceChanged", said, transient=True)
