"""One training cycle: a Dataset and a TrainingJob are applied; in the end a model is approved."""

from dataclasses import replace
from typing import Any

from tests.builders import GATES, dataset_spec
from tests.chaos.artifacts import Artifacts
from tests.chaos.documents import ANSWERS
from tests.chaos.stage import Stage
from tests.chaos.workload import Workload
from tests.integration.kubectl import condition
from tidemill.api.documents.results import Failure, Result

Body = dict[str, Any]
_HEAD = {"apiVersion": "tidemill.dev/v1alpha1"}


def dataset(namespace: str, suffix: str = "") -> Body:
    """The flights."""
    return {
        **_HEAD,
        "kind": "Dataset",
        "metadata": {"name": f"flights{suffix}", "namespace": namespace},
        "spec": dataset_spec(),
    }


def training_job(namespace: str, suffix: str = "") -> Body:
    """Learn to tell delays from them."""
    return {
        **_HEAD,
        "kind": "TrainingJob",
        "metadata": {"name": f"delays{suffix}", "namespace": namespace},
        "spec": {"datasetRef": {"name": f"flights{suffix}"}, "gates": GATES},
    }


def _has_begun(stage: Stage, namespace: str) -> bool:
    """Whether the first read of the Dataset is claimed: what the TrainingJob says does not then
    depend on which of the two is seen first.
    """
    data = stage.cluster.get("Dataset", namespace, "flights") or {}
    return "active" in (data.get("status") or {})


def _is_over(stage: Stage, namespace: str) -> bool:
    """Whether the model is approved and nothing is under way."""
    job = stage.cluster.get("TrainingJob", namespace, "delays") or {}
    data = stage.cluster.get("Dataset", namespace, "flights") or {}
    under_way = [body for body in (job, data) if (body.get("status") or {}).get("active")]
    ready = [condition(body, "Ready").get("status") for body in (job, data)]
    return not under_way and ready == ["True", "True"]


def _stumble(stage: Stage) -> None:
    """Have the first try of each namespace's read fail of something that may pass."""
    tried: set[str] = set()

    def answer(artifacts: Artifacts, arguments: dict[str, Any]) -> Result:
        if arguments["store"] in tried:
            return ANSWERS["dataset-refresh"](artifacts, arguments)
        tried.add(arguments["store"])
        message = "The source does not answer."
        return Failure(reason="SourceUnavailable", message=message, transient=True)

    stage.engine.answers = {**ANSWERS, "dataset-refresh": answer}


TRAINING = Workload(
    kinds=(
        *("Dataset", "DatasetVersion", "TrainingJob", "ModelVersion", "PipelineExecution"),
        *("ConfigMap", "Job", "Pod"),
    ),
    surround=lambda stage: None,
    begin=lambda stage, namespace: stage.cluster.create(dataset(namespace)),
    may_go_on=_has_begun,
    go_on=lambda stage, namespace: stage.cluster.create(training_job(namespace)),
    is_over=_is_over,
)
STUMBLING = replace(TRAINING, surround=_stumble)
"""The same, with a read that takes two attempts."""
