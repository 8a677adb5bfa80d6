"""Which model should serve: each case says only what differs from a new approved model."""

from dataclasses import replace
from typing import Any

import pytest

from tests.builders import make_model, sha, stamp
from tests.unit.world import NAME, PREFIX, bundle_of, spec
from tidemill.api.v1alpha1 import ModelDeployment, ModelVersion
from tidemill.api.v1alpha1.modeldeployment import ModelDeploymentSpec, Refused, RevisionStatus
from tidemill.core.candidates import Choice, Known, choose, imported_name, inside, model_of
from tidemill.core.observed import Unreadable
from tidemill.core.revisions import Revision, revision_name, shape, source, spec_hash


def given(**more: Any) -> ModelDeploymentSpec:
    return ModelDeployment.parse({"metadata": {"name": NAME}, "spec": spec(**more)}).spec


SPEC = given()
WINTER, SPRING, SUMMER = "2013-03-31T23:00:00Z", "2013-06-30T23:00:00Z", "2013-09-30T23:00:00Z"
OLD = make_model("delays-v1", dataEnd=WINTER)
NEW = make_model("delays-v2", dataEnd=SPRING)
NEWER = make_model("delays-v3", dataEnd=SUMMER)


def named(version: ModelVersion, of: ModelDeploymentSpec = SPEC) -> str:
    return revision_name(NAME, version.spec.digest, shape(of))


def serves(version: ModelVersion, of: ModelDeploymentSpec = SPEC) -> RevisionStatus:
    return RevisionStatus(
        revision=named(version, of),
        model_version=version.metadata.name,
        digest=version.spec.digest,
        weight=100,
    )


def written(version: ModelVersion, of: ModelDeploymentSpec = SPEC) -> Revision:
    return Revision(
        name=named(version, of),
        uid="uid",
        number=1,
        model=model_of(version),
        profile=version.spec.bundle,
        shape=shape(of),
        source=source(of.model),
        template={},
    )


def refused(version: ModelVersion, of: ModelDeploymentSpec = SPEC) -> Refused:
    return Refused(
        digest=version.spec.digest,
        revision=named(version, of),
        reason="AnalysisFailed",
        message="Rolled back at 5 %: error-rate 0.034 > 0.01 (n=612).",
        at=stamp(),
        spec_hash=spec_hash(of),
    )


FIRST = Known(name=NAME, spec=SPEC, prefix=PREFIX, training_job_exists=True, versions=(NEW,))
SERVING = replace(FIRST, versions=(OLD, NEW), stable=serves(OLD), stable_revision=written(OLD))
BIGGER = given(resources={"cpu": "1", "memory": "1Gi"})
OTHER_RULES = given(rollout={"drainSeconds": 11})
PINNED = given(model={"modelVersionRef": {"name": "delays-v2"}})

TARGETS = {
    "the first approved model": (FIRST, "delays-v2", True),
    "a newer approved model": (SERVING, "delays-v2", False),
    "the one with the newest data of several": (
        replace(SERVING, versions=(NEWER, OLD, NEW)), "delays-v3", False
    ),
    "of equal data the one made last": (
        replace(
            SERVING,
            versions=(OLD, make_model("a", dataEnd=SPRING, created=stamp(hours=1)), NEW),
        ),
        "a", False,
    ),
    "the next one where the newest was refused": (
        replace(SERVING, versions=(OLD, NEW, NEWER), refused=(refused(NEWER),)),
        "delays-v2", False,
    ),
    "a refused one under another spec, which is a person's doing": (
        replace(SERVING, spec=OTHER_RULES, refused=(refused(NEW),)), "delays-v2", True
    ),
    "a refused one although replicas differ": (
        replace(SERVING, versions=(OLD, NEWER), refused=(refused(NEW),)), "delays-v3", False
    ),
    "one of another TrainingJob, however old": (
        replace(
            SERVING,
            spec=given(model={"trainingJobRef": {"name": "other"}}),
            versions=(OLD, make_model("other-v1", job="other", dataEnd="2012-01-01T00:00:00Z")),
        ),
        "other-v1", True,
    ),
    "with other resources a newer model is a person's doing too": (
        replace(SERVING, spec=BIGGER), "delays-v2", True
    ),
    "stable's own model in other pods": (
        replace(SERVING, spec=BIGGER, versions=(OLD,)), "delays-v1", True
    ),
    "stable's own model in other pods, though its record is gone": (
        replace(SERVING, spec=BIGGER, versions=()), "delays-v1", True
    ),
    "a pinned model": (replace(SERVING, spec=PINNED), "delays-v2", True),
    "a pinned model that is older than stable": (
        replace(
            SERVING, spec=PINNED, stable=serves(NEWER), stable_revision=written(NEWER)
        ),
        "delays-v2", True,
    ),
}  # fmt: skip


