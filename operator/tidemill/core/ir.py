"""Compiled pipelines (Kubeflow's IR): read safely, checked, and edited as plain JSON.

Nothing a pipeline contains is ever executed here. Text comes from users: its size and depth are
bounded and YAML aliases, which can stand for gigabytes, are refused before anything is built.
"""

import copy
import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from tidemill.core.attempts import Problem
from tidemill.core.plan import Body

MAX_BYTES = 262144
MAX_DEPTH = 64
RESULT_URI = "tidemill_result_uri"
"""The parameter that tells a pipeline where to leave its result document."""
SOURCE_PREFIX = "SOURCE_"
"""Keys of spec.secretRefs become variables with this prefix, so that a credential for a user's
source never takes the place of the one for the artifact store."""
SECRET_KEYS = (
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_REGION",
    "AWS_ENDPOINT_URL",
    "AWS_ALLOW_HTTP",
    "GOOGLE_SERVICE_ACCOUNT_KEY",
    "AZURE_STORAGE_ACCOUNT_NAME",
    "AZURE_STORAGE_ACCOUNT_KEY",
    "url",
    "username",
    "password",
    "token",
)
"""Keys that Kubeflow pods get from Secrets: unlike a Job, a Kubeflow step names each one."""

_EXECUTOR_MODULE = "kfp.dsl.executor_main"
_CONTAINERIZED = ["python3", "-m", _EXECUTOR_MODULE]
_ENDS = (yaml.SequenceEndEvent, yaml.MappingEndEvent)
_STARTS = (yaml.SequenceStartEvent, yaml.MappingStartEvent)
_BASE: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Loader(_BASE):  # type: ignore[misc]
    """safe_load's loader, but dates stay text: IR is JSON and JSON has none."""


