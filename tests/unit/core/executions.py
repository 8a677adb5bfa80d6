"""A PipelineExecution in the middle of its work, for tests that change one thing about it."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from tidemill.api.v1alpha1.pipelineexecution import Engine, PipelineExecution
from tidemill.core import ir
from tidemill.core.conditions import rfc3339
from tidemill.core.executionview import Observed, Setup
from tidemill.core.plan import Body

NOW = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)
UID = "7f0a1c0e-0000-4000-8000-000000000001"
NAME = "churn-0123456789"
PREFIX = "s3://artifacts/tidemill/cluster-1/team"
SETUP = Setup(
    cluster_uid="cluster-1",
    artifact_root="s3://artifacts/tidemill",
    artifact_secret="tidemill-artifacts",
    steps_image="tidemill/steps:1",
    image_pull_policy="IfNotPresent",
    default_engine=Engine.JOB,
    kubeflow=True,
)
LIGHTWEIGHT = [
    "sh",
    "-ec",
    "program_path=$(mktemp -d)\npython3 -m kfp.dsl.executor_main --component_module_path x",
    "def step(): ...",
]


def ago(seconds: float) -> str:
    """A stored time so many seconds before NOW."""
    return rfc3339(NOW - timedelta(seconds=seconds))


def pipeline_spec(**parameters: Body) -> Body:
    """A compiled pipeline of one lightweight step."""
    return {
        "pipelineInfo": {"name": "small"},
        "schemaVersion": "2.1.0",
        "sdkVersion": "kfp-2.17.0",
        "components": {"comp-step": {"executorLabel": "exec-step"}},
        "deploymentSpec": {
            "executors": {
                "exec-step": {"container": {"command": LIGHTWEIGHT, "image": "python:3.11"}}
            }
        },
        "root": {
            "dag": {
                "tasks": {
                    "step": {
                        "componentRef": {"name": "comp-step"},
                        "cachingOptions": {"enableCache": True},
                        "taskInfo": {"name": "step"},
                    }
                }
            },
            "inputDefinitions": {"parameters": parameters},
        },
    }


def compiled(spec: Body, platforms: Body | None = None) -> ir.Compiled:
    """The pipeline as it is read from YAML (of which JSON is a part)."""
    text = json.dumps(spec)
    if platforms is not None:
        text += "\n---\n" + json.dumps({"platforms": platforms})
    read = ir.parse(text)
    assert isinstance(read, ir.Compiled), read
    return read


PIPELINE = compiled(
    pipeline_spec(
        arguments={"parameterType": "STRING"},
        tidemill_result_uri={"parameterType": "STRING"},
    )
)


def attempt(number: int = 1, **changes: Any) -> Body:
    """A claimed attempt."""
    return {"number": number, "started": ago(60), "seen": True, **changes}


def claimed(engine: str = "Job", number: int = 1, **changes: Any) -> Body:
    """The status of an execution whose attempt is claimed, and seen by its engine."""
    said = {
        "reason": "Running",
        "message": "",
        "observedGeneration": 1,
        "lastTransitionTime": ago(60),
    }
    return {
        "observedGeneration": 1,
        "state": "Running",
        "engine": engine,
        "attempt": attempt(number),
        "runId": f"{NAME}-{number}" if engine == "Job" else "run-1",
        "started": ago(60),
        "image": "tidemill/steps:1",
        "pipelineDigest": PIPELINE.digest,
        "conditions": [{"type": "Ready", "status": "False", **said}],
        **changes,
    }


def execution(
    status: Body | None = None, *, metadata: Body | None = None, **spec: Any
) -> PipelineExecution:
    """One that runs a pipeline of ours, made a minute ago."""
    return PipelineExecution.parse(
        {
            "metadata": {
                "name": NAME,
                "namespace": "team",
                "uid": UID,
                "generation": 1,
                "resourceVersion": "1",
                "creationTimestamp": ago(60),
                **(metadata or {}),
            },
            "spec": {
                "pipeline": {"builtin": "train-tabular"},
                "parameters": [{"name": "arguments", "value": "{}"}],
                **spec,
            },
            "status": status or {},
        }
    )


def observed(made: PipelineExecution, **changes: Any) -> Observed:
    """What a pass sees of it."""
    return replace(Observed(now=NOW, execution=made, setup=SETUP), **changes)
