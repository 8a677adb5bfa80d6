"""Whether a snapshot keeps its contract: from what was found when it was read, or, for a changed
contract, from its stored profile.

A profile holds the least and greatest number, mean and deviation, the counts of missing values
and the categories of each column, so it answers Range, Complete, RowCount, most AllowedValues, some
Outliers and Freshness, and the schema without reading a row, in the words of the step that reads.
What it cannot answer for certain is left to a new read, which a changed contract starts anyway: the
profile has numbers as float32, takes an empty text for a missing one, does not list every rare
value, and says nothing of rows as a whole. Of a sensitive column it is asked for no value.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from tidemill.api.documents.profile import FeatureProfile, Profile, ValueType
from tidemill.api.reasons import Reason
from tidemill.api.scalars import decimal
from tidemill.api.v1alpha1 import DatasetVersion
from tidemill.api.v1alpha1.datacontract import Expectation, OutlierMethod
from tidemill.api.v1alpha1.dataset import DatasetSpec
from tidemill.api.v1alpha1.datasetversion import Violation
from tidemill.core.causes import given
from tidemill.core.conditions import find, is_true, parse_time
from tidemill.core.identity import stable_hash
from tidemill.core.observed import Unreadable
from tidemill.core.violations import (
    SCHEMA,
    bounds,
    broken,
    counted_share,
    fresh,
    listed,
    matching,
    missing_column,
    near,
    outlier_factor,
    percent,
    ratio,
    schema_differences,
)

FAIL = "Fail"
FOUND_BY_READING = frozenset({"EventTime", "Weight"})
"""Names of violations that a read finds by itself: rows without an event time, or a weight."""
NUMERIC = frozenset({"Boolean", "Integer", "Number"})
"""Column types whose values are numbers."""
FLOAT32 = 1e-6
"""Numbers of a profile are right to this share."""
ROUNDING = 1e-3
"""Fences of outliers reckoned from a profile are right to this share of a deviation."""
TIMES = frozenset({"Timestamp", "Date"})
"""Column types whose values are times; a profile has them as seconds since 1970."""


def contract_hash(spec: DatasetSpec, anchor: str | None) -> str:
    """Hash of what a version is judged against: schema policy, expectations, columns, anchor."""
    contract = given(spec.contract)
    judged = {key: contract.get(key) for key in ("schema", "expectations")}
    judged |= {"drift": contract["drift"]} if "drift" in contract else {}
    judged |= {"labels": labelling(spec)} if labelling(spec) else {}
    return stable_hash([judged, roles(spec), anchor])


def roles(spec: DatasetSpec) -> dict[str, Any]:
    """What spec.columns says of how rows are read; what columns mean to people is no part."""
    return {key: value for key, value in given(spec.columns).items() if key != "describe"}


def labelling(spec: DatasetSpec) -> dict[str, Any]:
    """What spec.labels says of what a row's label is and of how far raters have to agree."""
    said = {} if spec.labels is None else given(spec.labels)
    told = ("provenance", "instructions", "costPerLabel")
    return {key: value for key, value in said.items() if key not in told}


def current_hashes(
    spec: DatasetSpec, name: str, anchor: str | None, *, anchor_exists: bool
) -> frozenset[str]:
    """The contract hashes that count as the present contract for the version of this name.

    The anchor, and every version while there is none, was read before there was a norm.
    """
    hashes = {contract_hash(spec, anchor)}
    if anchor is None or anchor == name or not anchor_exists:
        hashes.add(contract_hash(spec, None))
    return frozenset(hashes)


def is_accepted(version: DatasetVersion) -> bool:
    """Whether its Accepted condition is True."""
    return is_true(version.status.conditions, "Accepted")


def is_rejected(version: DatasetVersion) -> bool:
    """Whether its Accepted condition is False; neither while it is not judged."""
    found = find(version.status.conditions, "Accepted")
    return found is not None and found.status == "False"


def verdict(violations: Iterable[Violation], rows: int) -> tuple[bool, str, str]:
    """Accepted or not, with the condition's reason and message."""
    all_ = tuple(violations)
    failing = [item for item in all_ if item.severity == FAIL]
    if failing and all(item.name == SCHEMA for item in failing):
        return False, Reason.SCHEMA_NEEDS_APPROVAL, _listed(failing)
    if failing:
        return False, "ContractBroken", _listed(failing)
    if all_:
        return True, "AcceptedWithWarnings", _listed(all_)
    return True, "ContractKept", f"All of the contract is kept by {rows:,} rows."


