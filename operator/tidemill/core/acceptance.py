"""Whether a snapshot keeps its contract: from what was found when it was read, or, for a changed
contract, from its stored profile.

A profile holds the least and greatest number, the counts of missing values and the categories of
each column, so it answers Range, Complete, RowCount, most AllowedValues and the schema without
reading a row, in the words of the step that reads. What it cannot answer for certain is left to a
new read, which a changed contract starts anyway: the profile has numbers as float32, takes an
empty text for a missing one, and does not list every rare value.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from tidemill.api.documents.profile import FeatureProfile, Profile, ValueType
from tidemill.api.scalars import decimal
from tidemill.api.v1alpha1 import DatasetVersion
from tidemill.api.v1alpha1.datacontract import Expectation
from tidemill.api.v1alpha1.dataset import DatasetSpec
from tidemill.api.v1alpha1.datasetversion import SchemaColumn, Violation
from tidemill.core.causes import given
from tidemill.core.conditions import find, is_true
from tidemill.core.identity import stable_hash
from tidemill.core.observed import Unreadable

FAIL = "Fail"
FOUND_BY_READING = frozenset({"EventTime", "Weight"})
"""Names of violations that a read finds by itself: rows without an event time, or a weight."""
NUMERIC = frozenset({"Boolean", "Integer", "Number"})
"""Column types whose values are numbers."""
FLOAT32 = 1e-6
"""Numbers of a profile are right to this share."""


def contract_hash(spec: DatasetSpec, anchor: str | None) -> str:
    """Hash of what a version is judged against: schema policy, expectations, columns, anchor."""
    contract = given(spec.contract)
    judged = {key: contract.get(key) for key in ("schema", "expectations")}
    return stable_hash([judged, roles(spec), anchor])


def roles(spec: DatasetSpec) -> dict[str, Any]:
    """What spec.columns says of how rows are read; what columns mean to people is no part."""
    return {key: value for key, value in given(spec.columns).items() if key != "describe"}


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
    broken = [item for item in all_ if item.severity == FAIL]
    if broken:
        return False, "ContractBroken", _listed(broken)
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
        found.extend(_schema(spec, version.spec.columns, anchor.spec.columns))
        first = anchor_profile if isinstance(anchor_profile, Profile) else None
    elif anchor is not None:
        first = profile
    for expectation in spec.contract.expectations:
        answer = _answer(expectation, version, profile, first)
        if answer is None:
            unknown.append(expectation.name)
        else:
            found.extend(answer)
    return Judged(violations=tuple(found), open=tuple(unknown))


def _answer(
    expectation: Expectation, version: DatasetVersion, profile: Profile, first: Profile | None
) -> _Answer:
    if expectation.type == "RowCount":
        return _row_count(expectation, profile.rows)
    name = expectation.column or ""
    kind = next((item.type for item in version.spec.columns if item.name == name), None)
    if kind is None:
        said = f"{name}: expected by {expectation.name}, but the data do not have it"
        return _violation(expectation, "MissingColumn", said)
    column = _column(profile, name)
    if column is None:
        return None
    if expectation.type == "Complete":
        return _complete(expectation, column, profile.rows)
    if expectation.type == "Range":
        return _range(expectation, column) if kind in NUMERIC else _no_number(expectation, kind)
    if expectation.type == "AllowedValues":
        return _allowed_values(expectation, column, profile.rows, first)
    return None  # Unique: the profile counts different values only approximately


def _column(profile: Profile, name: str) -> FeatureProfile | None:
    return next((item for item in profile.features if item.name == name), None)


def _violation(expectation: Expectation, reason: str, message: str) -> tuple[Violation, ...]:
    return (
        Violation(
            name=expectation.name,
            reason=reason,
            severity=expectation.severity.value,
            column=expectation.column or "",
            message=message,
        ),
    )


def _bounds(expectation: Expectation) -> str:
    if expectation.min is not None and expectation.max is not None:
        return f"{expectation.min} to {expectation.max}"
    if expectation.min is not None:
        return f"at least {expectation.min}"
    return f"at most {expectation.max}"


def _share(count: int, rows: int) -> str:
    return f"{count:,} of {rows:,} rows ({100 * count / rows if rows else 0.0:.3g} %)"


def _percent(ratio: str) -> str:
    return f"{(decimal(ratio) * 100).normalize():f} %"


def _row_count(expectation: Expectation, rows: int) -> _Answer:
    few = expectation.min is not None and rows < decimal(expectation.min)
    many = expectation.max is not None and rows > decimal(expectation.max)
    if not (few or many):
        return ()
    said = f"expected {_bounds(expectation)} rows, observed {rows:,}"
    return _violation(expectation, "RowCount", said)


def _complete(expectation: Expectation, column: FeatureProfile, rows: int) -> _Answer:
    least = expectation.min_share or "0"
    if Decimal(rows - column.missing) >= decimal(least) * rows:
        return ()
    if column.type is ValueType.CATEGORY:
        return None  # empty texts are among the missing ones of a profile
    said = f"{column.name}: expected values in at least {_percent(least)} of rows; missing in"
    return _violation(expectation, "Incomplete", f"{said} {_share(column.missing, rows)}")


def _no_number(expectation: Expectation, kind: str) -> _Answer:
    said = f"{expectation.column}: expected numbers, {_bounds(expectation)}, but it is a {kind}"
    return _violation(expectation, "OutOfRange", said)


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
        said = f"{column.name}: expected {_bounds(expectation)}, observed {low:.9g} to {high:.9g}"
        return _violation(expectation, "OutOfRange", said)
    return None if None in beyond else ()


def _exceeds(greater: float, less: float) -> bool | None:
    """Whether one number is greater than another; None where float32 cannot tell."""
    if greater <= less:
        return False
    return True if greater - less > FLOAT32 * max(abs(greater), abs(less)) else None


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
    bound = decimal(expectation.max_share_unknown) * rows
    if certain + in_rare + empty + _unlisted(column, rows) <= bound:
        return ()
    least = certain + len(rare)
    if least <= bound:
        return None
    source = "those of the first version" if expectation.from_ else "the listed ones"
    shown = ", ".join(repr(value) for value in ([value for value, _ in frequent] or rare)[:3])
    said = (
        f"{column.name}: expected {len(allowed)} values, {source}, others in at most"
        f" {_percent(expectation.max_share_unknown)} of rows; others are in at least"
        f" {_share(least, rows)}, such as {shown}"
    )
    return _violation(expectation, "UnknownValues", said)


def _unlisted(column: FeatureProfile, rows: int) -> int:
    """Rows with values that are too long or too many to be listed."""
    return max(0, rows - sum(column.counts) - column.missing)


def _schema(
    spec: DatasetSpec, columns: Sequence[SchemaColumn], norm: Sequence[SchemaColumn]
) -> list[Violation]:
    """How a snapshot's columns differ from the anchor's, by the contract's evolution policy."""
    now = {item.name: item.type for item in columns}
    then = {item.name: item.type for item in norm}
    found = [
        _broken_schema("MissingColumn", name, f"{name}: missing; the schema has it as {kind}")
        for name, kind in then.items()
        if name not in now
    ]
    found += [
        _broken_schema("TypeChanged", name, f"{name}: {now[name]}; the schema has it as {kind}")
        for name, kind in then.items()
        if name in now and now[name] != kind
    ]
    if spec.contract.schema_.evolution == "None":
        said = "not in the schema, and contract.schema.evolution is None"
        found += [
            _broken_schema("ExtraColumn", name, f"{name}: {said}")
            for name in now
            if name not in then
        ]
    return found


def _broken_schema(reason: str, column: str, message: str) -> Violation:
    return Violation(name="Schema", reason=reason, severity=FAIL, column=column, message=message)
