"""Revisions: what makes another one, what is written down, and what is kept."""

from typing import Any

import pytest

from tests.builders import make_model, sha
from tests.unit.world import NAME, bundle_of, spec
from tidemill.api.v1alpha1 import ModelDeployment
from tidemill.api.v1alpha1.modeldeployment import ModelDeploymentSpec
from tidemill.core import revisions
from tidemill.core.candidates import model_of
from tidemill.core.manifests.serving import Owner

MODEL = make_model("delays-v1")
OWNER = Owner(name=NAME, namespace="tides", uid="uid-md")
TEMPLATE = {"spec": {"containers": [{"image": "tidemill/serving:1"}]}}


def given(**more: Any) -> ModelDeploymentSpec:
    return ModelDeployment.parse({"metadata": {"name": NAME}, "spec": spec(**more)}).spec


def name_of(of: ModelDeploymentSpec, digest: str = sha("model")) -> str:
    return revisions.revision_name(NAME, digest, revisions.shape(of))


SPEC = given()


def test_a_revision_is_named_by_model_and_pod_shape() -> None:
    name = name_of(SPEC)

    assert name.startswith("delays-")
    assert len(name) == len("delays-") + 10
    assert name == name_of(given())


OTHERS = {
    "another model": (SPEC, sha("other")),
    "more memory": (given(resources={"cpu": "100m", "memory": "512Mi"}), sha("model")),
    "a request log": (given(requestLog={"sample": "0.5"}), sha("model")),
    "a longer request log": (given(requestLog={"keepSeconds": 60}), sha("model")),
}


@pytest.mark.parametrize(("of", "digest"), OTHERS.values(), ids=OTHERS)
def test_another_revision(of: ModelDeploymentSpec, digest: str) -> None:
    assert name_of(of, digest) != name_of(SPEC)


SAME = {
    "more pods": given(replicas=5),
    "another route": given(route={"gatewayRef": {"name": "other"}}),
    "other steps": given(rollout={"canary": {"steps": [{"weight": 50}]}}),
    "another window": given(monitoring={"windowSeconds": 60}),
    "another source of the same model": given(model={"modelVersionRef": {"name": "delays-v1"}}),
}


@pytest.mark.parametrize("of", SAME.values(), ids=SAME)
def test_the_same_revision(of: ModelDeploymentSpec) -> None:
    assert name_of(of) == name_of(SPEC)


def test_an_autoscaler_does_not_change_the_spec_a_model_is_refused_under() -> None:
    assert revisions.spec_hash(given(replicas=7)) == revisions.spec_hash(SPEC)
    assert revisions.spec_hash(given(rollout={"drainSeconds": 1})) != revisions.spec_hash(SPEC)


SOURCES = {
    "TrainingJob/delays": {"trainingJobRef": {"name": "delays"}},
    "ModelVersion/delays-v1": {"modelVersionRef": {"name": "delays-v1"}},
    f"Bundle/{sha('b')}": {"bundle": {"uri": "s3://a/bundle.json", "digest": sha("b")}},
}


@pytest.mark.parametrize(("said", "model"), SOURCES.items())
def test_source(said: str, model: dict[str, Any]) -> None:
    assert revisions.source(given(model=model).model) == said


def body(number: int = 1, name: str = "") -> dict[str, Any]:
    made = revisions.controller_revision(
        OWNER,
        name=name or name_of(SPEC, MODEL.spec.digest),
        number=number,
        model=model_of(MODEL),
        document=bundle_of(MODEL),
        spec=SPEC,
        template=TEMPLATE,
    )
    made["metadata"]["uid"] = f"uid-{number}"
    return made


def test_what_is_written_is_what_is_read() -> None:
    read = revisions.read(body(3))

    assert read is not None
    assert (read.name, read.number, read.model) == (
        name_of(SPEC, MODEL.spec.digest),
        3,
        model_of(MODEL),
    )
    assert read.template == TEMPLATE
    assert read.shape == revisions.shape(SPEC)
    assert read.source == "TrainingJob/delays"
    assert read.profile.uri == f"{MODEL.spec.bundle.uri.rpartition('/')[0]}/profile.json"
    assert read.profile.digest == bundle_of(MODEL).profile.digest


def test_the_signature_is_there_for_people() -> None:
    assert body()["data"]["model"]["signature"] == {
        "label": "late",
        "positive": "true",
        "threshold": "0.4",
        "features": ["dep_hour"],
    }


@pytest.mark.parametrize("broken", ["data", "revision"])
def test_what_is_not_ours_is_not_read(broken: str) -> None:
    made = body()
    del made[broken]

    assert revisions.read(made) is None


def test_only_revisions_of_this_very_owner_are_read() -> None:
    assert list(revisions.read_all([body()], "uid-md")) == [name_of(SPEC, MODEL.spec.digest)]
    assert revisions.read_all([body()], "uid-of-another") == {}


def test_numbers_go_up() -> None:
    read = [item for n in (1, 7, 3) if (item := revisions.read(body(n))) is not None]

    assert revisions.next_number(read) == 8
    assert revisions.next_number([]) == 1


def test_the_last_three_that_serve_no_more_are_kept() -> None:
    made = [revisions.read(body(n, f"delays-{n}")) for n in range(1, 8)]
    read = [item for item in made if item is not None]

    gone = revisions.superfluous(read, used={"delays-1", "delays-7"}, namespace="tides")

    assert [item.name for item in gone] == ["delays-3", "delays-2"]
    assert {(item.kind, item.api_version) for item in gone} == {("ControllerRevision", "apps/v1")}
