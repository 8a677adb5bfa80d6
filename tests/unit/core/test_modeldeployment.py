"""A ModelDeployment as a whole, in a small cluster in memory: see tests/unit/world.py."""

import copy
from datetime import timedelta
from typing import Any

import pytest

from tests.builders import NAMESPACE, condition, make_model, metadata, sha, stamp
from tests.unit.world import NAME, PREFIX, ROOT, SCRAPE, World, bundle_of, spec
from tidemill.core.plan import Plan
from tidemill.core.revisions import beside
from tidemill.settings import Settings

SPRING, SUMMER = "2013-06-30T23:00:00Z", "2013-09-30T23:00:00Z"


def rolling(world: World | None = None, *, weight: int = 5) -> World:
    """A second model has this weight."""
    world = world or World().serving()
    world.approve("delays-v2", dataEnd=SPRING)
    world.settle()
    while world.status["candidate"]["weight"] != weight:
        world.wait(seconds=5)
    return world


def stable(world: World) -> str:
    name: str = world.status["stable"]["revision"]
    return name


def candidate(world: World) -> str:
    name: str = world.status["candidate"]["revision"]
    return name


def types(world: World) -> set[str]:
    return {item["type"] for item in world.status["conditions"]}


def test_without_a_model_it_waits_and_makes_nothing() -> None:
    world = World()

    world.settle()

    said = "TrainingJob delays has no approved model yet."
    assert world.condition("Ready") == ("False", "WaitingForModel", said)
    assert world.writes == ["status"]
    assert types(world) == {"Ready", "Available", "RolloutComplete", "Monitored", "Routed"}
    assert [(item.reason, item.warning) for item in world.events] == [("WaitingForModel", False)]


def test_the_first_model_takes_all_traffic() -> None:
    world = World().serving()

    name = stable(world)
    assert world.condition("Ready") == ("True", "Serving", "delays-v1 serves.")
    assert world.weights() == {name: 100}
    assert world.scales() == {name: 2}
    assert world.status["replicas"] == 2
    assert world.status["selector"] == (
        f"tidemill.dev/modeldeployment=delays,tidemill.dev/revision={name}"
    )
    assert world.status["url"] == "http://delays.example.com"
    assert "Stalled" not in types(world)
    assert "Reconciling" not in types(world)
    entry = world.get("Service", NAME)
    assert entry is not None
    assert entry["spec"]["selector"]["tidemill.dev/revision"] == name
    assert world.get("PodDisruptionBudget", NAME) is not None


def test_a_model_whose_data_were_revoked_serves_on_and_is_told() -> None:
    world = World().serving()
    name, told = stable(world), len(world.events)
    model = world.get("ModelVersion", "delays-v1")
    assert model is not None
    said = "DatasetVersion flights-1, which it has learned from, was revoked."
    approved = condition("Approved", "False", "DataRevoked", said).to_wire()
    world.put({**model, "status": {"conditions": [approved]}})

    world.settle()

    status, reason, message = world.condition("DataTrusted")
    assert (status, reason) == ("False", "DataRevoked")
    assert message == (
        f"{said} ModelVersion delays-v1 goes on serving; train and approve another one, or name an"
        " older one in spec.model."
    )
    assert world.condition("Ready")[0] == "True"
    assert (stable(world), world.weights()) == (name, {name: 100})
    assert [(item.reason, item.warning) for item in world.events[told:]] == [("DataRevoked", True)]


def test_a_first_model_is_the_specs_doing() -> None:
    world = World()
    world.approve("delays-v1")
    world.broken.add(world.plan().claim["candidate"]["revision"])  # type: ignore[index]

    world.settle()

    status, reason, said = world.condition("Reconciling")
    assert (status, reason) == ("True", "CandidateStarting")
    assert said == f"Waiting for a pod of {candidate(world)} to be ready."
    assert world.condition("Ready")[:2] == ("False", "CandidateStarting")


def test_a_pass_that_changes_nothing_does_nothing() -> None:
    world = World().serving()
    world.wait(minutes=65)
    assert world.metrics is not None
    asked, writes = len(world.metrics.asked), len(world.writes)

    plan = world.step()
    world.step()

    assert (plan.claim, plan.create, plan.delete, plan.status, plan.events) == (
        None, (), (), None, (),
    )  # fmt: skip
    assert len(world.writes) == writes
    assert len(world.metrics.asked) == asked, "what is known is not asked again"


