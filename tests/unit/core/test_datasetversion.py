"""`plan_datasetversion`: each case says only what differs from a version that is accepted."""

from dataclasses import replace
from typing import Any

import pytest

from tests.builders import (
    VIOLATION,
    at,
    make_dataset,
    make_profile,
    make_version,
    stamp,
    version_name,
)
from tidemill.api.v1alpha1 import Dataset, DatasetVersion
from tidemill.api.v1alpha1.datasetversion import Violation
from tidemill.core.acceptance import contract_hash
from tidemill.core.conditions import find
from tidemill.core.datasetversion import plan_datasetversion
from tidemill.core.observed import DatasetVersionObserved, Unreadable
from tidemill.core.plan import Event, Plan

BROKEN = Violation.model_validate(VIOLATION)
LATEST = {"name": version_name(), "digest": make_version().spec.digest}


def dataset(*expectations: dict[str, Any]) -> Dataset:
    """The Dataset, standing at its first version; with expectations its contract has changed."""
    changed = {"contract": {"expectations": list(expectations)}} if expectations else {}
    status = {"latest": LATEST, "schemaAnchor": version_name()}
    return make_dataset(spec=changed, status=status)


HEALTHY = DatasetVersionObserved(
    now=at(hours=1), version=make_version(), dataset=dataset(), newest=True, anchor=make_version()
)
FRESH = replace(HEALTHY, version=make_version(accepted=None))

ROWS = {"name": "rows", "type": "RowCount", "min": "2000"}
FEW = {"name": "rows", "type": "RowCount", "min": "500"}
UNIQUE = {"name": "ids", "type": "Unique", "column": "dep_hour"}
TIGHT = replace(HEALTHY, dataset=dataset(ROWS), profile=make_profile())
RELAXED = replace(
    HEALTHY, version=make_version(accepted=False), dataset=dataset(FEW), profile=make_profile()
)
OPEN = replace(HEALTHY, dataset=dataset(UNIQUE), profile=make_profile())
READ_AGAIN = replace(OPEN, evidence=(BROKEN,))
NO_SUCH = Unreadable("ResultMissing", "Gone.")

KEPT = "All of the contract is kept by 77,911 rows."
HOURS = "hours: dep_hour lies between 0 and 27, outside the maximum 23."
CASES: dict[str, tuple[DatasetVersionObserved, str, str, str]] = {
    "a new version that keeps the contract": (FRESH, "True", "ContractKept", KEPT),
    "a new version that breaks it": (
        replace(FRESH, version=make_version(accepted=None, violations=[VIOLATION])),
        "False",
        "ContractBroken",
        HOURS,
    ),
    "a judged one stays as it is": (HEALTHY, "True", "ContractKept", KEPT),
    "it outlives its Dataset": (replace(HEALTHY, dataset=None), "True", "ContractKept", KEPT),
    "one that nobody judged while there was a Dataset": (
        replace(FRESH, dataset=None),
        "True",
        "ContractKept",
        KEPT,
    ),
    "a tightened contract that the profile answers": (
        TIGHT,
        "False",
        "ContractBroken",
        "rows: expected at least 2000 rows, observed 1,000 rows.",
    ),
    "a relaxed contract that the profile answers": (RELAXED, "True", "ContractKept", KEPT),
    "a changed contract judges only the newest again": (
        replace(TIGHT, newest=False),
        "True",
        "ContractKept",
        KEPT,
    ),
    "what the profile cannot answer is open": (
        OPEN,
        "Unknown",
        "NeedsJudging",
        "The contract has changed, and the profile cannot answer ids. The Dataset's next refresh"
        " answers it.",
    ),
    "what is broken for certain is not open": (
        replace(OPEN, dataset=dataset(UNIQUE, ROWS)),
        "False",
        "ContractBroken",
        "rows: expected at least 2000 rows, observed 1,000 rows.",
    ),
    "a profile that cannot be read": (
        replace(OPEN, profile=NO_SUCH),
        "Unknown",
        "NeedsJudging",
        "The contract has changed, and the version's profile cannot be read. The Dataset's next"
        " refresh answers it.",
    ),
    "a later read of the same content decides": (READ_AGAIN, "False", "ContractBroken", HOURS),
    "and does for older versions too": (
        replace(READ_AGAIN, newest=False),
        "False",
        "ContractBroken",
        HOURS,
    ),
    "a later read may absolve": (
        replace(READ_AGAIN, version=make_version(accepted=False), evidence=()),
        "True",
        "ContractKept",
        KEPT,
    ),
    "one read under the present contract needs no other": (
        replace(
            TIGHT,
            version=make_version(contractHash=contract_hash(dataset(ROWS).spec, version_name())),
        ),
        "True",
        "ContractKept",
        KEPT,
    ),
}


@pytest.mark.parametrize(("seen", "status", "reason", "message"), CASES.values(), ids=CASES)
def test_the_verdict(seen: DatasetVersionObserved, status: str, reason: str, message: str) -> None:
    told = find(after(seen).status.conditions, "Accepted")

    assert told is not None
    assert (told.status, told.reason, told.message) == (status, reason, message)


def after(seen: DatasetVersionObserved) -> DatasetVersion:
    """The version with the status its plan wants."""
    plan = plan_datasetversion(seen)
    assert plan.status is not None
    assert replace(plan, status=None, events=(), requeue_after=None) == Plan()
    return DatasetVersion.parse(
        {**seen.version.model_dump(by_alias=True, exclude={"status"}), "status": plan.status}
    )


@pytest.mark.parametrize("seen", [case[0] for case in CASES.values()], ids=CASES)
def test_a_second_look_changes_nothing(seen: DatasetVersionObserved) -> None:
    first = plan_datasetversion(seen)

    second = plan_datasetversion(replace(seen, version=after(seen), now=at(hours=2)))

    assert (second.status, second.events) == (first.status, ())


def test_the_contract_is_noted_with_the_verdict() -> None:
    assert after(FRESH).status.judged_against == FRESH.version.spec.contract_hash
    changed = contract_hash(dataset(ROWS).spec, version_name())
    assert after(TIGHT).status.judged_against == changed


def test_an_open_verdict_keeps_the_contract_it_had() -> None:
    assert after(OPEN).status.judged_against == OPEN.version.status.judged_against


def test_a_judged_record_is_ready_whatever_the_verdict() -> None:
    ready = find(after(TIGHT).status.conditions, "Ready")

    assert ready is not None
    assert (ready.status, ready.reason) == ("True", "Judged")


def test_an_open_one_is_not() -> None:
    ready = find(after(OPEN).status.conditions, "Ready")

    assert ready is not None
    assert (ready.status, ready.reason) == ("False", "NeedsJudging")


def test_a_refusal_is_told() -> None:
    assert plan_datasetversion(TIGHT).events == (
        Event(
            reason="ContractBroken",
            message="rows: expected at least 2000 rows, observed 1,000 rows.",
            warning=True,
        ),
    )


def test_while_the_new_contract_is_read_it_is_looked_at_again_soon() -> None:
    assert plan_datasetversion(replace(OPEN, reading=True)).requeue_after == 5.0
    assert plan_datasetversion(OPEN).requeue_after is None
    assert plan_datasetversion(replace(READ_AGAIN, reading=True)).requeue_after is None


def test_one_that_is_being_deleted_is_left_alone() -> None:
    going = make_version().model_copy(
        update={
            "metadata": make_version().metadata.model_copy(update={"deletion_timestamp": stamp()})
        }
    )

    assert plan_datasetversion(replace(HEALTHY, version=going)) == Plan()
