"""The user's source: which objects it has now, and their bytes, unchanged while they were read."""

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

from tidemill.api.v1alpha1.datasource import NewestBy, ObjectsSource
from tidemill.steps.failures import StepError
from tidemill.steps.objects import Found, Store, plain
from tidemill.steps.windows import rfc3339

FORMATS = {
    ".parquet": "parquet",
    ".csv": "csv",
    ".csv.gz": "csv",
    ".jsonl": "jsonl",
    ".jsonl.gz": "jsonl",
    ".ndjson": "jsonl",
    ".ndjson.gz": "jsonl",
}
_WILD = re.compile(r"[*?]")


def format_of(name: str) -> str | None:
    """Return csv, jsonl or parquet by the suffix; None if it is none of them."""
    lower = name.lower()
    return next((kind for suffix, kind in FORMATS.items() if lower.endswith(suffix)), None)


def glob_pattern(glob: str) -> re.Pattern[str]:
    """Compile a glob: * and ? stay within one segment of a path, ** crosses them."""
    parts = []
    index = 0
    while index < len(glob):
        rest = glob[index:]
        if rest.startswith("**/"):
            parts.append("(?:.*/)?")
            index += 3
        elif rest.startswith("**"):
            parts.append(".*")
            index += 2
        else:
            parts.append({"*": "[^/]*", "?": "[^/]"}.get(rest[0], re.escape(rest[0])))
            index += 1
    return re.compile("".join(parts))


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
        target = scratch / f"object-{number}{_suffix(item.name)}"
        read.append(_stable(store, f"{sighting.root}/{item.path}", target))
        files.append(target)
    return Sighting(sighting.root, tuple(read)), files


def _suffix(name: str) -> str:
    fitting = [suffix for suffix in FORMATS if name.lower().endswith(suffix)]
    return max(fitting, key=len)


def _stable(store: Store, uri: str, target: Path) -> Found:
    for _ in range(2):
        read = store.download(uri, target)
        after = store.look(uri)
        if read.version == after.version and target.stat().st_size == read.size:
            return read
    said = f"{plain(uri)} was written while it was read, twice; it will be tried again"
    raise StepError("SourceChanged", said, transient=True)