def test_a_whole_canary() -> None:
    world = World().serving()
    first = stable(world)
    told = len(world.events)
    before = copy.deepcopy(world.get("Deployment", first))
    world.approve("delays-v2", dataEnd=SPRING)

    seen: list[dict[str, int]] = []
    for _ in range(60):
        world.wait(seconds=5)
        weights = world.weights()
        if not seen or seen[-1] != weights:
            seen.append(weights)

    second = stable(world)
    assert world.status["stable"]["modelVersion"] == "delays-v2"
    assert seen == [
        {first: 95, second: 5},
        {first: 50, second: 50},
        {second: 100, first: 0},
        {second: 100},
    ]
    assert world.status["lastRollout"]["outcome"] == "Promoted"
    said = "delays-v2 took over: error-rate 0 <= 0.01 (n=300)."
    assert world.condition("RolloutComplete") == ("True", "Promoted", said)
    assert [item.reason for item in world.events[told:]] == [
        "RolloutStarted", "StepStarted", "StepStarted", "StepStarted", "Promoting", "Promoted",
        "Collecting",
    ]  # fmt: skip
    assert not any(item.warning for item in world.events[told:])
    assert world.scales() == {second: 2}
    assert before is not None
    assert world.get("Deployment", first) is None
    assert world.get("Service", first) is None
    assert world.get("ControllerRevision", first) is not None, "history is kept"
    assert {"status", f"apply Deployment {second}"} <= set(world.writes)


def test_a_follow_rollout_is_never_reconciling() -> None:
    world = rolling()

    assert "Reconciling" not in types(world)
    assert world.condition("Ready")[0] == "True"


def test_pods_come_before_the_weight_and_scrapes_too() -> None:
    world = World().serving()
    assert world.metrics is not None
    world.metrics.scraped = set()
    world.approve("delays-v2", dataEnd=SPRING)

    plan = world.settle()

    assert world.scales()[candidate(world)] == 1
    assert world.weights()[candidate(world)] == 0
    assert world.condition("RolloutComplete")[1] == "NotScraped"
    assert plan.requeue_after == SCRAPE

    world.metrics.scraped = None
    world.wait(seconds=SCRAPE)

    assert world.weights()[candidate(world)] == 5


def test_a_measurement_is_one_query_and_is_asked_once() -> None:
    world = rolling()
    assert world.metrics is not None
    world.wait(seconds=50)
    world.metrics.asked.clear()

    world.wait(seconds=2)
    for _ in range(5):
        world.step()

    assert world.metrics.asked == []


def test_status_is_written_only_when_something_happens() -> None:
    world = rolling()
    before = world.status_writes

    world.wait(seconds=46)  # the first measurement at 45 s
    assert world.status_writes == before + 1
    world.change_spec(rollout={**spec()["rollout"], "paused": True})
    world.settle()
    paused = world.status_writes
    world.wait(minutes=30)

    assert world.status_writes == paused + 1, "only that it is held by the pause"
    assert world.condition("RolloutComplete")[1] == "Paused"


def test_a_bad_candidate_is_rolled_back() -> None:
    world = rolling()
    assert world.metrics is not None
    first, second = stable(world), candidate(world)
    world.metrics.failing = 0.034
    told = len(world.events)

    world.wait(seconds=46)

    assert world.weights() == {first: 100, second: 0}
    assert world.scales() == {first: 2, second: 1}, "it drains first"
    said = "Rolled back at 5 % (step 1 of 2): error-rate 0.034 > 0.01 (n=300)."
    assert world.status["lastRollout"]["outcome"] == "RolledBack"
    assert world.status["refused"][0]["message"] == said
    assert [(item.reason, item.message, item.warning) for item in world.events[told:]] == [
        ("AnalysisFailed", said, True)
    ]
    status, reason, message = world.condition("RolloutComplete")
    assert (status, reason) == ("False", "AnalysisFailed")
    assert message == (
        f"Revision {second} was refused: {said} delays-v1 keeps serving. It is tried again when "
        f"spec changes, or on request: retry/{second}."
    )
    assert world.condition("Ready") == ("True", "Serving", "delays-v1 serves.")
    assert {"Stalled", "Reconciling"} & types(world) == set(), "normal work"

    world.wait(seconds=30)

    assert world.scales() == {first: 2}
    assert world.weights() == {first: 100}
    assert world.get("Service", second) is None
    writes = len(world.writes)
    world.wait(minutes=20)
    assert len(world.writes) == writes, "a refused model is not tried again"


