"""Where labels come from, who gave them, and how far those who gave them agree."""

from enum import StrEnum
from typing import Annotated

from pydantic import ConfigDict, Field

from tidemill.api.base import SET_LIST, Model, rules
from tidemill.api.scalars import ColumnName, Text


class Provenance(StrEnum):
    """Where labels come from."""

    PROCESS_FEEDBACK = "ProcessFeedback"
    IN_HOUSE = "InHouse"
    OUTSOURCED = "Outsourced"
    CROWD = "Crowd"


class Conflicts(StrEnum):
    """What a row's label is where its raters disagree."""

    MAJORITY = "Majority"
    ADJUDICATE = "Adjudicate"
    DROP = "Drop"


class Labelling(Model):
    """Where labels come from, and how far raters agree."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            (
                "!has(self.raters) || size(self.raters) != 1",
                "raters needs two or more columns: one alone agrees with nobody",
            ),
            (
                "(has(self.raters) && size(self.raters) > 0)"
                " || (!has(self.minAgreement) && !has(self.adjudication))",
                "minAgreement and adjudication need raters",
            ),
            (
                "(has(self.conflicts) && self.conflicts == 'Adjudicate') == has(self.adjudication)",
                "conflicts: Adjudicate and adjudication go together",
            ),
            (
                "!has(self.raters) || !has(self.adjudication)"
                " || !(self.adjudication in self.raters)",
                "adjudication may not be one of the raters",
            ),
        )
    )

    provenance: Provenance | None = None
    """ProcessFeedback (what happened, as logged), InHouse, Outsourced or Crowd."""
    instructions: Text = ""
    """What raters are told, or where it stands."""
    cost_per_label: Annotated[
        str | None, Field(pattern=r"^[0-9]{1,9}(\.[0-9]{1,6})?$", max_length=16)
    ] = None
    """What one rating costs, in a currency of your own; each version says what its ratings cost."""
    raters: Annotated[tuple[ColumnName, ...], Field(max_length=16, json_schema_extra=SET_LIST)] = ()
    """Columns with what each rater said of a row, such as [label_a, label_b, label_c]; missing
    where a rater has not seen it. The label, columns.label.name, is made of them. Never features.
    An export with a line per rating is brought to this by prepare, with max(label) FILTER
    (rater = 'a') AS label_a and GROUP BY."""
    conflicts: Conflicts = Conflicts.MAJORITY
    """Where raters disagree: Majority takes what more of them said than anything else, Adjudicate
    what stands in the column adjudication, Drop nothing. A row left without is not trained on."""
    adjudication: ColumnName | None = None
    """The column with the last word on rows whose raters disagree. Never a feature."""
    min_agreement: Annotated[
        str | None, Field(pattern=r"^(0(\.[0-9]{1,6})?|1(\.0{1,6})?)$", max_length=8)
    ] = None
    """The least kappa (Cohen's of two raters, Fleiss' of more); below it a version is refused as
    LabelDisagreement."""
    min_rows: Annotated[int, Field(ge=1, le=1000000)] = 30
    """How many rows two or more raters must have seen for minAgreement to be judged; with fewer
    there is no verdict (NoData), which warns."""
