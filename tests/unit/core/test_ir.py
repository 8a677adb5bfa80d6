"""Compiled pipelines: what is refused and why, and what an edit changes and leaves."""

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.core.executions import LIGHTWEIGHT, compiled, pipeline_spec
from tidemill.core import ir
from tidemill.core.attempts import Problem

SMALL = pipeline_spec()
TEXT = json.dumps(SMALL)
RECORDED = json.loads(
    (Path(__file__).parents[2] / "contract/recorded/get-run-succeeded.json").read_text()
)["response"]


def _without(key: str) -> str:
    return json.dumps({name: value for name, value in SMALL.items() if name != key})


def _with(path: list[str], value: Any) -> str:
    spec = copy.deepcopy(SMALL)
    at: Any = spec
    for step in path[:-1]:
        at = at[step]
    at[path[-1]] = value
    return json.dumps(spec)


REFUSED = {
    "no text": ("", "it holds no pipeline"),
    "a list": ("- 1\n", "it holds no pipeline"),
    "not YAML": ("a: [b", "it is not YAML: did not find expected ',' or ']' (line 2)"),
    "too large": ("#" * 262145, "it has 262145 bytes; at most 262144 are allowed"),
    "an alias, which can stand for gigabytes": (
        "a: &x [1]\nb: [*x, *x]\n",
        "it uses YAML aliases, which a compiled pipeline never does",
    ),
    "too deep": ("[" * 65, "it is nested more than 64 levels deep"),
    "an Argo Workflow": (
        json.dumps({"apiVersion": "argoproj.io/v1alpha1", "kind": "Workflow"}),
        "it is a Kubernetes object of kind 'Workflow', not compiled pipeline YAML",
    ),
    "no root": (_without("root"), "it has no root; compile it with kfp 2 (kfp.compiler.Compiler)"),
    "KFP 1": (_with(["schemaVersion"], "1.0"), "its schemaVersion is 1.0, not 2.x"),
    "no tasks": (_with(["root", "dag", "tasks"], {}), "it has no tasks under root.dag.tasks"),
    "a third document": (
        f"{TEXT}\n---\nplatforms: {{}}\n---\na: 1\n",
        "after the pipeline only one document with `platforms` may follow",
    ),
    "infinity": (f"{TEXT[:-1]}, x: .inf}}", "it holds a value that JSON does not have"),
    "an executor that is text": (
        _with(["deploymentSpec", "executors", "exec-step"], "sh"),
        "deploymentSpec.executors.exec-step is not shaped as kfp writes it",
    ),
    "a parameter that is text": (
        _with(["root", "inputDefinitions", "parameters"], {"n": "STRING"}),
        "root.inputDefinitions.parameters.n is not shaped as kfp writes it",
    ),
    "a task that is text": (
        _with(["root", "dag", "tasks", "step"], "x"),
        "the task step is not shaped as kfp writes it",
    ),
    "a platform that is text": (
        f"{TEXT}\n---\nplatforms: {{kubernetes: x}}\n",
        "platforms.kubernetes is not shaped as kfp writes it",
    ),
}


@pytest.mark.parametrize(("text", "why"), REFUSED.values(), ids=REFUSED)
def test_parse_refuses(text: str, why: str) -> None:
    assert ir.parse(text) == Problem(
        reason="InvalidPipeline", message=f"The pipeline cannot be used: {why}."
    )


def test_parse_keeps_the_pipeline_its_platforms_and_the_digest_of_the_text() -> None:
    platforms: Any = {"kubernetes": {"deploymentSpec": {"executors": {}}}}

    read = compiled(SMALL, platforms)

    assert read.spec == SMALL
    assert read.platforms == platforms
    assert read.digest.startswith("sha256:")
    assert compiled(SMALL).digest != read.digest


def test_a_date_stays_text() -> None:
    read = ir.parse(f"{TEXT[:-1]}, since: 2026-01-01}}")

    assert isinstance(read, ir.Compiled)
    assert read.spec["since"] == "2026-01-01"


@given(st.text(max_size=200))
def test_parse_never_raises(text: str) -> None:
    assert isinstance(ir.parse(text), Problem)


