"""Count live values into the bins of the model's baseline, so that drift needs no payload.

Counting is deferred: answered batches wait until some rows have come together, or until somebody
reads, and are then counted in one vectorised sweep per feature. A number falls into the bin that
`profile.py` says, compared as float32 (what the model sees), so that a value sent as FP32 and the
same value sent as FP64 count alike.
"""

from collections.abc import Sequence
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from tidemill.api.documents.profile import FeatureProfile, ValueType
from tidemill.serving.batch import Batch
from tidemill.serving.bundles import bins_of

_WAITING_ROWS = 256
_MISSING, _UNKNOWN, _APART = 0, 1, 2
_PREDICTION_EDGES = tuple(place / 20 for place in range(1, 20))


class NumberCounter:
    """Counts one number."""

    def __init__(self, baseline: FeatureProfile) -> None:
        self.name = baseline.name
        self.bins = np.zeros(bins_of(baseline), dtype=np.int64)
        self.missing = self.unknown = self.out_of_range = self.invalid = 0
        self._edges = np.array(baseline.edges, dtype=np.float32)
        infinite = np.float32(np.inf)
        given = baseline.minimum, baseline.maximum
        self._least = -infinite if given[0] is None else np.float32(given[0])
        self._greatest = infinite if given[1] is None else np.float32(given[1])

    def add(self, values: NDArray[np.float32]) -> None:
        """Count values; NaN is missing. One out of range is counted as such and in its bin."""
        known = values[~np.isnan(values)]
        self.missing += len(values) - len(known)
        places = self._edges.searchsorted(known, side="right")
        self.bins += np.bincount(places, minlength=len(self.bins))
        outside = (known < self._least) | (known > self._greatest)
        self.out_of_range += int(np.count_nonzero(outside))


class TextCounter:
    """Counts one category."""

    def __init__(self, baseline: FeatureProfile) -> None:
        self.name = baseline.name
        self.bins = np.zeros(bins_of(baseline), dtype=np.int64)
        self.missing = self.unknown = self.out_of_range = self.invalid = 0
        rare = _APART + len(baseline.categories)
        self._places = dict.fromkeys(baseline.rare, rare)
        self._places |= {text: _APART + at for at, text in enumerate(baseline.categories)}
        self._places[""] = _MISSING

    def add(self, values: Sequence[str]) -> None:
        """Count values; "" is missing, and what training never saw is unknown."""
        place = self._places.get
        places = np.fromiter((place(v, _UNKNOWN) for v in values), np.int64, len(values))
        counts = np.bincount(places, minlength=_APART + len(self.bins))
        self.missing += int(counts[_MISSING])
        self.unknown += int(counts[_UNKNOWN])
        self.bins += counts[_APART:]


class Counters:
    """All that one server has counted of features and predictions. Not thread-safe."""

    def __init__(
        self, features: Sequence[FeatureProfile], prediction: FeatureProfile | None
    ) -> None:
        self._numbers = [NumberCounter(f) for f in features if f.type is ValueType.NUMBER]
        self._texts = [TextCounter(f) for f in features if f.type is ValueType.CATEGORY]
        counters: list[NumberCounter | TextCounter] = [*self._numbers, *self._texts]
        self._by_name = {counter.name: counter for counter in counters}
        self._features = tuple(self._by_name[feature.name] for feature in features)
        edges = _PREDICTION_EDGES if prediction is None else prediction.edges
        self._edges = np.array(edges)
        self._predictions = np.zeros(len(edges) + 1, dtype=np.int64)
        self._rows = 0
        self._null = 0
        self._waiting: list[tuple[Batch, NDArray[np.float64]]] = []
        self._waiting_rows = 0

    def add(self, batch: Batch, probabilities: NDArray[np.float64]) -> None:
        """Count one answered batch, now or soon."""
        self._waiting.append((batch, probabilities))
        self._waiting_rows += batch.rows
        if self._waiting_rows >= _WAITING_ROWS:
            self._sweep()

    def add_invalid(self, feature: str, count: int) -> None:
        """Count values of a refused request that could not be read."""
        self._by_name[feature].invalid += count

    @property
    def features(self) -> tuple[NumberCounter | TextCounter, ...]:
        """Return the features' counts, in the signature's order, up to this moment."""
        self._sweep()
        return self._features

    @property
    def predictions(self) -> NDArray[np.int64]:
        """Return the bins of the predictions that were numbers."""
        self._sweep()
        return self._predictions

    @property
    def rows(self) -> int:
        """Return how many predictions were made."""
        self._sweep()
        return self._rows

    @property
    def null(self) -> int:
        """Return how many of them were no finite number."""
        self._sweep()
        return self._null

    def _sweep(self) -> None:
        if not self._waiting:
            return
        batches = [batch for batch, _ in self._waiting]
        scores = np.concatenate([scores for _, scores in self._waiting])
        self._waiting, self._waiting_rows = [], 0
        numbers = np.concatenate([b.numbers for b in batches], axis=1).astype(np.float32)
        for place, number in enumerate(self._numbers):
            number.add(numbers[place])
        for place, text in enumerate(self._texts):
            text.add(list(chain.from_iterable(b.texts[place] for b in batches)))
        finite = scores[np.isfinite(scores)]
        self._rows += len(scores)
        self._null += len(scores) - len(finite)
        places = self._edges.searchsorted(finite, side="right")
        self._predictions += np.bincount(places, minlength=len(self._predictions))