def _listed(violations: Sequence[Violation]) -> str:
    shown = " ".join(f"{item.name}: {_sentence(item.message)}" for item in violations[:5])
    more = len(violations) - 5
    return f"{shown} And {more} more." if more > 0 else shown


def _sentence(text: str) -> str:
    return text if text.endswith((".", "!", "?")) else f"{text}."


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """What a profile says of a contract."""

    violations: tuple[Violation, ...]
    open: tuple[str, ...]
    """Names of expectations it cannot answer."""


_Answer = tuple[Violation, ...] | None
"""Violations, or None: the profile cannot say."""


def judge_profile(
    spec: DatasetSpec,
    version: DatasetVersion,
    profile: Profile,
    *,
    anchor: DatasetVersion | None,
    anchor_profile: Profile | Unreadable | None,
) -> Judged:
    """Judge a snapshot by a contract it was not read under, from its profile alone."""
    found = [item for item in version.spec.violations if item.name in FOUND_BY_READING]
    unknown: list[str] = []
    first = None
    if anchor is not None and anchor.metadata.name != version.metadata.name:
        now = {item.name: item.type for item in version.spec.columns}
        then = {item.name: item.type for item in anchor.spec.columns}
        found.extend(schema_differences(now, then, spec.contract.schema_.evolution))
        first = anchor_profile if isinstance(anchor_profile, Profile) else None
    elif anchor is not None:
        first = profile
    for expectation in spec.contract.expectations:
        answer = _answer(spec, expectation, version, profile, first)
        if answer is None:
            unknown.append(expectation.name)
        else:
            found.extend(answer)
    if spec.contract.drift is not None:
        unknown.append("drift")  # takes the rows again, in the earlier version's bins
    if spec.labels is not None and spec.labels.min_agreement is not None:
        unknown.append("labels.minAgreement")  # takes what each rater said
    return Judged(violations=tuple(found), open=tuple(unknown))


def _answer(
    spec: DatasetSpec,
    expectation: Expectation,
    version: DatasetVersion,
    profile: Profile,
    first: Profile | None,
) -> _Answer:
    if expectation.type == "RowCount":
        return _row_count(expectation, profile.rows)
    kinds = {item.name: item.type for item in version.spec.columns}
    named = [expectation.column] if expectation.column is not None else expectation.columns or ()
    for name in named:
        if name not in kinds:
            return (missing_column(expectation, name),)
    if expectation.column is None:
        return None  # Duplicates and Condition: the profile says nothing of rows
    column = _column(profile, expectation.column)
    if expectation.type == "Complete":
        return None if column is None else _complete(expectation, column, profile.rows)
    wrong = _wrong_kind(expectation, kinds[expectation.column])
    if wrong is not None:
        return wrong
    if column is None or column.name in spec.columns.sensitive:
        return None
    if expectation.type == "AllowedValues":
        return _allowed_values(expectation, column, profile.rows, first)
    if expectation.type == "Freshness":
        return _freshness(expectation, column, version.spec.created_at)
    numbers = {"Range": _range, "Outliers": _outliers}.get(expectation.type)
    # Unique, Pattern, MixedTypes: the profile counts different values only approximately, and
    # which texts an expression matches is for the engine to say.
    return None if numbers is None else numbers(expectation, column)


def _column(profile: Profile, name: str) -> FeatureProfile | None:
    return next((item for item in profile.features if item.name == name), None)


def _wrong_kind(expectation: Expectation, kind: str) -> _Answer:
    """The answer where a column's type alone gives it."""
    seen = f"a {kind}"
    match expectation.type:
        case "Range" if kind not in NUMERIC:
            wanted = f"numbers, {bounds(expectation)}"
            return (broken(expectation, "OutOfRange", expected=wanted, observed=seen),)
        case "Outliers" if kind not in NUMERIC:
            wanted = f"numbers, {near(expectation)}"
            return (broken(expectation, "Outliers", expected=wanted, observed=seen),)
        case "Freshness" if kind not in TIMES:
            wanted = fresh(expectation)
            return (broken(expectation, "Stale", expected=wanted, observed=seen),)
        case "Pattern" if kind != "String":
            wanted = matching(expectation)
            return (broken(expectation, "PatternMismatch", expected=wanted, observed=seen),)
        case "MixedTypes" if kind != "String":
            return ()
    return None