TYPED: dict[str, tuple[str, str, Any]] = {
    "text as it is": ("STRING", "007", "007"),
    "a whole number": ("NUMBER_INTEGER", "7", 7),
    "a whole number with a fraction of zero": ("NUMBER_INTEGER", "7.0", 7),
    "a number": ("NUMBER_DOUBLE", "0.5", 0.5),
    "a boolean": ("BOOLEAN", "true", True),
    "a list": ("LIST", "[1]", [1]),
    "an object": ("STRUCT", '{"a": 1}', {"a": 1}),
}


@pytest.mark.parametrize(("kind", "text", "value"), TYPED.values(), ids=TYPED)
def test_bind_types_a_value(kind: str, text: str, value: Any) -> None:
    pipeline = compiled(pipeline_spec(p={"parameterType": kind}))

    assert ir.bind(pipeline, [("p", text)], "") == {"p": value}


MISTYPED = {
    "a fraction": ("NUMBER_INTEGER", "7.5", "a whole number"),
    "a boolean for a whole number": ("NUMBER_INTEGER", "true", "a whole number"),
    "text for a number": ("NUMBER_DOUBLE", "x", "a number"),
    "NaN": ("NUMBER_DOUBLE", "NaN", "a number"),
    "a number for a boolean": ("BOOLEAN", "1", "true or false"),
    "an object for a list": ("LIST", "{}", "a JSON list"),
    "a list for an object": ("STRUCT", "[]", "a JSON object"),
}


@pytest.mark.parametrize(("kind", "text", "what"), MISTYPED.values(), ids=MISTYPED)
def test_bind_refuses_a_value_of_another_type(kind: str, text: str, what: str) -> None:
    pipeline = compiled(pipeline_spec(p={"parameterType": kind}))

    assert ir.bind(pipeline, [("p", text)], "") == Problem(
        reason="InvalidParameters", message=f"spec.parameters: the value of p is not {what}."
    )


def test_bind_names_an_undeclared_parameter_and_those_there_are() -> None:
    pipeline = compiled(pipeline_spec(b={"parameterType": "STRING"}, a={"parameterType": "STRING"}))

    assert ir.bind(pipeline, [("c", "1")], "") == Problem(
        reason="InvalidParameters",
        message="spec.parameters has c, which the pipeline does not declare; it has: a, b.",
    )


def test_bind_names_a_missing_parameter() -> None:
    pipeline = compiled(
        pipeline_spec(
            needed={"parameterType": "STRING"},
            optional={"parameterType": "STRING", "isOptional": True},
            defaulted={"parameterType": "STRING", "defaultValue": ""},
        )
    )

    assert ir.bind(pipeline, [], "") == Problem(
        reason="InvalidParameters",
        message="The pipeline needs the parameter needed; add it to spec.parameters.",
    )


def test_bind_sets_the_result_uri_where_it_is_declared_and_nobody_else_may() -> None:
    pipeline = compiled(pipeline_spec(tidemill_result_uri={"parameterType": "STRING"}))

    assert ir.bind(pipeline, [], "s3://b/r") == {"tidemill_result_uri": "s3://b/r"}
    assert ir.bind(pipeline, [("tidemill_result_uri", "s3://else")], "s3://b/r") == Problem(
        reason="InvalidParameters",
        message="spec.parameters has tidemill_result_uri, which the operator sets; remove it.",
    )
    assert ir.bind(compiled(pipeline_spec()), [], "s3://b/r") == {}


UNSUPPORTED: dict[str, tuple[Any, Any, str]] = {
    "a container component": (
        {"container": {"command": ["echo"], "image": "alpine"}}, None,
        "step is a container component"),
    "a container without a command": (
        {"container": {"image": "alpine"}}, None, "step is a container component"),
    "a containerized Python component": (
        {"container": {"command": ["python3", "-m", "kfp.dsl.executor_main"]}}, None,
        "step is a containerized Python component"),
    "platform settings": (
        {"container": {"command": LIGHTWEIGHT}}, {"nodeSelector": {}, "secretAsEnv": []},
        "step has platform settings (nodeSelector, secretAsEnv)"),
}  # fmt: skip


@pytest.mark.parametrize(("executor", "settings", "why"), UNSUPPORTED.values(), ids=UNSUPPORTED)
def test_the_job_engine_says_what_it_cannot_run(executor: Any, settings: Any, why: str) -> None:
    spec = copy.deepcopy(SMALL)
    spec["deploymentSpec"]["executors"]["exec-step"] = executor
    executors = {"exec-step": settings} if settings is not None else {}
    platforms = {"kubernetes": {"deploymentSpec": {"executors": executors}}}

    assert ir.job_problem(compiled(spec, platforms)) == Problem(
        reason="UnsupportedPipeline",
        message=f"The Job engine cannot run this pipeline: {why}. It runs lightweight Python"
        " components only; set spec.engine: Kubeflow.",
    )