_Loader.yaml_implicit_resolvers = {
    first: [pair for pair in pairs if pair[0] != "tag:yaml.org,2002:timestamp"]
    for first, pairs in _BASE.yaml_implicit_resolvers.items()
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Compiled:
    """A compiled pipeline. The bodies are shared: never change one."""

    spec: Body
    platforms: Body
    """The `platforms` document that may follow it; empty if there is none."""
    text: str
    digest: str
    """The sha256 of the text."""


def parse(text: str) -> Compiled | Problem:
    """Read compiled pipeline YAML."""
    data = text.encode()
    if len(data) > MAX_BYTES:
        return _invalid(f"it has {len(data)} bytes; at most {MAX_BYTES} are allowed")
    try:
        refusal = _scan(text)
        documents = [] if refusal else [item for item in yaml.load_all(text, _Loader) if item]  # noqa: S506
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        return _invalid(f"it is not YAML: {_where(error)}")
    if refusal:
        return _invalid(refusal)
    return _compiled(documents, text, f"sha256:{hashlib.sha256(data).hexdigest()}")


def _scan(text: str) -> str | None:
    """Look at the events only, which builds nothing: aliases and depth."""
    depth = 0
    for event in yaml.parse(text, _BASE):
        if isinstance(event, yaml.AliasEvent):
            return "it uses YAML aliases, which a compiled pipeline never does"
        depth += isinstance(event, _STARTS) - isinstance(event, _ENDS)
        if depth > MAX_DEPTH:
            return f"it is nested more than {MAX_DEPTH} levels deep"
    return None


def _compiled(documents: list[Any], text: str, digest: str) -> Compiled | Problem:
    if not documents or not isinstance(documents[0], dict):
        return _invalid("it holds no pipeline")
    spec = documents[0]
    if "apiVersion" in spec:
        kind = str(spec.get("kind", ""))[:64]
        return _invalid(f"it is a Kubernetes object of kind {kind!r}, not compiled pipeline YAML")
    for key in ("pipelineInfo", "root", "schemaVersion"):
        if key not in spec:
            return _invalid(f"it has no {key}; compile it with kfp 2 (kfp.compiler.Compiler)")
    if not str(spec["schemaVersion"]).startswith("2."):
        return _invalid(f"its schemaVersion is {str(spec['schemaVersion'])[:16]}, not 2.x")
    if not _mapping(spec, "root", "dag", "tasks"):
        return _invalid("it has no tasks under root.dag.tasks")
    rest = documents[1] if len(documents) > 1 else {}
    platforms = rest.get("platforms", {}) if isinstance(rest, dict) else None
    if len(documents) > 2 or not isinstance(platforms, dict):
        return _invalid("after the pipeline only one document with `platforms` may follow")
    try:
        spec, platforms = json.loads(json.dumps([spec, platforms], allow_nan=False))
    except (TypeError, ValueError):
        return _invalid("it holds a value that JSON does not have")
    misshapen = _misshapen(spec, platforms)
    if misshapen:
        return _invalid(f"{misshapen} is not shaped as kfp writes it")
    return Compiled(spec=spec, platforms=platforms, text=text, digest=digest)


def _misshapen(spec: Body, platforms: Body) -> str | None:
    """The first place that is not the mapping we are going to take it for."""
    for name, definition in _mapping(spec, "root", "inputDefinitions", "parameters").items():
        if not isinstance(definition, dict):
            return f"root.inputDefinitions.parameters.{name}"
    for name, definition in _mapping(spec, "root", "inputDefinitions", "artifacts").items():
        if not isinstance(definition, dict):
            return f"root.inputDefinitions.artifacts.{name}"
    for graph in (spec["root"], *_mapping(spec, "components").values()):
        for name, task in _mapping(graph, "dag", "tasks").items():
            if not isinstance(task, dict):
                return f"the task {name}"
    for name, executor in _mapping(spec, "deploymentSpec", "executors").items():
        container = executor.get("container", {}) if isinstance(executor, dict) else None
        if not isinstance(container, dict) or not isinstance(container.get("command", []), list):
            return f"deploymentSpec.executors.{name}"
    for platform, body in platforms.items():
        held = body
        for step in ("deploymentSpec", "executors"):
            held = held.get(step, {}) if isinstance(held, dict) else None
        if not isinstance(held, dict) or not all(isinstance(item, dict) for item in held.values()):
            return f"platforms.{platform}"
    return None


def declared(pipeline: Compiled) -> Mapping[str, Body]:
    """The pipeline's parameters: name -> definition."""
    return _mapping(pipeline.spec, "root", "inputDefinitions", "parameters")


def declares_result(pipeline: Compiled) -> bool:
    """Whether the pipeline wants to be told where its result goes, and so has to leave one."""
    return RESULT_URI in declared(pipeline)


def of_run(run: Body) -> Body:
    """The pipeline of a Kubeflow run, which the API nests when platform settings came with it."""
    held = _mapping(run, "pipeline_spec")
    return _mapping(held, "pipeline_spec") or held


def task_names(spec: Body) -> frozenset[str]:
    """The names of all tasks in all graphs of a pipeline."""
    graphs = [_mapping(spec, "root"), *_mapping(spec, "components").values()]
    tasks = [task for graph in graphs for task in _mapping(graph, "dag", "tasks").items()]
    return frozenset(str(_mapping(task, "taskInfo").get("name", name)) for name, task in tasks)


def bind(pipeline: Compiled, given: Iterable[tuple[str, str]], result_uri: str) -> Body | Problem:
    """The values to run with, typed as the pipeline declares them."""
    wanted = declared(pipeline)
    values: Body = {}
    for name, text in given:
        if name == RESULT_URI:
            return _parameter(f"spec.parameters has {name}, which the operator sets; remove it")
        if name not in wanted:
            known = ", ".join(sorted(wanted)) or "none"
            return _parameter(
                f"spec.parameters has {name}, which the pipeline does not declare; it has: {known}"
            )
        kind = str(wanted[name].get("parameterType", "STRING"))
        value = _typed(text, kind)
        if value is None:
            return _parameter(
                f"spec.parameters: the value of {name} is not {_KINDS.get(kind, kind)}"
            )
        values[name] = value[0]
    if RESULT_URI in wanted:
        values[RESULT_URI] = result_uri
    for name, definition in wanted.items():
        optional = definition.get("isOptional") or "defaultValue" in definition
        if name not in values and not optional:
            return _parameter(f"The pipeline needs the parameter {name}; add it to spec.parameters")
    return values


_KINDS = {
    "NUMBER_INTEGER": "a whole number",
    "NUMBER_DOUBLE": "a number",
    "BOOLEAN": "true or false",
    "LIST": "a JSON list",
    "STRUCT": "a JSON object",
}


def _typed(text: str, kind: str) -> tuple[Any] | None:
    """The value as JSON in a tuple of one, or None if it is not of this kind."""
    if kind == "STRING":
        return (text,)
    try:
        value = json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return None
    if isinstance(value, bool) or kind == "BOOLEAN":
        return (value,) if isinstance(value, bool) and kind == "BOOLEAN" else None
    if kind == "NUMBER_INTEGER":
        whole = isinstance(value, int) or (isinstance(value, float) and value.is_integer())
        return (int(value),) if whole else None
    types: dict[str, Any] = {"NUMBER_DOUBLE": (int, float), "LIST": list, "STRUCT": dict}
    return (value,) if isinstance(value, types.get(kind, ())) else None


def job_problem(pipeline: Compiled) -> Problem | None:
    """Why the Job engine (kfp.local with its subprocess runner) cannot run this pipeline."""
    executors = _mapping(pipeline.spec, "deploymentSpec", "executors")
    for label, executor in executors.items():
        name = label.removeprefix("exec-")
        if "importer" in executor:
            continue
        parts = [str(part) for part in _mapping(executor, "container").get("command", ())]
        if parts[:3] == _CONTAINERIZED:
            return _unsupported(f"{name} is a containerized Python component")
        if not any(_EXECUTOR_MODULE in part for part in parts):
            return _unsupported(f"{name} is a container component")
    for label, settings in _platform_executors(pipeline.platforms).items():
        if settings:
            name, what = label.removeprefix("exec-"), ", ".join(sorted(settings))
            return _unsupported(f"{name} has platform settings ({what})")
    return None


def pipeline_problem(pipeline: Compiled) -> Problem | None:
    """Why no engine of ours can run this pipeline."""
    artifacts = _mapping(pipeline.spec, "root", "inputDefinitions", "artifacts")
    for name, definition in artifacts.items():
        if not definition.get("isOptional"):
            return Problem(
                reason="UnsupportedPipeline",
                message=f"The pipeline wants the artifact {name} as its input; an execution can"
                " only give parameters. Import it inside the pipeline (dsl.importer).",
            )
    return None


def for_kubeflow(
    pipeline: Compiled,
    *,
    image: str | None,
    cpu: str,
    memory: str,
    artifact_secret: str,
    source_secrets: Iterable[str],
) -> Body:
    """The pipeline_spec to send to Kubeflow.

    With an image (our own pipelines) every step runs it, and nothing is taken from a cache: our
    steps act outside of Kubeflow. Steps that ask for no resources get cpu and memory. All steps
    get the Secrets' keys as environment.
    """
    spec = copy.deepcopy(pipeline.spec)
    executors = _mapping(spec, "deploymentSpec", "executors")
    for executor in executors.values():
        container = executor.get("container")
        if container is None:
            continue
        if image is not None:
            container["image"] = image
        container.setdefault("resources", _resources(cpu, memory))
    if image is not None:
        _disable_caching(spec)
    secrets = [(artifact_secret, ""), *((name, SOURCE_PREFIX) for name in source_secrets)]
    wanted = [_secret_as_env(name, prefix) for name, prefix in secrets]
    platforms = copy.deepcopy(pipeline.platforms)
    held = platforms.setdefault("kubernetes", {}).setdefault("deploymentSpec", {})
    settings = held.setdefault("executors", {})
    for label, executor in executors.items():
        if "container" in executor:
            settings.setdefault(label, {}).setdefault("secretAsEnv", []).extend(wanted)
    return {"pipeline_spec": spec, "platform_spec": {"platforms": platforms}}


def _resources(cpu: str, memory: str) -> Body:
    """As kfp compiles them: a quantity, and beside it the number that older servers read, in
    cores and in billions of bytes.
    """
    cores = float(cpu[:-1]) / 1000 if cpu.endswith("m") else float(cpu)
    unit = {"Mi": 2**20, "Gi": 2**30}[memory[-2:]]
    billions = int(memory[:-2]) * unit / 1e9
    return {
        "cpuRequest": cores,
        "memoryRequest": billions,
        "memoryLimit": billions,
        "resourceCpuRequest": cpu,
        "resourceMemoryRequest": memory,
        "resourceMemoryLimit": memory,
    }


def _disable_caching(spec: Body) -> None:
    for graph in (spec["root"], *_mapping(spec, "components").values()):
        for task in _mapping(graph, "dag", "tasks").values():
            task["cachingOptions"] = {}


def _secret_as_env(name: str, prefix: str) -> Body:
    # Optional: a Secret has some of these keys, and a step that misses one says so itself, while
    # a Kubeflow pod without it would wait for ever.
    return {
        "secretName": name,
        "secretNameParameter": {"runtimeValue": {"constant": name}},
        "optional": True,
        "keyToEnv": [{"secretKey": key, "envVar": f"{prefix}{key}"} for key in SECRET_KEYS],
    }


def _platform_executors(platforms: Body) -> Body:
    found: Body = {}
    for platform in platforms:
        found |= _mapping(platforms, platform, "deploymentSpec", "executors")
    return found


def _mapping(value: Any, *path: str) -> Body:
    """The mapping of mappings at this path; empty where there is none."""
    for step in path:
        value = value.get(step) if isinstance(value, dict) else None
    return value if isinstance(value, dict) else {}


def _refuse(constant: str) -> Any:
    raise ValueError(constant)


def _where(error: Exception) -> str:
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None) or "it cannot be read"
    return f"{problem} (line {mark.line + 1})" if mark is not None else str(problem)


def _invalid(what: str) -> Problem:
    return Problem(reason="InvalidPipeline", message=f"The pipeline cannot be used: {what}.")


def _parameter(what: str) -> Problem:
    return Problem(reason="InvalidParameters", message=f"{what}.")


def _unsupported(what: str) -> Problem:
    return Problem(
        reason="UnsupportedPipeline",
        message=f"The Job engine cannot run this pipeline: {what}. It runs lightweight Python"
        " components only; set spec.engine: Kubeflow.",
    )
