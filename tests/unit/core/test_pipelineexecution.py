"""`plan_pipelineexecution`: each case says only what differs from an execution under way."""

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from tests.unit.core.executions import (
    NAME,
    NOW,
    PIPELINE,
    PREFIX,
    SETUP,
    UID,
    ago,
    attempt,
    claimed,
    compiled,
    execution,
    observed,
    pipeline_spec,
)
from tidemill.api.v1alpha1.pipelineexecution import Engine, TaskStatus
from tidemill.core.attempts import Phase, Problem, StartError, Told, backoff_seconds, run_id
from tidemill.core.executionview import Observed
from tidemill.core.pipelineexecution import plan_pipelineexecution
from tidemill.core.plan import Body, Delete, EngineCall, Event, Plan
from tidemill.core.resultdocument import Reading

FINALIZER = "tidemill.dev/execution"
HELD = {"finalizers": [FINALIZER]}
URI = f"{PREFIX}/runs/{UID}/1/result.json"
DIGEST = "sha256:" + "a" * 64
GOOD = Reading(
    uri=URI,
    data=json.dumps({"kind": "Unchanged", "fingerprint": "f"}).encode(),
)
NO_DOCUMENT = Reading(uri=URI)
AWAY = Reading(
    uri=URI,
    trouble=Problem(reason="ResultUnreadable", message="The store is away.", transient=True),
)
BROKEN = Reading(uri=URI, trouble=Problem(reason="ResultInvalid", message="Its digest differs."))
PENDING = Told(phase=Phase.WAITING, reason="Pending", message="The pod is starting.")
RUNNING = Told(phase=Phase.RUNNING, reason="Running")
KEEP = Told(phase=Phase.UNKNOWN, reason="Pending")
DONE = Told(phase=Phase.SUCCEEDED, reason="Succeeded", expects_result=True, digest=DIGEST)
CANCELED = Told(phase=Phase.CANCELED, reason="Canceled", message="It was ended.")
EVICTED = Told(phase=Phase.FAILED, reason="Evicted", message="No memory.", transient=True)
OUT = Told(phase=Phase.FAILED, reason="OutOfMemory", message="Raise it.")
TIMED_OUT = Told(phase=Phase.FAILED, reason="DeadlineExceeded")
UNREACHABLE = Problem(reason="EngineUnreachable", message="No answer.", transient=True)
FORBIDDEN = Problem(reason="Forbidden", message="Not allowed.")
SECRET = Told(phase=Phase.WAITING, reason="SecretMissing", message="Make it.", stuck=True)


def failure(reason: str = "NoObjects", *, transient: bool = False) -> Reading:
    """A result document in which the step says why it could not go on."""
    said = {"kind": "Failure", "reason": reason, "message": "None.", "transient": transient}
    return Reading(uri=URI, data=json.dumps(said).encode())


def fresh(**spec: Any) -> Observed:
    """An execution nobody has looked at yet."""
    return observed(execution(**spec), pipeline=PIPELINE)


def under_way(told: Told | None = None, engine: str = "Job", **changes: Any) -> Observed:
    """An execution whose attempt is claimed and seen."""
    status = {**claimed(engine), **changes.pop("status", {})}
    spec = changes.pop("spec", {})
    metadata = changes.pop("metadata", HELD if engine == "Kubeflow" else {})
    return observed(execution(status, metadata=metadata, **spec), told=told, **changes)


def unseen(engine: str = "Job", **changes: Any) -> Observed:
    """An attempt that is claimed and that its engine does not know yet."""
    status = {
        "state": "Pending",
        "attempt": attempt(seen=False, **changes.pop("attempt", {})),
        **changes.pop("status", {}),
    }
    return under_way(None, engine, status=status, **{"pipeline": PIPELINE, **changes})


def ready(plan: Plan) -> tuple[str, str, str]:
    """Status, reason and message of the Ready condition a plan comes to."""
    written = plan.claim if plan.claim is not None else plan.status
    assert written is not None
    first = written["conditions"][0]
    assert first["type"] == "Ready"
    return first["status"], first["reason"], first["message"]


