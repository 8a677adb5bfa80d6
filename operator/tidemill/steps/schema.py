"""The six types every column is brought to, and how a schema may differ from the one before."""

from collections.abc import Mapping, Sequence
from enum import StrEnum

from tidemill.api.documents.profile import MAX_FEATURES, ValueType
from tidemill.api.v1alpha1.datacolumns import ColumnNote
from tidemill.api.v1alpha1.dataset import DatasetSpec
from tidemill.api.v1alpha1.datasetversion import SchemaColumn
from tidemill.steps.failures import StepError, listing

MAX_COLUMNS = 1000
MAX_NAME = 128


class ColumnType(StrEnum):
    """What a column holds, once it is in a part."""

    BOOLEAN = "Boolean"
    INTEGER = "Integer"
    NUMBER = "Number"
    STRING = "String"
    TIMESTAMP = "Timestamp"
    DATE = "Date"


class Role(StrEnum):
    """What a column is for."""

    KEY = "Key"
    EVENT_TIME = "EventTime"
    LABEL = "Label"
    RATER = "Rater"
    GROUP = "Group"
    WEIGHT = "Weight"
    SENSITIVE = "Sensitive"
    CONTEXT = "Context"
    FEATURE = "Feature"
    UNUSED = "Unused"


SQL_TYPES = {
    ColumnType.BOOLEAN: "BOOLEAN",
    ColumnType.INTEGER: "BIGINT",
    ColumnType.NUMBER: "DOUBLE",
    ColumnType.STRING: "VARCHAR",
    ColumnType.TIMESTAMP: "TIMESTAMP",
    ColumnType.DATE: "DATE",
}

NUMERIC = frozenset({ColumnType.BOOLEAN, ColumnType.INTEGER, ColumnType.NUMBER})

_WIDER = {
    frozenset({ColumnType.INTEGER, ColumnType.NUMBER}): ColumnType.NUMBER,
    frozenset({ColumnType.DATE, ColumnType.TIMESTAMP}): ColumnType.TIMESTAMP,
}

Schema = dict[str, ColumnType]
"""Column -> type, in the order the columns were first seen."""


def type_of(sql_type: str) -> ColumnType | None:
    """Bring a DuckDB type to one of ours; None for the type of a column without any value.

    Whole numbers that may not fit 64 bits, and decimals, become Number; what has no other home
    (lists, structs, blobs, times of day) becomes String.
    """
    bare = sql_type.upper().partition("(")[0]
    if bare in ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "UTINYINT", "USMALLINT", "UINTEGER"):
        return ColumnType.INTEGER
    if bare in ("FLOAT", "DOUBLE", "DECIMAL", "UBIGINT", "HUGEINT", "UHUGEINT", "BIGNUM"):
        is_list = sql_type.endswith("]")
        return ColumnType.STRING if is_list else ColumnType.NUMBER
    if bare.startswith("TIMESTAMP") and not sql_type.endswith("]"):
        return ColumnType.TIMESTAMP
    if bare.strip('"') == "NULL":
        return None
    return {"BOOLEAN": ColumnType.BOOLEAN, "DATE": ColumnType.DATE}.get(bare, ColumnType.STRING)


def value_type(kind: ColumnType) -> ValueType | None:
    """Say what a column is to a model; None: it cannot be a feature."""
    if kind in NUMERIC:
        return ValueType.NUMBER
    return ValueType.CATEGORY if kind is ColumnType.STRING else None


def wider(kinds: frozenset[ColumnType]) -> ColumnType | None:
    """The type that holds all of these without loss; None if there is none."""
    return next(iter(kinds)) if len(kinds) == 1 else _WIDER.get(kinds)


def merge(seen: Mapping[str, Mapping[str, ColumnType | None]], anchor: Schema | None) -> Schema:
    """One schema for all objects (object -> column -> type, None for no value at all).

    Where the anchor's type is wider it is taken. Objects that contradict each other are a
    TypeMismatch, unless the anchor knows the column: then it becomes String, which is a violation
    of the frozen schema and is recorded as such.
    """
    names = list(dict.fromkeys(name for types in seen.values() for name in types))
    _check_names(names)
    return {name: _merge_column(name, seen, (anchor or {}).get(name)) for name in names}


def _check_names(names: Sequence[str]) -> None:
    if len(names) > MAX_COLUMNS:
        said = f"the source has {len(names)} columns; at most {MAX_COLUMNS} are read"
        raise StepError("TooManyColumns", said)
    for name in names:
        if not 1 <= len(name) <= MAX_NAME:
            said = f"column {name[:40]!r} has a name of {len(name)} characters; 1 to {MAX_NAME} are"
            raise StepError("InvalidColumnName", f"{said} allowed; rename it at the source")


