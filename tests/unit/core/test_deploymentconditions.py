"""The conditions of a ModelDeployment: each case says only what differs from one that serves."""

from dataclasses import replace
from typing import Any

import pytest

from tests.builders import condition as stored
from tests.builders import sha, stamp
from tidemill.api.base import Condition
from tidemill.api.v1alpha1.modeldeployment import ModelDeploymentStatus
from tidemill.core.candidates import Choice
from tidemill.core.conditions import condition
from tidemill.core.deploymentconditions import Facts, conditions, story
from tidemill.core.rolloutview import Move
from tidemill.core.scaling import Trouble, Workload

STABLE = {"revision": "r1", "modelVersion": "m1", "digest": sha("m1"), "weight": 100}
SERVING = ModelDeploymentStatus.model_validate({"stable": STABLE})
WATCHED = condition("Monitored", True, "NoDrift", "0 of 2 features drifted")
DONE = Facts(
    status=SERVING,
    replicas=2,
    choice=Choice(),
    move=Move(status=SERVING, complete=True, reason="Promoted", message="m1 took over."),
    stable=Workload(asked=2, pods=2, ready=2, endpoints=frozenset({"a", "b"})),
    revision_missing=False,
    routed=condition("Routed", True, "RouteAccepted", "Gateway public routes to it."),
    monitored=WATCHED,
)


def waiting(status: ModelDeploymentStatus = SERVING, reason: str = "StepHolding") -> Move:
    return Move(status=status, complete=False, reason=reason, message="As it stands.")


def rolling(*, from_git: bool) -> ModelDeploymentStatus:
    rollout = {"stepStarted": stamp(), "fromGit": from_git}
    return SERVING.model_copy(
        update={"rollout": ModelDeploymentStatus.model_validate({"rollout": rollout}).rollout}
    )


EMPTY = ModelDeploymentStatus()
DOWN = replace(DONE, stable=Workload(asked=2))
FIRST = replace(DONE, status=EMPTY, move=waiting(EMPTY, "CandidateStarting"), stable=Workload())
CASES: dict[str, tuple[Facts, dict[str, tuple[str, str, str]]]] = {
    "it serves": (
        DONE,
        {
            "Ready": ("True", "Serving", "m1 serves."),
            "Available": ("True", "PodsReady", "Pods of the stable revision are ready."),
            "RolloutComplete": ("True", "Promoted", "m1 took over."),
        },
    ),
    "what is said of the model is said": (
        replace(DONE, choice=Choice(note="It is not approved.")),
        {"Ready": ("True", "Serving", "m1 serves. It is not approved.")},
    ),
    "nothing serves yet": (
        FIRST,
        {
            "Ready": ("False", "CandidateStarting", "As it stands."),
            "Available": ("False", "CandidateStarting", "As it stands."),
        },
    ),
    "no pod is ready": (
        DOWN,
        {
            "Ready": ("False", "NoPodsReady", "No pod of r1 is ready."),
            "Available": ("False", "NoPodsReady", "No pod of r1 is ready."),
        },
    ),
    "and it is known why": (
        replace(
            DONE,
            stable=Workload(asked=2, trouble=Trouble(reason="SecretMissing", message="Make it.")),
        ),
        {"Ready": ("False", "SecretMissing", "Make it.")},
    ),
    "one ready pod is enough": (
        replace(
            DONE,
            stable=Workload(
                asked=2,
                endpoints=frozenset("a"),
                trouble=Trouble(reason="Unschedulable", message="No room."),
            ),
        ),
        {"Ready": ("True", "Serving", "m1 serves.")},
    ),
    "no pods are asked for": (
        replace(DOWN, replicas=0, stable=Workload()),
        {"Available": ("True", "ScaledToZero", "spec.replicas is 0: no pods are asked for.")},
    ),
    "the route is not accepted": (
        replace(DONE, routed=condition("Routed", False, "RouteNotAccepted", "Not here.")),
        {"Ready": ("False", "RouteNotAccepted", "Not here."), "Available": ("True", "", "")},
    ),
    "the Gateway has not answered": (
        replace(DONE, routed=condition("Routed", None, "RoutePending", "Waiting.")),
        {"Ready": ("False", "RoutePending", "Waiting.")},
    ),
    "a rollout does not make it less ready": (
        replace(DONE, status=rolling(from_git=False), move=waiting()),
        {
            "Ready": ("True", "Serving", "m1 serves."),
            "RolloutComplete": ("False", "StepHolding", "As it stands."),
            "Reconciling": ("", "", ""),
        },
    ),
    "what serves has learned from revoked data, and serves on": (
        replace(DONE, untrusted=condition("DataTrusted", False, "DataRevoked", "It was revoked.")),
        {
            "Ready": ("True", "Serving", "m1 serves."),
            "DataTrusted": ("False", "DataRevoked", "It was revoked."),
            "Stalled": ("", "", ""),
        },
    ),
    "a rollout by spec is reconciling": (
        replace(DONE, status=rolling(from_git=True), move=waiting()),
        {"Ready": ("True", "", ""), "Reconciling": ("True", "StepHolding", "As it stands.")},
    ),
    "a person has to act": (
        replace(
            DONE,
            status=rolling(from_git=True),
            move=waiting(),
            choice=Choice(reason="BundleInvalid", message="It is none.", stalled=True),
        ),
        {
            "Ready": ("True", "", ""),
            "Stalled": ("True", "BundleInvalid", "It is none."),
            "Reconciling": ("", "", ""),
        },
    ),
    "a refused retrained model is no reason to act": (
        replace(DONE, choice=Choice(reason="AnalysisFailed", message="It lost.", refused=True)),
        {"Stalled": ("", "", "")},
    ),
    "a host name is another's": (
        replace(DONE, routed=condition("Routed", False, "HostnameConflict", "Choose another.")),
        {"Stalled": ("True", "HostnameConflict", "Choose another.")},
    ),
    "a first model that never starts": (
        replace(FIRST, move=waiting(EMPTY, "ProgressDeadlineExceeded")),
        {"Stalled": ("True", "ProgressDeadlineExceeded", "As it stands.")},
    ),
    "what serves was deleted": (
        replace(DOWN, revision_missing=True),
        {
            "Ready": (
                "False", "RevisionMissing",
                "ControllerRevision r1 is gone, and nothing is left to make it from: change "
                "spec.model, or approve another model.",
            ),
            "Stalled": ("True", "RevisionMissing", ""),
        },
    ),
}  # fmt: skip