def test_an_autoscaler_does_not_bring_a_refused_model_back() -> None:
    world = rolling()
    assert world.metrics is not None
    world.metrics.failing = 0.5
    world.wait(minutes=3)

    world.change_spec(replicas=5)
    world.wait(minutes=3)

    assert "candidate" not in world.status
    assert world.scales() == {stable(world): 5}
    assert len(world.status["refused"]) == 1


def test_a_changed_spec_tries_again_and_that_is_the_specs_doing() -> None:
    world = rolling()
    assert world.metrics is not None
    world.metrics.failing = 0.5
    world.wait(minutes=3)
    world.metrics.failing = 0.0

    world.change_spec(rollout={**spec()["rollout"], "drainSeconds": 11})
    world.settle()

    assert world.status["candidate"]["modelVersion"] == "delays-v2"
    assert world.condition("Reconciling")[0] == "True"


def test_other_resources_are_another_revision_by_canary() -> None:
    world = World().serving()
    first = stable(world)

    world.change_spec(resources={"cpu": "1", "memory": "1Gi"})
    world.settle()

    second = candidate(world)
    assert world.status["candidate"]["modelVersion"] == "delays-v1"
    assert second != first
    assert world.weights() == {first: 95, second: 5}
    assert world.condition("Reconciling")[0] == "True"
    assert world.condition("Ready")[0] == "True"
    made = world.get("Deployment", second)
    assert made is not None
    container = made["spec"]["template"]["spec"]["containers"][0]
    assert container["resources"]["limits"] == {"memory": "1Gi"}


def test_a_refused_change_of_spec_is_stalled_until_it_changes() -> None:
    world = World().serving()
    assert world.metrics is not None
    world.metrics.failing = 0.5
    world.change_spec(resources={"cpu": "1", "memory": "1Gi"})

    world.wait(minutes=3)

    status, reason, _ = world.condition("Stalled")
    assert (status, reason) == ("True", "AnalysisFailed")
    assert world.condition("Ready")[0] == "True"
    assert "Reconciling" not in types(world)

    world.change_spec(resources={"cpu": "100m", "memory": "256Mi"})
    world.settle()

    assert {"Stalled", "Reconciling"} & types(world) == set()
    assert world.condition("RolloutComplete")[0] == "True"


def test_another_serving_image_restarts_nothing() -> None:
    world = World().serving()
    writes = len(world.writes)
    world.settings = Settings(
        artifact_root=ROOT, scrape_seconds=SCRAPE, serving_image="tidemill/serving:next"
    )

    world.wait(minutes=30)

    assert len(world.writes) == writes
    world = rolling(world)
    images = {
        item["metadata"]["name"]: item["spec"]["template"]["spec"]["containers"][0]["image"]
        for item in world.store.select("Deployment", NAMESPACE)
    }
    assert images[candidate(world)] == "tidemill/serving:next"
    assert images[stable(world)] == Settings().serving_image


def test_a_candidate_that_dies_gets_no_requests_and_may_come_back() -> None:
    world = rolling(weight=50)
    first, second = stable(world), candidate(world)

    world.broken.add(second)
    world.controllers()
    world.settle()

    assert world.weights() == {first: 100, second: 0}
    assert world.status["rollout"]["step"] == 1
    assert world.condition("RolloutComplete")[1] == "CandidateStarting"
    assert world.condition("Ready")[0] == "True"

    world.broken.clear()
    world.controllers()
    world.settle()

    assert world.weights() == {first: 50, second: 50}


