"""What a Dataset's columns are for, how its rows are divided, and their named parts."""

from enum import StrEnum
from typing import Annotated

from pydantic import ConfigDict, Field

from tidemill.api.base import SET_LIST, Model, map_list, rules
from tidemill.api.scalars import ColumnName, Name, Ratio, Seconds, Short


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


class ColumnNote(Model):
    """What a column means."""

    name: ColumnName
    """The column. One that the data do not have is passed over."""
    description: Short = ""
    """What it means, and in what unit."""
    owner: Annotated[str, Field(max_length=128)] = ""
    """Who answers for it: a team, a person or an address."""


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
            (
                "!has(self.features) || !self.features.exists(f,"
                " (has(self.group) && f == self.group)"
                " || (has(self.weight) && f == self.weight)"
                " || (has(self.sensitive) && f in self.sensitive))",
                "features may not name the group, the weight or a sensitive column",
            ),
            (
                "!has(self.sensitive) || !self.sensitive.exists(f,"
                " f == self.eventTime || f == self.label.name"
                " || (has(self.group) && f == self.group)"
                " || (has(self.weight) && f == self.weight)"
                " || (has(self.key) && f in self.key)"
                " || (has(self.context) && f in self.context))",
                "a sensitive column has no other role: it may not be the event time, the label, the"
                " group, the weight, a key or a context column",
            ),
            (
                "!has(self.weight) || !(self.weight == self.eventTime"
                " || self.weight == self.label.name"
                " || (has(self.group) && self.weight == self.group)"
                " || (has(self.key) && self.weight in self.key)"
                " || (has(self.context) && self.weight in self.context))",
                "the weight has no other role: it may not be the event time, the label, the group,"
                " a key or a context column",
            ),
            (
                "!has(self.group) || !(self.group == self.eventTime"
                " || self.group == self.label.name"
                " || (has(self.context) && self.group in self.context))",
                "the group may not be the event time, the label or a context column",
            ),
            ("self.label.name != self.eventTime", "the label may not be the event time"),
        )
    )

    key: Annotated[tuple[ColumnName, ...], Field(max_length=8, json_schema_extra=SET_LIST)] = ()
    """Columns that name a row. Never features. The event time and the group may be among them."""
    event_time: ColumnName
    """When the row's event happened; decides the split and what is mature. Never a feature."""
    label: Label
    """The column to predict."""
    group: ColumnName | None = None
    """What rows belong together, such as a customer: split by Hash never parts them. Never a
    feature."""
    weight: ColumnName | None = None
    """How much a row counts in training and in metrics: a number of 0 or more. Never a feature."""
    sensitive: Annotated[
        tuple[ColumnName, ...], Field(max_length=64, json_schema_extra=SET_LIST)
    ] = ()
    """For slices and fairness only: never features, and their values are never shown, neither in
    messages nor in profiles, documents or logs."""
    context: Annotated[
        tuple[ColumnName, ...], Field(max_length=64, json_schema_extra=SET_LIST)
    ] = ()
    """Kept for error analysis, never features."""
    features: Annotated[
        tuple[ColumnName, ...], Field(max_length=64, json_schema_extra=SET_LIST)
    ] = ()
    """The columns a model may use. Left out: every column without another role; then one that
    tells the label alone stops training (SuspectedLeak) until the features are listed here."""
    describe: Annotated[
        tuple[ColumnNote, ...], Field(max_length=200, json_schema_extra=map_list("name"))
    ] = ()
    """What columns mean and who answers for them; kept with each version's schema."""


class SplitBy(StrEnum):
    """What decides whether a row is fitted, chosen on or tested."""

    TIME = "Time"
    HASH = "Hash"


class Split(Model):
    """How rows are divided into those that are fitted, chosen on, and tested."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            (
                "double(self.testShare) + double(self.validationShare) < 1.0",
                "testShare and validationShare must leave something to fit: together below 1",
            ),
            ("double(self.testShare) > 0.0", "testShare must be above 0: a model has to be judged"),
        )
    )

    by: SplitBy = SplitBy.TIME
    """Time: the newest rows are the test, those before them validate, the rest is fitted. Hash:
    by a hash of columns.group, else of columns.key, so that rows of one group never part and a
    group stays where it is in every version. Choose Hash only where rows of one time tell nothing
    of each other: it looks better than what comes next will."""
    test_share: Ratio = "0.2"
    """The share, by Time the newest, which training never sees. By Hash a share of the groups."""
    validation_share: Ratio = "0.1"
    """The share, by Time the one before the test, on which training chooses."""


class Slice(Model):
    """A named part of the data that is judged on its own."""

    name: Name
    """Its name in gates and metrics."""
    where: Annotated[str, Field(min_length=1, max_length=1024)]
    """A predicate: comparisons, IN, BETWEEN, IS NULL, AND, OR, NOT. NULL is false."""
