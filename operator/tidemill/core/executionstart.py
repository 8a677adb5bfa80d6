"""Starting a claimed attempt, as a Job or as a Kubeflow run.

What is started follows from the claim: the run id, the image and the pipeline's digest stand in
status, and the time that is left is counted from the claim, not from the call.
"""

from tidemill.api.v1alpha1.pipelineexecution import Attempt, Engine, ExecutionState
from tidemill.core import attempts, ir
from tidemill.core.attempts import Problem
from tidemill.core.conditions import elapsed, parse_time, rfc3339
from tidemill.core.executionstatus import end, too_late, wait
from tidemill.core.executionview import Observed, given, prefix, until
from tidemill.core.ir import Compiled
from tidemill.core.manifests import job as manifest
from tidemill.core.plan import Body, EngineCall, Plan

DOUBT_SECONDS = 120.0
"""How long a Kubeflow run is looked for after a start whose answer was lost."""
FRESH_SECONDS = 5.0
"""A claimed start is asked for only this soon after its claim: a process that finds an older claim
cannot know whether the one before it has asked already."""
PROBLEM_POLL = 15.0
UNCONFIRMED_POLL = 5.0
STARTED_POLL = 15.0


def start(seen: Observed, attempt: Attempt) -> Plan:
    """Start a claimed attempt that the engine does not know."""
    spec, status = seen.execution.spec, seen.execution.status
    if seen.now >= until(seen):
        return too_late(seen)
    if attempt.not_before is not None and seen.now < parse_time(attempt.not_before):
        left = parse_time(attempt.not_before) - seen.now
        return Plan(requeue_after=left.total_seconds())
    pipeline = seen.pipeline
    if isinstance(pipeline, Problem):
        if pipeline.transient:
            return wait(seen, pipeline.reason, pipeline.message, stuck=True, again=PROBLEM_POLL)
        return end(seen, ExecutionState.FAILED, pipeline.reason, pipeline.message)
    if pipeline is None:
        return Plan(requeue_after=PROBLEM_POLL)
    ours_in_image = status.engine is Engine.JOB and spec.pipeline.builtin is not None
    if pipeline.digest != status.pipeline_digest and not ours_in_image:
        said = (
            f"The pipeline's digest was {status.pipeline_digest} when the execution began and is"
            f" {pipeline.digest} now. Create another execution to run the changed pipeline."
        )
        return end(seen, ExecutionState.FAILED, "PipelineChanged", said)
    bound = ir.bind(pipeline, given(seen), f"{prefix(seen)}/result.json")
    if isinstance(bound, Problem):
        return end(seen, ExecutionState.FAILED, bound.reason, bound.message)
    if status.engine is Engine.JOB:
        return _start_job(seen, attempt, pipeline, bound)
    return _start_run(seen, attempt, pipeline, bound)


def _start_job(seen: Observed, attempt: Attempt, pipeline: Compiled, bound: Body) -> Plan:
    spec, status, meta = seen.execution.spec, seen.execution.status, seen.execution.metadata
    builtin = spec.pipeline.builtin
    left = until(seen) - parse_time(attempt.not_before or attempt.started)
    what = manifest.Start(
        execution=meta.name,
        uid=meta.uid,
        namespace=meta.namespace,
        job=status.run_id or attempts.job_name(meta.name, meta.uid, attempt.number),
        image=status.image,
        image_pull_policy=seen.setup.image_pull_policy,
        builtin=builtin.value if builtin is not None else None,
        parameters=bound,
        result_uri=f"{prefix(seen)}/result.json",
        progress_uri=f"{prefix(seen)}/progress.json",
        expects_result=ir.declares_result(pipeline),
        artifact_secret=seen.setup.artifact_secret,
        source_secrets=tuple(ref.name for ref in spec.secret_refs),
        service_account=spec.service_account_name,
        cpu=spec.resources.cpu,
        memory=spec.resources.memory,
        seconds=max(1, int(left.total_seconds())),
    )
    stored = () if builtin is not None else (manifest.pipeline_config_map(what, pipeline.text),)
    large = manifest.parameters_config_map(what)
    parameters = () if large is None else (large,)
    return Plan(create=(*stored, *parameters, manifest.job(what)), requeue_after=STARTED_POLL)


def _start_run(seen: Observed, attempt: Attempt, pipeline: Compiled, bound: Body) -> Plan:
    """Ask Kubeflow for the run: claim the asking, then ask, then look for it before asking again.

    Two asks would make two Workflows, so after one whose answer was lost the run is looked for
    for DOUBT_SECONDS first.
    """
    error = seen.start_error
    if error is not None and error.final:
        return end(seen, ExecutionState.FAILED, error.reason, error.message)
    age = None if attempt.submitted is None else elapsed(attempt.submitted, seen.now)
    not_sent = error is not None and not error.sent
    if age is None or age >= DOUBT_SECONDS or (not_sent and age >= PROBLEM_POLL):
        status = seen.execution.status
        # The ask follows in the next pass, which must find a claim that is fresh however slowly
        # the server has answered in this one.
        asking = attempt.model_copy(update={"submitted": rfc3339(seen.read_at or seen.now)})
        return Plan(claim=status.model_copy(update={"attempt": asking}).to_wire())
    if age < FRESH_SECONDS:
        return Plan(engine=(_create(seen, attempt, pipeline, bound),), requeue_after=2.0)
    if error is not None:
        return wait(seen, error.reason, error.message, again=UNCONFIRMED_POLL)
    said = "The run was asked for; Kubeflow Pipelines does not show it yet."
    return wait(seen, "StartUnconfirmed", said, again=UNCONFIRMED_POLL)


def _create(seen: Observed, attempt: Attempt, pipeline: Compiled, bound: Body) -> EngineCall:
    spec, status, meta = seen.execution.spec, seen.execution.status, seen.execution.metadata
    run_id = status.run_id or attempts.run_id(meta.uid, attempt.number)
    body = {
        "run_id": run_id,
        "display_name": f"{meta.namespace}.{meta.name}-{attempt.number}",
        "description": f"PipelineExecution {meta.namespace}/{meta.name}, uid {meta.uid},"
        f" attempt {attempt.number}",
        "pipeline_spec": ir.for_kubeflow(
            pipeline,
            image=status.image if spec.pipeline.builtin is not None else None,
            cpu=spec.resources.cpu,
            memory=spec.resources.memory,
            artifact_secret=seen.setup.artifact_secret,
            source_secrets=[ref.name for ref in spec.secret_refs],
        ),
        "parameters": bound,
        "service_account": spec.service_account_name,
    }
    return EngineCall(verb="Create", run_id=run_id, body=body)
