"""Contracts: the verdict on what was found, and on what a profile says."""

from typing import Any

import pytest

from tests.builders import COLUMNS, VIOLATION, at, make_dataset, make_profile, make_version
from tidemill.api.documents.profile import FeatureProfile, Profile, ValueType
from tidemill.api.v1alpha1.dataset import DatasetSpec
from tidemill.api.v1alpha1.datasetversion import Violation
from tidemill.core.acceptance import (
    Judged,
    contract_hash,
    current_hashes,
    is_accepted,
    is_rejected,
    judge_profile,
    verdict,
)
from tidemill.core.observed import Unreadable

BROKEN = Violation.model_validate(VIOLATION)
WARNED = BROKEN.model_copy(update={"severity": "Warn"})


def test_no_violation_is_accepted() -> None:
    assert verdict((), 77911) == (
        True,
        "ContractKept",
        "All of the contract is kept by 77,911 rows.",
    )


def test_a_broken_expectation_is_not() -> None:
    assert verdict((WARNED, BROKEN), 77911) == (
        False,
        "ContractBroken",
        "hours: dep_hour lies between 0 and 27, outside the maximum 23.",
    )


def test_warnings_are_accepted_and_said() -> None:
    assert verdict((WARNED,), 77911) == (
        True,
        "AcceptedWithWarnings",
        "hours: dep_hour lies between 0 and 27, outside the maximum 23.",
    )


def test_of_many_violations_five_are_told() -> None:
    _, _, message = verdict((BROKEN,) * 7, 77911)

    assert message.count("hours:") == 5
    assert message.endswith("And 2 more.")


def test_a_version_nobody_has_looked_at_is_neither() -> None:
    fresh = make_version(accepted=None)

    assert (is_accepted(fresh), is_rejected(fresh)) == (False, False)
    assert (is_accepted(make_version()), is_rejected(make_version())) == (True, False)
    bad = make_version(accepted=False)
    assert (is_accepted(bad), is_rejected(bad)) == (False, True)


def spec(*expectations: dict[str, Any], **contract: Any) -> DatasetSpec:
    named = [{"name": f"e{i}", **item} for i, item in enumerate(expectations)]
    return make_dataset(spec={"contract": {"expectations": named, **contract}}).spec


def test_words_for_people_are_no_part_of_the_contract() -> None:
    plain, told = spec(), spec(owner="someone", description="Flights.")

    assert contract_hash(plain, None) == contract_hash(told, None)


HASHED = {
    "an expectation": spec({"type": "RowCount", "min": "1"}),
    "the evolution": spec(schema={"evolution": "None"}),
    "a column": make_dataset(
        spec={"contract": {}, "columns": {"eventTime": "t", "label": {"name": "late"}}}
    ).spec,
}


@pytest.mark.parametrize("changed", HASHED.values(), ids=HASHED)
def test_what_is_judged_is_hashed(changed: DatasetSpec) -> None:
    assert contract_hash(changed, None) != contract_hash(spec(), None)


def test_the_anchor_is_hashed() -> None:
    assert contract_hash(spec(), "flights-a") != contract_hash(spec(), None)


def test_the_anchor_was_read_before_there_was_a_norm() -> None:
    told = spec()
    alone, normal = contract_hash(told, None), contract_hash(told, "flights-a")

    assert current_hashes(told, "flights-a", "flights-a", anchor_exists=True) == {alone, normal}
    assert current_hashes(told, "flights-b", "flights-a", anchor_exists=True) == {normal}
    assert current_hashes(told, "flights-b", "flights-a", anchor_exists=False) == {alone, normal}
    assert current_hashes(told, "flights-b", None, anchor_exists=False) == {alone}


HOUR_OF_ALL = make_profile().features[0].model_copy(update={"mean": 12.0, "deviation": 6.0})
TIMES = FeatureProfile(
    name="time_hour", type=ValueType.NUMBER, counts=(1000,), maximum=at(hours=-1).timestamp()
)
WHOLE = make_profile(features=(HOUR_OF_ALL, make_profile().features[1], TIMES))


def judged(
    contract: DatasetSpec, *, profile: Profile | None = None, anchor_profile: object = None
) -> Judged:
    return judge_profile(
        contract,
        make_version("spring"),
        profile or WHOLE,
        anchor=make_version("winter"),
        anchor_profile=anchor_profile,  # type: ignore[arg-type]
    )