def test_a_newer_model_takes_the_place_of_a_candidate() -> None:
    world = rolling()
    first, second = stable(world), candidate(world)

    world.approve("delays-v3", dataEnd=SUMMER)
    world.settle()

    assert world.status["candidate"]["modelVersion"] == "delays-v3"
    assert world.status["lastRollout"]["outcome"] == "Superseded"
    assert world.status["refused"] == []
    world.wait(seconds=30)
    assert set(world.weights()) == {first, candidate(world)}
    assert second not in world.scales()


def test_prometheus_that_fails_for_long_ends_the_rollout() -> None:
    world = rolling()
    assert world.metrics is not None
    world.metrics.down = True

    world.wait(minutes=4)

    last = world.status["lastRollout"]
    assert (last["outcome"], last["reason"]) == ("RolledBack", "AnalysisError")
    assert last["message"] == (
        "Rolled back at 5 % (step 1 of 2): "
        "Prometheus could not be asked: Prometheus: connection refused."
    )


def test_without_traffic_a_model_is_not_refused_but_tried_again() -> None:
    world = World().serving()
    assert world.metrics is not None
    world.metrics.rate = 0.0
    world = rolling(world)

    world.wait(minutes=50)
    said = world.condition("RolloutComplete")
    assert said[1] == "AwaitingAnalysis"
    assert said[2].endswith("NoData: requests: 0 of 100 samples.")
    world.wait(minutes=11)

    last = world.status["lastRollout"]
    assert (last["outcome"], last["reason"]) == ("Inconclusive", "NoData")
    assert world.status["refused"] == []
    assert world.condition("Ready")[0] == "True"
    assert world.metrics is not None
    world.metrics.rate = 10.0
    world.wait(minutes=15)
    assert world.status["stable"]["modelVersion"] == "delays-v2"


def test_without_prometheus_a_step_waits_for_a_person() -> None:
    world = World()
    world.metrics = None
    world = rolling(world.serving())

    world.wait(minutes=5)

    said = world.condition("RolloutComplete")
    assert said[1] == "AwaitingAnalysis"
    assert said[2].endswith(
        "NoData: no Prometheus is configured for the operator (TIDEMILL_PROMETHEUS_URL)."
    )
    assert world.condition("Monitored")[:2] == ("False", "NotMonitored")
    world.request(f"promote/{candidate(world)}")
    world.wait(seconds=5)
    assert world.status["stable"]["modelVersion"] == "delays-v2"


def paused(world: World, value: bool = True) -> None:
    world.change_spec(rollout={**spec()["rollout"], "paused": value})


def test_a_pause_keeps_the_weight_and_failures_still_roll_back() -> None:
    world = rolling()
    assert world.metrics is not None
    paused(world)
    world.wait(hours=5)
    assert world.weights()[candidate(world)] == 5

    world.metrics.failing = 0.5
    world.wait(minutes=1)

    assert world.status["lastRollout"]["reason"] == "AnalysisFailed"


def test_a_request_moves_one_step_although_rollouts_are_paused() -> None:
    world = rolling()
    paused(world)
    world.settle()

    world.request(f"skip/{candidate(world)}")
    world.wait(minutes=10)

    assert world.weights()[candidate(world)] == 50
    assert world.condition("RolloutComplete")[1] == "Paused"
    assert world.status["request"].startswith("skip/")

    paused(world, False)
    world.wait(minutes=3)
    assert world.status["stable"]["modelVersion"] == "delays-v2"


def test_a_promotion_by_request_waits_for_all_pods() -> None:
    world = rolling()
    second = candidate(world)

    world.request(f"promote/{second}")
    world.step()

    assert world.status["stable"]["revision"] != second
    assert world.condition("RolloutComplete")[1] == "Promoting"
    world.settle()
    assert stable(world) == second
    assert world.scales()[second] == 2


def test_an_abort_refuses_and_a_retry_lets_in_again() -> None:
    world = rolling()
    second = candidate(world)

    world.request(f"abort/{second}")
    world.settle()

    assert world.status["lastRollout"]["reason"] == "Aborted"
    assert "candidate" not in world.status

    world.now += timedelta(seconds=5)
    world.request(f"retry/{second}")
    world.settle()

    assert candidate(world) == second
    assert world.status["refused"] == []
    assert "Retried" in [item.reason for item in world.events]


