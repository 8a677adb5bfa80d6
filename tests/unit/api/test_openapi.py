"""pydantic to structural schema: what is rewritten, and what is refused by name."""

from enum import StrEnum
from typing import Annotated, Any, Literal

import pytest
from pydantic import ConfigDict, Field

from tidemill.api.base import ATOMIC_LIST, Model, rules
from tidemill.api.openapi import Schema, SchemaError, apply_defaults, structural


class Colour(StrEnum):
    """A colour."""

    RED = "Red"
    BLUE = "Blue"


class Inner(Model):
    """What the type says."""

    share: Annotated[str, Field(max_length=8)] = "0.5"
    """How much."""
    note: Annotated[str, Field(max_length=8)] | None = None
    """Anything."""


class Ruled(Model):
    """One of two."""

    model_config = ConfigDict(json_schema_extra=rules(("has(self.a)", "give a")))

    a: Annotated[str, Field(max_length=8)] = "x"
    """A."""


class Whole(Model):
    """All there is."""

    given: Annotated[str, Field(max_length=8)]
    """Must be given."""
    inner: Inner = Inner()
    """What the field says,
    on two lines."""
    other: Inner = Inner(share="0.1")
    """Another."""
    ruled: Ruled = Ruled()
    """Ruled."""
    maybe: Inner | None = None
    """May be left out."""
    colour: Colour = Colour.RED
    """Which colour."""
    only: Literal["Time"] = "Time"
    """By time."""
    count: Annotated[int, Field(ge=0, le=10)] = 0
    """How many."""
    big: Annotated[int, Field(ge=0)] = 0
    """How very many."""
    flag: bool = False
    """Whether."""
    items: Annotated[tuple[Inner, ...], Field(max_length=2, json_schema_extra=ATOMIC_LIST)] = ()
    """Some."""
    words: Annotated[dict[str, Annotated[str, Field(max_length=4)]], Field(max_length=3)] = Field(
        default_factory=dict
    )
    """Named."""


def field(name: str, *, defaults: bool = True) -> Schema:
    """The schema of one field of Whole."""
    found: Schema = structural(Whole, defaults=defaults)["properties"][name]
    return found


CASES: dict[str, tuple[str, Schema]] = {
    "a field that must be given has no default": (
        "given",
        {"description": "Must be given.", "type": "string", "maxLength": 8},
    ),
    "one value is an enum of one": (
        "only",
        {
            "description": "By time. Default: Time.",
            "type": "string",
            "enum": ["Time"],
            "default": "Time",
        },
    ),
    "an enum is inlined under the field's words": (
        "colour",
        {
            "description": "Which colour. Default: Red.",
            "type": "string",
            "enum": ["Red", "Blue"],
            "default": "Red",
        },
    ),
    "a small integer is an int32": (
        "count",
        {
            "description": "How many. Default: 0.",
            "type": "integer",
            "format": "int32",
            "minimum": 0,
            "maximum": 10,
            "default": 0,
        },
    ),
    "an unbounded integer is an int64": (
        "big",
        {
            "description": "How very many. Default: 0.",
            "type": "integer",
            "format": "int64",
            "minimum": 0,
            "default": 0,
        },
    ),
    "a boolean's default is said as YAML has it": (
        "flag",
        {"description": "Whether. Default: false.", "type": "boolean", "default": False},
    ),
    "an empty map is no default": (
        "words",
        {
            "description": "Named.",
            "type": "object",
            "additionalProperties": {"type": "string", "maxLength": 4},
            "maxProperties": 3,
        },
    ),
}


@pytest.mark.parametrize(("name", "wanted"), CASES.values(), ids=CASES)
def test_a_field_becomes(name: str, wanted: Schema) -> None:
    assert field(name) == wanted


def test_nested_defaults_are_said_once() -> None:
    inner = field("inner")

    assert inner["default"] == {}
    assert inner["description"] == "What the field says, on two lines."
    assert inner["properties"]["share"]["description"] == 'How much. Default: "0.5".'


def test_a_default_that_nested_ones_do_not_give_stands_whole() -> None:
    other = field("other")

    assert other["default"] == {"share": "0.1"}
    assert other["description"] == 'Another. Default: {share: "0.1"}.'


def test_a_default_under_a_rule_stands_whole() -> None:
    """The API server tries rules on a default before it fills in nested ones."""
    assert field("ruled")["default"] == {"a": "x"}


def test_what_may_be_absent_is_just_not_required() -> None:
    maybe = field("maybe")

    assert maybe["type"] == "object"
    assert "default" not in maybe and "anyOf" not in maybe
    assert structural(Whole)["required"] == ["given"]


def test_without_defaults_there_are_none_at_any_depth() -> None:
    def held(schema: Schema) -> list[Any]:
        nested = [*schema.get("properties", {}).values(), schema.get("items", {})]
        own = [schema["default"]] if "default" in schema else []
        return own + [default for one in nested if one for default in held(one)]

    assert held(structural(Whole, defaults=False)) == []
    assert len(held(structural(Whole))) == 13


def test_defaults_are_applied_as_the_api_server_does() -> None:
    stored = apply_defaults(structural(Whole), {"given": "a", "items": [{}]})

    assert stored == {
        "given": "a",
        "inner": {"share": "0.5"},
        "other": {"share": "0.1"},
        "ruled": {"a": "x"},
        "colour": "Red",
        "only": "Time",
        "count": 0,
        "big": 0,
        "flag": False,
        "items": [{"share": "0.5"}],
    }


class EndlessString(Model):
    """Bad."""

    name: str


class EndlessList(Model):
    """Bad."""

    names: Annotated[tuple[Colour, ...], Field(json_schema_extra=ATOMIC_LIST)] = ()


class ListWithoutType(Model):
    """Bad."""

    names: Annotated[tuple[Colour, ...], Field(max_length=3)] = ()


class EndlessMap(Model):
    """Bad."""

    words: dict[str, Colour] = Field(default_factory=dict)


class Float(Model):
    """Bad."""

    share: float = 0.5


class Union(Model):
    """Bad."""

    either: Annotated[str, Field(max_length=8)] | int = 0


class Anything(Model):
    """Bad."""

    value: Any = None


class Deep(Model):
    """Bad inside."""

    parts: Annotated[
        tuple[EndlessString, ...], Field(max_length=2, json_schema_extra=ATOMIC_LIST)
    ] = ()


REFUSED: dict[str, tuple[type[Model], str]] = {
    "a string without end": (EndlessString, "EndlessString.name: a string needs max_length"),
    "a list without end": (EndlessList, "EndlessList.names: a list needs max_length"),
    "a list that says not how it merges": (
        ListWithoutType,
        "ListWithoutType.names: a list needs map_list(...), SET_LIST or ATOMIC_LIST",
    ),
    "a map without end": (EndlessMap, "EndlessMap.words: a map needs max_length"),
    "a float": (
        Float,
        "Float.share: a float does not survive every encoder; use DecimalString",
    ),
    "a union": (Union, "Union.either: a union of 2 types has no structural schema"),
    "a value of any type": (Anything, "Anything.value: type None has no structural schema"),
    "something wrong deep inside": (Deep, "Deep.parts[].name: a string needs max_length"),
}


@pytest.mark.parametrize(("model", "said"), REFUSED.values(), ids=REFUSED)
def test_refused(model: type[Model], said: str) -> None:
    with pytest.raises(SchemaError) as refused:
        structural(model)

    assert str(refused.value) == said
