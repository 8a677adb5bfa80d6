"""The samples: read alike by every YAML reader, accepted by our models, with no field unused."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.laws.tree import ROOT
from tidemill.api.base import Resource
from tidemill.api.v1alpha1 import KINDS

BY_KIND = {kind.names.kind: kind for kind in KINDS}
FOLDER = ROOT / "manifests" / "samples"
SAMPLES = [*sorted(FOLDER.glob("[0-9]*.yaml")), *sorted(FOLDER.glob("sources/*.yaml"))]
YAML_1_1_WORDS = {"on", "off", "yes", "no", "y", "n"}


def ours(path: Path) -> list[dict[str, Any]]:
    """The objects of a sample that are of our kinds."""
    bodies = yaml.safe_load_all(path.read_text())
    return [body for body in bodies if body["apiVersion"].startswith("tidemill.dev/")]


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.stem)
def test_a_sample_survives_our_model(path: Path) -> None:
    """Whatever is written is known: nothing is dropped on the way through."""
    for body in ours(path):
        kind: type[Resource] = BY_KIND[body["kind"]]
        read = kind.parse({**body, "metadata": {**body["metadata"], "namespace": "flights"}})

        assert missing(body["spec"], read.to_wire()["spec"], ".spec") == []


def missing(written: Any, read: Any, path: str) -> list[str]:
    """Paths of what was written and is not in what was read."""
    if isinstance(written, dict):
        if not isinstance(read, dict):
            return [path]
        return [
            lost
            for key, value in written.items()
            for lost in missing(value, read.get(key), f"{path}.{key}")
        ]
    if isinstance(written, list) and isinstance(read, list) and len(written) == len(read):
        return [
            lost
            for index, pair in enumerate(zip(written, read, strict=True))
            for lost in missing(*pair, f"{path}[{index}]")
        ]
    return [] if written == read else [path]


def test_there_is_a_sample_of_each_kind_people_write() -> None:
    assert {body["kind"] for path in SAMPLES for body in ours(path)} == {
        "Dataset", "TrainingJob", "ModelDeployment",
    }  # fmt: skip


def test_no_field_is_a_word_that_yaml_1_1_reads_as_a_truth_value() -> None:
    for kind in KINDS:
        schema = yaml.safe_load(
            (ROOT / "crds" / f"{kind.names.plural}.tidemill.dev.yaml").read_text()
        )
        whole = schema["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
        assert names(whole) & YAML_1_1_WORDS == set()


def names(schema: dict[str, Any]) -> set[str]:
    """Every field name in a schema."""
    found = set(schema.get("properties", {}))
    for one in schema.get("properties", {}).values():
        found |= names(one)
    return found | names(schema["items"]) if "items" in schema else found