IGNORED = {
    "another revision than the candidate": (
        "promote/delays-0", "the candidate is {candidate}, not delays-0."
    ),
    "no target": ("skip", "skip needs a target, as in skip/<target>@<time>."),
    "an unknown verb": ("refresh/x", "refresh is not one of abort, promote, retry, skip."),
    "a revision nobody refused": ("retry/delays-0", "delays-0 was not refused."),
}  # fmt: skip


@pytest.mark.parametrize(("text", "why"), IGNORED.values(), ids=IGNORED)
def test_a_wrong_request_is_answered_once_and_changes_nothing(text: str, why: str) -> None:
    world = rolling()
    told, before = len(world.events), world.status

    world.request(text)
    world.settle()

    (event,) = world.events[told:]
    assert (event.reason, event.warning) == ("RequestIgnored", True)
    assert event.message.endswith(why.format(candidate=candidate(world)))
    assert world.status["request"].startswith(text)
    assert {**world.status, "request": ""} == {**before, "request": ""}


def test_without_a_rollout_there_is_nothing_to_promote() -> None:
    world = World().serving()

    world.request("promote/delays-0")
    world.settle()

    assert world.events[-1].message.endswith("was ignored: no rollout is under way.")


def test_without_a_route_the_weight_is_the_share_of_the_pods() -> None:
    world = World(spec(route=None)).serving()
    assert "Routed" not in types(world)
    assert world.status["url"] == "http://delays.tides.svc"
    world.approve("delays-v2", dataEnd=SPRING)
    entry = world.get("Service", NAME)
    assert entry is not None

    world.settle()

    second = candidate(world)
    assert world.scales() == {stable(world): 2, second: 1}
    assert world.status["candidate"]["weight"] == 33
    assert world.status["rollout"]["weight"] == 5
    assert world.get("HTTPRoute", NAME) is None
    world.wait(seconds=61)
    assert world.scales()[second] == 2
    assert world.status["candidate"]["weight"] == 50
    world.wait(minutes=5)
    assert stable(world) == second
    assert world.scales() == {second: 2}
    entry = world.get("Service", NAME)
    assert entry is not None
    assert entry["spec"]["selector"]["tidemill.dev/revision"] == second


def test_without_a_route_a_candidate_that_starts_gets_no_requests() -> None:
    world = World(spec(route=None)).serving()
    assert world.metrics is not None
    world.metrics.scraped = set()
    world.approve("delays-v2", dataEnd=SPRING)

    world.settle()

    slices = world.get("EndpointSlice", f"{NAME}-abcde")
    assert slices is not None
    assert {item["targetRef"]["name"] for item in slices["endpoints"]} == world.pods_of(
        stable(world)
    )


def test_a_gateway_that_does_not_answer_keeps_the_weight_from_counting() -> None:
    world = World().serving()
    world.gateway_answers = False
    world.approve("delays-v2", dataEnd=SPRING)

    world.settle()

    assert world.weights()[candidate(world)] == 5
    assert world.condition("RolloutComplete")[1:] == (
        "WaitingForRoute", "Step 1 of 2: waiting to see 5 % in force.",
    )  # fmt: skip
    assert world.condition("Routed")[0] == "True", "it was accepted before; that is no news"
    assert "weightSince" not in world.status["rollout"]


def test_a_gateway_that_refuses_says_why() -> None:
    world = World()
    world.accept = ("False", "NotAllowedByListeners", "not from here")
    world.approve("delays-v1")

    world.settle()

    said = "Gateway public refuses the route: NotAllowedByListeners: not from here"
    assert world.condition("Routed") == ("False", "RouteNotAccepted", said)
    assert world.condition("Ready") == ("False", "RouteNotAccepted", said)


def test_old_pods_stay_until_the_weight_is_seen_out() -> None:
    world = rolling(weight=50)
    first, second = stable(world), candidate(world)
    world.wait(seconds=55)
    world.gateway_answers = False

    world.wait(minutes=10)

    assert stable(world) == second
    assert world.status["retiring"] == [first]
    assert "retiringSince" not in world.status
    assert world.scales()[first] == 2
    world.gateway_answers = True
    world.controllers()
    world.wait(seconds=9)
    assert world.scales()[first] == 2
    world.wait(seconds=2)
    assert first not in world.scales()


