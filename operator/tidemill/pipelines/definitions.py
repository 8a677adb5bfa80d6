"""The pipelines that come with Tidemill: one component each, for every component costs a pod."""

from collections.abc import Callable
from typing import Any

from kfp import dsl

from tidemill.pipelines import components


def _pipeline(name: str, description: str) -> Callable[[Callable[..., None]], Any]:
    def made(function: Callable[..., None]) -> Any:
        return dsl.pipeline(function, name=name, description=description)

    return made


def _uncached(task: Any) -> None:
    """What a step does lies outside of Kubeflow: an answer from its cache would be none."""
    task.set_caching_options(enable_caching=False)


@_pipeline(name="dataset-refresh", description="Reads a Dataset's source and stores a snapshot")
def dataset_refresh(arguments: str, tidemill_result_uri: str) -> None:
    """`arguments` is JSON of api.documents.arguments.RefreshArguments."""
    _uncached(
        components.dataset_refresh(arguments=arguments, tidemill_result_uri=tidemill_result_uri)
    )


@_pipeline(name="dataset-erase", description="Deletes the bytes of versions that are not kept")
def dataset_erase(arguments: str, tidemill_result_uri: str) -> None:
    """`arguments` is JSON of api.documents.arguments.EraseArguments."""
    _uncached(
        components.dataset_erase(arguments=arguments, tidemill_result_uri=tidemill_result_uri)
    )


@_pipeline(name="train-tabular", description="Trains a candidate on a DatasetVersion")
def train_tabular(arguments: str, tidemill_result_uri: str) -> None:
    """`arguments` is JSON of api.documents.arguments.TrainArguments."""
    _uncached(
        components.train_tabular(arguments=arguments, tidemill_result_uri=tidemill_result_uri)
    )


@_pipeline(name="evaluate", description="Judges a candidate against the champion, and refits it")
def evaluate(arguments: str, tidemill_result_uri: str) -> None:
    """`arguments` is JSON of api.documents.arguments.EvaluateArguments."""
    _uncached(
        components.evaluate_model(arguments=arguments, tidemill_result_uri=tidemill_result_uri)
    )


PIPELINES = (dataset_refresh, dataset_erase, train_tabular, evaluate)