@pytest.mark.parametrize(("facts", "wanted"), CASES.values(), ids=CASES)
def test_conditions(facts: Facts, wanted: dict[str, tuple[str, str, str]]) -> None:
    found = {item.type: item for item in conditions(facts)}

    for kind, (status, reason, message) in wanted.items():
        if not status:
            assert kind not in found
            continue
        item = found[kind]
        assert item.status == status
        assert item.reason == (reason or item.reason)
        assert item.message == (message or item.message)


def test_every_condition_is_there_from_the_first_look() -> None:
    assert {item.type for item in conditions(FIRST)} == {
        "Ready", "Available", "RolloutComplete", "Monitored", "Routed",
    }  # fmt: skip


def test_without_a_route_there_is_no_word_of_one() -> None:
    assert "Routed" not in {item.type for item in conditions(replace(DONE, routed=None))}


def held(*items: tuple[str, str, str]) -> list[Condition]:
    return [stored(kind, status, reason, f"{reason}.") for kind, status, reason in items]


WAITS = ("RolloutComplete", "False", "CandidateStarting")
MOVED = Move(status=SERVING, complete=False, reason="StepStarted", message="5 % of requests.")
STORIES: dict[str, tuple[list[Condition], list[Condition], Move | None, list[Any]]] = {
    "nothing happened": (held(WAITS), held(WAITS), None, []),
    "what a rollout does is told in its own words": (
        held(WAITS), held(("RolloutComplete", "False", "WaitingForRoute")), MOVED,
        [("StepStarted", False)],
    ),
    "what it does not tell is not told": (
        held(WAITS), held(("RolloutComplete", "False", "StepHolding")),
        replace(MOVED, told=False), [],
    ),
    "another kind of waiting is told": (
        held(WAITS), held(("RolloutComplete", "False", "NotScraped")), None,
        [("NotScraped", False)],
    ),
    "a rollback is a warning": (
        held(WAITS), held(("RolloutComplete", "False", "AnalysisFailed")),
        replace(MOVED, reason="AnalysisFailed"), [("AnalysisFailed", True)],
    ),
    "what else became different is told after it": (
        held(WAITS, ("Available", "True", "PodsReady")),
        held(WAITS, ("Available", "False", "NoPodsReady")), MOVED,
        [("StepStarted", False), ("NoPodsReady", True)],
    ),
    "one thing is told once": (
        held(WAITS, ("Ready", "True", "Serving")),
        held(("RolloutComplete", "False", "Promoting"), ("Ready", "False", "Promoting")), None,
        [("Promoting", False)],
    ),
}  # fmt: skip


@pytest.mark.parametrize(("before", "after", "move", "told"), STORIES.values(), ids=STORIES)
def test_story(
    before: list[Condition], after: list[Condition], move: Move | None, told: list[Any]
) -> None:
    found = story(before, after, move)

    assert [(item.reason, item.warning) for item in found] == told
