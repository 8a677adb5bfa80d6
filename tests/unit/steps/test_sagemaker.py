"""A SageMaker baseline becomes a contract that says the same, or says what it cannot say."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.builders import make_dataset
from tidemill.steps.sagemaker import UnreadableError, contract_of, document, main

CONSTRAINTS: dict[str, Any] = {
    "version": 0,
    "features": [
        {
            "name": "distance",
            "inferred_type": "Fractional",
            "completeness": 1.0,
            "num_constraints": {"is_non_negative": True},
        },
        {
            "name": "carrier",
            "inferred_type": "String",
            "completeness": 0.9975,
            "string_constraints": {"domains": ["UA", "B6", "UA"]},
            "monitoringConfigOverrides": {"domain_content_threshold": 0.99},
        },
        {"name": "_c0", "inferred_type": "Unknown"},
    ],
    "monitoring_config": {
        "evaluate_constraints": "Enabled",
        "emit_metrics": "Enabled",
        "datatype_check_threshold": 1.0,
        "domain_content_threshold": 1.0,
        "distribution_constraints": {
            "perform_comparison": "Enabled",
            "comparison_threshold": 0.1,
            "comparison_method": "Robust",
        },
    },
}
STATISTICS: dict[str, Any] = {
    "version": 0,
    "dataset": {"item_count": 77911},
    "features": [
        {
            "name": "distance",
            "inferred_type": "Fractional",
            "numerical_statistics": {
                "common": {"num_present": 77911, "num_missing": 0},
                "mean": 1006.7,
                "std_dev": 719.2,
                "min": 80.0,
                "max": 4983.5,
                "distribution": {"kll": {"buckets": []}},
            },
        },
        {"name": "carrier", "inferred_type": "String", "string_statistics": {"distinct_count": 2}},
    ],
}


def changed(**config: Any) -> dict[str, Any]:
    """The constraints, configured otherwise."""
    return {**CONSTRAINTS, "monitoring_config": {**CONSTRAINTS["monitoring_config"], **config}}


def test_constraints_become_a_contract() -> None:
    contract, notes = contract_of(CONSTRAINTS)

    assert contract == {
        "description": "Imported from a SageMaker Model Monitor baseline",
        "schema": {"policy": "InferThenFreeze", "evolution": "None"},
        "expectations": [
            {
                "name": "distance-complete",
                "column": "distance",
                "type": "Complete",
                "minShare": "1",
            },
            {"name": "distance-range", "column": "distance", "type": "Range", "min": "0"},
            {
                "name": "carrier-complete",
                "column": "carrier",
                "type": "Complete",
                "minShare": "0.9975",
            },
            {
                "name": "carrier-allowedvalues",
                "column": "carrier",
                "type": "AllowedValues",
                "values": ["UA", "B6"],
                "maxShareUnknown": "0.01",
            },
        ],
        "drift": {"against": "Previous", "profile": "sagemaker", "threshold": "0.1"},
    }
    assert notes == (
        "drift: rows are compared with those of the version before; to compare with the baseline"
        " always, load it as a version and name it in drift.version.",
        "emit_metrics: the operator always exports metrics.",
        "inferred_type: the first accepted version's types are frozen (schema).",
    )


def test_what_was_seen_becomes_a_warning() -> None:
    contract, notes = contract_of(CONSTRAINTS, STATISTICS)

    assert contract["expectations"][-1] == {
        "name": "distance-range-2",
        "column": "distance",
        "type": "Range",
        "min": "80",
        "max": "4983.5",
        "severity": "Warn",
    }
    assert "statistics.json: means, deviations and distributions are not taken over." in notes


THRESHOLDS = {0.1: "0.1", 1.0: "0", 0.0: "0", 0.95: "0.05"}


@pytest.mark.parametrize(("threshold", "share"), THRESHOLDS.items())
def test_a_threshold_is_read_the_stricter_way(threshold: float, share: str) -> None:
    features = [{"name": "place", "string_constraints": {"domains": ["here"]}}]

    contract, _ = contract_of({**changed(domain_content_threshold=threshold), "features": features})

    assert contract["expectations"][0]["maxShareUnknown"] == share


def test_constraints_that_are_not_evaluated_only_warn() -> None:
    contract, notes = contract_of(changed(evaluate_constraints="Disabled"))

    assert {item["severity"] for item in contract["expectations"]} == {"Warn"}
    assert "evaluate_constraints is Disabled: every expectation only warns." in notes


def test_a_comparison_that_is_not_made_is_no_drift() -> None:
    contract, _ = contract_of(changed(distribution_constraints={"perform_comparison": "Disabled"}))

    assert "drift" not in contract


def test_what_has_no_counterpart_is_said() -> None:
    given = changed(
        distribution_constraints={
            "comparison_threshold": 0.2,
            "categorical_comparison_threshold": 0.1,
            "comparison_method": "Simple",
            "categorical_drift_method": "ChiSquared",
        }
    )
    given["features"] = [{"name": "x", "num_constraints": {"is_positive": True}}]

    contract, notes = contract_of(given)

    assert contract["drift"]["threshold"] == "0.1"
    assert notes[:4] == (
        "x: is_positive has no counterpart.",
        "comparison_threshold: the lower of the two counts for all columns.",
        "comparison_method: the sample size is always allowed for (Robust).",
        "categorical_drift_method: ChiSquared has no counterpart; LInfinity is.",
    )


def test_more_than_a_contract_holds_is_left_out_and_said() -> None:
    features = [{"name": f"Column {number}!", "completeness": 1} for number in range(201)]
    features.append(
        {"name": "wide", "string_constraints": {"domains": [str(n) for n in range(501)]}}
    )

    contract, notes = contract_of({"features": features})

    assert len(contract["expectations"]) == 200
    assert "1 expectations more than the 200 allowed are left out." in notes
    assert any(note.startswith("wide: a domain of 501 values") for note in notes)


NAMES = {"größe": "gr-e-complete", "7": "c-7-complete", "...": "complete", "a b": "a-b-complete"}


@pytest.mark.parametrize(("column", "name"), NAMES.items())
def test_names_are_made_of_columns(column: str, name: str) -> None:
    contract, _ = contract_of({"features": [{"name": column, "completeness": 1}]})

    assert contract["expectations"][0]["name"] == name


UNREADABLE: dict[str, tuple[Any, str]] = {
    "no features": ({}, "constraints.json has no list of features"),
    "a feature without a name": (
        {"features": [{"completeness": 1}]},
        "a feature of constraints.json has no name",
    ),
    "completeness as a word": (
        {"features": [{"name": "x", "completeness": "all"}]},
        "x: completeness is not a number: 'all'",
    ),
    "completeness above one": (
        {"features": [{"name": "x", "completeness": 1.5}]},
        "x: completeness is not between 0 and 1: 1.5",
    ),
    "a domain that is no list": (
        {"features": [{"name": "x", "string_constraints": {"domains": "UA"}}]},
        "x: domains is not a list",
    ),
    "a column with too long a name": (
        {"features": [{"name": "x" * 129, "completeness": 1}]},
        "the contract cannot be made: expectations.0.column: String should have at most 128"
        " characters",
    ),
}


@pytest.mark.parametrize(("constraints", "message"), UNREADABLE.values(), ids=UNREADABLE)
def test_what_is_no_baseline(constraints: dict[str, Any], message: str) -> None:
    with pytest.raises(UnreadableError) as raised:
        contract_of(constraints)

    assert str(raised.value) == message


def test_the_document_is_a_contract_a_dataset_takes() -> None:
    contract, notes = contract_of(CONSTRAINTS, STATISTICS)

    printed = document(contract, notes)

    assert printed.startswith("# statistics.json: means")
    assert yaml.safe_load(printed) == {"contract": contract}
    spec = make_dataset(spec=yaml.safe_load(printed)).spec
    assert [item.type for item in spec.contract.expectations] == [
        "Complete",
        "Range",
        "Complete",
        "AllowedValues",
        "Range",
    ]


def test_a_hostile_name_stays_a_comment() -> None:
    features = [{"name": "x\ncontract: {}", "num_constraints": {"y\u2028evil: 1": True}}]

    printed = document(*contract_of({"features": features}))

    assert list(yaml.safe_load(printed)) == ["contract"]


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    constraints, statistics = tmp_path / "constraints.json", tmp_path / "statistics.json"
    constraints.write_text(json.dumps(CONSTRAINTS))
    statistics.write_text(json.dumps(STATISTICS))

    assert main([str(constraints), str(statistics)]) == 0

    assert yaml.safe_load(capsys.readouterr().out)["contract"]["schema"]["evolution"] == "None"
    statistics.write_text("[" * 100_000)
    assert main([str(constraints), str(statistics)]) == 1
    assert capsys.readouterr().err.startswith("statistics.json cannot be read: ")
