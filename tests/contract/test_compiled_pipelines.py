"""What is sent to Kubeflow is IR as kfp itself reads it: our pipelines, and a user's."""

from importlib import resources
from typing import Any

import pytest
from google.protobuf import json_format  # type: ignore[import-untyped]
from kfp.pipeline_spec import pipeline_spec_pb2

from tests.contract.kfp_stub import recording
from tests.unit.core.executions import compiled
from tidemill.api.v1alpha1.pipelineexecution import BuiltinIR
from tidemill.core import ir
from tidemill.core.plan import Body


def _builtin(name: str) -> ir.Compiled:
    packaged = resources.files("tidemill").joinpath("pipelines", "compiled", f"{name}.yaml")
    read = ir.parse(packaged.read_text("utf-8"))
    assert isinstance(read, ir.Compiled), read
    return read


def _sent(pipeline: ir.Compiled) -> Body:
    return ir.for_kubeflow(
        pipeline,
        image="tidemill/steps:1",
        cpu="2",
        memory="512Mi",
        artifact_secret="tidemill-artifacts",
        source_secrets=["flights"],
    )


PIPELINES = {
    **{item.value: _builtin(item.value) for item in BuiltinIR},
    "a recorded one": compiled(recording("get-run-succeeded")["response"]["pipeline_spec"]),
}


@pytest.mark.parametrize("name", PIPELINES)
def test_kfp_reads_what_is_sent(name: str) -> None:
    sent = _sent(PIPELINES[name])

    spec: Any = json_format.ParseDict(sent["pipeline_spec"], pipeline_spec_pb2.PipelineSpec())
    platform: Any = json_format.ParseDict(sent["platform_spec"], pipeline_spec_pb2.PlatformSpec())

    deployment = pipeline_spec_pb2.PipelineDeploymentConfig()
    json_format.ParseDict(json_format.MessageToDict(spec.deployment_spec), deployment)
    executors = platform.platforms["kubernetes"].deployment_spec.executors
    assert set(executors) == set(deployment.executors)
    for executor in deployment.executors.values():
        assert executor.container.image == "tidemill/steps:1"
        assert executor.container.resources.resource_memory_limit == "512Mi"
        assert executor.container.resources.memory_limit == 512 * 2**20 / 1e9
        assert executor.container.resources.cpu_request == 2.0


@pytest.mark.parametrize("name", [item.value for item in BuiltinIR])
def test_the_job_engine_runs_our_pipelines_and_all_leave_a_result(name: str) -> None:
    pipeline = PIPELINES[name]

    assert ir.job_problem(pipeline) is None
    assert ir.pipeline_problem(pipeline) is None
    assert ir.declares_result(pipeline)
    assert ir.bind(pipeline, [("arguments", "{}")], "s3://b/result.json") == {
        "arguments": "{}",
        "tidemill_result_uri": "s3://b/result.json",
    }
