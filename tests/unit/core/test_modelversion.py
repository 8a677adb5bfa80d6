"""`plan_modelversion`: each case says only what differs from a model that is approved."""

from dataclasses import replace
from typing import Any

import pytest

from tests.builders import (
    AGAINST,
    GATES,
    at,
    make_model,
    make_trainingjob,
    sha,
    stamp,
)
from tidemill.api.v1alpha1 import ModelVersion, TrainingJob
from tidemill.core.conditions import find
from tidemill.core.gates import gates_hash
from tidemill.core.modelversion import plan_modelversion
from tidemill.core.observed import ModelVersionObserved
from tidemill.core.plan import Event, Plan
from tidemill.core.requests import Request


def job(**useful: Any) -> TrainingJob:
    """The TrainingJob; with anything given its first gate has changed."""
    return make_trainingjob(spec={"gates": [{**GATES[0], **useful}, GATES[1]]})


HEALTHY = ModelVersionObserved(now=at(hours=1), model=make_model(), job=job(), newest=True)
FRESH = replace(HEALTHY, model=make_model(approved="new"))
TIGHT = replace(HEALTHY, job=job(min="0.8"))
REFUSED = replace(HEALTHY, model=make_model(approved=False))
RELAXED = replace(REFUSED, job=job(min="0.5"))
ASKED = Request(
    text=f"approve/{sha('delays-0000000001')}@{stamp()}",
    verb="approve",
    target=sha("delays-0000000001"),
    at=at(),
)
BY_HAND = make_model(approved=True, judged_against="other")

PASSED = (
    "useful: roc_auc 0.713 >= 0.62 on 15,582 test rows. no-worse: no champion: there is nothing to"
    " compare with."
)
MISSED = "useful: roc_auc 0.713 < 0.8 on 15,582 test rows."
CASES: dict[str, tuple[ModelVersionObserved, str, str, str]] = {
    "a new model that passes its gates": (FRESH, "True", "GatesPassed", PASSED),
    "a new model that misses one": (
        replace(FRESH, job=job(min="0.8")),
        "False",
        "GatesMissed",
        MISSED,
    ),
    "a new model that nobody can judge": (
        replace(FRESH, job=job(minSamples=20000)),
        "Unknown",
        "GatesUndecided",
        "useful: roc_auc has 15,582 test rows of the 20,000 it needs.",
    ),
    "a champion is named with the numbers": (
        replace(FRESH, model=make_model(approved="new", metrics=[AGAINST], champion="delays-old")),
        "True",
        "GatesPassed",
        "useful: roc_auc 0.713 >= 0.62 on 15,582 test rows. no-worse: roc_auc 0.713 against 0.662"
        " of delays-old on 15,582 test rows: change +0.051, its 95 % lower bound +0.038 >= -0.005.",
    ),
    "a judged one stays as it is": (HEALTHY, "True", "GatesPassed", "As the gates say."),
    "a relaxed gate judges the newest again": (
        RELAXED,
        "True",
        "GatesPassed",
        "useful: roc_auc 0.713 >= 0.5 on 15,582 test rows. no-worse: no champion: there is nothing"
        " to compare with.",
    ),
    "and no older one": (
        replace(RELAXED, newest=False),
        "False",
        "GatesMissed",
        "As the gates say.",
    ),
    "a tightened gate refuses one that does not serve": (TIGHT, "False", "GatesMissed", MISSED),
    "one that serves is not withdrawn": (
        replace(TIGHT, serving=True),
        "True",
        "KeptServing",
        f"It serves and is not withdrawn, though by the present gates: {MISSED}",
    ),
    "serving does not approve a refused one": (
        replace(REFUSED, serving=True, job=job(min="0.8")),
        "False",
        "GatesMissed",
        MISSED,
    ),
    "a person approves a digest": (
        replace(REFUSED, approval=ASKED),
        "True",
        "ApprovedByHand",
        f"A person approved it by the request {ASKED.text}.",
    ),
    "another digest is not meant": (
        replace(REFUSED, approval=replace(ASKED, target=sha("other"))),
        "False",
        "GatesMissed",
        "As the gates say.",
    ),
    "its data were revoked": (
        replace(HEALTHY, revoked_data="flights-0001"),
        "False",
        "DataRevoked",
        "DatasetVersion flights-0001, which it has learned from, was revoked.",
    ),
    "its data were revoked while it serves": (
        replace(HEALTHY, revoked_data="flights-0001", serving=True),
        "False",
        "DataRevoked",
        "DatasetVersion flights-0001, which it has learned from, was revoked.",
    ),
    "a person approves it although its data were revoked": (
        replace(REFUSED, approval=ASKED, revoked_data="flights-0001"),
        "False",
        "DataRevoked",
        "DatasetVersion flights-0001, which it has learned from, was revoked.",
    ),
    "an imported model": (
        replace(
            FRESH,
            model=make_model(approved="new", origin="Imported", trainingJobRef=None),
            job=None,
        ),
        "True",
        "Imported",
        "It was imported: whoever named its digest has approved it.",
    ),
    "it outlives its TrainingJob": (
        replace(HEALTHY, job=None),
        "True",
        "GatesPassed",
        "As the gates say.",
    ),
    "a TrainingJob that was gone before the verdict": (
        replace(FRESH, job=None),
        "Unknown",
        "DependencyNotReady",
        "TrainingJob delays is gone, and with it the gates.",
    ),
}


@pytest.mark.parametrize(("seen", "status", "reason", "message"), CASES.values(), ids=CASES)
def test_the_verdict(seen: ModelVersionObserved, status: str, reason: str, message: str) -> None:
    told = find(after(seen).status.conditions, "Approved")

    assert told is not None
    assert (told.status, told.reason, told.message) == (status, reason, message)


def after(seen: ModelVersionObserved) -> ModelVersion:
    """The model with the status its plan wants."""
    plan = plan_modelversion(seen)
    assert plan.status is not None
    assert replace(plan, status=None, events=()) == Plan()
    return ModelVersion.parse(
        {**seen.model.model_dump(by_alias=True, exclude={"status"}), "status": plan.status}
    )


@pytest.mark.parametrize("seen", [case[0] for case in CASES.values()], ids=CASES)
def test_a_second_look_changes_nothing(seen: ModelVersionObserved) -> None:
    first = plan_modelversion(seen)

    second = plan_modelversion(replace(seen, model=after(seen), now=at(hours=2)))

    assert (second.status, second.events) == (first.status, ())


def test_each_gates_word_is_kept() -> None:
    status = after(replace(FRESH, job=job(min="0.8"))).status

    assert [(item.name, item.verdict, item.blocking) for item in status.gates] == [
        ("useful", "Failed", True),
        ("no-worse", "Successful", True),
    ]
    assert status.judged_against == gates_hash(job(min="0.8").spec.gates)


def test_a_persons_approval_outlasts_the_request_and_the_gates() -> None:
    approved = after(replace(REFUSED, approval=ASKED))

    later = after(replace(HEALTHY, model=approved, job=job(min="0.9"), approval=None))

    told = find(later.status.conditions, "Approved")
    assert told is not None
    assert (told.status, told.reason) == ("True", "ApprovedByHand")


def test_a_refusal_is_told() -> None:
    assert plan_modelversion(TIGHT).events == (
        Event(reason="GatesMissed", message=MISSED, warning=True),
    )


def test_one_that_is_being_deleted_is_left_alone() -> None:
    going = make_model().model_copy(
        update={
            "metadata": make_model().metadata.model_copy(update={"deletion_timestamp": stamp()})
        }
    )

    assert plan_modelversion(replace(HEALTHY, model=going)) == Plan()