def others(plan: Plan) -> list[str]:
    """The other condition types."""
    written = plan.claim if plan.claim is not None else plan.status
    assert written is not None
    return [item["type"] for item in written["conditions"][1:]]


# The first attempt


def test_the_first_pass_only_claims_the_first_attempt() -> None:
    plan = plan_pipelineexecution(fresh())

    assert plan == Plan(claim=plan.claim)
    assert plan.claim is not None
    claim = {key: value for key, value in plan.claim.items() if key != "conditions"}
    assert claim == {
        "observedGeneration": 1,
        "state": "Pending",
        "engine": "Job",
        "attempt": {"number": 1, "started": ago(0), "seen": False},
        "runId": f"{NAME}-1",
        "started": ago(0),
        "tasks": [],
        "image": "tidemill/steps:1",
        "pipelineDigest": PIPELINE.digest,
    }
    assert ready(plan) == ("False", "Pending", "Attempt 1 of 3 is about to start.")
    assert others(plan) == ["Reconciling"]


def test_a_kubeflow_execution_gets_its_finalizer_before_anything_else() -> None:
    plan = plan_pipelineexecution(fresh(engine="Kubeflow"))

    assert plan == Plan(finalizers=(FINALIZER,), requeue_after=0.0)


def test_a_kubeflow_claim_asks_for_nothing_yet() -> None:
    seen = observed(execution(engine="Kubeflow", metadata=HELD), pipeline=PIPELINE)

    claim = plan_pipelineexecution(seen).claim

    assert claim is not None
    assert claim["runId"] == run_id(UID, 1)
    assert "submitted" not in claim["attempt"]


def test_the_admins_default_engine_is_used_where_none_is_asked_for() -> None:
    seen = replace(fresh(), setup=replace(SETUP, default_engine=Engine.KUBEFLOW))

    assert plan_pipelineexecution(seen).finalizers == (FINALIZER,)


CONTAINER = pipeline_spec()
CONTAINER["deploymentSpec"]["executors"]["exec-step"]["container"]["command"] = ["echo"]
WANTS_N = compiled(pipeline_spec(n={"parameterType": "NUMBER_INTEGER"}))
MANY = [{"name": f"p{i}", "value": "x" * 65536} for i in range(20)]

REFUSED: dict[str, tuple[Observed, str, str]] = {
    "an engine the admin has not set up": (
        replace(fresh(engine="Kubeflow"), setup=replace(SETUP, kubeflow=False)),
        "EngineNotConfigured",
        "The engine is Kubeflow, but the operator knows no Kubeflow Pipelines server. Leave"
        " spec.engine out, or have the admin set TIDEMILL_KUBEFLOW_URL.",
    ),
    "a pipeline that cannot be read": (
        replace(fresh(), pipeline=Problem(reason="InvalidPipeline", message="No YAML.")),
        "InvalidPipeline",
        "No YAML.",
    ),
    "a parameter the pipeline does not declare": (
        replace(fresh(), pipeline=WANTS_N),
        "InvalidParameters",
        "spec.parameters has arguments, which the pipeline does not declare; it has: n.",
    ),
    "a missing parameter": (
        replace(fresh(parameters=[]), pipeline=WANTS_N),
        "InvalidParameters",
        "The pipeline needs the parameter n; add it to spec.parameters.",
    ),
    "a pipeline the Job engine cannot run": (
        replace(fresh(parameters=[]), pipeline=compiled(CONTAINER)),
        "UnsupportedPipeline",
        "The Job engine cannot run this pipeline: step is a container component. It runs"
        " lightweight Python components only; set spec.engine: Kubeflow.",
    ),
    "more parameters than any engine takes": (
        replace(
            fresh(parameters=MANY),
            pipeline=compiled(
                pipeline_spec(**{item["name"]: {"parameterType": "STRING"} for item in MANY})
            ),
        ),
        "InvalidParameters",
        "All parameters together are larger than 1000000 bytes; hand over large values as objects"
        " in the artifact store.",
    ),
}


