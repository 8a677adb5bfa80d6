"""Six types: what is brought to them, how objects agree, and what a column is for."""

import pytest

from tests.unit.steps.small import spec
from tidemill.api.v1alpha1.dataset import DatasetSpec
from tidemill.steps.failures import StepError
from tidemill.steps.schema import ColumnType, describe, merge, role_of, type_of, value_type

BOOLEAN, INTEGER, NUMBER, STRING, TIMESTAMP, DATE = ColumnType

TYPES = {
    "BIGINT": INTEGER,
    "UTINYINT": INTEGER,
    "UBIGINT": NUMBER,
    "HUGEINT": NUMBER,
    "DECIMAL(18,3)": NUMBER,
    "FLOAT": NUMBER,
    "BOOLEAN": BOOLEAN,
    "DATE": DATE,
    "TIMESTAMP": TIMESTAMP,
    "TIMESTAMP_NS": TIMESTAMP,
    "TIMESTAMP WITH TIME ZONE": TIMESTAMP,
    "VARCHAR": STRING,
    "ENUM('a', 'b')": STRING,
    "TIME": STRING,
    "BLOB": STRING,
    "BIGINT[]": STRING,
    "DECIMAL(9,2)[]": STRING,
    "TIMESTAMP[]": STRING,
    "STRUCT(a BIGINT)": STRING,
    '"NULL"': None,
}


@pytest.mark.parametrize(("found", "expected"), TYPES.items())
def test_type_of(found: str, expected: ColumnType | None) -> None:
    assert type_of(found) is expected


MERGED = {
    "one opinion": ([INTEGER, INTEGER], None, INTEGER),
    "whole and other numbers": ([INTEGER, NUMBER], None, NUMBER),
    "days and times": ([DATE, TIMESTAMP], None, TIMESTAMP),
    "no value has no opinion": ([None, NUMBER], None, NUMBER),
    "no value anywhere": ([None, None], None, STRING),
    "no value, but the anchor knows": ([None, None], NUMBER, NUMBER),
    "the anchor is wider": ([INTEGER, INTEGER], NUMBER, NUMBER),
    "the anchor is narrower": ([NUMBER, NUMBER], INTEGER, NUMBER),
    "the anchor is another": ([STRING, STRING], INTEGER, STRING),
    "a contradiction the anchor knows of": ([STRING, INTEGER], INTEGER, STRING),
}


@pytest.mark.parametrize(("opinions", "anchor", "expected"), MERGED.values(), ids=MERGED)
def test_merge(
    opinions: list[ColumnType | None], anchor: ColumnType | None, expected: ColumnType
) -> None:
    seen = {f"object {place}": {"x": kind} for place, kind in enumerate(opinions)}

    assert merge(seen, {"x": anchor} if anchor else None) == {"x": expected}


def test_columns_stand_in_the_order_they_were_first_seen() -> None:
    seen = {"a": {"z": STRING, "y": STRING}, "b": {"y": STRING, "a": STRING}}

    assert list(merge(seen, None)) == ["z", "y", "a"]


def test_too_many_columns_are_refused() -> None:
    with pytest.raises(StepError, match="the source has 1001 columns; at most 1000 are read"):
        merge({"a": {f"c{place}": STRING for place in range(1001)}}, None)


def test_a_name_that_is_too_long_is_refused() -> None:
    with pytest.raises(StepError, match="has a name of 129 characters; 1 to 128 are allowed"):
        merge({"a": {"n" * 129: STRING}}, None)


def test_without_a_list_every_other_column_is_a_feature() -> None:
    body = spec("s3://b/*").to_wire()
    del body["columns"]["features"]
    listed = DatasetSpec.model_validate(body)
    schema = {"id": STRING, "at": TIMESTAMP, "load": NUMBER, "due": DATE, "late": BOOLEAN}

    roles = {name: role_of(listed, name, kind) for name, kind in schema.items()}

    assert roles == {
        "id": "Key",
        "at": "EventTime",
        "load": "Feature",
        "due": "Unused",
        "late": "Label",
    }


def test_more_features_than_a_monitor_can_watch_are_refused() -> None:
    body = spec("s3://b/*").to_wire()
    del body["columns"]["features"]
    schema = {f"f{place}": NUMBER for place in range(65)}

    with pytest.raises(StepError) as raised:
        describe(DatasetSpec.model_validate(body), schema)

    assert raised.value.reason == "TooManyFeatures"
    assert str(raised.value) == (
        "there are 65 features; at most 64 are allowed, so list them in columns.features"
    )


def test_what_a_column_is_to_a_model() -> None:
    assert {kind: value_type(kind) for kind in ColumnType} == {
        BOOLEAN: "Number",
        INTEGER: "Number",
        NUMBER: "Number",
        STRING: "Category",
        TIMESTAMP: None,
        DATE: None,
    }


ROLES = {
    "id": "Key",
    "at": "EventTime",
    "late": "Label",
    "home": "Group",
    "worth": "Weight",
    "sex": "Sensitive",
    "note": "Context",
    "load": "Feature",
    "other": "Feature",
}


def test_every_column_has_one_role_and_what_is_said_of_it() -> None:
    columns = {
        "key": ["id"],
        "eventTime": "at",
        "label": {"name": "late"},
        "group": "home",
        "weight": "worth",
        "sensitive": ["sex"],
        "context": ["note"],
        "describe": [
            {"name": "load", "description": "Requests a minute", "owner": "platform"},
            {"name": "gone", "description": "Not in the data"},
        ],
    }
    schema = dict.fromkeys(ROLES, NUMBER) | {"at": TIMESTAMP}

    found = describe(spec("s3://b/*", columns=columns), schema)

    assert {column.name: column.role for column in found} == ROLES
    told = {column.name: (column.description, column.owner) for column in found}
    assert told.pop("load") == ("Requests a minute", "platform")
    assert set(told.values()) == {("", "")}
