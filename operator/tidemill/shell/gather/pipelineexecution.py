"""Reads -> Observed for a PipelineExecution.

A pass over a waiting Job reads the index only. Documents are read when they are due: progress
while it runs, the result once when it has ended. Kubeflow is asked once a pass, and only about
attempts that are under way.
"""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime
from functools import cache
from importlib import resources

from tidemill.api.v1alpha1.pipelineexecution import (
    BuiltinIR,
    Engine,
    KeyRef,
    PipelineExecution,
)
from tidemill.core import ir, jobstate, kubeflowrun, tasks
from tidemill.core.attempts import OVER, Phase, Problem, StartError, Told
from tidemill.core.conditions import parse_time
from tidemill.core.executionview import ENDED, Observed, Setup, prefix
from tidemill.core.identity import LABEL_EXECUTION, controller_uid
from tidemill.core.ir import Compiled
from tidemill.core.manifests.job import PIPELINE_KEY, pipeline_name
from tidemill.core.plan import Body
from tidemill.core.resultdocument import Reading
from tidemill.errors import TerminalError, TransientError
from tidemill.ports import Sight


async def gather(body: Body, sight: Sight) -> Observed:
    """Everything the next decision about an execution may depend on."""
    execution = PipelineExecution.parse(body)
    status, meta = execution.status, execution.metadata
    observed = Observed(now=sight.now, execution=execution, setup=_setup(sight))
    if status.state in ENDED:
        return observed
    if status.attempt is None:
        if meta.deletion_timestamp is not None:
            return observed
        return _with(observed, pipeline=await _pipeline(execution, sight))
    if status.engine is Engine.JOB:
        return await _with_job(observed, sight)
    return await _with_run(observed, sight)


async def _with_job(observed: Observed, sight: Sight) -> Observed:
    execution = observed.execution
    meta, status = execution.metadata, execution.status
    job = sight.index.get("Job", meta.namespace, status.run_id or "")
    if job is None or controller_uid(job) != meta.uid:
        return await _unknown_to_engine(observed, sight)
    uid = job["metadata"]["uid"]
    labelled = sight.index.select("Pod", meta.namespace, LABEL_EXECUTION, meta.name)
    pods = [pod for pod in labelled if controller_uid(pod) == uid]
    memory = execution.spec.resources.memory
    told = jobstate.read(job, pods, now=sight.now, memory=memory)
    steps = None
    if told.phase in (Phase.RUNNING, *OVER):
        steps = await _progress(observed, sight)
    observed = _with(observed, told=told, job_uid=uid, tasks=steps)
    return await _with_result(observed, told, sight)


async def _with_run(observed: Observed, sight: Sight) -> Observed:
    status = observed.execution.status
    if not _due(observed):
        return observed
    if sight.pipelines is None:
        said = "No Kubeflow Pipelines server is configured any more (TIDEMILL_KUBEFLOW_URL)."
        return _with(observed, trouble=Problem(reason="EngineNotConfigured", message=said))
    run_id = status.run_id or ""
    try:
        run = await sight.pipelines.get(run_id)
    except TransientError as error:
        return _with(
            observed,
            trouble=Problem(reason="EngineUnreachable", message=str(error), transient=True),
        )
    except TerminalError as error:
        return _with(observed, trouble=Problem(reason=error.reason, message=str(error)))
    if run is None:
        failed_start = sight.pipelines.start_error(run_id)
        observed = _with(observed, read_at=max(sight.now, datetime.now(UTC)))
        return await _unknown_to_engine(observed, sight, failed_start)
    told = kubeflowrun.read(run)
    observed = _with(observed, told=told, tasks=tasks.from_run(run, sight.now))
    return await _with_result(observed, told, sight)


async def _unknown_to_engine(
    observed: Observed, sight: Sight, error: StartError | None = None
) -> Observed:
    """The engine does not know the attempt: it is to be started, or it has gone."""
    execution = observed.execution
    attempt = execution.status.attempt
    if execution.metadata.deletion_timestamp is not None or attempt is None:
        return observed
    if attempt.seen:
        return _with(observed, reading=await _result(observed, None, sight))
    if not _due(observed):
        return observed
    pipeline = await _pipeline(execution, sight)
    return _with(observed, pipeline=pipeline, start_error=error)