@pytest.mark.parametrize(("seen", "reason", "message"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_run_fails_before_anything_is_claimed(
    seen: Observed, reason: str, message: str
) -> None:
    plan = plan_pipelineexecution(seen)

    assert plan.status is not None
    assert plan.status["state"] == "Failed"
    assert plan.status["ended"] == ago(0)
    assert "attempt" not in plan.status
    assert ready(plan) == ("False", reason, message)
    assert others(plan) == ["Stalled"]
    assert plan.events == (Event(reason=reason, message=message, warning=True),)
    assert plan.requeue_after is None


MISSING = Problem(reason="PipelineMissing", message="No ConfigMap.", transient=True)


def test_a_missing_config_map_is_waited_for() -> None:
    plan = plan_pipelineexecution(replace(fresh(), pipeline=MISSING))

    assert plan.status is not None
    assert plan.status["state"] == "Pending"
    assert ready(plan) == ("False", "PipelineMissing", "No ConfigMap.")
    assert others(plan) == ["Stalled"]
    assert plan.requeue_after == 15.0


def test_a_missing_config_map_is_waited_for_no_longer_than_the_deadline() -> None:
    plan = plan_pipelineexecution(replace(fresh(activeDeadlineSeconds=60), pipeline=MISSING))

    assert plan.status is not None
    assert (plan.status["state"], ready(plan)[1]) == ("Failed", "PipelineMissing")


# Starting


def test_a_claimed_attempt_is_started_as_a_job() -> None:
    plan = plan_pipelineexecution(unseen())

    assert [(body["kind"], body["metadata"]["name"]) for body in plan.create] == [
        ("Job", f"{NAME}-1")
    ]
    job = plan.create[0]
    assert job["spec"]["activeDeadlineSeconds"] == 3600
    container = job["spec"]["template"]["spec"]["containers"][0]
    env = {item["name"]: item["value"] for item in container["env"]}
    assert json.loads(env["TIDEMILL_PARAMETERS"]) == {
        "arguments": "{}",
        "tidemill_result_uri": URI,
    }
    assert container["args"][1] == f"--result-uri={URI}"
    assert plan.status is None
    assert plan.claim is None


def test_the_same_claim_is_started_alike_whenever_that_happens() -> None:
    later = replace(unseen(), now=NOW + timedelta(seconds=20))

    assert plan_pipelineexecution(later).create == plan_pipelineexecution(unseen()).create


def test_an_inline_pipeline_is_stored_for_the_job() -> None:
    plan = plan_pipelineexecution(unseen(spec={"pipeline": {"inline": PIPELINE.text}}))

    assert [body["metadata"]["name"] for body in plan.create] == [
        f"{NAME}-ir-6efcb3f2",
        f"{NAME}-1",
    ]
    assert plan.create[0]["data"] == {"pipeline.yaml": PIPELINE.text}


def test_a_later_attempt_has_the_time_that_is_left_when_it_starts() -> None:
    seen = unseen(
        attempt={"number": 2, "started": ago(30), "not_before": ago(10)},
        status={"started": ago(600), "runId": f"{NAME}-2"},
    )

    job = plan_pipelineexecution(seen).create[0]

    assert job["metadata"]["name"] == f"{NAME}-2"
    assert job["spec"]["activeDeadlineSeconds"] == 3600 - 590


def test_an_attempt_that_backs_off_is_not_started_yet() -> None:
    seen = unseen(attempt={"not_before": ago(-7)}, pipeline=None)

    assert plan_pipelineexecution(seen) == Plan(requeue_after=7.0)


def test_a_pipeline_that_changed_since_the_claim_is_not_run() -> None:
    other = "sha256:" + "0" * 64
    seen = unseen(
        status={"pipelineDigest": other}, spec={"pipeline": {"configMapRef": {"name": "p"}}}
    )

    plan = plan_pipelineexecution(seen)

    assert ready(plan) == (
        "False",
        "PipelineChanged",
        f"The pipeline's digest was {other} when the execution began and is {PIPELINE.digest} now."
        " Create another execution to run the changed pipeline.",
    )


def test_our_own_pipeline_is_the_one_in_the_claimed_image_whatever_the_operator_has() -> None:
    seen = unseen(status={"pipelineDigest": "sha256:" + "0" * 64})

    assert plan_pipelineexecution(seen).create[0]["kind"] == "Job"


def test_nothing_is_started_after_the_deadline() -> None:
    plan = plan_pipelineexecution(unseen(status={"started": ago(3600)}))

    assert not plan.create
    assert ready(plan)[1] == "DeadlineExceeded"


# Kubeflow


def kubeflow_unseen(
    submitted: float | None, error: StartError | None = None, **changes: Any
) -> Observed:
    """A Kubeflow attempt that was last asked for so many seconds ago, and is not to be seen."""
    asked = {} if submitted is None else {"submitted": ago(submitted)}
    return unseen("Kubeflow", attempt=asked, start_error=error, **changes)


LOST = StartError(reason="EngineUnreachable", message="No answer.", final=False, sent=True)
NOT_SENT = StartError(reason="EngineUnreachable", message="Refused.", final=False, sent=False)
FINAL = StartError(reason="InvalidPipeline", message="Nonsense.", final=True, sent=False)


def test_a_run_is_asked_for_right_after_the_claim() -> None:
    plan = plan_pipelineexecution(kubeflow_unseen(1))

    assert plan == Plan(engine=plan.engine, requeue_after=2.0)
    call = plan.engine[0]
    assert (call.verb, call.run_id, call.body["run_id"]) == ("Create", "run-1", "run-1")
    assert call.body["display_name"] == f"team.{NAME}-1"
    assert call.body["description"] == f"PipelineExecution team/{NAME}, uid {UID}, attempt 1"
    assert call.body["parameters"] == {"arguments": "{}", "tidemill_result_uri": URI}
    executors = call.body["pipeline_spec"]["pipeline_spec"]["deploymentSpec"]["executors"]
    assert executors["exec-step"]["container"]["image"] == "tidemill/steps:1"


def test_a_users_pipeline_keeps_its_own_images_in_kubeflow() -> None:
    seen = kubeflow_unseen(1, spec={"pipeline": {"inline": PIPELINE.text}})

    body = plan_pipelineexecution(seen).engine[0].body

    executors = body["pipeline_spec"]["pipeline_spec"]["deploymentSpec"]["executors"]
    assert executors["exec-step"]["container"]["image"] == "python:3.11"


DOUBT: dict[str, tuple[Observed, str, str]] = {
    "an old claim of another process is looked for, not asked again": (
        kubeflow_unseen(5), "StartUnconfirmed",
        "The run was asked for; Kubeflow Pipelines does not show it yet."),
    "a lost answer is looked for": (kubeflow_unseen(119, LOST), "EngineUnreachable", "No answer."),
    "a refused connection is waited for": (
        kubeflow_unseen(14, NOT_SENT), "EngineUnreachable", "Refused."),
}  # fmt: skip


@pytest.mark.parametrize(("seen", "reason", "message"), DOUBT.values(), ids=DOUBT)
def test_a_run_in_doubt_is_not_asked_for(seen: Observed, reason: str, message: str) -> None:
    plan = plan_pipelineexecution(seen)

    assert not plan.engine
    assert plan.claim is None
    assert ready(plan) == ("False", reason, message)
    assert plan.requeue_after == 5.0


ASKED_AGAIN = {
    "never asked for": kubeflow_unseen(None),
    "looked for for two minutes": kubeflow_unseen(120),
    "its answer was lost two minutes ago": kubeflow_unseen(121, LOST),
    "it was never sent": kubeflow_unseen(15, NOT_SENT),
}


@pytest.mark.parametrize("seen", ASKED_AGAIN.values(), ids=ASKED_AGAIN)
def test_asking_is_claimed_before_it_is_done(seen: Observed) -> None:
    plan = plan_pipelineexecution(seen)

    assert plan == Plan(claim=plan.claim)
    assert plan.claim is not None
    assert plan.claim["attempt"]["submitted"] == ago(0)
    assert plan.claim["attempt"]["number"] == 1


def test_a_claim_is_as_fresh_as_the_servers_answer_was_slow() -> None:
    slow = replace(kubeflow_unseen(None), read_at=NOW + timedelta(seconds=30))

    claim = plan_pipelineexecution(slow).claim

    assert claim is not None
    assert claim["attempt"]["submitted"] == ago(-30)
    next_pass = observed(execution(claim), pipeline=PIPELINE, now=NOW + timedelta(seconds=31))
    assert [call.verb for call in plan_pipelineexecution(next_pass).engine] == ["Create"]


def test_a_refused_run_fails() -> None:
    plan = plan_pipelineexecution(kubeflow_unseen(3, FINAL))

    assert not plan.engine
    assert ready(plan) == ("False", "InvalidPipeline", "Nonsense.")


@pytest.mark.parametrize(
    ("trouble", "kinds"), [(UNREACHABLE, ["Reconciling"]), (FORBIDDEN, ["Stalled"])]
)
def test_an_engine_that_cannot_be_asked_keeps_the_state(trouble: Problem, kinds: list[str]) -> None:
    plan = plan_pipelineexecution(under_way(None, "Kubeflow", trouble=trouble))

    assert plan.status is not None
    assert plan.status["state"] == "Running"
    assert ready(plan) == ("False", trouble.reason, trouble.message)
    assert others(plan) == kinds
    assert plan.requeue_after == 15.0


def test_an_engine_that_stays_away_past_deadline_and_grace_is_given_up() -> None:
    seen = under_way(None, "Kubeflow", trouble=UNREACHABLE, status={"started": ago(3720)})

    assert ready(plan_pipelineexecution(seen))[1] == "DeadlineExceeded"


POLLS = [(10, 5.0), (100, 5.0), (200, 10.0), (300, 15.0), (3000, 15.0)]


@pytest.mark.parametrize(("age", "seconds"), POLLS)
def test_kubeflow_is_asked_every_5_to_15_seconds(age: float, seconds: float) -> None:
    seen = under_way(RUNNING, "Kubeflow", status={"attempt": attempt(started=ago(age))})

    assert plan_pipelineexecution(seen).requeue_after == seconds


def test_a_state_that_is_absent_keeps_the_last_one() -> None:
    assert plan_pipelineexecution(under_way(KEEP, "Kubeflow")) == Plan(requeue_after=5.0)


def test_a_run_whose_state_is_absent_is_seen_all_the_same() -> None:
    plan = plan_pipelineexecution(replace(kubeflow_unseen(3), told=KEEP))

    assert plan.status is not None
    assert plan.status["attempt"]["seen"] is True
    assert plan.status["state"] == "Pending"


# Following


def test_a_job_that_waits_is_seen_and_says_for_what() -> None:
    plan = plan_pipelineexecution(replace(unseen(), told=PENDING))

    assert plan.status is not None
    assert plan.status["attempt"]["seen"] is True
    assert plan.status["state"] == "Pending"
    assert ready(plan) == ("False", "Pending", "The pod is starting.")
    assert others(plan) == ["Reconciling"]
    assert plan.events == ()
    assert plan.requeue_after == 15.0


def test_what_a_person_must_do_is_told_once() -> None:
    first = plan_pipelineexecution(under_way(SECRET))
    assert first.events == (Event(reason="SecretMissing", message="Make it.", warning=True),)
    assert others(first) == ["Stalled"]

    again = plan_pipelineexecution(under_way(SECRET, status=first.status or {}))

    assert again.events == ()
    assert again.status == first.status


@pytest.mark.parametrize(("reason", "kept"), [("Unschedulable", True), ("SecretMissing", False)])
def test_a_new_wording_of_the_same_trouble_is_no_news_but_another_secret_is(
    reason: str, kept: bool
) -> None:
    told = Told(phase=Phase.WAITING, reason=reason, message="First.")
    first = plan_pipelineexecution(under_way(told)).status or {}

    again = plan_pipelineexecution(under_way(replace(told, message="Second."), status=first))

    assert ready(again)[2] == ("First." if kept else "Second.")


def test_running_is_told_once_and_then_writes_nothing_new() -> None:
    first = plan_pipelineexecution(replace(unseen(), told=RUNNING))
    said = f"Attempt 1 of 3 runs as the Job {NAME}-1."
    assert first.events == (Event(reason="Running", message=said),)
    assert ready(first) == ("False", "Running", said)
    assert first.requeue_after == 3.0

    again = plan_pipelineexecution(under_way(RUNNING, status=first.status or {}))

    assert again.events == ()
    assert again.status == first.status


def test_tasks_are_kept_until_a_state_changes() -> None:
    before = [{"name": "fit", "state": "Running", "seconds": 3}]
    later = (TaskStatus(name="fit", state="Running", seconds=9),)
    done = (TaskStatus(name="fit", state="Succeeded", seconds=12),)

    kept = plan_pipelineexecution(under_way(RUNNING, tasks=later, status={"tasks": before}))
    moved = plan_pipelineexecution(under_way(RUNNING, tasks=done, status={"tasks": before}))

    assert kept.status is not None
    assert moved.status is not None
    assert kept.status["tasks"] == before
    assert moved.status["tasks"] == [{"name": "fit", "state": "Succeeded", "seconds": 12}]


# Ending


def test_success_pins_the_result() -> None:
    plan = plan_pipelineexecution(under_way(DONE, reading=GOOD))

    assert plan.status is not None
    assert plan.status["state"] == "Succeeded"
    assert plan.status["result"]["uri"] == URI
    assert plan.status["result"]["digest"].startswith("sha256:")
    assert ready(plan) == ("True", "Succeeded", "The pipeline succeeded.")
    assert others(plan) == []
    assert plan.events == (Event(reason="Succeeded", message="The pipeline succeeded."),)
    assert plan.requeue_after is None


def test_a_pipeline_that_leaves_no_result_succeeds_without() -> None:
    plan = plan_pipelineexecution(under_way(replace(DONE, expects_result=False, digest=None)))

    assert plan.status is not None
    assert plan.status["state"] == "Succeeded"
    assert "result" not in plan.status


OUTSIDE = Reading(
    uri=URI,
    data=json.dumps(
        {"kind": "Published", "artifacts": {"m": {"uri": "s3://else/m", "digest": DIGEST}}}
    ).encode(),
)
FAILING: dict[str, tuple[Observed, str, str]] = {
    "a success without its result": (
        under_way(DONE, reading=NO_DOCUMENT), "ResultMissing",
        f"There is no result document at {URI}."),
    "a result with another digest": (
        under_way(DONE, reading=BROKEN), "ResultInvalid", "Its digest differs."),
    "a result that points elsewhere": (
        under_way(DONE, reading=OUTSIDE), "ResultInvalid",
        f"The result document {URI} points to s3://else/m, outside of {PREFIX}/."),
    "a success whose document says failure": (
        under_way(DONE, reading=failure()), "NoObjects", "None."),
    "the step knows why": (under_way(EVICTED, reading=failure()), "NoObjects", "None."),
    "out of memory": (under_way(OUT, reading=NO_DOCUMENT), "OutOfMemory", "Raise it."),
    "a failure whose words cannot be read": (
        under_way(OUT, reading=AWAY), "OutOfMemory", "Raise it."),
    "the last of its attempts": (
        under_way(EVICTED, status={"attempt": attempt(3)}), "Evicted",
        "No memory (attempt 3 of 3, the last)."),
    "no time for another attempt": (
        under_way(EVICTED, status={"started": ago(3595)}), "Evicted", "No memory."),
    "its Job's time is over": (
        under_way(TIMED_OUT, reading=NO_DOCUMENT, status={"started": ago(3601)}),
        "DeadlineExceeded",
        "It did not end within 3600 seconds (spec.activeDeadlineSeconds)."),
    "seen and gone without a result": (
        under_way(None, reading=NO_DOCUMENT), "RunVanished",
        f"The Job {NAME}-1 was there and is gone, and it left no valid result. Somebody has"
        " deleted it; create another execution to run the pipeline again."),
    "seen and gone, and the step had said why": (
        under_way(None, reading=failure()), "NoObjects", "None."),
    "the store stays away for ten minutes after the deadline": (
        under_way(DONE, reading=AWAY, status={"started": ago(4200)}), "ResultUnreadable",
        "The store is away."),
}  # fmt: skip


@pytest.mark.parametrize(("seen", "reason", "message"), FAILING.values(), ids=FAILING)
def test_what_fails_for_good(seen: Observed, reason: str, message: str) -> None:
    plan = plan_pipelineexecution(seen)

    assert plan.claim is None
    assert plan.status is not None
    assert plan.status["state"] == "Failed"
    assert "result" not in plan.status
    assert ready(plan) == ("False", reason, message)
    assert others(plan) == ["Stalled"]
    assert plan.events == (Event(reason=reason, message=message, warning=True),)


def test_a_run_that_is_seen_and_gone_has_succeeded_if_its_result_is_there() -> None:
    plan = plan_pipelineexecution(under_way(None, reading=GOOD))

    assert plan.status is not None
    assert (plan.status["state"], plan.status["result"]["uri"]) == ("Succeeded", URI)


WAITING_FOR_STORE = {
    "a success": under_way(DONE, reading=AWAY),
    "a failure that has a document": under_way(replace(OUT, digest=DIGEST), reading=AWAY),
    "a run that is gone": under_way(None, reading=AWAY),
}


@pytest.mark.parametrize("seen", WAITING_FOR_STORE.values(), ids=WAITING_FOR_STORE)
def test_a_store_that_is_away_is_waited_for(seen: Observed) -> None:
    plan = plan_pipelineexecution(seen)

    assert plan.status is not None
    assert plan.status["state"] == "Running"
    assert ready(plan) == ("False", "ResultUnreadable", "The store is away.")
    assert plan.requeue_after == 10.0


def test_a_run_ended_by_hand_is_canceled() -> None:
    plan = plan_pipelineexecution(under_way(CANCELED, "Kubeflow"))

    assert plan.status is not None
    assert plan.status["state"] == "Canceled"
    assert ready(plan) == ("False", "Canceled", "It was ended.")


# Again


@pytest.mark.parametrize(
    "seen",
    [under_way(EVICTED), under_way(OUT, reading=failure("SourceUnavailable", transient=True))],
    ids=["the engine says it may pass", "the step says it may pass"],
)
def test_a_failure_that_may_pass_claims_the_next_attempt(seen: Observed) -> None:
    plan = plan_pipelineexecution(seen)

    assert plan == Plan(claim=plan.claim)
    claim = plan.claim
    assert claim is not None
    assert claim["attempt"]["number"] == 2
    assert claim["attempt"]["seen"] is False
    assert claim["runId"] == f"{NAME}-2"
    assert claim["state"] == "Pending"
    assert claim["started"] == ago(60)
    assert claim["image"] == "tidemill/steps:1"
    assert backoff_seconds(1, UID) < 11
    assert claim["attempt"]["notBefore"] == ago(-11)


def test_the_next_attempt_says_why_there_is_one() -> None:
    first = plan_pipelineexecution(under_way(EVICTED))
    said = f"Attempt 1 of 3 failed (Evicted): No memory. The next one starts at {ago(-11)}."
    assert ready(first) == ("False", "Retrying", said)
    assert others(first) == ["Reconciling"]

    running = plan_pipelineexecution(
        replace(observed(execution(first.claim)), told=RUNNING, now=NOW + timedelta(seconds=20))
    )

    assert running.events == (
        Event(reason="Retrying", message=said, warning=True),
        Event(reason="Running", message=f"Attempt 2 of 3 runs as the Job {NAME}-2."),
    )


def test_a_later_kubeflow_attempt_is_another_run() -> None:
    claim = plan_pipelineexecution(under_way(EVICTED, "Kubeflow")).claim

    assert claim is not None
    assert claim["runId"] == run_id(UID, 2)
    assert "submitted" not in claim["attempt"]


# The deadline


def test_a_job_outliving_deadline_and_grace_is_removed() -> None:
    seen = under_way(SECRET, job_uid="j1", status={"started": ago(3720)})

    plan = plan_pipelineexecution(seen)

    assert plan.delete == (
        Delete(api_version="batch/v1", kind="Job", namespace="team", name=f"{NAME}-1", uid="j1"),
    )
    assert ready(plan)[1] == "DeadlineExceeded"


def test_the_deadline_tells_what_was_waited_for_last() -> None:
    waiting = plan_pipelineexecution(under_way(SECRET)).status or {}
    seen = under_way(TIMED_OUT, status={**waiting, "started": ago(3601)})

    assert ready(plan_pipelineexecution(seen))[2] == (
        "It did not end within 3600 seconds (spec.activeDeadlineSeconds). Last: Make it."
    )


def test_a_kubeflow_run_past_its_deadline_is_terminated_and_then_has_failed() -> None:
    late: Body = {"started": ago(3600)}

    asked = plan_pipelineexecution(under_way(RUNNING, "Kubeflow", status=late))
    ending = plan_pipelineexecution(under_way(replace(KEEP, ending=True), "Kubeflow", status=late))
    ended = plan_pipelineexecution(under_way(CANCELED, "Kubeflow", status=late))

    assert asked.engine == (EngineCall(verb="Terminate", run_id="run-1"),)
    assert ending.engine == ()
    assert (ended.status or {})["state"] == "Failed"
    assert ready(ended)[1] == "DeadlineExceeded"


# Over, and away


def test_one_that_is_over_needs_nothing_more() -> None:
    assert plan_pipelineexecution(under_way(status={"state": "Succeeded"})) == Plan()


def test_one_that_is_over_lets_its_finalizer_go() -> None:
    ended = plan_pipelineexecution(under_way(OUT, "Kubeflow"))
    assert ended.requeue_after == 0.0

    seen = under_way(None, "Kubeflow", status={"state": "Failed"})

    assert plan_pipelineexecution(seen) == Plan(finalizers=())


def leaving(age: float) -> Body:
    """Metadata of an execution that is being deleted since so many seconds."""
    return {**HELD, "deletionTimestamp": ago(age)}


ENDING = replace(KEEP, ending=True)
TERMINATE = (EngineCall(verb="Terminate", run_id="run-1"),)
AT_REST = Plan(finalizers=())
LOOK = Plan(requeue_after=5.0)
DELETED: dict[str, tuple[Observed, Plan]] = {
    "a Job goes with its owner": (
        under_way(RUNNING, metadata={"deletionTimestamp": ago(1)}), Plan()),
    "a run is terminated": (
        under_way(RUNNING, "Kubeflow", metadata=leaving(1)),
        Plan(engine=TERMINATE, requeue_after=5.0)),
    "one that is ending is waited for": (
        under_way(ENDING, "Kubeflow", metadata=leaving(60)), LOOK),
    "one that has ended is let go": (
        under_way(CANCELED, "Kubeflow", metadata=leaving(60)), AT_REST),
    "one that is not there is let go": (under_way(None, "Kubeflow", metadata=leaving(1)), AT_REST),
    "one that may still come is waited for": (
        kubeflow_unseen(30, metadata=leaving(1)), LOOK),
    "one that will not come any more is let go": (
        kubeflow_unseen(121, metadata=leaving(1)), AT_REST),
    "an engine that cannot be asked is waited for": (
        under_way(None, "Kubeflow", trouble=UNREACHABLE, metadata=leaving(119)), LOOK),
    "but not for ever": (
        under_way(None, "Kubeflow", trouble=UNREACHABLE, metadata=leaving(120)), AT_REST),
    "one that was never claimed is let go": (
        observed(execution(engine="Kubeflow", metadata=leaving(1))), AT_REST),
}  # fmt: skip


@pytest.mark.parametrize(("seen", "plan"), DELETED.values(), ids=DELETED)
def test_deletion(seen: Observed, plan: Plan) -> None:
    assert plan_pipelineexecution(seen) == plan