def _merge_column(
    name: str, seen: Mapping[str, Mapping[str, ColumnType | None]], known: ColumnType | None
) -> ColumnType:
    first: dict[ColumnType, str] = {}
    for source, types in seen.items():
        kind = types.get(name)
        if kind is not None:
            first.setdefault(kind, source)
    if not first:
        return known or ColumnType.STRING
    merged = wider(frozenset(first))
    if merged is not None:
        widens = known is not None and wider(frozenset({merged, known})) is known
        return known if known is not None and widens else merged
    if known is not None:
        return ColumnType.STRING
    (one, here), (other, there) = list(first.items())[:2]
    said = f"column {name} is {one} in {here} and {other} in {there}"
    raise StepError("TypeMismatch", f"{said}; all objects must have one schema")


def check_columns(spec: DatasetSpec, schema: Schema, anchor: Schema | None) -> None:
    """Raise MissingColumn if there is no event time or label, or if the spec names a column that
    neither these data nor the anchor have: then it is the spec that errs.
    """
    columns = spec.columns
    named = [
        ("columns.eventTime", columns.event_time, True),
        ("columns.label.name", columns.label.name, True),
        *(("columns.weight", name, True) for name in [columns.weight] if name is not None),
        *(("columns.group", name, False) for name in [columns.group] if name is not None),
        *(("columns.key", name, False) for name in columns.key),
        *(("columns.sensitive", name, False) for name in columns.sensitive),
        *(("columns.context", name, False) for name in columns.context),
        *(("columns.features", name, False) for name in columns.features),
        *(
            (f"expectation {item.name}", name, False)
            for item in spec.contract.expectations
            for name in (item.column, *(item.columns or ()))
            if name is not None
        ),
    ]
    for place, name, always in named:
        if name not in schema and (always or name not in (anchor or {})):
            said = f"{place} names {name}, which the data do not have; they have"
            raise StepError("MissingColumn", f"{said} {listing(list(schema))}")


def role_of(spec: DatasetSpec, name: str, kind: ColumnType) -> Role:
    """What a column is for. With no list of features it is every column without another role
    that a model can take.
    """
    columns, labels = spec.columns, spec.labels
    if name == columns.event_time:
        return Role.EVENT_TIME
    if name == columns.label.name:
        return Role.LABEL
    if name in columns.key:
        return Role.KEY
    for role, names in (
        (Role.RATER, () if labels is None else (*labels.raters, labels.adjudication)),
        (Role.GROUP, (columns.group,)),
        (Role.WEIGHT, (columns.weight,)),
        (Role.SENSITIVE, columns.sensitive),
        (Role.CONTEXT, columns.context),
    ):
        if name in names:
            return role
    if columns.features:
        return Role.FEATURE if name in columns.features else Role.UNUSED
    return Role.UNUSED if value_type(kind) is None else Role.FEATURE


def describe(spec: DatasetSpec, schema: Schema) -> tuple[SchemaColumn, ...]:
    """Columns with type and role. Raises TypeMismatch and TooManyFeatures."""
    found = []
    notes = {note.name: note for note in spec.columns.describe}
    for name, kind in schema.items():
        role = role_of(spec, name, kind)
        if role is Role.WEIGHT and kind not in NUMERIC:
            said = f"weight {name} is a {kind}; it has to be a number of 0 or more"
            raise StepError("TypeMismatch", said)
        if role is Role.FEATURE and value_type(kind) is None:
            said = f"feature {name} is a {kind}; derive numbers or text from it at the source, or"
            raise StepError("TypeMismatch", f"{said} leave it out of columns.features")
        note = notes.get(name, ColumnNote(name=name))
        found.append(
            SchemaColumn(
                name=name,
                type=kind.value,
                role=role.value,
                description=note.description,
                owner=note.owner,
            )
        )
    features = [column.name for column in found if column.role == Role.FEATURE]
    if len(features) > MAX_FEATURES:
        said = f"there are {len(features)} features; at most {MAX_FEATURES} are allowed, so list"
        raise StepError("TooManyFeatures", f"{said} them in columns.features")
    if not features:
        said = "no column is left to be a feature: the others have roles or types without use to a"
        raise StepError("MissingColumn", f"{said} model; the data have {listing(list(schema))}")
    return tuple(found)
