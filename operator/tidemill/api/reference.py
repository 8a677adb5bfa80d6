"""The reference page: every field, default, bound and condition, made from the models.

Nothing here is written twice: descriptions are the models' docstrings, conditions and reasons the
docstrings of `reasons.py`.
"""

import ast
import inspect
from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum
from typing import Any

from tidemill.api.base import API_VERSION, KindNames
from tidemill.api.openapi import Schema
from tidemill.api.reasons import ConditionType, Reason

HEAD = f"""\
<!-- Generated from operator/tidemill/api by `make crds`. Do not edit. -->
# Reference: {API_VERSION}

`kubectl explain <kind>.<field>` says the same at the command line. A field in **bold** must be
given. Numbers that are not whole are strings, durations whole seconds.
"""

LONGEST_NAME = 63


def reference(kinds: Sequence[tuple[KindNames, Schema]]) -> str:
    """The page as Markdown, from each kind's names and whole schema, in install order."""
    parts = [HEAD, _contents(kinds)]
    for names, schema in kinds:
        parts.append(_kind(names, schema))
    parts.append(_conditions())
    return "\n".join(parts)


def _contents(kinds: Sequence[tuple[KindNames, Schema]]) -> str:
    rows = [
        f"| [{names.kind}](#{names.kind.lower()}) | `{names.short}` | "
        f"{_writer(names)} | {schema['description']} |"
        for names, schema in kinds
    ]
    head = ["| kind | short | written by | what it is |", "|---|---|---|---|"]
    return "\n".join([*head, *rows, "", "Then [conditions and their reasons](#conditions).", ""])


def _writer(names: KindNames) -> str:
    """Who makes objects of a kind. The shorter names are those that children's are made from."""
    if names.record:
        return "the operator"
    return "people" if names.max_name < LONGEST_NAME else "the operator, or people"


def _kind(names: KindNames, schema: Schema) -> str:
    parts = [f"## {names.kind}", "", schema["description"], ""]
    for part in ("spec", "status"):
        node = schema["properties"][part]
        parts += [
            f"### {names.kind}.{part}",
            "",
            "| field | type | what it says |",
            "|---|---|---|",
        ]
        parts += [_row(*field) for field in _fields(node, "")]
        parts.append("")
        rules = list(_rules(node, part))
        if rules:
            parts += ["Rules across fields:", "", *rules, ""]
    return "\n".join(parts)


def _fields(node: Schema, path: str) -> Iterator[tuple[str, Schema, bool]]:
    """Every field under a node with its path and whether it must be given, parents first."""
    required = node.get("required", ())
    for name, one in node.get("properties", {}).items():
        here = f"{path}{name}"
        yield here, one, name in required
        inner = one.get("items", one)
        yield from _fields(inner, f"{here}[]." if "items" in one else f"{here}.")


def _row(path: str, node: Schema, required: bool) -> str:
    shown = f"**{path}**" if required else path
    return f"| {shown} | {_type(node)} | {_cell(node.get('description', ''))} |"


def _type(node: Schema) -> str:
    """The type with its bounds, in few words."""
    inner = node.get("items")
    if inner is not None:
        keys = node.get("x-kubernetes-list-map-keys")
        by = f" by {', '.join(keys)}" if keys else ""
        return f"list{by} (at most {node['maxItems']}) of {_type(inner)}"
    if "additionalProperties" in node:
        return f"map, at most {node['maxProperties']}"
    if "enum" in node:
        return " \\| ".join(str(value) for value in node["enum"])
    words = str(node.get("format", node["type"]))
    low, high = node.get("minimum"), node.get("maximum")
    if low is not None and high is not None:
        return f"{words} {low} to {high}"
    if "maxLength" in node and "format" not in node:
        return f"{words}, at most {node['maxLength']}"
    return words


def _rules(node: Schema, path: str) -> Iterator[str]:
    for rule in node.get("x-kubernetes-validations", ()):
        yield f"- `{path}`: {rule['message']}"
    for name, one in node.get("properties", {}).items():
        inner = one.get("items", one)
        yield from _rules(inner, f"{path}.{name}{'[]' if 'items' in one else ''}")


def _conditions() -> str:
    types = [f"| {name} | {_cell(text)} |" for name, text in documented(ConditionType).items()]
    reasons = [f"| {name} | {_cell(text)} |" for name, text in documented(Reason).items()]
    return "\n".join(
        [
            "## Conditions",
            "",
            _paragraph(ConditionType),
            "",
            "| type | what it is about |",
            "|---|---|",
            *types,
            "",
            "### Reasons",
            "",
            _paragraph(Reason),
            "",
            "| reason | what it means, and what to do |",
            "|---|---|",
            *reasons,
            "",
        ]
    )


def documented(enum: type[StrEnum]) -> Mapping[str, str]:
    """Value -> the docstring under the member. Raises KeyError for a member without one."""
    tree = ast.parse(inspect.getsource(enum)).body[0]
    if not isinstance(tree, ast.ClassDef):
        raise TypeError(f"{enum} is not written as a class")
    said: dict[str, str] = {}
    last = ""
    for node in tree.body:
        match node:
            case ast.Assign(targets=[ast.Name(id=name)]):
                last = name
            case ast.Expr(value=ast.Constant(value=str(text))) if last:
                said[last] = text
    return {member.value: " ".join(said[member.name].split()) for member in enum}


def _paragraph(thing: Any) -> str:
    return " ".join((inspect.getdoc(thing) or "").split())


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