HOUR, CARRIER = {"column": "dep_hour"}, {"column": "carrier"}
ALL = ["", "UA", "B6", "HA", "OO"]
ANSWERS: dict[str, tuple[dict[str, Any], str | None]] = {
    "enough rows": ({"type": "RowCount", "min": "1000", "max": "1000"}, None),
    "too few rows": (
        {"type": "RowCount", "min": "1001"},
        "expected at least 1001 rows, observed 1,000 rows",
    ),
    "too many rows": (
        {"type": "RowCount", "max": "999"},
        "expected at most 999 rows, observed 1,000 rows",
    ),
    "numbers in range": ({"type": "Range", "min": "0", "max": "23", **HOUR}, None),
    "a number too small": (
        {"type": "Range", "min": "0.5", **HOUR},
        "dep_hour: expected at least 0.5, observed 0 to 23",
    ),
    "a number too large": (
        {"type": "Range", "min": "0", "max": "22", **HOUR},
        "dep_hour: expected 0 to 22, observed 0 to 23",
    ),
    "a range of what is no number": (
        {"type": "Range", "min": "0", **CARRIER},
        "carrier: expected numbers, at least 0, observed a String",
    ),
    "complete": ({"type": "Complete", "minShare": "1", **HOUR}, None),
    "complete enough, empty texts or not": (
        {"type": "Complete", "minShare": "0.95", **CARRIER},
        None,
    ),
    "a column that is not there": (
        {"type": "Complete", "minShare": "1", "column": "wind"},
        "wind: expected a column for e0, observed no such column",
    ),
    "duplicates of a column that is not there": (
        {"type": "Duplicates", "columns": ["wind"]},
        "wind: expected a column for e0, observed no such column",
    ),
    "no outlier at either end": (
        {"type": "Outliers", "method": "Deviations", "maxShare": "0", **HOUR},
        None,
    ),
    "outliers of what is no number": (
        {"type": "Outliers", "method": "Deviations", "maxShare": "0", **CARRIER},
        "carrier: expected numbers, numbers within 3 standard deviations of the mean, observed a"
        " String",
    ),
    "a newest time that is fresh": (
        {"type": "Freshness", "maxAgeSeconds": 3600, "column": "time_hour"},
        None,
    ),
    "the freshness of what is no time": (
        {"type": "Freshness", "maxAgeSeconds": 60, **HOUR},
        "dep_hour: expected a newest time at most 60 seconds before the read, observed a Integer",
    ),
    "a pattern of what is no text": (
        {"type": "Pattern", "pattern": "[0-9]+", **HOUR},
        "dep_hour: expected texts that match [0-9]+, observed a Integer",
    ),
    "what is no text has one type": ({"type": "MixedTypes", **HOUR}, None),
    "only allowed values": ({"type": "AllowedValues", "values": ALL, **CARRIER}, None),
    "a frequent value that is not allowed": (
        {"type": "AllowedValues", "values": ["UA", "HA", "OO"], **CARRIER},
        "carrier: expected 3 values, the listed ones, others in at most 0 % of rows, observed"
        " others in at least 340 of 1,000 rows (34 %), such as 'B6'",
    ),
    "a frequent one that is, to that share": (
        {
            "type": "AllowedValues",
            "values": ["", "UA", "HA", "OO"],
            "maxShareUnknown": "0.34",
            **CARRIER,
        },
        None,
    ),
    "a rare value is surely there once": (
        {"type": "AllowedValues", "values": ["UA", "B6", "HA"], **CARRIER},
        "carrier: expected 3 values, the listed ones, others in at most 0 % of rows, observed"
        " others in at least 1 of 1,000 rows (0.1 %), such as 'OO'",
    ),
    "rare values are never more than the rare ones": (
        {
            "type": "AllowedValues",
            "values": ["", "UA", "B6", "HA"],
            "maxShareUnknown": "0.01",
            **CARRIER,
        },
        None,
    ),
}


@pytest.mark.parametrize(("expectation", "message"), ANSWERS.values(), ids=ANSWERS)
def test_a_profile_answers(expectation: dict[str, Any], message: str | None) -> None:
    told = judged(spec(expectation))

    assert told.open == ()
    assert [item.message for item in told.violations] == ([] if message is None else [message])


OPEN: dict[str, dict[str, Any]] = {
    "whether values are unique": {"type": "Unique", **HOUR},
    "what float32 cannot tell": {"type": "Range", "max": "22.999999", **HOUR},
    "how many numbers are out of range": {
        "type": "Range",
        "max": "20",
        "maxShare": "0.1",
        **HOUR,
    },
    "whether the least or the greatest is an outlier": {
        "type": "Outliers",
        "method": "Deviations",
        "factor": "1.9",
        "maxShare": "0",
        **HOUR,
    },
    "where the fences of quartiles are": {
        "type": "Outliers",
        "method": "Quartiles",
        "maxShare": "0",
        **HOUR,
    },
    "how fresh the newest time was when it was read": {
        "type": "Freshness",
        "maxAgeSeconds": 3599,
        "column": "time_hour",
    },
    "which texts a pattern matches": {"type": "Pattern", "pattern": "[A-Z0-9]+", **CARRIER},
    "which texts are numbers": {"type": "MixedTypes", **CARRIER},
    "whether rows repeat": {"type": "Duplicates"},
    "how columns compare": {"type": "Condition", "where": "dep_hour > 3"},
    "the values of a number": {"type": "AllowedValues", "values": ["1"], **HOUR},
    "how many of the missing texts are only empty": {
        "type": "Complete",
        "minShare": "0.96",
        **CARRIER,
    },
    "whether an empty text is among the missing ones": {
        "type": "AllowedValues",
        "values": ALL[1:],
        **CARRIER,
    },
    "how often one of the rare values occurs": {
        "type": "AllowedValues",
        "values": ["", "UA", "B6", "HA"],
        "maxShareUnknown": "0.005",
        **CARRIER,
    },
    "the first version's values without its profile": {
        "type": "AllowedValues",
        "from": "FirstVersion",
        **CARRIER,
    },
}


