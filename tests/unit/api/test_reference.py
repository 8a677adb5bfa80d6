"""The reference page: every field and every reason stands in it, with its words."""

from enum import StrEnum

import pytest

from tidemill.api.crd import root_schema
from tidemill.api.reasons import ConditionType, Reason
from tidemill.api.reference import documented, reference
from tidemill.api.v1alpha1 import KINDS


@pytest.fixture(scope="module")
def page() -> str:
    return reference([(kind.names, root_schema(kind)) for kind in KINDS])


ROWS = {
    "a field that must be given is bold": "| **columns.label.name** | string, at most 128 |",
    "a range has both ends": "| rollout.canary.steps[].holdSeconds | int32 0 to 315360000 |",
    "a list says how it merges": "| gates | list by name (at most 32) of object |",
    "an enum shows its values": "| readyWhen | Accepted \\| Complete |",
    "a rule says where it holds": "- `spec.columns`: features may not name the event time",
    "a short name": "| [Dataset](#dataset) | `dset` | people |",
    "who writes a record": "| [ModelVersion](#modelversion) | `mv` | the operator |",
    "who writes an execution": "`pex` | the operator, or people |",
}


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
def test_the_page_says(row: str, page: str) -> None:
    assert row in page


@pytest.mark.parametrize("enum", [ConditionType, Reason])
def test_every_condition_and_reason_has_a_row(enum: type[StrEnum], page: str) -> None:
    for value, text in documented(enum).items():
        assert f"| {value} | {text}" in page.replace("\\|", "|")


def test_every_field_has_words(page: str) -> None:
    rows = [line for line in page.splitlines() if line.startswith("| ") and line.count("|") >= 4]

    assert [row for row in rows if row.rstrip().endswith("|  |")] == []
