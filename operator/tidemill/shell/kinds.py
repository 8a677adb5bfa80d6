"""Our kinds and what works on them: how each is observed, and how its next move is decided."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from tidemill.core.dataset import plan_dataset
from tidemill.core.datasetversion import plan_datasetversion
from tidemill.core.modeldeployment import plan_modeldeployment
from tidemill.core.modelversion import plan_modelversion
from tidemill.core.pipelineexecution import plan_pipelineexecution
from tidemill.core.plan import Body, Plan
from tidemill.core.trainingjob import plan_trainingjob
from tidemill.ports import Sight
from tidemill.shell.gather import (
    dataset,
    datasetversion,
    modeldeployment,
    modelversion,
    pipelineexecution,
    trainingjob,
)


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind's gather and plan functions."""

    gather: Callable[[Body, Sight], Awaitable[Any]]
    """Everything its decision may depend on, from the watched objects."""
    plan: Callable[[Any], Plan]
    """What to do, from what was gathered."""


KINDS: Mapping[str, Kind] = {
    "Dataset": Kind(dataset.gather, plan_dataset),
    "TrainingJob": Kind(trainingjob.gather, plan_trainingjob),
    "ModelDeployment": Kind(modeldeployment.gather, plan_modeldeployment),
    "DatasetVersion": Kind(datasetversion.gather, plan_datasetversion),
    "ModelVersion": Kind(modelversion.gather, plan_modelversion),
    "PipelineExecution": Kind(pipelineexecution.gather, plan_pipelineexecution),
}
"""All kinds, by name."""