def test_without_the_gateway_api_the_route_is_not_made() -> None:
    world = World()
    world.store.set_served("HTTPRoute", False)
    world.approve("delays-v1")

    world.settle()

    assert world.condition("Ready")[:2] == ("False", "GatewayApiMissing")
    assert world.condition("Stalled")[:2] == ("True", "GatewayApiMissing")
    assert world.status["stable"]["modelVersion"] == "delays-v1", "it serves by its Service"
    assert world.get("HTTPRoute", NAME) is None


def other(name: str, created: str, hostname: str) -> dict[str, Any]:
    return {
        "apiVersion": "tidemill.dev/v1alpha1",
        "kind": "ModelDeployment",
        "metadata": metadata(name, creationTimestamp=created),
        "spec": spec(
            route={
                "gatewayRef": {"name": "public", "namespace": "gateways"},
                "hostnames": [hostname],
            }
        ),
    }


def test_the_younger_of_two_with_one_host_name_says_so() -> None:
    world = World().serving()

    world.put(other("older", stamp(hours=-1), "delays.example.com"))
    world.settle()

    assert world.condition("Routed")[:2] == ("False", "HostnameConflict")
    assert world.condition("Stalled")[:2] == ("True", "HostnameConflict")
    assert world.get("HTTPRoute", NAME) is None
    assert world.status["url"] == ""


def test_the_older_of_two_does_not_mind() -> None:
    world = World().serving()
    writes = len(world.writes)

    world.put(other("younger", stamp(hours=1), "delays.example.com"))
    world.settle()

    assert len(world.writes) == writes


def test_a_route_that_is_no_longer_asked_for_goes() -> None:
    world = World().serving()

    world.change_spec(route=None)
    world.settle()

    assert world.get("HTTPRoute", NAME) is None
    assert world.status["url"] == "http://delays.tides.svc"


def importing(world: World | None = None, **bundle: Any) -> World:
    made = make_model("prod-v1", bundle={"uri": f"{PREFIX}/in/bundle.json", "digest": sha("b")})
    document = bundle_of(made, **bundle)
    given = {"bundle": {"uri": made.spec.bundle.uri, "digest": made.spec.bundle.digest}}
    world = world or World(spec(model=given))
    world.objects.held[made.spec.bundle.uri] = document.model_dump_json(by_alias=True).encode()
    return world


def test_a_bundle_is_recorded_once_and_serves() -> None:
    world = importing()

    world.settle()

    (record,) = world.store.select("ModelVersion", NAMESPACE)
    name = record["metadata"]["name"]
    assert name == f"delays-{sha('b')[7:15]}"
    assert record["spec"]["origin"] == "Imported"
    assert record["spec"]["modelUri"] == f"{PREFIX}/in/model.onnx"
    assert "ownerReferences" not in record["metadata"]
    assert world.status["stable"]["modelVersion"] == name
    assert [item for item in world.writes if item.startswith("create ModelVersion")] == [
        f"create ModelVersion {name}"
    ]


def test_a_bundle_that_is_not_there_is_looked_for_again() -> None:
    world = importing()
    world.objects.held.clear()

    plan = world.settle()

    said = f"There is no bundle at {PREFIX}/in/bundle.json."
    assert world.condition("Ready") == ("False", "BundleNotFound", said)
    assert "Stalled" not in types(world)
    assert plan.requeue_after == 30.0


def test_a_bundle_that_is_none_is_stalled() -> None:
    world = importing()
    world.objects.held[f"{PREFIX}/in/bundle.json"] = b'{"version": 1}'

    world.settle()

    assert world.condition("Stalled")[:2] == ("True", "BundleInvalid")
    assert "model: Field required" in world.condition("Ready")[2]


def test_a_store_that_is_away_does_not_touch_what_serves() -> None:
    world = World().serving()
    world.objects.down = True
    world.approve("delays-v2", dataEnd=SPRING)

    plan = world.settle()

    assert world.condition("Ready")[0] == "True"
    assert world.condition("RolloutComplete")[1:] == (
        "StoreUnavailable", "The artifact store did not answer.",
    )  # fmt: skip
    assert plan.requeue_after == 30.0
    world.objects.down = False
    world.wait(seconds=40)
    assert world.weights()[candidate(world)] == 5


