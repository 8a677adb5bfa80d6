"""Whether a snapshot keeps its contract: from what was found when it was read, or, for a changed
contract, from its stored profile.

A profile holds the least and greatest number, the counts of missing values and the categories of
each column, so it answers Range, Complete, RowCount, most AllowedValues and the schema without
reading a row. What it cannot answer is left to a new read, which a changed contract starts anyway.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal

from tidemill.api.documents.profile import FeatureProfile, Profile, ValueType
from tidemill.api.scalars import decimal
from tidemill.api.v1alpha1 import DatasetVersion
from tidemill.api.v1alpha1.dataset import DatasetSpec, Expectation
from tidemill.api.v1alpha1.datasetversion import SchemaColumn, Violation
from tidemill.core.causes import given
from tidemill.core.conditions import find, is_true
from tidemill.core.identity import stable_hash
from tidemill.core.observed import Unreadable

FAIL = "Fail"


def contract_hash(spec: DatasetSpec, anchor: str | None) -> str:
    """Hash of what a version is judged against: schema policy, expectations, columns, anchor."""
    contract = given(spec.contract)
    judged = {key: contract.get(key) for key in ("schema", "expectations")}
    return stable_hash([judged, given(spec.columns), anchor])


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


def judge_profile(
    spec: DatasetSpec,
    version: DatasetVersion,
    profile: Profile,
    *,
    anchor: DatasetVersion | None,
    anchor_profile: Profile | Unreadable | None,
) -> Judged:
    """Judge a snapshot by a contract it was not read under, from its profile alone."""
    found: list[Violation] = []
    unknown: list[str] = []
    if anchor is not None and anchor.metadata.name != version.metadata.name:
        found.extend(_schema(spec, version.spec.columns, anchor.spec.columns))
    columns = {item.name: item for item in profile.features}
    for expectation in spec.contract.expectations:
        if expectation.type == "RowCount":
            answer = _row_count(expectation, profile.rows)
        else:
            column = columns.get(expectation.column or "")
            answer = _column(
                expectation,
                column,
                profile.rows,
                _first_values(expectation, version, anchor, column, anchor_profile),
            )
        if answer is None:
            unknown.append(expectation.name)
        else:
            found.extend(answer)
    return Judged(violations=tuple(found), open=tuple(unknown))


_Answer = tuple[Violation, ...] | None
"""Violations, or None: the profile cannot say."""


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


def _row_count(expectation: Expectation, rows: int) -> _Answer:
    if expectation.min is not None and rows < decimal(expectation.min):
        message = f"{rows:,} rows are fewer than {expectation.min}."
        return _violation(expectation, "RowCount", message)
    if expectation.max is not None and rows > decimal(expectation.max):
        message = f"{rows:,} rows are more than {expectation.max}."
        return _violation(expectation, "RowCount", message)
    return ()


def _column(
    expectation: Expectation,
    column: FeatureProfile | None,
    rows: int,
    allowed: frozenset[str] | None,
) -> _Answer:
    if column is None:
        return None
    if expectation.type == "Complete":
        return _complete(expectation, column, rows)
    if expectation.type == "Range":
        return _range(expectation, column)
    if expectation.type == "AllowedValues":
        return _allowed(expectation, column, rows, allowed)
    return None  # Unique: the profile counts distinct values only approximately


def _complete(expectation: Expectation, column: FeatureProfile, rows: int) -> _Answer:
    least = decimal(expectation.min_share or "0")
    if rows == 0 or Decimal(rows - column.missing) >= least * rows:
        return ()
    share = Decimal(rows - column.missing) / rows
    return _violation(
        expectation,
        "Incomplete",
        f"{column.name} is present in {share:.4f} of {rows:,} rows, less than"
        f" {expectation.min_share}: {column.missing:,} are missing.",
    )


def _range(expectation: Expectation, column: FeatureProfile) -> _Answer:
    if column.type is not ValueType.NUMBER:
        return None
    low, high = column.minimum, column.maximum
    if low is None or high is None:
        return ()  # no number at all: nothing is out of range
    said = f"{column.name} lies between {low:g} and {high:g}, outside"
    if expectation.min is not None and Decimal(repr(low)) < decimal(expectation.min):
        return _violation(expectation, "OutOfRange", f"{said} the minimum {expectation.min}.")
    if expectation.max is not None and Decimal(repr(high)) > decimal(expectation.max):
        return _violation(expectation, "OutOfRange", f"{said} the maximum {expectation.max}.")
    return ()


def _first_values(
    expectation: Expectation,
    version: DatasetVersion,
    anchor: DatasetVersion | None,
    column: FeatureProfile | None,
    anchor_profile: Profile | Unreadable | None,
) -> frozenset[str] | None:
    """The allowed values of an AllowedValues expectation; None if they are not known."""
    if expectation.values is not None:
        return frozenset(expectation.values)
    if anchor is None or anchor.metadata.name == version.metadata.name:
        return None if column is None else frozenset((*column.categories, *column.rare))
    if not isinstance(anchor_profile, Profile):
        return None
    for item in anchor_profile.features:
        if item.name == expectation.column:
            return frozenset((*item.categories, *item.rare))
    return None


def _allowed(
    expectation: Expectation,
    column: FeatureProfile,
    rows: int,
    allowed: frozenset[str] | None,
) -> _Answer:
    """Exact for frequent values; rare ones share one count, which bounds them from both sides."""
    if allowed is None or column.type is not ValueType.CATEGORY:
        return None
    frequent = [
        (value, count)
        for value, count in zip(column.categories, column.counts, strict=False)
        if value not in allowed
    ]
    rare = [value for value in column.rare if value not in allowed]
    least = sum(count for _, count in frequent) + len(rare)
    most = least - len(rare) + (sum(column.counts[len(column.categories) :]) if rare else 0)
    bound = decimal(expectation.max_share_unknown) * rows
    if most <= bound:
        return ()
    if least <= bound:
        return None
    names = ", ".join([value for value, _ in frequent][:5] or rare[:5])
    return _violation(
        expectation,
        "UnknownValues",
        f"{column.name} holds values that are not allowed ({names}) in at least {least:,} of"
        f" {rows:,} rows; the share may be at most {expectation.max_share_unknown}.",
    )


def _schema(
    spec: DatasetSpec, columns: Sequence[SchemaColumn], norm: Sequence[SchemaColumn]
) -> list[Violation]:
    """How a snapshot's columns differ from the anchor's, by the contract's evolution policy."""
    now = {item.name: item.type for item in columns}
    then = {item.name: item.type for item in norm}
    found = [
        _broken_schema("MissingColumn", name, f"Column {name} ({type_}) is missing.")
        for name, type_ in then.items()
        if name not in now
    ]
    found += [
        _broken_schema("TypeChanged", name, f"Column {name} was {type_} and is {now[name]}.")
        for name, type_ in then.items()
        if name in now and now[name] != type_
    ]
    if spec.contract.schema_.evolution == "None":
        found += [
            _broken_schema("ExtraColumn", name, f"Column {name} ({type_}) is new.")
            for name, type_ in now.items()
            if name not in then
        ]
    return found


def _broken_schema(reason: str, column: str, message: str) -> Violation:
    return Violation(name="Schema", reason=reason, severity=FAIL, column=column, message=message)
