"""`step_rollout`: each case says only what differs from a step that has just been judged well."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from tests.builders import at, sha, stamp, stored
from tidemill.api.v1alpha1.modeldeployment import (
    ModelDeploymentStatus,
    RevisionStatus,
    Rollout,
    RolloutStatus,
)
from tidemill.core.analysis import Analysed
from tidemill.core.candidates import Choice, Target
from tidemill.core.revisions import Model
from tidemill.core.rollout import is_news, step_rollout
from tidemill.core.rolloutview import Move, Seen
from tidemill.core.scaling import Trouble, Workload
from tidemill.core.verdicts import Verdict


def target(name: str, *, from_spec: bool = False) -> Target:
    model = Model(
        version=f"model-{name}", digest=sha(name), uri=f"s3://a/{name}", bundle=stored(name)
    )
    return Target(revision=name, model=model, from_spec=from_spec)


def role(name: str, weight: int = 0) -> RevisionStatus:
    return RevisionStatus(
        revision=name, model_version=f"model-{name}", digest=sha(name), weight=weight
    )


def pods(count: int, **more: Any) -> Workload:
    names = frozenset(f"new-{n}" for n in range(count))
    given = {"asked": count, "pods": count, "ready": count, "endpoints": names, **more}
    return Workload(**given)


POLICY = Rollout.model_validate(
    {
        "canary": {
            "steps": [
                {"weight": 5, "holdSeconds": 300},
                {"weight": 25, "holdSeconds": 300},
                {"weight": 25, "holdSeconds": 60},
            ]
        },
        "analysis": {"periodSeconds": 30, "failureLimit": 1, "consecutiveErrorLimit": 2},
        "stepDeadlineSeconds": 3600,
    }
)
GOOD = "error-rate 0 <= 0.01 (n=612)"
BAD = "error-rate 0.034 > 0.01 (n=612)"
STEP = RolloutStatus.model_validate(
    {
        "phase": "Stepping",
        "stepStarted": stamp(),
        "weight": 5,
        "weightSince": stamp(seconds=10),
        "measuredAt": stamp(seconds=55),
        "verdict": "Successful",
        "message": GOOD,
    }
)
STATUS = ModelDeploymentStatus(stable=role("old", 95), candidate=role("new", 5), rollout=STEP)
DONE = Seen(
    now=at(seconds=310),
    generation=3,
    spec_hash="hash-of-spec",
    replicas=4,
    policy=POLICY,
    scrape_seconds=15,
    status=STATUS,
    choice=Choice(target=target("new")),
    pods=pods(1),
    wanted=1,
    scraped=frozenset({"new-0"}),
    in_force=True,
    achieved=5,
)


def standing(seen: Seen, **update: Any) -> Seen:
    """The same with another state of the rollout."""
    return replace(seen, status=rolled(seen.status, **update))


def rolled(status: ModelDeploymentStatus, **update: Any) -> ModelDeploymentStatus:
    assert status.rollout is not None
    given = RolloutStatus.model_validate({**status.rollout.to_wire(), **update})
    return status.model_copy(update={"rollout": given})


def judged(verdict: Verdict, message: str, seconds: float = 300) -> Analysed:
    return Analysed(at=at(seconds=seconds), verdict=verdict, message=message)


EARLY = replace(DONE, now=at(seconds=100))
PAUSED = POLICY.model_copy(update={"paused": True})
UNMEASURED = {"verdict": "", "message": "", "measuredAt": None}
NO_WEIGHT = STATUS.model_copy(update={"stable": role("old", 100), "candidate": role("new", 0)})
STARTING = standing(
    replace(EARLY, status=NO_WEIGHT, in_force=False),
    **UNMEASURED, phase="Starting", weight=0, weightSince=None,
)  # fmt: skip
WRITTEN = standing(EARLY, **UNMEASURED, weightSince=None)
SECOND = standing(EARLY, step=1, weight=5, stepStarted=stamp(seconds=90))
BARE = replace(EARLY, status=STATUS.model_copy(update={"candidate": None, "rollout": None}))
FIRST = replace(
    STARTING,
    status=STARTING.status.model_copy(update={"stable": None}),
    wanted=4,
    pods=pods(0, asked=4),
)
LAST = standing(EARLY, step=3, weight=25)
LATE = at(seconds=3600)
ENDS_AT = stamp(seconds=310)

WAITS: dict[str, tuple[Seen, str, str, datetime | None]] = {
    "a hold is kept to its end": (
        EARLY, "StepHolding",
        f"Step 1 of 3: 5 % until {ENDS_AT}. Successful: {GOOD}.", at(seconds=115),
    ),
    "its last stretch ends with it": (
        replace(DONE, now=at(seconds=301)), "StepHolding",
        f"Step 1 of 3: 5 % until {ENDS_AT}. Successful: {GOOD}.", at(seconds=310),
    ),
    "no verdict is no pass": (
        standing(DONE, **UNMEASURED), "AwaitingAnalysis",
        "Step 1 of 3: 5 % until there is a successful verdict, at most until "
        f"{stamp(seconds=3600)}.",
        at(seconds=325),
    ),
    "too few samples extend the hold": (
        standing(DONE, verdict="NoData", message="requests: 120 of 500 samples"),
        "AwaitingAnalysis",
        "Step 1 of 3: 5 % until there is a successful verdict, at most until "
        f"{stamp(seconds=3600)}. NoData: requests: 120 of 500 samples.",
        at(seconds=325),
    ),
    "a failure within the limit is no pass": (
        standing(DONE, verdict="Failed", failures=1, message=BAD), "AwaitingAnalysis",
        "Step 1 of 3: 5 % until there is a successful verdict, at most until "
        f"{stamp(seconds=3600)}. Failed: {BAD}.",
        at(seconds=325),
    ),
    "a success that was measured before changes nothing": (
        replace(EARLY, analysed=judged(Verdict.SUCCESSFUL, "other numbers")), "StepHolding",
        f"Step 1 of 3: 5 % until {ENDS_AT}. Successful: {GOOD}.", at(seconds=115),
    ),
    "a pause holds a step that could be over": (
        replace(DONE, policy=PAUSED), "Paused",
        "spec.rollout.paused holds model-new at 5 % of requests.", at(seconds=325),
    ),
    "a pause does not hide that a step still holds": (
        replace(EARLY, policy=PAUSED), "StepHolding",
        f"Step 1 of 3: 5 % until {ENDS_AT}. Successful: {GOOD}.", at(seconds=115),
    ),
    "a pause holds the first weight": (
        replace(STARTING, policy=PAUSED), "Paused",
        "spec.rollout.paused holds model-new at 0 % of requests.", at(seconds=3600),
    ),
    "pods come before the weight": (
        replace(STARTING, pods=pods(0, asked=1)), "CandidateStarting",
        "Waiting for 1 pod of new to be ready.", at(seconds=3600),
    ),
    "all of them": (
        replace(STARTING, pods=pods(1, asked=2), wanted=2), "CandidateStarting",
        "Waiting for 2 pods of new to be ready.", at(seconds=3600),
    ),
    "their trouble is told": (
        replace(
            STARTING,
            pods=pods(0, asked=1, trouble=Trouble(reason="SecretMissing", message="Make it.")),
        ),
        "CandidateStarting",
        "Waiting for 1 pod of new to be ready. SecretMissing: Make it.", at(seconds=3600),
    ),
    "an endpoint nobody sends to is none": (
        replace(STARTING, pods=pods(1, endpoints=frozenset())), "CandidateStarting",
        "Waiting for 1 pod of new to be ready.", at(seconds=3600),
    ),
    "the first weight waits for two scrapes": (
        replace(STARTING, scraped=frozenset()), "NotScraped",
        "Waiting for Prometheus to have two samples of each of the candidate's pods.",
        at(seconds=115),
    ),
    "of every pod": (
        replace(STARTING, pods=pods(2), wanted=2), "NotScraped",
        "Waiting for Prometheus to have two samples of each of the candidate's pods.",
        at(seconds=115),
    ),
    "a Prometheus that does not answer has scraped nothing": (
        replace(STARTING, scraped=None), "NotScraped",
        "Waiting for Prometheus to have two samples of each of the candidate's pods.",
        at(seconds=115),
    ),
    "behind one Service earlier revisions go first": (
        replace(
            STARTING,
            status=STARTING.status.model_copy(update={"retiring": ("older",)}),
            routed=False,
        ),
        "Draining", "Waiting for the pods of older to end.", at(seconds=3600),
    ),
    "the next step's pods come while the weight stays": (
        replace(SECOND, wanted=2), "CandidateStarting",
        "Waiting for 2 pods of new to be ready.", at(seconds=115),
    ),
    "a weight counts when it is seen": (
        replace(WRITTEN, in_force=False), "WaitingForRoute",
        "Step 1 of 3: waiting to see 5 % in force.", at(seconds=3600),
    ),
    "what keeps it is told": (
        replace(WRITTEN, in_force=False, route_trouble="The Gateway refuses the route."),
        "WaitingForRoute",
        "Step 1 of 3: waiting to see 5 % in force. The Gateway refuses the route.",
        at(seconds=3600),
    ),
    "after the last step all pods come": (
        replace(LAST, wanted=4), "Promoting", "Waiting for 4 pods of new to be ready.",
        at(seconds=115),
    ),
    "a pause holds the promotion": (
        replace(LAST, wanted=4, pods=pods(4), policy=PAUSED), "Paused",
        "spec.rollout.paused holds model-new at 25 % of requests.", at(seconds=115),
    ),
    "the first model waits for a pod": (
        FIRST, "CandidateStarting", "Waiting for a pod of new to be ready.", at(seconds=3600)
    ),
    "the first model has no deadline but says so": (
        replace(FIRST, now=LATE), "ProgressDeadlineExceeded",
        "The pods of new were not ready within 3600 s.", None,
    ),
    "a pause holds the first model": (
        replace(FIRST, pods=pods(4), policy=PAUSED), "Paused",
        "spec.rollout.paused holds model-new, the first model.", None,
    ),
    "nothing starts with no pods asked for": (
        replace(BARE, replicas=0), "ScaledToZero",
        "Rollouts start when spec.replicas is more than 0.", None,
    ),
}  # fmt: skip


@pytest.mark.parametrize(("seen", "reason", "said", "again"), WAITS.values(), ids=WAITS)
def test_waits(seen: Seen, reason: str, said: str, again: datetime | None) -> None:
    move = step_rollout(seen)

    assert move.status == seen.status, "claims something"
    assert (move.reason, move.message, move.again) == (reason, said, again)
    assert move.complete is not True


def claim(move: Move) -> tuple[int, int, str | None, str]:
    """Step, weight, since when and verdict of what is claimed."""
    rollout = move.status.rollout
    assert rollout is not None
    return rollout.step, rollout.weight, rollout.weight_since, rollout.verdict


CLAIMS: dict[str, tuple[Seen, tuple[int, int, str | None, str], str, str]] = {
    "ready and scraped pods get the first weight": (
        STARTING, (0, 5, None, ""), "StepStarted", "Step 1 of 3: 5 % of requests to model-new."
    ),
    "without Prometheus there is nothing to be scraped by": (
        replace(STARTING, prometheus=False, scraped=None), (0, 5, None, ""), "StepStarted",
        "Step 1 of 3: 5 % of requests to model-new.",
    ),
    "a weight that is seen begins to count": (
        WRITTEN, (0, 5, stamp(seconds=100), ""), "StepHolding",
        "Step 1 of 3: 5 % of requests, measuring.",
    ),
    "a finished step moves one step up, the weight later": (
        DONE, (1, 5, stamp(seconds=10), "Successful"), "StepStarted",
        f"Step 1 of 3 is over: {GOOD}.",
    ),
    "the first good verdict after the hold is enough": (
        replace(
            standing(DONE, **UNMEASURED), analysed=judged(Verdict.SUCCESSFUL, GOOD)
        ),
        (1, 5, stamp(seconds=10), "Successful"), "StepStarted", f"Step 1 of 3 is over: {GOOD}.",
    ),
    "the next weight follows its pods": (
        SECOND, (1, 25, None, ""), "StepStarted", "Step 2 of 3: 25 % of requests to model-new."
    ),
    "a step of the same weight is measured anew": (
        replace(
            standing(DONE, step=1, weight=25, weightSince=stamp()), achieved=25
        ),
        (2, 25, stamp(seconds=310), ""), "StepStarted", f"Step 2 of 3 is over: {GOOD}.",
    ),
    "after the last step it is promoting": (
        standing(DONE, step=2, weight=25, weightSince=stamp()),
        (3, 25, stamp(), "Successful"), "Promoting", f"Step 3 of 3 is over: {GOOD}.",
    ),
    "a candidate that is down gets no requests at once": (
        replace(EARLY, pods=pods(0, asked=1)), (0, 0, None, ""), "CandidateUnavailable",
        "No pod of new is ready: its weight is 0.",
    ),
    "also while it is being promoted": (
        replace(LAST, pods=pods(0, asked=4), wanted=4), (3, 0, None, ""),
        "CandidateUnavailable", "No pod of new is ready: its weight is 0.",
    ),
    "a first success is written down": (
        replace(standing(EARLY, **UNMEASURED), analysed=judged(Verdict.SUCCESSFUL, GOOD, 85)),
        (0, 5, stamp(seconds=10), "Successful"), "StepHolding",
        f"Step 1 of 3: 5 % until {ENDS_AT}. Successful: {GOOD}.",
    ),
    "a failure within the limit is counted": (
        replace(EARLY, analysed=judged(Verdict.FAILED, BAD)),
        (0, 5, stamp(seconds=10), "Failed"), "StepHolding",
        f"Step 1 of 3: 5 % until {ENDS_AT}. Failed: {BAD}.",
    ),
    "errors in a row within the limit are counted": (
        replace(standing(EARLY, errors=1), analysed=judged(Verdict.ERROR, "no answer")),
        (0, 5, stamp(seconds=10), "Error"), "StepHolding",
        f"Step 1 of 3: 5 % until {ENDS_AT}. Error: no answer.",
    ),
    "a candidate that is down moves no step up, however well it did": (
        replace(DONE, pods=pods(0, asked=1)), (0, 0, None, ""), "CandidateUnavailable",
        "No pod of new is ready: its weight is 0.",
    ),
    "a skip ends a step": (
        replace(EARLY, asked="skip"), (1, 5, stamp(seconds=10), "Successful"), "StepStarted",
        "A request ended step 1 of 3 early.",
    ),
    "a skip ends a step that has not begun": (
        replace(STARTING, asked="skip"), (1, 0, None, ""), "StepStarted",
        "A request ended step 1 of 3 early.",
    ),
    "a promotion ends all steps": (
        replace(EARLY, asked="promote"), (3, 5, stamp(seconds=10), "Successful"), "Promoting",
        "A request ended step 1 of 3 early.",
    ),
    "what a request let up goes up although rollouts are paused": (
        replace(SECOND, policy=PAUSED, released=True), (1, 25, None, ""), "StepStarted",
        "Step 2 of 3: 25 % of requests to model-new.",
    ),
    "a paused step is never late: its time begins anew": (
        replace(standing(DONE, **UNMEASURED), policy=PAUSED, now=LATE),
        (0, 5, stamp(seconds=10), ""), "Paused",
        "spec.rollout.paused holds model-new at 5 % of requests.",
    ),
    "late without data, onNoData Pass goes on": (
        replace(
            standing(DONE, verdict="NoData", message="requests: 0 of 500 samples"),
            policy=Rollout.model_validate(
                {**POLICY.to_wire(), "analysis": {"onNoData": "Pass"}}
            ),
            now=LATE,
        ),
        (1, 5, stamp(seconds=10), "NoData"), "StepStarted",
        "Step 1 of 3 is over: requests: 0 of 500 samples.",
    ),
    "late without scrapes, onNoData Pass gives the weight": (
        replace(
            STARTING,
            scraped=None,
            policy=Rollout.model_validate(
                {**POLICY.to_wire(), "analysis": {"onNoData": "Pass"}}
            ),
            now=LATE,
        ),
        (0, 5, None, ""), "StepStarted", "Step 1 of 3: 5 % of requests to model-new.",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("seen", "claimed", "reason", "said"), CLAIMS.values(), ids=CLAIMS)
def test_claims(
    seen: Seen, claimed: tuple[int, int, str | None, str], reason: str, said: str
) -> None:
    move = step_rollout(seen)

    assert move.status != seen.status, "claims nothing"
    assert claim(move) == claimed
    assert (move.reason, move.message, move.complete) == (reason, said, False)


NOW = stamp(seconds=310)
REFUSALS: dict[str, tuple[Seen, str, str]] = {
    "more failures than allowed": (
        replace(standing(DONE, failures=1), analysed=judged(Verdict.FAILED, BAD)),
        "AnalysisFailed", f"Rolled back at 5 % (step 1 of 3): {BAD}.",
    ),
    "also before the hold is over": (
        replace(
            standing(DONE, failures=1, weightSince=stamp(seconds=300)),
            analysed=judged(Verdict.FAILED, BAD),
        ),
        "AnalysisFailed", f"Rolled back at 5 % (step 1 of 3): {BAD}.",
    ),
    "also while it is paused": (
        replace(
            standing(DONE, failures=1), analysed=judged(Verdict.FAILED, BAD), policy=PAUSED
        ),
        "AnalysisFailed", f"Rolled back at 5 % (step 1 of 3): {BAD}.",
    ),
    "also while it is being promoted": (
        replace(
            standing(DONE, failures=1, step=3),
            analysed=judged(Verdict.FAILED, BAD),
            pods=pods(4),
            wanted=4,
        ),
        "AnalysisFailed", f"Rolled back at 5 % (step 3 of 3): {BAD}.",
    ),
    "also of a candidate that has gone down": (
        replace(
            standing(DONE, failures=1),
            analysed=judged(Verdict.FAILED, BAD),
            pods=pods(0, asked=1),
        ),
        "AnalysisFailed", f"Rolled back at 5 % (step 1 of 3): {BAD}.",
    ),
    "more errors in a row than allowed": (
        replace(
            standing(DONE, errors=2),
            analysed=judged(Verdict.ERROR, "Prometheus could not be asked: refused"),
        ),
        "AnalysisError",
        "Rolled back at 5 % (step 1 of 3): Prometheus could not be asked: refused.",
    ),
    "a request": (
        replace(DONE, asked="abort"), "Aborted",
        "Rolled back at 5 % (step 1 of 3): A request ended the rollout.",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("seen", "reason", "said"), REFUSALS.values(), ids=REFUSALS)
def test_rolls_back(seen: Seen, reason: str, said: str) -> None:
    move = step_rollout(seen)

    assert (move.reason, move.message, move.complete) == (reason, said, False)
    assert_back_at_stable(move)
    assert [item.to_wire() for item in move.status.refused] == [
        {
            "digest": sha("new"),
            "revision": "new",
            "reason": reason,
            "message": said,
            "at": NOW,
            "generation": 3,
            "specHash": "hash-of-spec",
        }
    ]
    assert move.status.last_rollout is not None
    assert move.status.last_rollout.to_wire() == {
        "revision": "new",
        "modelVersion": "model-new",
        "outcome": "RolledBack",
        "reason": reason,
        "message": said,
        "ended": NOW,
    }


def assert_back_at_stable(move: Move) -> None:
    status = move.status
    assert (status.candidate, status.rollout) == (None, None)
    assert status.stable == role("old", 100)
    assert (status.retiring, status.retiring_since) == (("new",), None)


HOLD_LATE = replace(
    standing(DONE, verdict="NoData", message="requests: 9 of 500 samples"), now=LATE
)
FAIL = Rollout.model_validate({**POLICY.to_wire(), "analysis": {"onNoData": "Fail"}})
DEADLINES: dict[str, tuple[Seen, str, str, str]] = {
    "pods that never came are the model's fault": (
        replace(STARTING, pods=pods(0, asked=1), now=LATE), "RolledBack",
        "ProgressDeadlineExceeded",
        "Rolled back at 0 % (step 1 of 3): The pods of new were not ready within 3600 s.",
    ),
    "pods for more weight that never came are not": (
        replace(SECOND, wanted=2, now=at(seconds=3690)), "Inconclusive", "DeadlineExceeded",
        "Taken back without a verdict at 5 % (step 2 of 3): "
        "The pods of new were not ready within 3600 s.",
    ),
    "scrapes that never came": (
        replace(STARTING, scraped=frozenset(), now=LATE), "Inconclusive", "NoData",
        "Taken back without a verdict at 0 % (step 1 of 3): "
        "Prometheus had not two samples of each pod within 3600 s.",
    ),
    "an earlier revision that never ended": (
        replace(
            STARTING,
            status=STARTING.status.model_copy(update={"retiring": ("older",)}),
            routed=False,
            now=LATE,
        ),
        "Inconclusive", "DeadlineExceeded",
        "Taken back without a verdict at 0 % (step 1 of 3): "
        "The pods of older had not ended within 3600 s.",
    ),
    "a weight that was never seen": (
        replace(WRITTEN, in_force=False, route_trouble="Refused.", now=LATE), "Inconclusive",
        "DeadlineExceeded",
        "Taken back without a verdict at 5 % (step 1 of 3): "
        "The weight was not seen in force within 3600 s: Refused.",
    ),
    "no data is held": (
        HOLD_LATE, "Inconclusive", "NoData",
        "Taken back without a verdict at 5 % (step 1 of 3): Within 3600 s there was no "
        "successful verdict: requests: 9 of 500 samples.",
    ),
    "or fails, if so told": (
        replace(HOLD_LATE, policy=FAIL), "RolledBack", "NoData",
        "Rolled back at 5 % (step 1 of 3): Within 3600 s there was no "
        "successful verdict: requests: 9 of 500 samples.",
    ),
    "a failure within the limit is a failure in the end": (
        replace(standing(DONE, verdict="Failed", failures=1, message=BAD), now=LATE),
        "RolledBack", "AnalysisFailed",
        "Rolled back at 5 % (step 1 of 3): Within 3600 s there was no "
        f"successful verdict: {BAD}.",
    ),
    "an error within the limit says nothing of the model": (
        replace(standing(DONE, verdict="Error", errors=1, message="no answer"), now=LATE),
        "Inconclusive", "AnalysisError",
        "Taken back without a verdict at 5 % (step 1 of 3): Within 3600 s there was no "
        "successful verdict: no answer.",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("seen", "outcome", "reason", "said"), DEADLINES.values(), ids=DEADLINES)
def test_deadlines(seen: Seen, outcome: str, reason: str, said: str) -> None:
    move = step_rollout(seen)

    past = move.status.last_rollout
    assert past is not None
    assert (past.outcome, past.reason, past.message) == (outcome, reason, said)
    assert (move.status.candidate, move.status.rollout) == (None, None)
    assert move.status.retiring[-1] == "new"
    assert bool(move.status.refused) is (outcome == "RolledBack")


@pytest.mark.parametrize("verdict", ["Successful", "NoData", "Failed"])
def test_a_hold_longer_than_the_deadline_is_kept(verdict: str) -> None:
    long = Rollout.model_validate(
        {**POLICY.to_wire(), "canary": {"steps": [{"weight": 5, "holdSeconds": 7200}]}}
    )
    seen = replace(standing(DONE, verdict=verdict), policy=long, now=LATE)

    move = step_rollout(seen)

    assert (move.reason, move.status) == ("StepHolding", seen.status)


def test_one_second_before_the_deadline_nothing_ends() -> None:
    move = step_rollout(replace(HOLD_LATE, now=LATE - timedelta(seconds=1)))

    assert (move.reason, move.again) == ("AwaitingAnalysis", LATE)


def test_promotion_moves_pointers_and_nothing_else() -> None:
    others = (
        {**REFUSED.to_wire(), "digest": sha("new")},
        {**REFUSED.to_wire(), "digest": sha("x")},
    )
    before = ModelDeploymentStatus.model_validate(
        {**LAST.status.to_wire(), "refused": others, "retiring": ["older"], "retiringSince": NOW}
    )

    move = step_rollout(replace(LAST, status=before, pods=pods(4), wanted=4))

    after = move.status
    assert (move.complete, move.reason, move.message) == (
        True,
        "Promoted",
        f"model-new took over: {GOOD}.",
    )
    assert after.stable == role("new", 100)
    assert (after.candidate, after.rollout) == (None, None)
    assert (after.retiring, after.retiring_since) == (("older", "old"), None)
    assert [item.digest for item in after.refused] == [sha("x")]
    assert after.last_rollout is not None
    assert (after.last_rollout.outcome, after.last_rollout.ended) == (
        "Promoted",
        stamp(seconds=100),
    )


def test_the_first_ready_pod_makes_the_first_model_stable() -> None:
    move = step_rollout(replace(FIRST, pods=pods(1, asked=4)))

    assert (move.complete, move.reason, move.message) == (
        True,
        "InitialVersion",
        "model-new is the first model to serve.",
    )
    assert move.status.stable == role("new", 100)
    assert move.status.retiring == ()


def test_a_first_model_that_asks_for_no_pods_is_stable_at_once() -> None:
    move = step_rollout(replace(FIRST, replicas=0, wanted=0, pods=pods(0)))

    assert move.reason == "InitialVersion"


def test_a_rollout_is_claimed_before_anything_is_made() -> None:
    move = step_rollout(replace(BARE, choice=Choice(target=target("new", from_spec=True))))

    assert (move.reason, move.message) == (
        "RolloutStarted",
        "model-new is the candidate, as revision new.",
    )
    assert move.status.candidate == role("new")
    assert move.status.rollout is not None
    assert move.status.rollout.to_wire() == {
        "phase": "Starting",
        "step": 0,
        "stepStarted": stamp(seconds=100),
        "weight": 0,
        "failures": 0,
        "errors": 0,
        "verdict": "",
        "message": "",
        "fromGit": True,
    }


def test_what_is_said_of_a_model_is_said_when_it_becomes_the_candidate() -> None:
    choice = Choice(target=target("new"), note="It is not approved.")

    move = step_rollout(replace(BARE, choice=choice))

    assert move.message == "model-new is the candidate, as revision new. It is not approved."


def test_a_revision_on_its_way_out_may_come_back() -> None:
    leaving = BARE.status.model_copy(update={"retiring": ("older", "new")})

    move = step_rollout(replace(BARE, status=leaving))

    assert move.status.retiring == ("older",)


FULL = tuple(f"old-{n}" for n in range(8))


def test_rollouts_wait_while_too_many_revisions_are_on_their_way_out() -> None:
    full = BARE.status.model_copy(update={"retiring": FULL})

    move = step_rollout(replace(BARE, status=full))

    assert (move.status, move.reason) == (full, "Draining")


def test_a_newer_model_takes_the_candidates_place_in_one_claim() -> None:
    move = step_rollout(replace(DONE, choice=Choice(target=target("newer"))))

    said = "model-new is no candidate any more: model-newer took its place."
    assert (move.reason, move.message) == ("RolloutStarted", said)
    assert move.status.stable == role("old", 100)
    assert move.status.candidate == role("newer")
    assert claim(move) == (0, 0, None, "")
    assert move.status.retiring == ("new",)
    assert move.status.last_rollout is not None
    assert (move.status.last_rollout.outcome, move.status.last_rollout.message) == (
        "Superseded",
        said,
    )


GONE = {
    "spec asks for stable": (Choice(), "spec asks for what serves already."),
    "the pinned model is gone": (
        Choice(reason="DependencyNotReady", message="ModelVersion x does not exist."),
        "ModelVersion x does not exist.",
    ),
}


@pytest.mark.parametrize(("choice", "why"), GONE.values(), ids=GONE)
def test_a_candidate_nobody_asks_for_is_taken_out(choice: Choice, why: str) -> None:
    move = step_rollout(replace(DONE, choice=choice))

    said = f"model-new is no candidate any more: {why}"
    assert (move.reason, move.message) == ("Superseded", said)
    assert_back_at_stable(move)
    assert move.status.refused == ()


def test_a_newer_model_waits_for_room() -> None:
    full = DONE.status.model_copy(update={"retiring": FULL})

    move = step_rollout(replace(DONE, status=full, choice=Choice(target=target("newer"))))

    assert (move.status, move.reason) == (full, "Draining")


INCONCLUSIVE = step_rollout(HOLD_LATE).status
AGAIN = replace(BARE, status=INCONCLUSIVE, now=at(seconds=3700))


def test_no_data_refuses_no_model_and_is_tried_again_later() -> None:
    said = step_rollout(AGAIN)
    then = step_rollout(replace(AGAIN, now=at(seconds=4200)))

    assert said.status == AGAIN.status
    assert (said.complete, said.reason, said.again) == (False, "NoData", at(seconds=4200))
    assert said.message.endswith(f"It is tried again at {stamp(seconds=4200)}.")
    assert then.status.candidate == role("new")


def test_a_short_deadline_makes_a_short_pause() -> None:
    short = POLICY.model_copy(update={"step_deadline_seconds": 60})

    assert step_rollout(replace(AGAIN, policy=short)).status.candidate == role("new")


def test_a_request_ends_the_pause() -> None:
    assert step_rollout(replace(AGAIN, asked="retry")).status.candidate == role("new")


def test_another_model_does_not_wait() -> None:
    move = step_rollout(replace(AGAIN, choice=Choice(target=target("newer"))))

    assert move.status.candidate == role("newer")


REFUSED = step_rollout(REFUSALS["a request"][0]).status.refused[0]
PAST = step_rollout(replace(LAST, pods=pods(4), wanted=4)).status
IDLE = {
    "a promotion is remembered": (
        PAST, Choice(), (True, "Promoted", f"model-new took over: {GOOD}.")
    ),
    "a refusal is told while it holds": (
        BARE.status, Choice(reason="AnalysisFailed", message="Revision new was refused."),
        (False, "AnalysisFailed", "Revision new was refused."),
    ),
    "a refusal nobody asks about any more is not": (
        step_rollout(REFUSALS["a request"][0]).status, Choice(),
        (True, "Serving", "model-old serves; no other model is to take over."),
    ),
    "without a model there is a reason": (
        ModelDeploymentStatus(), Choice(reason="WaitingForModel", message="None yet."),
        (False, "WaitingForModel", "None yet."),
    ),
}  # fmt: skip


@pytest.mark.parametrize(("status", "choice", "said"), IDLE.values(), ids=IDLE)
def test_idle(status: ModelDeploymentStatus, choice: Choice, said: tuple[bool, str, str]) -> None:
    move = step_rollout(replace(BARE, status=status, choice=choice))

    assert move.status == status
    assert (move.complete, move.reason, move.message) == said
    assert move.again is None


def test_errors_count_in_a_row_only() -> None:
    seen = replace(standing(EARLY, errors=2), analysed=judged(Verdict.SUCCESSFUL, GOOD))

    move = step_rollout(seen)

    assert move.status.rollout is not None
    assert move.status.rollout.errors == 0


def test_failures_count_over_all_steps() -> None:
    raised = step_rollout(standing(SECOND, failures=1)).status.rollout
    after = step_rollout(standing(DONE, failures=1)).status.rollout

    assert raised is not None and after is not None
    assert (raised.failures, after.failures) == (1, 1)


def test_the_tenth_refusal_pushes_the_oldest_out() -> None:
    many = tuple(
        REFUSED.model_copy(update={"digest": sha(str(n)), "revision": f"r{n}"}) for n in range(10)
    )
    full = DONE.status.model_copy(update={"refused": many})

    after = step_rollout(replace(DONE, status=full, asked="abort")).status.refused

    assert [item.revision for item in after] == [*(f"r{n}" for n in range(1, 10)), "new"]


def test_without_a_route_the_weight_shown_is_the_one_achieved() -> None:
    raised = step_rollout(replace(STARTING, routed=False)).status
    seen = step_rollout(replace(WRITTEN, routed=False, achieved=33)).status

    assert (raised.candidate, raised.stable) == (role("new", 0), role("old", 100))
    assert (seen.candidate, seen.stable) == (role("new", 33), role("old", 67))


NEWS = {
    "the first success is news": ("", 0, Verdict.SUCCESSFUL, 300, True),
    "a success after a success is none": ("Successful", 0, Verdict.SUCCESSFUL, 300, False),
    "every failure counts": ("Failed", 0, Verdict.FAILED, 300, True),
    "every error counts": ("Error", 1, Verdict.ERROR, 300, True),
    "a success ends a row of errors": ("Successful", 2, Verdict.SUCCESSFUL, 300, True),
    "too few samples while a step holds are none": ("", 0, Verdict.NO_DATA, 309, False),
    "after the hold they are": ("", 0, Verdict.NO_DATA, 310, True),
    "once": ("NoData", 0, Verdict.NO_DATA, 340, False),
    "too few after enough are news": ("Successful", 0, Verdict.NO_DATA, 300, True),
}


@pytest.mark.parametrize(
    ("before", "errors", "verdict", "seconds", "news"), NEWS.values(), ids=NEWS
)
def test_what_a_measurement_says_is_written_when_it_is_news(
    before: str, errors: int, verdict: Verdict, seconds: float, news: bool
) -> None:
    rollout = STEP.model_copy(update={"verdict": before, "errors": errors})

    assert is_news(POLICY, rollout, judged(verdict, "", seconds)) is news


QUIET = {
    "a weight that is seen": (WRITTEN, False),
    "a first success": (CLAIMS["a first success is written down"][0], False),
    "a counted failure": (CLAIMS["a failure within the limit is counted"][0], True),
    "a step that begins": (STARTING, True),
    "a step that is over": (DONE, True),
}


@pytest.mark.parametrize(("seen", "told"), QUIET.values(), ids=QUIET)
def test_events_tell_what_happens_to_the_rollout(seen: Seen, told: bool) -> None:
    assert step_rollout(seen).told is told


ALL = [case[0] for table in (WAITS, CLAIMS, REFUSALS, DEADLINES) for case in table.values()]


@pytest.mark.parametrize("seen", ALL)
def test_a_claim_that_was_written_is_not_claimed_again(seen: Seen) -> None:
    """A crash after the write finds the claim, and the same look then changes nothing twice."""
    move = step_rollout(seen)
    written = replace(seen, status=move.status, asked="", analysed=None, in_force=False)

    again = step_rollout(written)

    if move.status.rollout is not None and again.status.rollout is not None:
        before, after = move.status.rollout, again.status.rollout
        assert (after.failures, after.errors) == (before.failures, before.errors)
        assert after.step - before.step in (0, 1)