@pytest.mark.parametrize(("known", "version", "from_spec"), TARGETS.values(), ids=TARGETS)
def test_target(known: Known, version: str, from_spec: bool) -> None:
    choice = choose(known)

    assert choice.target is not None, choice
    digest = choice.target.model.digest
    assert choice.target.model.version == version
    assert choice.target.from_spec is from_spec
    assert choice.target.revision == revision_name(NAME, digest, shape(known.spec))
    assert (choice.reason, choice.note, choice.stalled) == ("", "", False)


NOTHING_TO_DO = {
    "stable is the newest": replace(SERVING, versions=(OLD,)),
    "the newest is not approved": replace(
        SERVING, versions=(OLD, make_model("delays-v2", approved=False, dataEnd=SPRING))
    ),
    "the newest is undecided": replace(
        SERVING, versions=(OLD, make_model("delays-v2", approved=None, dataEnd=SPRING))
    ),
    "an approved one is older than stable": replace(
        SERVING, stable=serves(NEW), stable_revision=written(NEW)
    ),
    "stable has lost its approval and an older one has not": replace(
        SERVING,
        versions=(OLD, make_model("delays-v2", approved=False, dataEnd=SPRING)),
        stable=serves(NEW),
        stable_revision=written(NEW),
    ),
    "another run has made the very model that serves": replace(
        SERVING, versions=(OLD, make_model("delays-v2", content="delays-v1", dataEnd=SPRING))
    ),
    "a newer run only reproduced another model": replace(
        SERVING, versions=(OLD, make_model("again", dataEnd=SPRING, sameModelAs="delays-v1"))
    ),
    "the pinned model serves": replace(
        SERVING, spec=PINNED, stable=serves(NEW), stable_revision=written(NEW)
    ),
    "the TrainingJob is gone and its model serves": replace(
        SERVING, versions=(OLD,), training_job_exists=False
    ),
}


@pytest.mark.parametrize("known", NOTHING_TO_DO.values(), ids=NOTHING_TO_DO)
def test_stable_is_right(known: Known) -> None:
    assert choose(known) == Choice()


BUNDLE_URI = f"{PREFIX}/records/trainingjobs/delays/delays-v2/bundle.json"


def bundled(uri: str = BUNDLE_URI, digest: str = sha("bundle")) -> ModelDeploymentSpec:
    return given(model={"bundle": {"uri": uri, "digest": digest}})


IMPORT = replace(FIRST, spec=bundled(), versions=(), document=bundle_of(NEW))
SAID = (
    "Revision {0} was refused: Rolled back at 5 %: error-rate 0.034 > 0.01 (n=612). delays-v1 "
    "keeps serving. It is tried again when spec changes, or on request: retry/{0}."
)