def _row_count(expectation: Expectation, rows: int) -> _Answer:
    few = expectation.min is not None and rows < decimal(expectation.min)
    many = expectation.max is not None and rows > decimal(expectation.max)
    if not (few or many):
        return ()
    wanted, seen = f"{bounds(expectation)} rows", f"{rows:,} rows"
    return (broken(expectation, "RowCount", expected=wanted, observed=seen, column=""),)


def _complete(expectation: Expectation, column: FeatureProfile, rows: int) -> _Answer:
    least = expectation.min_share or "0"
    if Decimal(rows - column.missing) >= decimal(least) * rows:
        return ()
    if column.type is ValueType.CATEGORY:
        return None  # empty texts are among the missing ones of a profile
    return (
        broken(
            expectation,
            "Incomplete",
            expected=f"values in at least {percent(least)} of rows",
            observed=f"values in {percent(ratio(rows - column.missing, rows))}",
            count=column.missing,
            rows=rows,
        ),
    )


def _range(expectation: Expectation, column: FeatureProfile) -> _Answer:
    low, high = column.minimum, column.maximum
    if low is None or high is None:
        return ()  # no number at all: nothing is out of range
    beyond = []
    if expectation.min is not None:
        beyond.append(_exceeds(float(expectation.min), low))
    if expectation.max is not None:
        beyond.append(_exceeds(high, float(expectation.max)))
    if True in beyond:
        if decimal(expectation.max_share or "0") > 0:
            return None  # how many are beyond is not known
        wanted, seen = bounds(expectation), f"{low:.9g} to {high:.9g}"
        return (broken(expectation, "OutOfRange", expected=wanted, observed=seen),)
    return None if None in beyond else ()


def _exceeds(greater: float, less: float) -> bool | None:
    """Whether one number is greater than another; None where float32 cannot tell."""
    if greater <= less:
        return False
    return True if greater - less > FLOAT32 * max(abs(greater), abs(less)) else None


def _outliers(expectation: Expectation, column: FeatureProfile) -> _Answer:
    """Kept for certain where the least and greatest number are none: quartiles are not known."""
    low, high, mean, deviation = column.minimum, column.maximum, column.mean, column.deviation
    if low is None or high is None:
        return ()
    if expectation.method is not OutlierMethod.DEVIATIONS or mean is None or deviation is None:
        return None
    reach = (float(outlier_factor(expectation)) - ROUNDING) * deviation
    return () if mean - reach <= low and high <= mean + reach else None


def _freshness(expectation: Expectation, column: FeatureProfile, recorded: str) -> _Answer:
    """Kept for certain where the newest time was fresh when the version was recorded: it was read
    before that.
    """
    if column.maximum is None:
        return None
    age = parse_time(recorded).timestamp() - column.maximum
    return () if age <= (expectation.max_age_seconds or 0) else None


def _allowed_values(
    expectation: Expectation, column: FeatureProfile, rows: int, first: Profile | None
) -> _Answer:
    """Exact for frequent values; what the rare, empty and unlisted ones can be bounds the rest."""
    if column.type is not ValueType.CATEGORY:
        return None
    allowed = set(expectation.values or ())
    if expectation.from_ is not None:
        norm = None if first is None else _column(first, column.name)
        if norm is None or first is None or _unlisted(norm, first.rows) > 0:
            return None
        allowed |= {*norm.categories, *norm.rare}
    pairs = zip(column.categories, column.counts, strict=False)
    frequent = [(value, count) for value, count in pairs if value not in allowed]
    rare = [value for value in column.rare if value not in allowed]
    certain = sum(count for _, count in frequent)
    in_rare = sum(column.counts[len(column.categories) :]) if rare else 0
    empty = 0 if "" in allowed else column.missing
    most = decimal(expectation.max_share_unknown) * rows
    if certain + in_rare + empty + _unlisted(column, rows) <= most:
        return ()
    least = certain + len(rare)
    if least <= most:
        return None
    return (
        broken(
            expectation,
            "UnknownValues",
            expected=listed(expectation, len(allowed)),
            observed=f"others in at least {counted_share(least, rows)}",
            examples=[value for value, _ in frequent] or rare,
        ),
    )


def _unlisted(column: FeatureProfile, rows: int) -> int:
    """Rows with values that are too long or too many to be listed."""
    return max(0, rows - sum(column.counts) - column.missing)