async def _with_result(observed: Observed, told: Told, sight: Sight) -> Observed:
    if observed.execution.metadata.deletion_timestamp is not None:
        return observed
    succeeded = told.phase is Phase.SUCCEEDED and (told.expects_result or told.digest is not None)
    if not succeeded and told.phase is not Phase.FAILED:
        return observed
    return _with(observed, reading=await _result(observed, told.digest, sight))


async def _result(observed: Observed, digest: str | None, sight: Sight) -> Reading:
    uri = f"{prefix(observed)}/result.json"
    try:
        return Reading(uri=uri, data=await sight.documents.read(uri, digest))
    except TransientError as error:
        said = f"The result cannot be read: {error}."
        trouble = Problem(reason="ResultUnreadable", message=said, transient=True)
    except TerminalError as error:
        broken = error.reason in ("DigestMismatch", "TooLarge")
        trouble = Problem(
            reason="ResultInvalid" if broken else "ResultUnreadable",
            message=f"The result cannot be believed: {error}",
        )
    return Reading(uri=uri, trouble=trouble)


async def _progress(observed: Observed, sight: Sight) -> tasks.Tasks | None:
    """The runner's progress; that it cannot be read is no reason to stop."""
    try:
        data = await sight.documents.read(f"{prefix(observed)}/progress.json")
    except (TransientError, TerminalError):
        return None
    return tasks.from_progress(data)


async def _pipeline(execution: PipelineExecution, sight: Sight) -> Compiled | Problem:
    source = execution.spec.pipeline
    if source.builtin is not None:
        return _builtin(source.builtin)
    if source.inline is not None:
        return await asyncio.to_thread(ir.parse, source.inline)
    if source.config_map_ref is None:
        said = "spec.pipeline names no pipeline; set builtin, inline or configMapRef."
        return Problem(reason="InvalidPipeline", message=said)
    return await _from_config_map(execution, source.config_map_ref, sight)


async def _from_config_map(
    execution: PipelineExecution, ref: KeyRef, sight: Sight
) -> Compiled | Problem:
    """A pipeline in a user's ConfigMap; a later attempt prefers the copy the first one made."""
    name, namespace = execution.metadata.name, execution.metadata.namespace
    status = execution.status
    if sight.config_maps is None:
        said = "The operator cannot read ConfigMaps; give the pipeline inline."
        return Problem(reason="PipelineMissing", message=said)
    if status.attempt is not None and status.engine is Engine.JOB:
        stored = pipeline_name(name, execution.metadata.uid)
        copied = await sight.config_maps.read(namespace, stored) or {}
        found = await asyncio.to_thread(ir.parse, copied.get(PIPELINE_KEY, ""))
        if isinstance(found, Compiled) and found.digest == status.pipeline_digest:
            return found
    data = await sight.config_maps.read(namespace, ref.name)
    if data is None or ref.key not in data:
        what = f"The ConfigMap {ref.name}" if data is None else f"Its key {ref.key}"
        said = f"{what} in spec.pipeline.configMapRef is not there; create it in {namespace}."
        return Problem(reason="PipelineMissing", message=said, transient=True)
    return await asyncio.to_thread(ir.parse, data[ref.key])


@cache
def _builtin(name: BuiltinIR) -> Compiled | Problem:
    packaged = resources.files("tidemill").joinpath("pipelines", "compiled", f"{name.value}.yaml")
    try:
        return ir.parse(packaged.read_text("utf-8"))
    except FileNotFoundError as error:
        said = f"The operator's image lacks the pipeline {name.value}; build it anew."
        raise TerminalError("PipelineMissing", said) from error


def _due(observed: Observed) -> bool:
    """Whether the attempt's time to start has come."""
    attempt = observed.execution.status.attempt
    if attempt is None or attempt.not_before is None:
        return True
    return observed.now >= parse_time(attempt.not_before)


def _setup(sight: Sight) -> Setup:
    settings = sight.settings
    return Setup(
        cluster_uid=sight.cluster_uid,
        artifact_root=settings.artifact_root,
        artifact_secret=settings.artifact_secret,
        steps_image=settings.steps_image,
        image_pull_policy=settings.image_pull_policy,
        default_engine=Engine(settings.default_engine),
        kubeflow=sight.pipelines is not None,
    )


def _with(observed: Observed, **changes: object) -> Observed:
    return replace(observed, **changes)  # type: ignore[arg-type]
