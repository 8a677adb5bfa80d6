"""dataset-erase: delete the bytes of versions that are not kept, and parts that none of these has.

What is kept is read before anything is deleted: if a kept version's manifest cannot be read, or a
kept version has none, nothing is. Objects younger than an hour before the claim are left alone
unless their version is named for erasure: they may be of a run that nobody waits for any more.
Deleting twice is deleting once, so a run that was killed half way is simply run again.
"""

import logging
from datetime import datetime, timedelta

from pydantic import ValidationError

from tidemill.api.documents.arguments import EraseArguments
from tidemill.api.documents.manifest import Manifest
from tidemill.api.documents.results import Erased
from tidemill.steps.failures import StepError
from tidemill.steps.objects import Found, Store, join

logger = logging.getLogger(__name__)

MARGIN = timedelta(hours=1)


def erase(arguments: EraseArguments) -> Erased:
    """Delete what is not kept. Raises StepError."""
    store = Store()
    versions = _by_digest(store.list_below(join(arguments.store, "versions") + "/"))
    kept = {digest for digest in versions if digest.startswith(arguments.keep)}
    lost = [start for start in arguments.keep if not any(d.startswith(start) for d in kept)]
    if lost:
        said = f"version {lost[0]} is kept and has no manifest; nothing was deleted"
        raise StepError("ArtifactMissing", said)
    named = {digest.removeprefix("sha256:") for digest in arguments.erase}
    if kept & named:
        raise StepError("InvalidArguments", "a version cannot be both kept and erased")
    parts = _parts_of(store, arguments, kept, versions)
    limit = datetime.fromisoformat(arguments.now) - MARGIN
    doomed = [
        item
        for digest, items in versions.items()
        for item in items
        if digest not in kept and (digest in named or item.modified < limit)
    ]
    # Parts of an erased version go whatever their age, but for those another version has.
    theirs = _parts_of(store, arguments, named & set(versions), versions, missing_ok=True)
    loose = [
        item
        for item in store.list_below(join(arguments.store, "parts") + "/")
        if item.name not in parts and (item.name in theirs or item.modified < limit)
    ]
    # Parts first: as long as a manifest is there, another run finds what to delete.
    for folder, items in (("parts", loose), ("versions", doomed)):
        for item in items:
            store.delete(_uri(arguments.store, folder, item))
    size = sum(item.size for item in (*loose, *doomed))
    logger.info("deleted %d objects of %d bytes", len(loose) + len(doomed), size)
    return Erased(objects=len(loose) + len(doomed), bytes=size)


def _by_digest(found: list[Found]) -> dict[str, list[Found]]:
    """Objects by the content digest of their version: the folder they lie in."""
    grouped: dict[str, list[Found]] = {}
    for item in found:
        grouped.setdefault(item.path.split("/")[-2], []).append(item)
    return grouped


def _parts_of(
    store: Store,
    arguments: EraseArguments,
    digests: set[str],
    versions: dict[str, list[Found]],
    *,
    missing_ok: bool = False,
) -> set[str]:
    """Names of the parts of some versions. Raises ArtifactMissing if a kept one has no manifest."""
    names: set[str] = set()
    for digest in sorted(digests):
        manifests = [item for item in versions[digest] if item.name.startswith("manifest")]
        if not manifests and not missing_ok:
            said = f"version {digest[:16]} is kept and has no manifest; nothing was deleted"
            raise StepError("ArtifactMissing", said)
        for item in manifests:
            uri = _uri(arguments.store, "versions", item)
            try:
                manifest = Manifest.model_validate_json(store.read(uri))
            except ValidationError as error:
                said = (
                    f"{uri} is not a manifest, so nothing was deleted: {error.errors()[0]['msg']}"
                )
                raise StepError("ArtifactDamaged", said) from error
            names |= {part.uri.rpartition("/")[2] for part in manifest.parts}
    return names


def _uri(store: str, folder: str, item: Found) -> str:
    """Where an object lies that was listed below a folder of the store."""
    return join(store, folder, item.path.rpartition(f"/{folder}/")[2])


def refuse_erased(digest: str, erased: tuple[str, ...]) -> None:
    """Raise ContentErased if content that was read is what a person has had erased."""
    if digest in erased:
        said = (
            f"the source still holds exactly what was erased ({digest[:23]}); take it out at the"
            " source, or exclude it"
        )
        raise StepError("ContentErased", said)
