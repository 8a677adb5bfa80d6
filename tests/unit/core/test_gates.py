"""The judge of gates: each case says only what differs from a gate that is met."""

from typing import Any

import pytest

from tests.builders import AGAINST, MEASURED
from tidemill.api.v1alpha1.modelversion import GateResult, Measured
from tidemill.api.v1alpha1.trainingjob import Gate
from tidemill.core.gates import gates_hash, judge_gate, judge_model


def gate(**more: Any) -> Gate:
    told = {"name": "useful", "type": "Absolute", "metric": "roc_auc", "min": "0.62", **more}
    return Gate.model_validate({key: value for key, value in told.items() if value is not None})


def champion(**more: Any) -> Gate:
    return gate(name="no-worse", type="Champion", min=None, **{"minChange": "-0.005", **more})


def measured(**more: Any) -> Measured:
    told = {**MEASURED, **more}
    return Measured.model_validate({key: value for key, value in told.items() if value is not None})


def against(**more: Any) -> Measured:
    told = {**AGAINST, **more}
    return Measured.model_validate({key: value for key, value in told.items() if value is not None})


def result(
    gate: Gate, *metrics: Measured, name: str | None = "old", saw: bool = False
) -> GateResult:
    return judge_gate(gate, metrics, champion=name, saw_test_rows=saw)


LOSS = {"metric": "log_loss", "value": "0.41", "champion": "0.45", "change": "-0.04"}
CASES: dict[str, tuple[GateResult, str, str]] = {
    "a value above its bound": (
        result(gate(), measured()),
        "Successful",
        "roc_auc 0.713 >= 0.62 on 15,582 test rows.",
    ),
    "a value at its bound": (
        result(gate(min="0.713"), measured()),
        "Successful",
        "roc_auc 0.713 >= 0.713 on 15,582 test rows.",
    ),
    "a value below its bound": (
        result(gate(min="0.7131"), measured()),
        "Failed",
        "roc_auc 0.713 < 0.7131 on 15,582 test rows.",
    ),
    "a value above its maximum": (
        result(gate(min=None, max="0.7"), measured()),
        "Failed",
        "roc_auc 0.713 > 0.7 on 15,582 test rows.",
    ),
    "a value between its bounds": (
        result(gate(max="0.8"), measured()),
        "Successful",
        "roc_auc 0.713 >= 0.62 and <= 0.8 on 15,582 test rows.",
    ),
    "a slice is judged on its own": (
        result(gate(slice="evening"), measured(), measured(slice="evening", value="0.5")),
        "Failed",
        "roc_auc of slice evening 0.5 < 0.62 on 15,582 test rows.",
    ),
    "too few rows are no failure": (
        result(gate(minSamples=500), measured(samples=499, value="0.1")),
        "NoData",
        "roc_auc has 499 test rows of the 500 it needs.",
    ),
    "just enough rows": (
        result(gate(minSamples=500), measured(samples=500)),
        "Successful",
        "roc_auc 0.713 >= 0.62 on 500 test rows.",
    ),
    "a value that cannot be computed": (
        result(gate(), measured(value=None)),
        "NoData",
        "roc_auc cannot be computed on 15,582 test rows.",
    ),
    "a metric nobody measured": (
        result(gate(metric="f1"), measured()),
        "Error",
        "f1 was not measured in this run; a retrain request measures it.",
    ),
    "no champion": (
        result(champion(), measured(), name=None),
        "Successful",
        "no champion: there is nothing to compare with.",
    ),
    "better than the champion for certain": (
        result(champion(), against()),
        "Successful",
        "roc_auc 0.713 against 0.662 of old on 15,582 test rows: change +0.051, its 95 % lower"
        " bound +0.038 >= -0.005.",
    ),
    "a lower bound just at the least change": (
        result(champion(), against(changeLow="-0.005")),
        "Successful",
        "roc_auc 0.713 against 0.662 of old on 15,582 test rows: change +0.051, its 95 % lower"
        " bound -0.005 >= -0.005.",
    ),
    "better on average, but perhaps too much worse": (
        result(champion(), against(changeLow="-0.006")),
        "Failed",
        "roc_auc 0.713 against 0.662 of old on 15,582 test rows: change +0.051, its 95 % lower"
        " bound -0.006 < -0.005.",
    ),
    "a loss that is smaller is a change for the better": (
        result(champion(metric="log_loss"), against(**LOSS, changeLow="-0.06", changeHigh="-0.02")),
        "Successful",
        "log_loss 0.41 against 0.45 of old on 15,582 test rows: change for the better +0.04, its"
        " 95 % lower bound +0.02 >= -0.005.",
    ),
    "a loss that may be larger": (
        result(champion(metric="log_loss"), against(**LOSS, changeLow="-0.06", changeHigh="0.01")),
        "Failed",
        "log_loss 0.41 against 0.45 of old on 15,582 test rows: change for the better +0.04, its"
        " 95 % lower bound -0.01 < -0.005.",
    ),
    "a champion that knew the test": (
        result(champion(), against(), saw=True),
        "NoData",
        "ChampionSawTestRows: old has learned from the test rows.",
    ),
    "a champion whose value cannot be computed": (
        result(champion(), measured()),
        "NoData",
        "roc_auc of old cannot be computed on 15,582 test rows.",
    ),
}


