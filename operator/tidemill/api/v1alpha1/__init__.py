"""The kinds of tidemill.dev/v1alpha1, in install order."""

from tidemill.api.base import Resource
from tidemill.api.v1alpha1.dataset import Dataset
from tidemill.api.v1alpha1.datasetversion import DatasetVersion
from tidemill.api.v1alpha1.modeldeployment import ModelDeployment
from tidemill.api.v1alpha1.modelversion import ModelVersion
from tidemill.api.v1alpha1.pipelineexecution import PipelineExecution
from tidemill.api.v1alpha1.trainingjob import TrainingJob

KINDS: tuple[type[Resource], ...] = (
    Dataset,
    TrainingJob,
    ModelDeployment,
    DatasetVersion,
    ModelVersion,
    PipelineExecution,
)
"""The three kinds users write, then the two records, then the one that runs pipelines."""

__all__ = [
    "KINDS",
    "Dataset",
    "DatasetVersion",
    "ModelDeployment",
    "ModelVersion",
    "PipelineExecution",
    "TrainingJob",
]
