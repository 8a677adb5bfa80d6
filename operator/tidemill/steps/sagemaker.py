"""Amazon SageMaker Model Monitor's baseline as a contract: `python -m tidemill.steps.sagemaker
constraints.json [statistics.json]` prints the YAML of spec.contract, and says in comments what has
no counterpart.

Both files are as the model monitor's own container writes them (version 0 of "Schema for
Constraints" and "Schema for Statistics" in its guide). A constraint becomes an expectation of the
same meaning; the observed extremes of statistics.json, which bind nothing there, become warnings.

SageMaker's thresholds were written as the share that has to match (1.0) and later as the share that
may differ (0.1): whichever reading is the stricter is taken.
"""

import argparse
import json
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from math import isfinite
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from tidemill.api.v1alpha1.datacontract import Contract

_BYTES = 64 << 20
_NAME = 50
_VALUES, _VALUE, _EXPECTATIONS = 500, 256, 200
_PLACES = Decimal("1e-9")


class UnreadableError(Exception):
    """A file is not what SageMaker writes; the message says why."""


@dataclass(slots=True)
class _Import:
    """A contract in the making."""

    expectations: list[dict[str, Any]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    """What has no counterpart, or has one elsewhere."""

    def expect(self, kind: str, column: str, **more: Any) -> None:
        """Add an expectation with a name of its own."""
        bare = re.sub(r"[^a-z0-9]+", "-", f"{column}-{kind}".lower()).strip("-")[:_NAME].strip("-")
        stem = bare if bare[:1].isalpha() else f"c-{bare}"
        taken = {item["name"] for item in self.expectations}
        names = (stem, *(f"{stem}-{number}" for number in range(2, len(taken) + 3)))
        name = next(item for item in names if item not in taken)
        self.expectations.append({"name": name, "column": column, "type": kind, **more})


def contract_of(
    constraints: Mapping[str, Any], statistics: Mapping[str, Any] | None = None
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The contract as it stands in a Dataset's spec, and what has no counterpart, in sentences.

    Raises UnreadableError.
    """
    made = _Import()
    config = _object(constraints.get("monitoring_config", {}), "monitoring_config")
    features = _features(constraints, "constraints.json")
    for feature in features:
        _constrain(made, feature, config)
    if statistics is not None:
        _observe(made, _features(statistics, "statistics.json"))
    contract: dict[str, Any] = {
        "description": "Imported from a SageMaker Model Monitor baseline",
        # Its missing_column_check and extra_column_check, and data_type_check.
        "schema": {"policy": "InferThenFreeze", "evolution": "None"},
    }
    if _warns(config):
        for item in made.expectations:
            item["severity"] = "Warn"
        made.notes.append("evaluate_constraints is Disabled: every expectation only warns.")
    over = len(made.expectations) - _EXPECTATIONS
    if over > 0:
        made.notes.append(
            f"{over} expectations more than the {_EXPECTATIONS} allowed are left out."
        )
    contract["expectations"] = made.expectations[:_EXPECTATIONS]
    _distribution(made, contract, config)
    if config.get("emit_metrics") is not None:
        made.notes.append("emit_metrics: the operator always exports metrics.")
    made.notes.append("inferred_type: the first accepted version's types are frozen (schema).")
    return _checked(contract), tuple(made.notes)


def _checked(contract: dict[str, Any]) -> dict[str, Any]:
    try:
        Contract.model_validate(contract)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise UnreadableError(f"the contract cannot be made: {place}: {first['msg']}") from error
    return contract


def _object(found: Any, what: str) -> Mapping[str, Any]:
    if not isinstance(found, dict):
        raise UnreadableError(f"{what} is not an object")
    return found


def _features(document: Mapping[str, Any], what: str) -> list[Mapping[str, Any]]:
    found = document.get("features")
    if not isinstance(found, list):
        raise UnreadableError(f"{what} has no list of features")
    features = [_object(item, f"a feature of {what}") for item in found]
    for feature in features:
        if not isinstance(feature.get("name"), str) or not feature["name"]:
            raise UnreadableError(f"a feature of {what} has no name")
    return features


def _number(found: Any, what: str) -> Decimal:
    if isinstance(found, bool) or not isinstance(found, int | float) or not isfinite(found):
        raise UnreadableError(f"{what} is not a number: {found!r}")
    return Decimal(str(found))


def _text(number: Decimal) -> str:
    return f"{number.quantize(_PLACES).normalize():f}"


def _constrain(made: _Import, feature: Mapping[str, Any], config: Mapping[str, Any]) -> None:
    name = feature["name"]
    own = {
        **config,
        **_object(feature.get("monitoringConfigOverrides") or {}, f"{name}: overrides"),
    }
    complete = feature.get("completeness")
    if complete is not None:
        share = _number(complete, f"{name}: completeness")
        if not 0 <= share <= 1:
            raise UnreadableError(f"{name}: completeness is not between 0 and 1: {share}")
        made.expect("Complete", name, minShare=_text(share))
    numbers = _object(feature.get("num_constraints") or {}, f"{name}: num_constraints")
    if numbers.get("is_non_negative") is True:
        made.expect("Range", name, min="0")
    _leave_out(made, name, numbers, {"is_non_negative"})
    texts = _object(feature.get("string_constraints") or {}, f"{name}: string_constraints")
    domains = texts.get("domains")
    if domains:
        _allow(made, name, domains, _tolerated(own, name))
    _leave_out(made, name, texts, {"domains"})


def _leave_out(made: _Import, name: str, found: Mapping[str, Any], known: Iterable[str]) -> None:
    for key in sorted(set(found) - set(known)):
        made.notes.append(f"{name}: {key} has no counterpart.")


def _allow(made: _Import, name: str, domains: Any, tolerated: Decimal) -> None:
    if not isinstance(domains, list):
        raise UnreadableError(f"{name}: domains is not a list")
    values = list(dict.fromkeys(str(value) for value in domains))
    if len(values) > _VALUES or any(len(value) > _VALUE for value in values):
        made.notes.append(
            f"{name}: a domain of {len(values)} values is more than {_VALUES}, or has one longer"
            f" than {_VALUE}; use AllowedValues with from: FirstVersion."
        )
        return
    made.expect("AllowedValues", name, values=values, maxShareUnknown=_text(tolerated))


def _tolerated(config: Mapping[str, Any], name: str) -> Decimal:
    """The share of rows outside of a domain that is no violation."""
    found = config.get("domain_content_threshold")
    if found is None:
        return Decimal(0)
    threshold = _number(found, f"{name}: domain_content_threshold")
    if not 0 <= threshold <= 1:
        raise UnreadableError(f"{name}: domain_content_threshold is not between 0 and 1")
    return min(threshold, 1 - threshold)


def _observe(made: _Import, features: Sequence[Mapping[str, Any]]) -> None:
    """What was seen in the baseline, as warnings."""
    for feature in features:
        name = feature["name"]
        found = _object(feature.get("numerical_statistics") or {}, f"{name}: statistics")
        ends = {}
        for key in ("min", "max"):
            number = found.get(key)
            if isinstance(number, int | float) and isfinite(number) and abs(number) < 1e12:
                ends[key] = _text(Decimal(str(number)))
        if ends:
            made.expect("Range", name, **ends, severity="Warn")
    made.notes.append("statistics.json: means, deviations and distributions are not taken over.")


def _warns(config: Mapping[str, Any]) -> bool:
    return config.get("evaluate_constraints") == "Disabled"


def _distribution(made: _Import, contract: dict[str, Any], config: Mapping[str, Any]) -> None:
    """baseline_drift_check: against the version before, as there is no baseline without rows."""
    found = _object(config.get("distribution_constraints") or {}, "distribution_constraints")
    if not found:
        return
    if found.get("perform_comparison") == "Disabled":
        made.notes.append("perform_comparison is Disabled: no drift is looked for.")
        return
    drift = {"against": "Previous", "profile": "sagemaker"}
    thresholds = [
        _number(found[key], key)
        for key in ("comparison_threshold", "categorical_comparison_threshold")
        if found.get(key) is not None
    ]
    if thresholds:
        drift["threshold"] = _text(min(thresholds))
    if len(set(thresholds)) > 1:
        made.notes.append("comparison_threshold: the lower of the two counts for all columns.")
    if found.get("comparison_method") == "Simple":
        made.notes.append("comparison_method: the sample size is always allowed for (Robust).")
    if found.get("categorical_drift_method") == "ChiSquared":
        made.notes.append("categorical_drift_method: ChiSquared has no counterpart; LInfinity is.")
    made.notes.append(
        "drift: rows are compared with those of the version before; to compare with the baseline"
        " always, load it as a version and name it in drift.version."
    )
    contract["drift"] = drift


def _read(path: Path) -> Mapping[str, Any]:
    try:
        if path.stat().st_size > _BYTES:
            raise UnreadableError(f"{path.name} is larger than {_BYTES >> 20} MiB")
        return _object(json.loads(path.read_bytes()), path.name)
    except (OSError, ValueError, RecursionError) as error:
        raise UnreadableError(f"{path.name} cannot be read: {error}") from error


def document(contract: Mapping[str, Any], notes: Sequence[str]) -> str:
    """The YAML to print: what has no counterpart in comments, then the contract."""
    said = [line for note in notes for line in note.splitlines()]
    comments = "".join(f"# {line}\n" for line in dict.fromkeys(said))
    dumped = yaml.safe_dump({"contract": dict(contract)}, sort_keys=False, allow_unicode=True)
    return f"{comments}{dumped}"


def main(arguments: Sequence[str]) -> int:
    """Print the contract. Exits with 1 and says why if a file cannot be read."""
    parser = argparse.ArgumentParser(
        prog="python -m tidemill.steps.sagemaker", description=main.__doc__
    )
    parser.add_argument("constraints", type=Path, help="constraints.json")
    parser.add_argument("statistics", type=Path, nargs="?", help="statistics.json")
    given = parser.parse_args(arguments)
    try:
        statistics = None if given.statistics is None else _read(given.statistics)
        contract, notes = contract_of(_read(given.constraints), statistics)
    except UnreadableError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write(document(contract, notes))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
