"""Bodies of PipelineExecutions that Datasets and TrainingJobs start, and reading them back."""

import json
from typing import Any

from tidemill.api.base import API_VERSION, Metadata
from tidemill.api.v1alpha1 import PipelineExecution
from tidemill.api.v1alpha1.pipelineexecution import Parameter, PipelineExecutionSpec
from tidemill.core.identity import (
    ANNOTATION_SPEC_HASH,
    controller_reference,
    labels,
    stable_hash,
)
from tidemill.core.plan import Body

ARGUMENTS = "arguments"
"""The one parameter of our own pipelines: a JSON document of api/documents/arguments."""
MAX_ARGUMENTS = 65536
"""As long as a parameter's value may be."""


def arguments_parameter(document: dict[str, Any]) -> Parameter | None:
    """The parameter that carries the document; None if it is too large for one."""
    text = json.dumps(document, sort_keys=True, separators=(",", ":"))
    return Parameter(name=ARGUMENTS, value=text) if len(text) <= MAX_ARGUMENTS else None


def arguments_of(execution: PipelineExecution) -> dict[str, Any]:
    """The document an execution of ours was started with; empty if it carries none."""
    for parameter in execution.spec.parameters:
        if parameter.name == ARGUMENTS:
            try:
                document = json.loads(parameter.value)
            except ValueError:
                return {}
            return document if isinstance(document, dict) else {}
    return {}


def execution_body(
    kind: str, owner: Metadata, *, name: str, label: str, spec: PipelineExecutionSpec
) -> Body:
    """A PipelineExecution controlled by `owner` (of that kind), labelled `label`: its name."""
    wire = spec.to_wire()
    return {
        "apiVersion": API_VERSION,
        "kind": "PipelineExecution",
        "metadata": {
            "name": name,
            "namespace": owner.namespace,
            "labels": labels("execution", {label: owner.name}),
            "annotations": {ANNOTATION_SPEC_HASH: stable_hash(wire)},
            "ownerReferences": [controller_reference(kind, owner.name, owner.uid)],
        },
        "spec": wire,
    }
