"""Features that know the label: what alone parts yes from no is found before anything is trained.

Each feature is tried by itself on the fit rows, and what it reaches is an AUC (Mann-Whitney, ties
counted half):

- A number is ranked as it stands, upwards or downwards, whichever parts better, with its missing
  values once below and once above all others: that a value is missing may tell the label, too.
- A category is ranked by the share of yes among the rows of its value in the other four of five
  folds, drawn towards the share of all of them as if one more row had it. A row's own label has no
  part in its rank, so that a column in which every value stands once tells nothing (0.5).

Rows count alike here, whatever their weight.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tidemill.api.documents.profile import ValueType
from tidemill.api.v1alpha1.trainingjob import MetricName
from tidemill.steps.failures import StepError
from tidemill.steps.metrics import Floats, Labels, Scored, measure
from tidemill.steps.tables import Rows

MOST = 0.95
"""A feature that alone reaches more is taken for a copy of the label, or for what follows it."""
_FOLDS = 5
_MOST_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Leak:
    """A feature that alone parts yes from no."""

    name: str
    auc: float


def check_leaks(rows: Rows, listed: tuple[str, ...]) -> None:
    """Raise SuspectedLeak if a feature that is not listed in columns.features is one."""
    leaks = [leak for leak in suspected(rows) if leak.name not in listed]
    if not leaks:
        return
    shown = ", ".join(f"{leak.name} (AUC {_shown(leak.auc)})" for leak in leaks[:_MOST_SHOWN])
    more = f" and {len(leaks) - _MOST_SHOWN} more" if len(leaks) > _MOST_SHOWN else ""
    said = f"{shown}{more}: a column alone tells the label on the {len(rows):,} fit rows, by more"
    said = f"{said} than {MOST}. If it is known only after the label, list it in columns.context of"
    said = f"{said} the Dataset; if it is known when a prediction is asked for, list the features"
    raise StepError("SuspectedLeak", f"{said} by name in columns.features, it among them")


def suspected(rows: Rows) -> tuple[Leak, ...]:
    """The features whose AUC is above the most that is believed, the greatest first."""
    found = []
    for feature in rows.features:
        values = rows.column(feature.name)
        is_number = feature.type is ValueType.NUMBER
        auc = (
            auc_of_numbers(values, rows.labels) if is_number else auc_of_texts(values, rows.labels)
        )
        if auc > MOST:
            found.append(Leak(feature.name, auc))
    return tuple(sorted(found, key=lambda leak: (-leak.auc, leak.name)))


def auc_of_numbers(values: NDArray[np.float32], labels: Labels) -> float:
    """What a number reaches alone, in either direction; 0.5 where there is one class only."""
    missing = np.isnan(values)
    ranks = values.astype(np.float64)
    reached = []
    for place in (-np.inf, np.inf) if missing.any() else (0.0,):
        auc = _auc(np.where(missing, place, ranks), labels)
        reached += [auc, 1 - auc]
    return max(reached)


def auc_of_texts(values: NDArray[np.object_], labels: Labels) -> float:
    """What a category reaches alone, by the shares of yes that other folds have for its value."""
    _, codes = np.unique(values.astype(str), return_inverse=True)
    # Drawn by a fixed seed: rows in turn would put a value that comes back in turn in one fold.
    folds = np.random.default_rng(0).permutation(len(codes)) % _FOLDS
    kinds = int(codes.max()) + 1 if len(codes) else 0
    shares = np.empty(len(codes))
    rows, yes = np.bincount(codes, minlength=kinds), np.bincount(codes, labels, kinds)
    for fold in range(_FOLDS):
        own = folds == fold
        others = rows - np.bincount(codes[own], minlength=kinds)
        yes_of_others = yes - np.bincount(codes[own], labels[own], kinds)
        overall = yes_of_others.sum() / max(others.sum(), 1)
        shares[own] = ((yes_of_others + overall) / (others + 1))[codes[own]]
    return _auc(shares, labels)


def _auc(scores: Floats, labels: Labels) -> float:
    found = measure(MetricName.ROC_AUC, Scored(labels, scores, 0.0))
    return 0.5 if found is None else found


def _shown(auc: float) -> str:
    """Never rounded up to a 1 that it is not, nor down to what is allowed."""
    return "1" if auc == 1 else f"{int(auc * 10000) / 10000:.4f}"