def test_the_job_engine_runs_lightweight_components_and_importers() -> None:
    spec = copy.deepcopy(SMALL)
    spec["deploymentSpec"]["executors"]["exec-importer"] = {"importer": {"artifactUri": {}}}

    assert ir.job_problem(compiled(spec)) is None
    assert ir.job_problem(compiled(RECORDED["pipeline_spec"])) is None


def test_a_pipeline_that_wants_an_artifact_cannot_be_given_one() -> None:
    spec = copy.deepcopy(SMALL)
    spec["root"]["inputDefinitions"]["artifacts"] = {"data": {}, "spare": {"isOptional": True}}

    assert ir.pipeline_problem(compiled(spec)) == Problem(
        reason="UnsupportedPipeline",
        message="The pipeline wants the artifact data as its input; an execution can only give"
        " parameters. Import it inside the pipeline (dsl.importer).",
    )


def _for_kubeflow(pipeline: ir.Compiled, image: str | None) -> Any:
    return ir.for_kubeflow(
        pipeline,
        image=image,
        cpu="500m",
        memory="1Gi",
        artifact_secret="tidemill-artifacts",
        source_secrets=["flights"],
    )


def test_our_own_pipelines_run_our_image_and_take_nothing_from_a_cache() -> None:
    sent = _for_kubeflow(compiled(SMALL), "tidemill/steps:1")

    container = sent["pipeline_spec"]["deploymentSpec"]["executors"]["exec-step"]["container"]
    assert container["image"] == "tidemill/steps:1"
    assert container["resources"] == {
        "cpuRequest": 0.5,
        "memoryRequest": 1.073741824,
        "memoryLimit": 1.073741824,
        "resourceCpuRequest": "500m",
        "resourceMemoryRequest": "1Gi",
        "resourceMemoryLimit": "1Gi",
    }
    assert sent["pipeline_spec"]["root"]["dag"]["tasks"]["step"]["cachingOptions"] == {}


def test_a_users_pipeline_keeps_its_images_resources_and_caching() -> None:
    spec = copy.deepcopy(SMALL)
    container = spec["deploymentSpec"]["executors"]["exec-step"]["container"]
    container["resources"] = {"resourceMemoryLimit": "8Gi"}

    sent = _for_kubeflow(compiled(spec), None)

    assert sent["pipeline_spec"] == spec


def test_every_container_gets_the_secrets_beside_its_own_settings() -> None:
    spec = copy.deepcopy(SMALL)
    spec["deploymentSpec"]["executors"]["exec-importer"] = {"importer": {}}
    own = {"nodeSelector": {"labels": {"disk": "ssd"}}}
    platforms = {"kubernetes": {"deploymentSpec": {"executors": {"exec-step": own}}}}
    pipeline = compiled(spec, platforms)
    before = copy.deepcopy(pipeline)

    sent = _for_kubeflow(pipeline, None)

    executors = sent["platform_spec"]["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    assert executors.keys() == {"exec-step"}
    assert executors["exec-step"]["nodeSelector"] == {"labels": {"disk": "ssd"}}
    plain, source = executors["exec-step"]["secretAsEnv"]
    assert plain["secretName"] == "tidemill-artifacts"
    assert plain["secretNameParameter"] == {"runtimeValue": {"constant": "tidemill-artifacts"}}
    assert plain["optional"] is True
    assert {"secretKey": "AWS_REGION", "envVar": "AWS_REGION"} in plain["keyToEnv"]
    assert source["secretName"] == "flights"
    assert {"secretKey": "AWS_REGION", "envVar": "SOURCE_AWS_REGION"} in source["keyToEnv"]
    assert pipeline == before


def test_the_names_of_all_tasks_of_a_recorded_run() -> None:
    assert ir.task_names(ir.of_run(RECORDED)) == {"a", "b"}
    nested = {"pipeline_spec": {"pipeline_spec": RECORDED["pipeline_spec"], "platform_spec": {}}}
    assert ir.task_names(ir.of_run(nested)) == {"a", "b"}
