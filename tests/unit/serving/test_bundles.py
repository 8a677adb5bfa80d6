"""A bundle on disk: what is not whole, or does not fit together, is refused by name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.unit.serving.bundles import ORDER, MadeBundle, digest
from tidemill.serving.bundles import read_bundle
from tidemill.serving.failures import Exit, StartError


def test_a_whole_bundle_is_read(bundle: Path, model: bytes) -> None:
    loaded = read_bundle(bundle)

    assert loaded.model == model
    assert tuple(feature.name for feature in loaded.features) == ORDER


def signature(**changes: Any) -> dict[str, Any]:
    features = [{"name": "temp", "type": "Number"}]
    given = {"features": features, "threshold": 0.5, "positive": "1", "label": "late", **changes}
    return {"signature": given}


def feature_of(made: MadeBundle, name: str) -> dict[str, Any]:
    return next(feature for feature in made.profile["features"] if feature["name"] == name)


CHANGES: dict[str, tuple[Callable[[MadeBundle], Any], str]] = {
    "another version": (
        lambda made: made.changes.update(version=2),
        "bundle.json has version 2; this server reads version 1",
    ),
    "a path as a name": (
        lambda made: made.changes.update(model={"name": "../x", "digest": "sha256:0"}),
        "bundle.json names a file '../x'; it must be a plain file name",
    ),
    "bundle.json itself as the model": (
        lambda made: made.changes.update(model={"name": "bundle.json", "digest": "sha256:0"}),
        "bundle.json names a file 'bundle.json'; it must be a plain file name",
    ),
    "no threshold": (
        lambda made: made.changes.update(signature(threshold=None)),
        "bundle.json is not valid: signature.threshold: Input should be a valid number",
    ),
    "no features": (
        lambda made: made.changes.update(signature(features=[])),
        "the signature has no features",
    ),
    "a feature twice": (
        lambda made: made.changes.update(
            signature(features=[{"name": "temp", "type": "Number"}] * 2)
        ),
        "the signature names a feature twice",
    ),
    "a feature without a baseline": (
        lambda made: made.profile.update(features=[]),
        "the profile lacks feature dep_hour",
    ),
    "a feature of another type": (
        lambda made: made.changes.update(
            signature(features=[{"name": "temp", "type": "Category"}])
        ),
        "feature temp is a Category in the signature and a Number in the profile",
    ),
    "more counts than bins": (
        lambda made: feature_of(made, "temp").update(counts=[1, 2, 3, 4, 5]),
        "the profile of temp has 5 counts for 4 bins",
    ),
    "no bin for the rare": (
        lambda made: feature_of(made, "carrier").update(counts=[1, 2, 3, 4]),
        "the profile of carrier has 4 counts for 5 bins",
    ),
    "edges that do not rise": (
        lambda made: feature_of(made, "temp").update(edges=[60, 60, 80]),
        "the profile of temp has edges that do not rise",
    ),
    "predictions without edges": (
        lambda made: made.profile["prediction"].update(edges=[]),
        "the profile of probability has 20 counts for 1 bins",
    ),
    "a profile of another form": (
        lambda made: made.profile.update(rows="many"),
        "profile.json is not valid: rows: "
        "Input should be a valid integer, unable to parse string as an integer",
    ),
}


@pytest.mark.parametrize(("change", "message"), CHANGES.values(), ids=CHANGES)
def test_refused(
    change: Callable[[MadeBundle], Any], message: str, model: bytes, tmp_path: Path
) -> None:
    made = MadeBundle(model)
    change(made)
    made.write(tmp_path)

    with pytest.raises(StartError) as refusal:
        read_bundle(tmp_path)

    assert (refusal.value.code, str(refusal.value)) == (Exit.INVALID_BUNDLE, message)


def test_a_changed_file_is_not_believed(model: bytes, tmp_path: Path) -> None:
    MadeBundle(model).write(tmp_path)
    changed = model + b"more"
    (tmp_path / "model.onnx").write_bytes(changed)

    with pytest.raises(StartError) as refusal:
        read_bundle(tmp_path)

    assert refusal.value.reason == "DigestMismatch"
    assert str(refusal.value) == (
        f"model.onnx has digest {digest(changed)}; bundle.json says {digest(model)}"
    )


def test_an_empty_directory_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(StartError) as refusal:
        read_bundle(tmp_path)

    assert refusal.value.reason == "NotFound"
    assert str(refusal.value) == f"{tmp_path}/bundle.json is not there; fetch the bundle first"
