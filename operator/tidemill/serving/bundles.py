"""Read a bundle that lies in a directory, and believe none of it unchecked."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from tidemill.api.documents.bundle import Bundle, StoredFile
from tidemill.api.documents.profile import FeatureProfile, Profile, ValueType
from tidemill.serving.failures import Exit, StartError

BUNDLE_NAME = "bundle.json"

DocumentT = TypeVar("DocumentT", bound=BaseModel)


def digest_of(data: bytes) -> str:
    """Return `sha256:<hex>` of the bytes."""
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def invalid(message: str) -> StartError:
    """Return the failure of a bundle that is whole but cannot be served."""
    return StartError(Exit.INVALID_BUNDLE, "InvalidBundle", message)


def parse_document(kind: type[DocumentT], data: bytes, name: str) -> DocumentT:
    """Validate a JSON document. Raises StartError that names the first field at fault."""
    try:
        return kind.model_validate_json(data)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"]) or "the document"
        raise invalid(f"{name} is not valid: {place}: {first['msg']}") from error


def check_names(bundle: Bundle) -> None:
    """Raise StartError if a file's name could lead out of the bundle's own directory."""
    for file in (bundle.model, bundle.profile):
        if file.name in ("", ".", "..", BUNDLE_NAME) or "/" in file.name or "\0" in file.name:
            raise invalid(f"{BUNDLE_NAME} names a file {file.name!r}; it must be a plain file name")


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedBundle:
    """All that serving takes, verified."""

    bundle: Bundle
    profile: Profile
    features: tuple[FeatureProfile, ...]
    """The baseline of each feature, in the signature's order."""
    model: bytes
    """The ONNX file."""


def read_bundle(directory: Path) -> LoadedBundle:
    """Read and verify `bundle.json` and the files it names. Raises StartError."""
    bundle = parse_document(Bundle, _read(directory / BUNDLE_NAME), BUNDLE_NAME)
    if bundle.version != 1:
        raise invalid(f"{BUNDLE_NAME} has version {bundle.version}; this server reads version 1")
    check_names(bundle)
    model = _verified(directory, bundle.model)
    profile = parse_document(Profile, _verified(directory, bundle.profile), bundle.profile.name)
    return LoadedBundle(
        bundle=bundle, profile=profile, features=_baselines(bundle, profile), model=model
    )


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        said = f"{path} is not there; fetch the bundle first"
        raise StartError(Exit.NOT_FOUND, "NotFound", said) from error
    except OSError as error:
        said = f"{path} cannot be read: {error.strerror}"
        raise StartError(Exit.DISK, "DiskError", said) from error


def _verified(directory: Path, file: StoredFile) -> bytes:
    data = _read(directory / file.name)
    found = digest_of(data)
    if found != file.digest:
        said = f"{file.name} has digest {found}; {BUNDLE_NAME} says {file.digest}"
        raise StartError(Exit.DIGEST_MISMATCH, "DigestMismatch", said)
    return data


def _baselines(bundle: Bundle, profile: Profile) -> tuple[FeatureProfile, ...]:
    """Match each feature of the signature with its baseline."""
    known = {feature.name: feature for feature in profile.features}
    names = [feature.name for feature in bundle.signature.features]
    if not names:
        raise invalid("the signature has no features")
    if len(set(names)) != len(names):
        raise invalid("the signature names a feature twice")
    matched = []
    for feature in bundle.signature.features:
        baseline = known.get(feature.name)
        if baseline is None:
            raise invalid(f"the profile lacks feature {feature.name}")
        if baseline.type is not feature.type:
            said = f"feature {feature.name} is a {feature.type} in the signature"
            raise invalid(f"{said} and a {baseline.type} in the profile")
        check_baseline(baseline)
        matched.append(baseline)
    if profile.prediction is not None:
        check_baseline(profile.prediction)
    return tuple(matched)


def bins_of(baseline: FeatureProfile) -> int:
    """Return how many bins the edges, or the categories, of a baseline make."""
    if baseline.type is ValueType.NUMBER:
        return len(baseline.edges) + 1
    return len(baseline.categories) + bool(baseline.rare)


def check_baseline(baseline: FeatureProfile) -> None:
    """Raise StartError if counts and bins differ, or edges do not rise."""
    bins = bins_of(baseline)
    if len(baseline.counts) != bins:
        said = f"the profile of {baseline.name} has {len(baseline.counts)} counts for {bins} bins"
        raise invalid(said)
    pairs = zip(baseline.edges, baseline.edges[1:], strict=False)
    if any(not lower < upper for lower, upper in pairs):
        raise invalid(f"the profile of {baseline.name} has edges that do not rise")
