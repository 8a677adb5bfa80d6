"""What makes a DatasetVersion acceptable."""

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from tidemill.api.base import MIN_BELOW_MAX, SET_LIST, Model, map_list, rules
from tidemill.api.scalars import ColumnName, DecimalString, Name, Ratio, Short, Text


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


class Expectation(Model):
    """One thing the data must satisfy."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            ("self.type == 'RowCount' || has(self.column)", "column is required for this type"),
            (
                "self.type != 'AllowedValues' || has(self.values) || has(self.from)",
                "AllowedValues needs values, or from: FirstVersion",
            ),
            (
                "!(self.type in ['Range', 'RowCount']) || has(self.min) || has(self.max)",
                "Range and RowCount need min, max or both",
            ),
            ("self.type != 'Complete' || has(self.minShare)", "Complete needs minShare"),
            MIN_BELOW_MAX,
        )
    )

    name: Name
    """Its name in violations."""
    type: Literal["Range", "AllowedValues", "Complete", "Unique", "RowCount"]
    """Range: values lie between min and max. AllowedValues: values come from a list. Complete: at
    least minShare of the values are present. Unique: no value occurs twice. RowCount: the number
    of rows lies between min and max."""
    column: ColumnName | None = None
    """The column it is about; not for RowCount."""
    min: DecimalString | None = None
    """The least value, included."""
    max: DecimalString | None = None
    """The greatest value, included."""
    values: (
        Annotated[tuple[Short, ...], Field(max_length=500, json_schema_extra=SET_LIST)] | None
    ) = None
    """The allowed values."""
    from_: Annotated[Literal["FirstVersion"] | None, Field(alias="from")] = None
    """FirstVersion: the values seen in the first accepted version are the allowed ones."""
    max_share_unknown: Ratio = "0"
    """For AllowedValues: the share of rows that may hold another value."""
    min_share: Ratio | None = None
    """For Complete: the least share of values present."""
    severity: Severity = Severity.FAIL
    """Fail: the version is not accepted. Warn: it is, and says so."""


class Contract(Model):
    """What makes a version acceptable."""

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
