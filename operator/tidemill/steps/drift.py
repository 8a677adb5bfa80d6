"""Whether a snapshot has drifted from an earlier version: its columns, in that version's bins."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import duckdb
from pydantic import ValidationError

from tidemill.api.documents.arguments import RefreshArguments
from tidemill.api.documents.profile import FeatureProfile, Profile, ValueType
from tidemill.api.v1alpha1.datacontract import Severity
from tidemill.api.v1alpha1.datadrift import DataDrift
from tidemill.api.v1alpha1.datasetversion import SchemaColumn, StoredDocument, Violation
from tidemill.core.driftprofiles import Distance, Sample, measure
from tidemill.core.violations import violation
from tidemill.steps.failures import StepError, listing
from tidemill.steps.objects import Store
from tidemill.steps.profiles import Subject, recount, seconds_of
from tidemill.steps.schema import ColumnType, Role

logger = logging.getLogger(__name__)

DRIFT = "Drift"
"""The name of the violations this finds."""


@dataclass(frozen=True, slots=True)
class Found:
    """A snapshot as it was read."""

    table: str
    """SQL of its rows."""
    event_time: str
    digest: str
    columns: Sequence[SchemaColumn]
    profile: Profile


def drifted(
    connection: duckdb.DuckDBPyConnection,
    store: Store,
    arguments: RefreshArguments,
    found: Found,
) -> tuple[Violation, ...]:
    """The columns that lie too far from the first of the references that has other content.

    None where the contract asks for none. Columns that either side lacks, or has as another type,
    are the schema's matter. Raises MissingColumn if the rule names a column that neither side
    has, InvalidSpec if one that is sensitive, and ArtifactDamaged.
    """
    rule, references = arguments.spec.contract.drift, arguments.drift_references
    if rule is None:
        return ()
    if rule.version is not None and not references:
        expected = f"DatasetVersion {rule.version}, which contract.drift.version names"
        return (_violation(rule, "NoReference", "", expected, "that there is none"),)
    against = next((item for item in references if item.digest != found.digest), None)
    if against is None:
        return ()
    before = {item.name: item for item in _read(store, against.profile).features}
    _check(rule, before, found)
    subjects = _subjects(rule, before, found)
    counts = recount(connection, found.table, found.event_time, subjects, before, found.profile)
    now = {item.name: item for item in found.profile.features}
    distances = [
        measure(
            rule.profile,
            before[item.name],
            _sample(now[item.name], *counts[item.name]),
            threshold=None if rule.threshold is None else float(rule.threshold),
            window_seconds=seconds_of(found.profile),
        )
        for item in subjects
    ]
    few = [item.feature for item in distances if not item.told]
    if few:
        logger.info("too few values to tell drift: %s", listing(few))
    return tuple(
        _violation(rule, "Drifted", item.feature, *_told(item, against.name))
        for item in distances
        if item.drifted
    )


def _read(store: Store, document: StoredDocument) -> Profile:
    try:
        return Profile.model_validate_json(store.read_document(document))
    except ValidationError as error:
        said = f"{document.uri} is not a profile: {error.errors()[0]['msg']}"
        raise StepError("ArtifactDamaged", said) from error


def _check(rule: DataDrift, before: dict[str, FeatureProfile], found: Found) -> None:
    names = [item.name for item in found.columns]
    profiled = {item.name for item in found.profile.features}
    for name in rule.columns:
        if name in names and name not in profiled:
            said = f"contract.drift.columns names {name}, which is sensitive and has no profile"
            raise StepError("InvalidSpec", f"{said}; take it out")
        if name not in names and name not in before:
            said = f"contract.drift.columns names {name}, which the data do not have; they have"
            raise StepError("MissingColumn", f"{said} {listing(names)}")


def _subjects(rule: DataDrift, before: dict[str, FeatureProfile], found: Found) -> list[Subject]:
    wanted = set(rule.columns)
    profiled = {item.name for item in found.profile.features}
    subjects = []
    for item in found.columns:
        asked = item.name in wanted if wanted else item.role == Role.FEATURE
        kind = ColumnType(item.type)
        is_text = kind is ColumnType.STRING
        base = before.get(item.name)
        if not asked or base is None or item.name not in profiled:
            continue
        if (base.type is ValueType.CATEGORY) == is_text:
            subjects.append(Subject(item.name, kind))
    return subjects


def _sample(now: FeatureProfile, counts: tuple[int, ...], unknown: int) -> Sample:
    return Sample(
        counts=counts,
        unknown=unknown,
        minimum=now.minimum,
        maximum=now.maximum,
        mean=now.mean,
        distinct=now.distinct,
    )


def _told(item: Distance, version: str) -> tuple[str, str]:
    """What was expected, and what was observed."""
    most = "below" if item.inclusive else "of at most"
    floor = f" (its noise floor is {item.floor:.3g})" if item.floor else ""
    bound = max(item.threshold or 0.0, item.floor)
    return (
        f"a {item.statistic} {most} {bound:.3g} from {version}{floor}",
        f"{item.distance:.3g} of {item.samples:,} values",
    )


def _violation(
    rule: DataDrift, reason: str, column: str, expected: str, observed: str
) -> Violation:
    return violation(
        DRIFT,
        DRIFT,
        reason,
        severity=Severity(rule.severity),
        column=column,
        expected=expected,
        observed=observed,
    )
