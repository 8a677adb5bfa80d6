"""train-tabular: a trivial model first, then gradient boosting, chosen on the validation rows.

Test rows are never read. The trivial model always answers the fit rows' positive share;
what the boosting is worth is what it adds to that. Settings are tried in an order that the seed
decides, the first being LightGBM's own defaults, and the best by the pipeline's metric is kept.
"""

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from lightgbm import LGBMClassifier

from tidemill.api.documents.arguments import TrainArguments
from tidemill.api.documents.bundle import Signature
from tidemill.api.documents.results import Candidate
from tidemill.api.v1alpha1.trainingjob import BuiltinPipeline, Decision, MetricName
from tidemill.steps.data import Version, opened
from tidemill.steps.failures import StepError
from tidemill.steps.leaks import check_leaks
from tidemill.steps.metrics import Floats, Labels, Scored, better, measure
from tidemill.steps.models import (
    ALGORITHM,
    Matrix,
    Parameters,
    Preparation,
    as_text,
    export,
    fit,
    prepare,
    probabilities_of,
    trees_of,
)
from tidemill.steps.objects import Store
from tidemill.steps.refresh import as_document
from tidemill.steps.tables import Rows, newest, oldest
from tidemill.steps.windows import Portion, rfc3339

logger = logging.getLogger(__name__)

LEAST_FIT_ROWS = 100
LEAST_VALIDATION_ROWS = 20
LEAST_OF_EACH = 5
MOST_TREES = 300
_THRESHOLDS = 199

_DEFAULTS: Parameters = {
    "learning_rate": 0.1,
    "num_leaves": 31,
    "min_child_samples": 20,
    "colsample_bytree": 1,
    "reg_lambda": 0,
}
_GRID = {
    "learning_rate": (0.03, 0.05, 0.1, 0.2),
    "num_leaves": (7, 15, 31, 63),
    "min_child_samples": (20, 50, 100, 300),
    "colsample_bytree": (0.5, 0.7, 1),
    "reg_lambda": (0, 1, 10),
}


class Judged(Protocol):
    """Rows that answers are judged on."""

    @property
    def labels(self) -> Labels:
        """What was true."""
        ...

    @property
    def weights(self) -> Floats | None:
        """How much each row counts; None: all alike."""
        ...


def train(arguments: TrainArguments, scratch: Path) -> Candidate:
    """Make a candidate. Raises StepError."""
    store = Store()
    window = arguments.window
    with opened(store, arguments.manifest, window, arguments.columns_spec, scratch) as version:
        fitted = version.rows(Portion.FIT)
        validation = version.rows(Portion.VALIDATION)
    _check_enough(fitted, validation)
    check_leaks(fitted, arguments.columns_spec.columns.features)
    logger.info("%d rows to fit, %d to choose on", len(fitted), len(validation))
    trivial = fitted.positive_share
    preparation = prepare(fitted)
    best = _search(preparation, fitted, validation, arguments.pipeline, arguments.decision, trivial)
    exported = export(preparation, best.model, fitted)
    probabilities = exported.onnx.probabilities(validation)
    threshold = choose_threshold(arguments.decision, validation, probabilities)
    scored = Scored(validation.labels, probabilities, threshold, validation.weights)
    values = {metric: measure(metric, scored) for metric in MetricName}
    candidate = Candidate(
        model=store.publish(arguments.output, "candidate.onnx", exported.onnx.data),
        trivial=trivial,
        algorithm=ALGORITHM,
        parameters=as_text({**best.parameters, "n_estimators": trees_of(best.model)}),
        signature=_signature(version, threshold),
        feature_count=len(version.features),
        validation={metric.value: value for metric, value in values.items() if value is not None},
        trials=tuple(best.trials),
        parity=exported.parity,
        # The validation rows chose the settings: the model has learned from them, too.
        data_start=rfc3339(min(oldest(fitted), oldest(validation))),
        data_end=rfc3339(max(newest(fitted), newest(validation))),
        seed=arguments.pipeline.seed,
    )
    document = store.publish(arguments.output, "candidate.json", as_document(candidate))
    return candidate.model_copy(update={"document": document})


def _signature(version: Version, threshold: float) -> Signature:
    return Signature(
        features=version.features,
        threshold=threshold,
        positive=version.rule.positive,
        label=version.rule.name,
    )