@pytest.mark.parametrize("expectation", OPEN.values(), ids=OPEN)
def test_a_profile_does_not_answer(expectation: dict[str, Any]) -> None:
    told = judged(spec(expectation), anchor_profile=Unreadable("TooLarge", "Too large."))

    assert told == Judged(violations=(), open=("e0",))


FIRST = {"type": "AllowedValues", "from": "FirstVersion", "values": [""], **CARRIER}


def test_the_first_versions_values_are_allowed() -> None:
    assert judged(spec(FIRST), anchor_profile=make_profile()) == Judged(violations=(), open=())


def test_a_first_version_that_does_not_list_all_its_values_does_not_say() -> None:
    (hour, carrier) = make_profile().features
    longer = make_profile(features=(hour, carrier.model_copy(update={"counts": (600, 340, 9)})))

    assert judged(spec(FIRST), anchor_profile=longer).open == ("e0",)


def test_values_that_are_not_listed_may_be_others() -> None:
    (hour, carrier) = make_profile().features
    some = make_profile(features=(hour, carrier.model_copy(update={"counts": (600, 340, 9)})))
    allowed = spec({"type": "AllowedValues", "values": ALL, **CARRIER})

    assert judged(allowed, profile=some).open == ("e0",)


def test_the_first_version_allows_its_own_values() -> None:
    version = make_version("winter")

    told = judge_profile(spec(FIRST), version, make_profile(), anchor=version, anchor_profile=None)

    assert told == Judged(violations=(), open=())


def test_rows_without_an_event_time_are_still_told() -> None:
    lacking = {
        "name": "EventTime",
        "reason": "Incomplete",
        "severity": "Warn",
        "message": "time_hour: missing",
    }

    told = judge_profile(
        spec(),
        make_version("spring", violations=[VIOLATION, lacking]),
        make_profile(),
        anchor=None,
        anchor_profile=None,
    )

    assert [item.name for item in told.violations] == ["EventTime"]


def schema(columns: list[dict[str, Any]], **contract: Any) -> list[tuple[str, str]]:
    told = judge_profile(
        spec(**contract),
        make_version("spring", columns=columns),
        make_profile(),
        anchor=make_version("winter"),
        anchor_profile=None,
    )
    return [(item.reason, item.message) for item in told.violations]


NEW = {"name": "wind", "type": "Number", "role": "Feature"}


def test_a_new_column_is_welcome() -> None:
    assert schema([*COLUMNS, NEW]) == []


def test_a_new_column_is_not_welcome_without_evolution() -> None:
    told = schema([*COLUMNS, NEW], schema={"evolution": "None"})

    assert told == [
        (
            "ExtraColumn",
            "wind: expected no such column, as contract.schema.evolution is None, observed Number",
        )
    ]


def test_a_missing_column_breaks_the_schema() -> None:
    assert schema(COLUMNS[:-1]) == [
        ("MissingColumn", "carrier: expected String, observed no such column")
    ]


def test_a_changed_type_breaks_the_schema() -> None:
    changed = [*COLUMNS[:-1], {**COLUMNS[-1], "type": "Integer"}]

    assert schema(changed) == [("TypeChanged", "carrier: expected String, observed Integer")]


def test_a_profile_does_not_say_what_has_drifted() -> None:
    """Its bins are its own, not those of the version it would be compared with."""
    version = make_version()

    told = judge_profile(
        spec(drift={}), version, make_profile(), anchor=version, anchor_profile=None
    )

    assert told == Judged(violations=(), open=("drift",))


def test_agreement_takes_a_read() -> None:
    """A profile does not know what each rater said, and an old verdict is not carried over."""
    disagreed = Violation(
        name="Labels", reason="LabelDisagreement", severity="Fail", message="observed 0.1"
    )
    version = make_version("spring", violations=[disagreed.to_wire()])
    labelled = make_dataset(
        spec={"labels": {"raters": ["label_a", "label_b"], "minAgreement": "0.6"}}
    ).spec

    told = judge_profile(labelled, version, make_profile(), anchor=None, anchor_profile=None)

    assert "labels.minAgreement" in told.open
    assert "Labels" not in {item.name for item in told.violations}
