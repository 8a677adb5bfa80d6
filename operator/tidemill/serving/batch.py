"""The rows of one request, as the model and the counters want them: columns, not rows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tidemill.api.documents.bundle import Feature
from tidemill.api.documents.profile import ValueType

GREATEST = float(np.finfo(np.float32).max)
"""Numbers beyond this do not fit the model's float32 and are invalid."""


@dataclass(frozen=True, slots=True)
class Layout:
    """Which features are numbers and which are text; each in the signature's order."""

    numbers: tuple[str, ...]
    texts: tuple[str, ...]

    @classmethod
    def of(cls, features: Sequence[Feature]) -> "Layout":
        """Sort the features of a signature."""
        return cls(
            tuple(f.name for f in features if f.type is ValueType.NUMBER),
            tuple(f.name for f in features if f.type is ValueType.CATEGORY),
        )


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows in columns. A missing number is NaN, a missing text is ""."""

    rows: int
    numbers: NDArray[np.float64]
    """One line per number of the layout, one column per row."""
    texts: tuple[list[str], ...]
    """One list per text of the layout."""

    @classmethod
    def of_rows(cls, rows: Sequence[Mapping[str, Any]], layout: Layout) -> "Batch":
        """Turn records, such as golden examples, into columns; null and absent are missing.

        Raises ValueError or TypeError where a value is not of its feature's type.
        """
        numbers = [[row.get(name) for row in rows] for name in layout.numbers]
        texts = [[row.get(name) or "" for row in rows] for name in layout.texts]
        for column in texts:
            if not all(isinstance(value, str) for value in column):
                raise TypeError("a category is not text")
        matrix = np.array(numbers, dtype=np.float64).reshape(len(layout.numbers), len(rows))
        return cls(len(rows), matrix, tuple(texts))