def test_a_pinned_model_serves_though_nobody_approved_it() -> None:
    world = World(spec(model={"modelVersionRef": {"name": "delays-v1"}}))
    world.record(make_model("delays-v1", approved=False))

    world.settle()

    assert world.condition("Ready") == (
        "True", "Serving",
        "delays-v1 serves. ModelVersion delays-v1 is not approved (GatesMissed); it serves "
        "because spec names it.",
    )  # fmt: skip


def test_a_deleted_revision_of_what_serves_is_written_down_again() -> None:
    world = World().serving()
    name = stable(world)
    before = copy.deepcopy(world.get("Deployment", name))
    held = world.get("ControllerRevision", name)
    assert held is not None and before is not None
    world.store.remove(held, gone=True)
    world.settings = Settings(artifact_root=ROOT, serving_image="tidemill/serving:next")

    world.settle()

    again = world.get("ControllerRevision", name)
    assert again is not None
    assert again["data"]["podTemplate"] == before["spec"]["template"]
    assert world.get("Deployment", name) == before


def test_a_revision_that_cannot_be_made_again_is_said() -> None:
    world = World().serving()
    name = stable(world)
    for kind, of in (
        ("ControllerRevision", name), ("Deployment", name), ("ModelVersion", "delays-v1"),
        ("EndpointSlice", f"{name}-abcde"),
    ):  # fmt: skip
        held = world.get(kind, of)
        assert held is not None
        world.store.remove(held, gone=True)

    world.settle()

    assert world.condition("Ready")[:2] == ("False", "RevisionMissing")
    assert world.condition("Stalled")[:2] == ("True", "RevisionMissing")


def test_three_old_revisions_are_kept() -> None:
    world = World().serving()
    for number in range(2, 8):
        world.approve(f"delays-v{number}", dataEnd=f"20{number + 20}-06-30T23:00:00Z")
        world.settle()
        world.request(f"promote/{candidate(world)}")
        world.wait(seconds=30)

    held = world.store.select("ControllerRevision", NAMESPACE)

    assert sorted(item["revision"] for item in held) == [4, 5, 6, 7]


def test_scaled_to_zero_it_is_available_and_no_rollout_starts() -> None:
    world = World().serving()
    world.change_spec(replicas=0)
    world.settle()
    world.approve("delays-v2", dataEnd=SPRING)

    world.settle()

    assert world.condition("Available")[:2] == ("True", "ScaledToZero")
    assert world.condition("RolloutComplete")[:2] == ("Unknown", "ScaledToZero")
    assert "candidate" not in world.status
    assert world.scales() == {stable(world): 0}


def test_stable_without_a_ready_pod_is_not_ready() -> None:
    world = World().serving()
    world.broken.add(stable(world))
    world.controllers()

    world.settle()

    said = f"No pod of {stable(world)} is ready."
    assert world.condition("Ready") == ("False", "NoPodsReady", said)


SHARES = {"dep_hour": [0.2, 0.3, 0.3, 0.2], "carrier": [0.6, 0.35, 0.05]}
SHIFTED = {**SHARES, "dep_hour": [0.0, 0.0, 0.3, 0.7]}


def watched() -> World:
    world = World()
    assert world.metrics is not None
    world.metrics.features = dict(SHARES)
    return world.serving()


def test_drift_is_counted_then_confirmed_once() -> None:
    world = watched()
    assert world.metrics is not None
    world.wait(minutes=61)
    assert world.condition("Monitored")[:2] == ("True", "NoDrift")
    world.metrics.features = dict(SHIFTED)

    world.wait(hours=1)
    assert world.condition("Monitored")[:2] == ("True", "Drifted")
    assert "episode" not in world.status
    world.wait(hours=1)

    assert world.status["episode"] == {
        "number": 1,
        "baseline": world.store.select("ControllerRevision", NAMESPACE)[0]["data"]["model"][
            "profile"
        ]["digest"],
        "since": stamp(hours=1),
        "dataAfter": "2013-04-01T00:00:00Z",
        "features": ["dep_hour"],
    }
    assert world.condition("Ready")[0] == "True"
    assert "Stalled" not in types(world)
    told = [item.reason for item in world.events]
    assert told.count("DriftConfirmed") == 1
    world.wait(hours=3)
    assert world.status["episodes"] == 1


