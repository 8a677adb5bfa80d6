"""What a Dataset's columns are for, how its rows are divided, and their named parts."""

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from tidemill.api.base import SET_LIST, Model, rules
from tidemill.api.scalars import ColumnName, Name, Ratio, Seconds


class AbsentLabel(StrEnum):
    """What a row whose label is missing means."""

    DROP = "Drop"
    NEGATIVE = "Negative"


class Label(Model):
    """The column to predict."""

    name: ColumnName
    """The column's name. Two values, for a binary classification."""
    mature_after_seconds: Seconds = 0
    """How long after its event time a row's label is final. Younger rows are not trained on."""
    absent: AbsentLabel = AbsentLabel.DROP
    """A mature row without a label is dropped, or counts as the negative class."""


class Columns(Model):
    """What the columns are for."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            (
                "!has(self.features) || !self.features.exists(f,"
                " f == self.eventTime || f == self.label.name"
                " || (has(self.key) && f in self.key)"
                " || (has(self.context) && f in self.context))",
                "features may not name the event time, the label, a key or a context column",
            ),
        )
    )

    key: Annotated[tuple[ColumnName, ...], Field(max_length=8, json_schema_extra=SET_LIST)] = ()
    """Columns that name a row. Never features."""
    event_time: ColumnName
    """When the row's event happened; decides the split and what is mature. Never a feature."""
    label: Label
    """The column to predict."""
    context: Annotated[
        tuple[ColumnName, ...], Field(max_length=64, json_schema_extra=SET_LIST)
    ] = ()
    """Kept for error analysis, never features."""
    features: Annotated[
        tuple[ColumnName, ...], Field(max_length=64, json_schema_extra=SET_LIST)
    ] = ()
    """The columns a model may use. Left out: every column without another role."""


class Split(Model):
    """How rows are divided: the newest are the test, those before validate, the rest is fitted."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            (
                "double(self.testShare) + double(self.validationShare) < 1.0",
                "testShare and validationShare must leave something to fit: together below 1",
            ),
            ("double(self.testShare) > 0.0", "testShare must be above 0: a model has to be judged"),
        )
    )

    by: Literal["Time"] = "Time"
    """Time: by the event time column."""
    test_share: Ratio = "0.2"
    """The newest share, which training never sees."""
    validation_share: Ratio = "0.1"
    """The share before the test rows, on which training chooses."""


class Slice(Model):
    """A named part of the data that is judged on its own."""

    name: Name
    """Its name in gates and metrics."""
    where: Annotated[str, Field(min_length=1, max_length=1024)]
    """A predicate: comparisons, IN, BETWEEN, IS NULL, AND, OR, NOT. NULL is false."""
