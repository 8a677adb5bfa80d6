"""Plays Job controller, kubelet and step: each Job is run once, and leaves real documents.

It speaks to the API server directly, so that whatever is done to the operator's requests does not
touch it. A patient engine goes on only when the operator has told of the last move: the same
writes then happen in every run, in the same order.
"""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from tests.bench.rig import Api
from tests.chaos.artifacts import Artifacts
from tests.chaos.documents import ANSWERS, Answer
from tidemill.api.documents.results import Failure

Body = dict[str, Any]
_LABEL = "app.kubernetes.io/managed-by=tidemill"
_EXECUTIONS = "/apis/tidemill.dev/v1alpha1/pipelineexecutions"
_JOBS = "/apis/batch/v1/jobs"
_BEGAN = "2026-01-01T00:00:00Z"
_ENDED = "2026-01-01T00:00:02Z"
_PATIENCE = 120.0


@dataclass(frozen=True, kw_only=True)
class Work:
    """One Job, as the step in it would read it."""

    namespace: str
    job: str
    uid: str
    execution: str
    execution_uid: str
    builtin: str
    result_uri: str
    progress_uri: str
    arguments: dict[str, Any]
    template: Body


@dataclass
class Engine:
    """The Jobs of one API server."""

    api: Api
    artifacts: Artifacts
    patient: bool = True
    """Wait for the operator to tell of each move before the next one."""
    held: set[str] = field(default_factory=set)
    """Namespaces whose steps run on until they are let go."""
    answers: Mapping[str, Answer] = field(default_factory=lambda: ANSWERS)
    made: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Jobs seen, by namespace and pipeline."""
    finished: Counter[str] = field(default_factory=Counter)
    """How often each Job was finished, by uid."""
    _executions: dict[str, Body] = field(default_factory=dict)
    _moved: asyncio.Event = field(default_factory=asyncio.Event)

    async def run(self) -> None:
        """Play until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._watch_executions())
            group.create_task(self._watch_jobs(group))

    async def _watch_executions(self) -> None:
        async for _, body in self._follow(_EXECUTIONS):
            self._executions[body["metadata"]["uid"]] = body.get("status") or {}
            self._moved.set()

    async def _watch_jobs(self, group: asyncio.TaskGroup) -> None:
        seen: set[str] = set()
        async for type_, body in self._follow(_JOBS, labelSelector=_LABEL):
            uid = body["metadata"]["uid"]
            if type_ == "DELETED" or uid in seen or (body.get("status") or {}).get("conditions"):
                continue
            seen.add(uid)
            work = read(body)
            self.made[work.namespace, work.builtin] += 1
            group.create_task(self._play(work))

    async def _follow(self, path: str, **query: str) -> AsyncIterator[tuple[str, Body]]:
        """Watch for ever; an API server that is away or ends the stream is asked again."""
        while True:
            try:
                async for event in self.api.follow(path, **query):
                    yield event
            except (aiohttp.ClientError, OSError, RuntimeError):
                await asyncio.sleep(0.2)

    async def _play(self, work: Work) -> None:
        await self._told(work, lambda status: bool((status.get("attempt") or {}).get("seen")))
        pod = f"{work.job}-{work.uid[:5]}"
        pods = f"/api/v1/namespaces/{work.namespace}/pods"
        await self.api.call("POST", pods, _pod(work, pod))
        progress = {"tasks": [{"name": work.builtin, "state": "Running", "seconds": 1}]}
        self.artifacts.put(work.progress_uri, json.dumps(progress).encode())
        running = {"running": {"startedAt": _BEGAN}}
        await self._patch(f"{pods}/{pod}", _container("Running", running))
        await self._told(work, lambda status: status.get("state") == "Running")
        while work.namespace in self.held:
            await asyncio.sleep(0.05)
        result = self.answers[work.builtin](self.artifacts, work.arguments)
        stored = self.artifacts.put(work.result_uri, result)
        words: Body = {"result": stored.digest}
        failed = isinstance(result, Failure)
        if isinstance(result, Failure):
            said = {"reason": result.reason, "message": result.message}
            words |= {**said, "transient": result.transient}
        ended = {
            "exitCode": int(failed), "reason": "Error" if failed else "Completed",
            "message": json.dumps(words), "startedAt": _BEGAN, "finishedAt": _ENDED,
        }  # fmt: skip
        phase = "Failed" if failed else "Succeeded"
        await self._patch(f"{pods}/{pod}", _container(phase, {"terminated": ended}))
        job = f"/apis/batch/v1/namespaces/{work.namespace}/jobs/{work.job}"
        await self._patch(job, _FAILED if failed else _COMPLETE)
        self.finished[work.uid] += 1

    async def _patch(self, path: str, status: Body) -> None:
        await self.api.merge(f"{path}/status", {"status": status})

    async def _told(self, work: Work, holds: Callable[[Body], bool]) -> None:
        """Wait until the execution's status says so."""
        if not self.patient:
            return
        async with asyncio.timeout(_PATIENCE):
            while not holds(self._executions.get(work.execution_uid, {})):
                self._moved.clear()
                await self._moved.wait()


def read(job: Body) -> Work:
    """What a step would learn from its Job."""
    metadata, template = job["metadata"], job["spec"]["template"]
    container = template["spec"]["containers"][0]
    given = dict(word.replace("$$", "$").split("=", 1) for word in container["args"])
    environment = {item["name"]: item["value"] for item in container["env"]}
    parameters = json.loads(environment["TIDEMILL_PARAMETERS"].replace("$$", "$"))
    owner = metadata["ownerReferences"][0]
    return Work(
        namespace=metadata["namespace"],
        job=metadata["name"],
        uid=metadata["uid"],
        execution=owner["name"],
        execution_uid=owner["uid"],
        builtin=given["--pipeline"].removeprefix("builtin:"),
        result_uri=given["--result-uri"],
        progress_uri=given["--progress-uri"],
        arguments=json.loads(parameters["arguments"]),
        template=template,
    )


def _pod(work: Work, name: str) -> Body:
    owner = {
        "apiVersion": "batch/v1", "kind": "Job", "name": work.job, "uid": work.uid,
        "controller": True, "blockOwnerDeletion": True,
    }  # fmt: skip
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "namespace": work.namespace,
            "labels": work.template["metadata"]["labels"],
            "ownerReferences": [owner],
        },
        "spec": work.template["spec"],
    }


def _container(phase: str, state: Body) -> Body:
    container = {
        "name": "step", "image": "any", "imageID": "", "ready": False, "restartCount": 0,
        "state": state,
    }  # fmt: skip
    return {"phase": phase, "containerStatuses": [container]}


def _over(reason: str, *conditions: str, **status: object) -> Body:
    told = {"status": "True", "lastTransitionTime": _ENDED, "reason": reason}
    return {
        "startTime": _BEGAN,
        "ready": 0,
        "terminating": 0,
        "uncountedTerminatedPods": {},
        "conditions": [{"type": kind, **told} for kind in conditions],
        **status,
    }


_COMPLETE = _over(
    "CompletionsReached", "SuccessCriteriaMet", "Complete", succeeded=1, completionTime=_ENDED
)
_FAILED = _over("BackoffLimitExceeded", "FailureTarget", "Failed", failed=1)