@pytest.mark.parametrize(("told", "verdict", "message"), CASES.values(), ids=CASES)
def test_judge_gate(told: GateResult, verdict: str, message: str) -> None:
    assert (told.verdict, told.message) == (verdict, message)


FEW = measured(samples=10)
DECISIONS: dict[str, tuple[list[Gate], list[Measured], bool | None, str, str]] = {
    "no gates": ([], [], True, "GatesPassed", "There are no gates."),
    "all met": (
        [gate()],
        [measured()],
        True,
        "GatesPassed",
        "useful: roc_auc 0.713 >= 0.62 on 15,582 test rows.",
    ),
    "one missed": (
        [gate(), gate(name="high", min="0.9")],
        [measured()],
        False,
        "GatesMissed",
        "high: roc_auc 0.713 < 0.9 on 15,582 test rows.",
    ),
    "one missed that only reports": (
        [gate(name="high", min="0.9", onMiss="Report")],
        [measured()],
        True,
        "GatesPassed",
        "high: roc_auc 0.713 < 0.9 on 15,582 test rows.",
    ),
    "no data leaves it open": (
        [gate()],
        [FEW],
        None,
        "GatesUndecided",
        "useful: roc_auc has 10 test rows of the 100 it needs.",
    ),
    "no data may pass": (
        [gate(onNoData="Pass")],
        [FEW],
        True,
        "GatesPassed",
        "useful: roc_auc has 10 test rows of the 100 it needs.",
    ),
    "no data may fail": (
        [gate(onNoData="Fail")],
        [FEW],
        False,
        "GatesMissed",
        "useful: roc_auc has 10 test rows of the 100 it needs.",
    ),
    "an error is no missing data": (
        [gate(metric="f1", onNoData="Pass")],
        [measured()],
        None,
        "GatesUndecided",
        "useful: f1 was not measured in this run; a retrain request measures it.",
    ),
    "a failure is worse than no data": (
        [gate(min="0.9"), gate(name="few", slice="jfk")],
        [measured(), measured(slice="jfk", samples=1)],
        False,
        "GatesMissed",
        "useful: roc_auc 0.713 < 0.9 on 15,582 test rows.",
    ),
}


@pytest.mark.parametrize(
    ("gates", "metrics", "approved", "reason", "message"), DECISIONS.values(), ids=DECISIONS
)
def test_judge_model(
    gates: list[Gate], metrics: list[Measured], approved: bool | None, reason: str, message: str
) -> None:
    _, told, why, said = judge_model(gates, metrics, champion=None, saw_test_rows=False)

    assert (told, why, said) == (approved, reason, message)


def test_a_champion_that_knew_the_test_is_named_as_the_reason() -> None:
    _, told, why, _ = judge_model([champion()], [against()], champion="old", saw_test_rows=True)

    assert (told, why) == (None, "ChampionSawTestRows")


def test_the_order_of_gates_does_not_matter_to_their_hash() -> None:
    assert gates_hash([gate(), champion()]) == gates_hash([champion(), gate()])


def test_a_relaxed_gate_has_another_hash() -> None:
    assert gates_hash([gate()]) != gates_hash([gate(min="0.61")])


def test_a_default_that_is_written_out_has_the_same_hash() -> None:
    assert gates_hash([gate()]) == gates_hash([gate(minSamples=100, onMiss="Block")])
