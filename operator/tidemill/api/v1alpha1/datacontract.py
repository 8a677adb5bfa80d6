"""What makes a DatasetVersion acceptable."""

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from tidemill.api.base import MIN_BELOW_MAX, SET_LIST, Model, map_list, rules
from tidemill.api.scalars import (
    ColumnName,
    DecimalString,
    Name,
    PositiveSeconds,
    Ratio,
    Short,
    Text,
)
from tidemill.api.v1alpha1.datadrift import DataDrift


class SchemaPolicy(Model):
    """How the schema is found and may change."""

    policy: Literal["InferThenFreeze"] = "InferThenFreeze"
    """The first accepted version's schema is the schema from then on."""
    evolution: Literal["Additive", "None"] = "Additive"
    """Additive: new columns are welcome; None: any difference is a violation."""


class Severity(StrEnum):
    """What a broken expectation does."""

    FAIL = "Fail"
    WARN = "Warn"


class OutlierMethod(StrEnum):
    """How far out is too far."""

    DEVIATIONS = "Deviations"
    QUARTILES = "Quartiles"


class Expectation(Model):
    """One thing the data must satisfy."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            (
                "self.type in ['RowCount', 'Duplicates', 'Condition'] || has(self.column)",
                "column is required for this type",
            ),
            (
                "!(self.type in ['Duplicates', 'Condition']) || !has(self.column)",
                "Duplicates takes columns and Condition takes where, not column",
            ),
            (
                "self.type != 'AllowedValues' || has(self.values) || has(self.from)",
                "AllowedValues needs values, or from: FirstVersion",
            ),
            (
                "!(self.type in ['Range', 'RowCount']) || has(self.min) || has(self.max)",
                "Range and RowCount need min, max or both",
            ),
            ("self.type != 'Complete' || has(self.minShare)", "Complete needs minShare"),
            (
                "has(self.pattern) == (self.type == 'Pattern')",
                "pattern is for Pattern, which needs it",
            ),
            # Go and DuckDB read the same RE2; what it cannot read is an error of this rule.
            (
                "!has(self.pattern) || ''.matches(self.pattern) || !''.matches(self.pattern)",
                "pattern must be a regular expression that RE2 can read",
            ),
            (
                "has(self.where) == (self.type == 'Condition')",
                "where is for Condition, which needs it",
            ),
            (
                "has(self.maxAgeSeconds) == (self.type == 'Freshness')",
                "maxAgeSeconds is for Freshness, which needs it",
            ),
            (
                "has(self.method) == (self.type == 'Outliers')",
                "method is for Outliers, which need it",
            ),
            ("self.type != 'Outliers' || has(self.maxShare)", "Outliers need maxShare"),
            ("!has(self.factor) || self.type == 'Outliers'", "factor is for Outliers"),
            ("!has(self.factor) || double(self.factor) > 0.0", "factor must be above 0"),
            ("!has(self.columns) || self.type == 'Duplicates'", "columns are for Duplicates"),
            (
                "!has(self.maxShare) || self.type in"
                " ['Range', 'Pattern', 'MixedTypes', 'Duplicates', 'Outliers', 'Condition']",
                "maxShare is for Range, Pattern, MixedTypes, Duplicates, Outliers and Condition",
            ),
            MIN_BELOW_MAX,
        )
    )

    name: Name
    """Its name in violations."""
    type: Literal[
        "Range",
        "AllowedValues",
        "Complete",
        "Unique",
        "RowCount",
        "Pattern",
        "MixedTypes",
        "Duplicates",
        "Outliers",
        "Freshness",
        "Condition",
    ]
    """Range: values lie between min and max. AllowedValues: values come from a list. Complete: at
    least minShare of the values are present. Unique: no value occurs twice. RowCount: the number
    of rows lies between min and max. Pattern: texts match a regular expression. MixedTypes: texts
    are all numbers, or all times, or all truth values, or all none of these. Duplicates: no row
    occurs twice. Outliers: numbers lie near the others. Freshness: the newest time is not too
    old. Condition: a comparison of columns holds in every row."""
    column: ColumnName | None = None
    """The column it is about; not for RowCount, Duplicates and Condition."""
    min: DecimalString | None = None
    """The least value, included."""
    max: DecimalString | None = None
    """The greatest value, included."""
    values: (
        Annotated[tuple[Short, ...], Field(max_length=500, json_schema_extra=SET_LIST)] | None
    ) = None
    """The allowed values."""
    from_: Annotated[Literal["FirstVersion"] | None, Field(alias="from")] = None
    """FirstVersion: the values seen in the version whose schema is the schema (the first accepted
    one, until a changed schema is approved) are the allowed ones."""
    max_share_unknown: Ratio = "0"
    """For AllowedValues: the share of rows that may hold another value."""
    min_share: Ratio | None = None
    """For Complete: the least share of values present."""
    max_share: Ratio | None = None
    """For Range, Pattern, MixedTypes, Duplicates, Outliers and Condition: the share of rows that
    may break it. Left out: none."""
    pattern: Annotated[str, Field(min_length=1, max_length=512)] | None = None
    """For Pattern: a regular expression (RE2) that whole values match, such as N[0-9]{1,5}[A-Z]*.
    Missing values are not asked."""
    columns: (
        Annotated[
            tuple[ColumnName, ...], Field(min_length=1, max_length=16, json_schema_extra=SET_LIST)
        ]
        | None
    ) = None
    """For Duplicates: the columns that together may not repeat. Left out: whole rows."""
    method: OutlierMethod | None = None
    """For Outliers. Deviations: further than factor standard deviations from the mean. Quartiles:
    further than factor times the distance of the quartiles below the first or above the third
    (Tukey's fences)."""
    factor: DecimalString | None = None
    """For Outliers: how far is too far. Left out: 3 for Deviations, 1.5 for Quartiles."""
    max_age_seconds: PositiveSeconds | None = None
    """For Freshness: how old the column's newest time may be when the source is read."""
    where: Annotated[str, Field(min_length=1, max_length=1024)] | None = None
    """For Condition: what every row satisfies, such as arr_time > dep_time or
    delay - waited <= 0.5 * distance. Comparisons of columns, of literals, and of numbers made of
    them by + - * /; IN, BETWEEN, IS NULL, AND, OR, NOT. A row in which a missing value leaves it
    open keeps it."""
    severity: Severity = Severity.FAIL
    """Fail: the version is not accepted. Warn: it is, and says so."""


class Contract(Model):
    """What makes a version acceptable.

    It is asked of what is trained on. A request to a served model carries features only: the label
    may be absent there, and so may every column without that role.
    """

    model_config = ConfigDict(
        json_schema_extra=rules(
            ("double(self.maxGrowth) >= 1.0", "maxGrowth must be at least 1"),
            (
                "!has(self.maxShrink) || double(self.maxShrink) >= 1.0",
                "maxShrink must be at least 1",
            ),
        )
    )

    owner: Short = ""
    """Who answers for this data."""
    description: Text = ""
    """What the data are, for people."""
    schema_: Annotated[SchemaPolicy, Field(alias="schema")] = SchemaPolicy()
    """How the schema is found and may change."""
    expectations: Annotated[
        tuple[Expectation, ...], Field(max_length=200, json_schema_extra=map_list("name"))
    ] = ()
    """What the data must satisfy, each with a name."""
    max_growth: DecimalString = "10"
    """A version with more than so many times the rows of the version in use waits for approval:
    Accepted is Unknown with reason GrowthNeedsApproval, and its message says how to approve it."""
    max_shrink: DecimalString | None = None
    """A version with so many times fewer rows than the version in use waits likewise. Left out:
    none waits."""
    drift: DataDrift | None = None
    """How far the distributions may lie from an earlier version's. Left out: as far as they do."""
