"""Every condition type and reason that is used is documented, and every documented one is used."""

import ast
import re
from collections.abc import Iterator

from tests.laws.tree import modules
from tidemill.api.reasons import ConditionType, Reason
from tidemill.api.reference import documented

TABLE = "operator/tidemill/api/reasons.py"
CAMEL = re.compile(r"^[A-Z][A-Za-z0-9]{2,}$")
# Which positional argument of these calls is a reason, or a condition's type.
REASON_AT = {
    "condition": 2,
    "ready_condition": 1,
    "wait": 1,
    "end": 2,
    "failure": 0,
    "_waiting": 0,
    "_failed": 0,
    "TerminalError": 0,
    "Unreadable": 0,
    "StepError": 0,
    "StartError": 1,
}
# Calls whose reason is not a condition's: a Violation's is one of its own list.
OTHER_REASONS = {"Violation"}
TYPE_AT = {"condition": 0, "find": 1, "is_true": 1}


def code() -> Iterator[tuple[str, ast.AST]]:
    """Every node of our code but the table itself, with the file it is in."""
    for name, tree in modules("operator/tidemill").items():
        if name != TABLE:
            for node in ast.walk(tree):
                yield name, node


def called(node: ast.Call) -> str:
    """The last name of what is called."""
    match node.func:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
    return ""


def strings(node: ast.AST) -> list[str]:
    """The CamelCase words an expression may be: itself, or either side of a choice."""
    match node:
        case ast.Constant(value=str(text)) if CAMEL.match(text):
            return [text]
        case ast.IfExp(body=body, orelse=other):
            return strings(body) + strings(other)
    return []


def argument(node: ast.Call, positions: dict[str, int]) -> list[str]:
    """What a call gives at the position that is known for it."""
    at = positions.get(called(node))
    return strings(node.args[at]) if at is not None and len(node.args) > at else []


def used_reasons() -> Iterator[tuple[str, str]]:
    """(file, reason) for each reason written as a string."""
    for name, node in code():
        match node:
            case ast.Call() if called(node) not in OTHER_REASONS:
                said = argument(node, REASON_AT)
                for keyword in node.keywords:
                    if keyword.arg == "reason":
                        said += strings(keyword.value)
            case ast.Dict(keys=keys, values=values):
                pairs = zip(keys, values, strict=True)
                said = [
                    text
                    for key, value in pairs
                    if isinstance(key, ast.Constant) and key.value == "reason"
                    for text in strings(value)
                ]
            case _:
                continue
        for text in said:
            yield name, text


def test_every_reason_is_in_the_table() -> None:
    known = {str(reason) for reason in Reason}

    assert sorted({(name, text) for name, text in used_reasons() if text not in known}) == []


def test_every_condition_type_is_in_the_table() -> None:
    known = {str(kind) for kind in ConditionType}
    used = {
        (name, text)
        for name, node in code()
        if isinstance(node, ast.Call)
        for text in argument(node, TYPE_AT)
    }

    assert sorted((name, text) for name, text in used if text not in known) == []


def test_every_row_of_the_table_is_used() -> None:
    """By its member, or by the word itself where a step writes it down."""
    members = {
        node.attr
        for _, node in code()
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id in ("Reason", "ConditionType")
    }
    words = {text for _, node in code() for text in strings(node)}

    for enum in (ConditionType, Reason):
        assert [one.value for one in enum if one.name not in members and one not in words] == []


def test_every_row_says_what_it_means() -> None:
    """A sentence: it begins with a capital and ends with a full stop."""
    for enum in (ConditionType, Reason):
        for value, text in documented(enum).items():
            assert text[0].isupper() or text.startswith("spec."), value
            assert text.endswith("."), value


def test_the_table_is_written_as_its_members_are_named() -> None:
    for one in [*ConditionType, *Reason]:
        snake = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", one.value).upper()
        assert one.name == snake, f"{one.name} stands for {one.value}"