def test_another_model_closes_the_episode_unless_it_has_the_same_baseline() -> None:
    world = watched()
    assert world.metrics is not None
    world.metrics.features = dict(SHIFTED)
    world.wait(hours=2, minutes=5)
    assert world.status["episode"]["number"] == 1

    version = make_model("delays-v2", dataEnd=SPRING)
    world.record(version)
    document = bundle_of(version)
    other_profile = document.profile.model_copy(update={"digest": sha("other profile")})
    world.objects.held[version.spec.bundle.uri] = (
        document.model_copy(update={"profile": other_profile})
        .model_dump_json(by_alias=True)
        .encode()
    )
    world.wait(minutes=10)

    assert world.status["stable"]["modelVersion"] == "delays-v2"
    assert "episode" not in world.status
    assert world.status["episodes"] == 1


def test_quiet_windows_write_nothing() -> None:
    world = watched()
    world.wait(minutes=61)
    writes = len(world.writes)

    world.wait(hours=12)

    assert len(world.writes) == writes


def test_bad_data_is_told_and_is_no_drift() -> None:
    world = watched()
    assert world.metrics is not None
    world.wait(minutes=61)
    world.metrics.features = dict(SHIFTED)
    world.metrics.missing = {"dep_hour": 0.4}

    world.wait(hours=4)

    assert world.condition("Monitored")[:2] == ("True", "DataQuality")
    assert "episode" not in world.status
    assert world.status["monitor"]["broken"] == ["dep_hour"]
    assert [item.reason for item in world.events].count("DataQuality") == 1


def test_a_baseline_that_is_gone_is_said() -> None:
    world = watched()
    version = world.store.select("ModelVersion", NAMESPACE)[0]
    del world.objects.held[beside(version["spec"]["bundle"]["uri"], "profile.json")]

    plan = world.wait(minutes=62)

    assert world.condition("Monitored")[:2] == ("False", "BaselineUnavailable")
    assert plan.requeue_after == 30.0


def test_prometheus_that_is_away_is_said_of_the_watch() -> None:
    world = watched()
    assert world.metrics is not None
    world.metrics.down = True

    world.wait(minutes=62)

    assert world.condition("Monitored") == (
        "Unknown", "PrometheusUnavailable",
        "The last window cannot be judged: Prometheus: connection refused",
    )  # fmt: skip
    world.metrics.down = False
    world.wait(seconds=31)
    assert world.condition("Monitored")[:2] == ("True", "NoDrift")


def test_a_claim_keeps_a_conflict_of_names() -> None:
    world = World().serving()
    body = copy.deepcopy(world.md)
    conflict = {
        "reason": "NameConflict", "message": "Service delays exists.", "observedGeneration": 1,
        "lastTransitionTime": stamp(),
    }  # fmt: skip
    body["status"]["conditions"] = [
        {"type": "Ready", "status": "False", **conflict},
        {"type": "Stalled", "status": "True", **conflict},
    ]
    world.put(body)
    world.approve("delays-v2", dataEnd=SPRING)

    world.step()

    assert world.status["candidate"]["modelVersion"] == "delays-v2"
    assert world.condition("Ready") == ("False", "NameConflict", "Service delays exists.")
    assert world.condition("Stalled")[:2] == ("True", "NameConflict")


def test_what_is_being_deleted_is_left_to_the_garbage_collector() -> None:
    world = World().serving()
    body = copy.deepcopy(world.md)
    body["metadata"]["deletionTimestamp"] = stamp()
    world.put(body)

    assert world.plan() == Plan()


def test_children_are_applied_services_first_and_the_route_last() -> None:
    world = rolling()

    kinds = [item["kind"] for item in world.plan().apply]

    assert kinds == [
        "Service", "Service", "Service", "Deployment", "Deployment", "PodDisruptionBudget",
        "HTTPRoute",
    ]  # fmt: skip
