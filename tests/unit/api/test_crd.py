"""Kinds to CRDs: names, subresources, columns, rules and sizes."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from tidemill.api import crd
from tidemill.api.base import Resource
from tidemill.api.v1alpha1 import KINDS, Dataset, DatasetVersion, ModelDeployment, ModelVersion

IDS = [kind.names.kind for kind in KINDS]


def version(kind: type[Resource]) -> dict[str, Any]:
    """The one served version of a kind's CRD."""
    found: dict[str, Any] = crd.crd(kind)["spec"]["versions"][0]
    return found


@pytest.mark.parametrize("kind", KINDS, ids=IDS)
def test_names(kind: type[Resource]) -> None:
    body = crd.crd(kind)

    assert body["metadata"]["name"] == f"{kind.names.plural}.tidemill.dev"
    assert body["spec"]["scope"] == "Namespaced"
    assert body["spec"]["names"]["kind"] == kind.__name__
    assert body["spec"]["names"]["categories"] == ["tidemill"]


@pytest.mark.parametrize("kind", KINDS, ids=IDS)
def test_status_is_a_subresource_and_begins_unseen(kind: type[Resource]) -> None:
    status = version(kind)["schema"]["openAPIV3Schema"]["properties"]["status"]

    assert version(kind)["subresources"]["status"] == {}
    assert status["default"] == {"observedGeneration": -1}
    assert "default" not in status["properties"]["observedGeneration"]


@pytest.mark.parametrize("kind", KINDS, ids=IDS)
def test_columns_begin_with_the_answer_and_end_with_age(kind: type[Resource]) -> None:
    columns = version(kind)["additionalPrinterColumns"]

    assert columns[0]["name"] in ("Ready", "State", "Dataset", "TrainingJob")
    assert columns[-1] == {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"}
    assert sum("priority" not in column for column in columns) <= 9


DATA_COLUMNS: dict[type[Resource], tuple[list[str], list[str]]] = {
    Dataset: (
        ["Ready", "Reason", "Fresh", "Version", "Rows", "Read", "Age"],
        ["Source", "Changed", "Latest", "Message"],
    ),
    DatasetVersion: (
        ["Dataset", "Accepted", "Reason", "Rows", "From", "To", "Age"],
        ["Labelled", "Before", "Docs", "Message"],
    ),
}


@pytest.mark.parametrize(
    ("kind", "names"), DATA_COLUMNS.items(), ids=[k.__name__ for k in DATA_COLUMNS]
)
def test_columns_say_whether_data_are_fresh_and_good(
    kind: type[Resource], names: tuple[list[str], list[str]]
) -> None:
    columns = version(kind)["additionalPrinterColumns"]

    assert [item["name"] for item in columns if "priority" not in item] == names[0]
    assert [item["name"] for item in columns if "priority" in item] == names[1]


@pytest.mark.parametrize("kind", KINDS, ids=IDS)
def test_conditions_merge_by_type(kind: type[Resource]) -> None:
    schema = version(kind)["schema"]["openAPIV3Schema"]["properties"]["status"]

    conditions = schema["properties"]["conditions"]
    assert conditions["x-kubernetes-list-type"] == "map"
    assert conditions["x-kubernetes-list-map-keys"] == ["type"]


@pytest.mark.parametrize("kind", [DatasetVersion, ModelVersion])
def test_a_record_is_never_changed(kind: type[Resource]) -> None:
    spec = version(kind)["schema"]["openAPIV3Schema"]["properties"]["spec"]

    assert spec["x-kubernetes-validations"] == [
        {"rule": "self == oldSelf", "message": "a record is never changed"}
    ]
    assert "default" not in yaml.safe_dump(spec["properties"]).split()


def test_names_of_what_people_write_leave_room_for_childrens() -> None:
    rules = version(ModelDeployment)["schema"]["openAPIV3Schema"]["x-kubernetes-validations"]

    assert rules[0] == {
        "rule": "self.metadata.name.size() <= 40",
        "message": "metadata.name of a ModelDeployment may have at most 40 characters",
    }


def test_only_a_deployment_scales() -> None:
    scaling = {kind for kind in KINDS if "scale" in version(kind)["subresources"]}

    assert scaling == {ModelDeployment}


@pytest.mark.parametrize("kind", KINDS, ids=IDS)
def test_the_file_is_small_and_has_no_anchors(kind: type[Resource]) -> None:
    text = crd.to_yaml(crd.crd(kind))

    assert len(text.encode()) <= crd.MAX_BYTES
    assert "&id" not in text
    assert yaml.safe_load(text) == crd.crd(kind)


def test_write_makes_a_file_a_kind_and_the_reference(tmp_path: Path) -> None:
    written = crd.write(tmp_path)

    assert {path.name for path in written} == {
        *(f"{kind.names.plural}.tidemill.dev.yaml" for kind in KINDS),
        "README.md",
    }


def test_the_command_wants_a_directory(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert crd.main([str(tmp_path / "nowhere")]) == 2
    assert "usage: python -m tidemill.api.crd DIRECTORY" in capsys.readouterr().err
    assert crd.main([str(tmp_path)]) == 0
