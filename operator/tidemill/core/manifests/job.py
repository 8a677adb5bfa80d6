"""The Job of one attempt and the ConfigMaps it mounts: builders, no choices.

Everything in them follows from the execution, its claim and the admin's settings, never from the
time of the call, so that a second start of the same attempt meets the first.
"""

import json
from dataclasses import dataclass

from tidemill.core.identity import (
    ANNOTATION_SPEC_HASH,
    LABEL_EXECUTION,
    controller_reference,
    labels,
    stable_hash,
)
from tidemill.core.ir import SOURCE_PREFIX
from tidemill.core.jobstate import ANNOTATION_EXPECTS_RESULT
from tidemill.core.plan import Body

RUNNER = "tidemill.steps.run_pipeline"
CONTAINER = "step"
USER = 65532
"""The numeric non-root user of our images."""
LARGEST_VARIABLE = 32768
"""Bytes of parameters that still go into one environment variable (Linux allows 128 KiB)."""
LARGEST_CONFIG_MAP = 1000000
"""Bytes of parameters that fit into a ConfigMap."""
PIPELINE_KEY = "pipeline.yaml"
PARAMETERS_KEY = "parameters.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """One attempt to start as a Job."""

    execution: str
    uid: str
    namespace: str
    job: str
    image: str
    image_pull_policy: str
    builtin: str | None
    """The name of one of our pipelines; None: its text stands in a ConfigMap of the execution."""
    parameters: Body
    result_uri: str
    progress_uri: str
    expects_result: bool
    artifact_secret: str
    source_secrets: tuple[str, ...]
    service_account: str
    cpu: str
    memory: str
    seconds: int
    """What is left of the execution's deadline when the attempt starts; at least one."""


def pipeline_name(execution: str, uid: str) -> str:
    """The ConfigMap with an execution's pipeline. The uid is in it so that a new execution never
    mounts what an earlier one of its name has left and the garbage collector is about to take.
    """
    return f"{execution}-ir-{stable_hash(uid, 8)}"


def parameters_name(job: str, uid: str) -> str:
    """The ConfigMap with an attempt's parameters, named for the same reason."""
    return f"{job}-parameters-{stable_hash(uid, 8)}"


def pipeline_config_map(start: Start, text: str) -> Body:
    """The compiled pipeline of an execution that is not one of ours; the same for all attempts."""
    name = pipeline_name(start.execution, start.uid)
    return _config_map(start, name, {PIPELINE_KEY: text})


def parameters_config_map(start: Start) -> Body | None:
    """The parameters, where they are too large for an environment variable."""
    if size(start.parameters) <= LARGEST_VARIABLE:
        return None
    data = {PARAMETERS_KEY: _json(start.parameters)}
    return _config_map(start, parameters_name(start.job, start.uid), data)


def size(parameters: Body) -> int:
    """How many bytes the parameters take."""
    return len(_json(parameters).encode())


def job(start: Start) -> Body:
    """The Job of one attempt.

    It is tried once (an attempt more is ours to claim), never cleaned up by itself, and a pod
    that is disrupted is replaced within the attempt, after it has wholly ended.
    """
    spec: Body = {
        "backoffLimit": 0,
        "completions": 1,
        "parallelism": 1,
        "activeDeadlineSeconds": start.seconds,
        "podReplacementPolicy": "Failed",
        "podFailurePolicy": {
            "rules": [
                {
                    "action": "Ignore",
                    "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}],
                }
            ]
        },
        "template": {"metadata": {"labels": _labels(start)}, "spec": _pod(start)},
    }
    expects = {ANNOTATION_EXPECTS_RESULT: str(start.expects_result).lower()}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": _metadata(start, start.job, spec, expects),
        "spec": spec,
    }


def _pod(start: Start) -> Body:
    volumes: list[Body] = [{"name": "tmp", "emptyDir": {}}]
    if start.builtin is None:
        stored = pipeline_name(start.execution, start.uid)
        volumes.append({"name": "pipeline", "configMap": {"name": stored}})
    if size(start.parameters) > LARGEST_VARIABLE:
        large = parameters_name(start.job, start.uid)
        volumes.append({"name": "parameters", "configMap": {"name": large}})
    pod: Body = {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": 30,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": USER,
            "runAsGroup": USER,
            "fsGroup": USER,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [_container(start)],
        "volumes": volumes,
    }
    if start.service_account:
        pod["serviceAccountName"] = start.service_account
    return pod


def _container(start: Start) -> Body:
    mounts: list[Body] = [{"name": "tmp", "mountPath": "/tmp"}]  # noqa: S108
    if start.builtin is None:
        mounts.append({"name": "pipeline", "mountPath": "/pipeline", "readOnly": True})
    pipeline = f"builtin:{start.builtin}" if start.builtin else f"file:/pipeline/{PIPELINE_KEY}"
    env = [{"name": "HOME", "value": "/tmp"}, {"name": "TMPDIR", "value": "/tmp"}]  # noqa: S108
    env.append({"name": "TIDEMILL_STEP_IMAGE", "value": start.image})
    if size(start.parameters) <= LARGEST_VARIABLE:
        env.append({"name": "TIDEMILL_PARAMETERS", "value": _json(start.parameters)})
    else:
        env.append({"name": "TIDEMILL_PARAMETERS_FILE", "value": f"/parameters/{PARAMETERS_KEY}"})
        mounts.append({"name": "parameters", "mountPath": "/parameters", "readOnly": True})
    sources = [
        {"prefix": SOURCE_PREFIX, "secretRef": {"name": name}} for name in start.source_secrets
    ]
    return {
        "name": CONTAINER,
        "image": start.image,
        "imagePullPolicy": start.image_pull_policy,
        "command": ["python", "-m", RUNNER],
        "args": [
            f"--pipeline={pipeline}",
            f"--result-uri={_literal(start.result_uri)}",
            f"--progress-uri={_literal(start.progress_uri)}",
        ],
        "env": [{**item, "value": _literal(item["value"])} for item in env],
        "envFrom": [{"secretRef": {"name": start.artifact_secret}}, *sources],
        "resources": {
            "requests": {"cpu": start.cpu, "memory": start.memory},
            "limits": {"memory": start.memory},
        },
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        # Never the log: it may hold what a user's code prints.
        "terminationMessagePolicy": "File",
        "volumeMounts": mounts,
    }


def _literal(value: str) -> str:
    """Kubernetes expands $(NAME) in variables and arguments; a doubled dollar is one dollar."""
    return value.replace("$", "$$")


def _json(parameters: Body) -> str:
    return json.dumps(parameters, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def _config_map(start: Start, name: str, data: dict[str, str]) -> Body:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": _metadata(start, name, data, {}),
        "immutable": True,
        "data": data,
    }


def _metadata(start: Start, name: str, hashed: Body, annotations: dict[str, str]) -> Body:
    return {
        "name": name,
        "namespace": start.namespace,
        "labels": _labels(start),
        "annotations": {**annotations, ANNOTATION_SPEC_HASH: stable_hash(hashed)},
        "ownerReferences": [controller_reference("PipelineExecution", start.execution, start.uid)],
    }


def _labels(start: Start) -> dict[str, str]:
    return labels("execution", {LABEL_EXECUTION: start.execution})
