"""Lightweight components. Their bodies travel inside the compiled pipeline, so each imports what
it needs, and the image is one that has Tidemill: the operator puts its own step image in the
place of `tidemill-steps`.
"""

from collections.abc import Callable
from typing import Any

from kfp import dsl

IMAGE = "tidemill-steps"
"""Stands for the step image in compiled pipelines."""


def _component(function: Callable[..., None]) -> Any:
    return dsl.component(function, base_image=IMAGE, install_kfp_package=False)


@_component
def dataset_refresh(arguments: str, tidemill_result_uri: str) -> None:
    """Read, check, profile and store a snapshot of a Dataset's source."""
    from tidemill.steps.outcome import run

    run("dataset-refresh", arguments, tidemill_result_uri)


@_component
def dataset_erase(arguments: str, tidemill_result_uri: str) -> None:
    """Delete the bytes of a Dataset's versions that are not kept."""
    from tidemill.steps.outcome import run

    run("dataset-erase", arguments, tidemill_result_uri)


@_component
def train_tabular(arguments: str, tidemill_result_uri: str) -> None:
    """Train a candidate on the rows before the test."""
    from tidemill.steps.outcome import run

    run("train-tabular", arguments, tidemill_result_uri)


@_component
def evaluate_model(arguments: str, tidemill_result_uri: str) -> None:
    """Judge candidate and champion on the same rows, refit, and write the bundle."""
    from tidemill.steps.outcome import run

    run("evaluate", arguments, tidemill_result_uri)


@_component
def publish_result(metrics: dict[str, Any], tidemill_result_uri: str) -> None:
    """Say what a pipeline of your own has measured: put it last, give it numbers by name."""
    from tidemill.steps.outcome import publish

    publish(metrics, tidemill_result_uri)
