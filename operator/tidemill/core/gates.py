"""Gates: may a model serve, by what was measured on test rows that training never saw.

A gate's verdict is one of the judge's five words and says metric, value, bound and sample count.
Too few rows are NoData, what was not measured is an Error; neither passes nor refuses a model by
itself, unless the gate's onNoData says so.
"""

from collections.abc import Iterable, Sequence
from decimal import Decimal

from tidemill.api.reasons import Reason
from tidemill.api.scalars import decimal
from tidemill.api.v1alpha1.modelversion import GateResult, Measured
from tidemill.api.v1alpha1.trainingjob import SMALLER_IS_BETTER, Gate, OnNoData
from tidemill.core.causes import given
from tidemill.core.identity import stable_hash
from tidemill.core.verdicts import Verdict

_MAX = 512


def gates_hash(gates: Iterable[Gate]) -> str:
    """Hash of the gates a verdict is by; their order does not matter."""
    return stable_hash(sorted((given(gate) for gate in gates), key=lambda item: str(item["name"])))


def judge_gate(
    gate: Gate, metrics: Sequence[Measured], *, champion: str | None, saw_test_rows: bool
) -> GateResult:
    """Judge one gate. `champion` is the model it was measured against, if there was one."""
    if gate.type == "Champion" and champion is None:
        return _result(gate, Verdict.SUCCESSFUL, "no champion: there is nothing to compare with")
    if gate.type == "Champion" and saw_test_rows:
        said = f"ChampionSawTestRows: {champion} has learned from the test rows"
        return _result(gate, Verdict.NO_DATA, said)
    measured = _measured(gate, metrics)
    what = _what(gate)
    if measured is None:
        said = f"{what} was not measured in this run; a retrain request measures it"
        return _result(gate, Verdict.ERROR, said)
    rows = f"on {measured.samples:,} test rows"
    if measured.samples < gate.min_samples:
        said = f"{what} has {measured.samples:,} test rows of the {gate.min_samples:,} it needs"
        return _result(gate, Verdict.NO_DATA, said)
    if measured.value is None:
        return _result(gate, Verdict.NO_DATA, f"{what} cannot be computed {rows}")
    if gate.type == "Absolute":
        return _absolute(gate, what, measured.value, rows)
    return _against_champion(gate, what, measured, rows, champion or "")


def _measured(gate: Gate, metrics: Sequence[Measured]) -> Measured | None:
    wanted = (gate.metric.value, gate.slice or "")
    return next((item for item in metrics if (item.metric, item.slice) == wanted), None)


def _what(gate: Gate) -> str:
    return gate.metric.value if gate.slice is None else f"{gate.metric.value} of slice {gate.slice}"


def _absolute(gate: Gate, what: str, value: str, rows: str) -> GateResult:
    if gate.min is not None and decimal(value) < decimal(gate.min):
        said = f"{what} {value} < {gate.min} {rows}"
        return _result(gate, Verdict.FAILED, said)
    if gate.max is not None and decimal(value) > decimal(gate.max):
        return _result(gate, Verdict.FAILED, f"{what} {value} > {gate.max} {rows}")
    bounds = [f">= {gate.min}"] if gate.min is not None else []
    bounds += [f"<= {gate.max}"] if gate.max is not None else []
    return _result(gate, Verdict.SUCCESSFUL, f"{what} {value} {' and '.join(bounds)} {rows}")


def _against_champion(
    gate: Gate, what: str, measured: Measured, rows: str, champion: str
) -> GateResult:
    """The lower bound of the change for the better against minChange.

    Where smaller is better (log_loss), the change for the better is the change with its sign
    turned, and its lower bound the upper bound turned.
    """
    turned = gate.metric in SMALLER_IS_BETTER
    low = measured.change_high if turned else measured.change_low
    if measured.champion is None or measured.change is None or low is None:
        return _result(gate, Verdict.NO_DATA, f"{what} of {champion} cannot be computed {rows}")
    lower = -decimal(low) if turned else decimal(low)
    least = decimal(gate.min_change or "0")
    verdict = Verdict.SUCCESSFUL if lower >= least else Verdict.FAILED
    sign = ">=" if verdict is Verdict.SUCCESSFUL else "<"
    change = -decimal(measured.change) if turned else decimal(measured.change)
    better = " for the better" if turned else ""
    said = (
        f"{what} {measured.value} against {measured.champion} of {champion} {rows}: change{better}"
        f" {_signed(change)}, its 95 % lower bound {_signed(lower)} {sign} {_signed(least)}"
    )
    return _result(gate, verdict, said)


def _signed(value: Decimal) -> str:
    return f"{value:+f}"


def _result(gate: Gate, verdict: Verdict, said: str) -> GateResult:
    return GateResult(
        name=gate.name,
        verdict=verdict.value,
        blocking=gate.on_miss == "Block",
        message=f"{said}."[:_MAX],
    )


def judge_model(
    gates: Sequence[Gate],
    metrics: Sequence[Measured],
    *,
    champion: str | None,
    saw_test_rows: bool,
) -> tuple[tuple[GateResult, ...], bool | None, str, str]:
    """All gates' results, then approved or not (None: nobody can say), reason and message."""
    results = tuple(
        judge_gate(gate, metrics, champion=champion, saw_test_rows=saw_test_rows) for gate in gates
    )
    meant = [
        (_meaning(gate, result), result)
        for gate, result in zip(gates, results, strict=True)
        if result.blocking
    ]
    missed = [result for passes, result in meant if passes is False]
    open_ = [result for passes, result in meant if passes is None]
    if missed:
        return results, False, Reason.GATES_MISSED, _listed(missed)
    if open_:
        saw = saw_test_rows and all("ChampionSawTestRows" in item.message for item in open_)
        reason = Reason.CHAMPION_SAW_TEST_ROWS if saw else Reason.GATES_UNDECIDED
        return results, None, reason, _listed(open_)
    if not results:
        return results, True, Reason.GATES_PASSED, "There are no gates."
    return results, True, Reason.GATES_PASSED, _listed(results)


def _meaning(gate: Gate, result: GateResult) -> bool | None:
    """Whether a result lets the model pass; None: it does not say."""
    verdict = Verdict(result.verdict)
    if verdict is Verdict.SUCCESSFUL:
        return True
    if verdict is Verdict.FAILED:
        return False
    if verdict is Verdict.NO_DATA and gate.on_no_data is not OnNoData.HOLD:
        return gate.on_no_data is OnNoData.PASS
    return None


def _listed(results: Sequence[GateResult]) -> str:
    return " ".join(f"{item.name}: {item.message}" for item in results)