def _check_enough(fitted: Rows, validation: Rows) -> None:
    for name, rows, least in (
        ("fit", fitted, LEAST_FIT_ROWS),
        ("validation", validation, LEAST_VALIDATION_ROWS),
    ):
        positive = int(rows.labels.sum())
        fewer = min(positive, len(rows) - positive)
        if len(rows) < least or fewer < LEAST_OF_EACH:
            said = f"{len(rows):,} {name} rows with a final label, {positive:,} of them positive;"
            said = (
                f"{said} at least {least} are needed and {LEAST_OF_EACH} of each class. Read more"
            )
            raise StepError("TooFewRows", f"{said} data, or wait for labels to mature")


@dataclass(frozen=True, slots=True)
class _Best:
    """What the search found."""

    model: LGBMClassifier
    parameters: Parameters
    trials: list[dict[str, Any]]


def settings_to_try(seed: int, most: int) -> Iterator[Parameters]:
    """The defaults, then different settings of the grid in an order that the seed decides."""
    grid = [dict(zip(_GRID, values, strict=True)) for values in product(*_GRID.values())]
    grid.remove(_DEFAULTS)
    order = np.random.default_rng(seed).permutation(len(grid))
    yield dict(_DEFAULTS)
    for place in order[: most - 1]:
        yield grid[int(place)]


def _search(
    preparation: Preparation,
    fitted: Rows,
    validation: Rows,
    pipeline: BuiltinPipeline,
    decision: Decision,
    trivial: float,
) -> _Best:
    metric = pipeline.metric
    matrix: Matrix = preparation.matrix(fitted)
    unseen = (preparation.matrix(validation), validation.labels)
    constant = np.full(len(validation), trivial)
    weights = (fitted.weights, validation.weights)
    trials = [_trial("Trivial", {}, _value(metric, decision, validation, constant))]
    best: tuple[LGBMClassifier, Parameters, float] | None = None
    for parameters in settings_to_try(pipeline.seed, pipeline.search.max_trials):
        limited: Parameters = {**parameters, "n_estimators": MOST_TREES}
        model = fit(matrix, fitted.labels, limited, pipeline.seed, unseen, weights=weights)
        probabilities = probabilities_of(model, unseen[0])
        value = _value(metric, decision, validation, probabilities)
        shown: Parameters = {**parameters, "n_estimators": trees_of(model)}
        trials.append(_trial(ALGORITHM, shown, value))
        if value is not None and (best is None or better(metric, value, best[2])):
            best = (model, parameters, value)
    if best is None:
        said = (
            f"no setting has a {metric} on the {len(validation):,} validation rows; choose another"
        )
        raise StepError("TooFewRows", f"{said} metric, or read more data")
    logger.info("best %s of %d settings: %.6f", metric, len(trials) - 1, best[2])
    return _Best(best[0], best[1], trials)


def _trial(algorithm: str, parameters: Parameters, value: float | None) -> dict[str, Any]:
    shown = None if value is None else round(value, 9)
    return {"algorithm": algorithm, "parameters": as_text(parameters), "value": shown}


def _value(
    metric: MetricName, decision: Decision, rows: Judged, probabilities: Floats
) -> float | None:
    threshold = choose_threshold(decision, rows, probabilities)
    return measure(metric, Scored(rows.labels, probabilities, threshold, rows.weights))


def choose_threshold(decision: Decision, rows: Judged, probabilities: Floats) -> float:
    """The fixed threshold, or of 199 quantiles of the probabilities the one with the best value.

    Of equally good ones the one with the best F1 is taken: recall alone is best at saying always
    yes, precision at saying it once.
    """
    if decision.choose_by is None:
        return float(decision.threshold or "0.5")
    shares = np.arange(1, _THRESHOLDS + 1) / (_THRESHOLDS + 1)
    places = {round(float(place), 6) for place in np.quantile(probabilities, shares)}
    ranked = []
    for threshold in sorted(places):
        scored = Scored(rows.labels, probabilities, threshold, rows.weights)
        value = measure(MetricName(decision.choose_by), scored)
        ranked.append((value or 0.0, measure(MetricName.F1, scored) or 0.0, threshold))
    return max(ranked)[2]