REASONS = {
    "no TrainingJob": (
        replace(FIRST, training_job_exists=False, versions=()), "DependencyNotReady",
        "TrainingJob delays does not exist in this namespace.", False,
    ),
    "no model": (
        replace(FIRST, versions=()), "WaitingForModel",
        "TrainingJob delays has no approved model yet.", False,
    ),
    "no approved model": (
        replace(FIRST, versions=(make_model("delays-v2", approved=None),)), "WaitingForModel",
        "TrainingJob delays has no approved model yet.", False,
    ),
    "a retrained model was refused: normal work": (
        replace(SERVING, refused=(refused(NEW),)), "AnalysisFailed",
        SAID.format(named(NEW)), False,
    ),
    "other resources were refused: a person has to act": (
        replace(SERVING, spec=BIGGER, versions=(OLD,), refused=(refused(OLD, BIGGER),)),
        "AnalysisFailed", SAID.format(named(OLD, BIGGER)), True,
    ),
    "a pinned model was refused: a person has to act": (
        replace(SERVING, spec=PINNED, refused=(refused(NEW, PINNED),)), "AnalysisFailed",
        SAID.format(named(NEW, PINNED)), True,
    ),
    "no pinned model": (
        replace(SERVING, spec=PINNED, versions=(OLD,)), "DependencyNotReady",
        "ModelVersion delays-v2 does not exist in this namespace.", False,
    ),
    "a bundle of somebody else": (
        replace(IMPORT, spec=bundled("s3://artifacts/tidemill/cluster/other/bundle.json")),
        "OutsideNamespace",
        "spec.model.bundle.uri is s3://artifacts/tidemill/cluster/other/bundle.json; a bundle "
        f"must lie under {PREFIX}/, this namespace's place in the artifact store: copy it there.",
        True,
    ),
    "a bundle that was not read yet": (
        replace(IMPORT, document=None), "Importing", f"The bundle {BUNDLE_URI} is being read.",
        False,
    ),
    "no bundle": (
        replace(IMPORT, document=Unreadable("BundleNotFound", "There is no bundle.")),
        "BundleNotFound", "There is no bundle.", False,
    ),
    "a store that is not there will be there again": (
        replace(IMPORT, document=Unreadable("StoreUnavailable", "Timeout.")),
        "StoreUnavailable", "Timeout.", False,
    ),
    "a bundle of another digest stays so": (
        replace(IMPORT, document=Unreadable("DigestMismatch", "It is another.")),
        "DigestMismatch", "It is another.", True,
    ),
    "a bundle that cannot be recorded": (
        replace(IMPORT, document=bundle_of(NEW, data_end="soon")), "BundleInvalid",
        f"The bundle {BUNDLE_URI} cannot be recorded: Invalid isoformat string: 'soon'.", True,
    ),
    "a bundle with a digest that is none": (
        replace(
            IMPORT,
            document=bundle_of(NEW).model_copy(update={"dataset_digest": "md5:1"}),
        ),
        "BundleInvalid",
        f"The bundle {BUNDLE_URI} cannot be recorded: dataset_digest: String should match pattern "
        "'^sha256:[0-9a-f]{64}$'.",
        True,
    ),
}  # fmt: skip


@pytest.mark.parametrize(("known", "reason", "said", "stalled"), REASONS.values(), ids=REASONS)
def test_no_target(known: Known, reason: str, said: str, stalled: bool) -> None:
    choice = choose(known)

    assert choice.target is None
    assert (choice.reason, choice.message, choice.stalled) == (reason, said, stalled)


def test_a_pinned_model_needs_no_approval_but_it_is_said() -> None:
    version = make_model("delays-v2", approved=False, dataEnd=SPRING)

    choice = choose(replace(SERVING, spec=PINNED, versions=(OLD, version)))

    assert choice.target is not None
    assert choice.note == (
        "ModelVersion delays-v2 is not approved (GatesMissed); it serves because spec names it."
    )


def test_a_bundle_becomes_a_record_and_then_the_target() -> None:
    document = bundle_of(NEW, metrics=({"metric": "roc_auc", "samples": 900, "value": "0.7"},))
    name = imported_name(NAME, sha("bundle"), ())

    first = choose(replace(IMPORT, document=document))

    assert first.target is None
    assert (first.reason, first.record_name) == ("Importing", name)
    assert first.record is not None
    assert first.record.origin == "Imported"
    assert first.record.model_uri == f"{BUNDLE_URI.rpartition('/')[0]}/model.onnx"
    assert first.record.digest == NEW.spec.digest
    assert first.record.created_at == document.data_end
    assert first.record.metrics[0].value == "0.7"

    record = ModelVersion.parse({"metadata": {"name": name}, "spec": first.record.to_wire()})
    then = choose(replace(IMPORT, document=None, versions=(record,)))

    assert then.target is not None
    assert then.target.model.version == name
    assert then.note == ""


def test_a_short_name_that_is_taken_gets_longer() -> None:
    other = make_model("delays-01234567")
    digest = f"sha256:0123456789abcdef{'0' * 48}"

    assert imported_name(NAME, digest, ()) == "delays-01234567"
    assert imported_name(NAME, digest, (other,)) == "delays-0123456789abcdef"


INSIDE = {
    f"{PREFIX}/a/bundle.json": True,
    f"{PREFIX}/bundle.json": True,
    PREFIX: False,
    f"{PREFIX}/": False,
    f"{PREFIX}x/bundle.json": False,
    f"{PREFIX}/../other/bundle.json": False,
    f"{PREFIX}/a/./bundle.json": False,
    f"{PREFIX}//bundle.json": False,
    f"{PREFIX}/%2e%2e/bundle.json": False,
    "s3://elsewhere/bundle.json": False,
}


@pytest.mark.parametrize(("uri", "is_inside"), INSIDE.items())
def test_a_bundle_lies_under_the_namespace_prefix(uri: str, is_inside: bool) -> None:
    assert inside(uri, PREFIX) is is_inside
