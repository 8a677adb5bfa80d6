"""Pydantic schema to Kubernetes structural schema.

pydantic writes JSON Schema with references, nulls and constants; the API server takes none of
them. `structural` rewrites one into the other and refuses what has no counterpart, so that a new
construct in a model is noticed here and not at `kubectl apply`. It also refuses a string, list or
map without a bound: unbounded values make CEL rules too expensive to be admitted and objects too
large to be stored.
"""

import json
from collections.abc import Callable, Mapping
from typing import Any

from pydantic import BaseModel

Schema = dict[str, Any]

_INT32 = 2**31 - 1
_NOISE = frozenset({"title"})
_COPIED = frozenset(
    {
        "type",
        "format",
        "enum",
        "pattern",
        "minimum",
        "maximum",
        "minLength",
        "maxLength",
        "minItems",
        "maxItems",
        "minProperties",
        "maxProperties",
        "required",
    }
)
_BOUNDED_BY_FORMAT = frozenset({"date-time"})
_EMPTY: tuple[Any, ...] = (None, "", [], {})


class SchemaError(Exception):
    """A model says something a structural schema cannot. Names the field."""


def structural(model: type[BaseModel], *, defaults: bool = True) -> Schema:
    """The structural schema of a model: inlined, bounded, documented.

    With `defaults` the defaults a user should see stand in the schema, except empty ones; the API
    server fills them in, those of nested objects too. Raises SchemaError with the field's path.
    """
    whole = model.model_json_schema(by_alias=True, mode="validation")
    definitions: Mapping[str, Schema] = whole.pop("$defs", {})
    return _Translation(definitions, defaults).node(whole, model.__name__)


class _Translation:
    """One model's definitions while its schema is rewritten."""

    def __init__(self, definitions: Mapping[str, Schema], defaults: bool) -> None:
        self._definitions = definitions
        self._defaults = defaults

    def node(self, given: Schema, path: str) -> Schema:
        """The structural schema of one node and everything under it."""
        raw = self._resolved(given, path)
        out: Schema = {}
        if description := raw.pop("description", ""):
            out["description"] = _paragraphs(description)
        default = raw.pop("default", None)
        for key, value in raw.items():
            if key in _COPIED or key.startswith("x-kubernetes-"):
                out[key] = value
            elif key == "const":
                out["enum"] = [value]
            elif key in _NOISE or (key == "additionalProperties" and value is False):
                continue
            else:
                self._nested(out, key, value, path)
        _finish_integer(out)
        if self._defaults and default not in _EMPTY:
            _set_default(out, _shortest(out, _without_empty(default)))
        _check_bounds(out, path)
        return out

    def _resolved(self, given: Schema, path: str) -> Schema:
        """A node with its reference inlined and its null alternative dropped.

        What stands beside a reference wins over what it refers to: a field's docstring says more
        than its type's.
        """
        raw = dict(given)
        if alternatives := raw.pop("anyOf", None):
            kept = [one for one in alternatives if one != {"type": "null"}]
            if len(kept) != 1:
                raise SchemaError(f"{path}: a union of {len(kept)} types has no structural schema")
            raw = {**kept[0], **raw}
        if reference := raw.pop("$ref", None):
            target = self._definitions[reference.removeprefix("#/$defs/")]
            return self._resolved({**target, **raw}, path)
        return raw

    def _nested(self, out: Schema, key: str, value: Any, path: str) -> None:
        nested: Callable[[Schema, str], Schema] = self.node
        match key:
            case "properties":
                out[key] = {name: nested(one, f"{path}.{name}") for name, one in value.items()}
            case "items":
                out[key] = nested(value, f"{path}[]")
            case "additionalProperties" if isinstance(value, dict):
                out[key] = nested(value, f"{path}{{}}")
            case _:
                raise SchemaError(f"{path}: {key} has no counterpart in a structural schema")


def apply_defaults(schema: Schema, value: Any) -> Any:
    """What the API server stores for `value`: a missing property takes its default, then its own
    properties theirs.
    """
    if isinstance(value, dict):
        properties: Mapping[str, Schema] = schema.get("properties", {})
        filled = dict(value)
        for name, one in properties.items():
            if name not in filled and "default" in one:
                filled[name] = one["default"]
            if name in filled:
                filled[name] = apply_defaults(one, filled[name])
        return filled
    if isinstance(value, list):
        return [apply_defaults(schema.get("items", {}), one) for one in value]
    return value


def _shortest(schema: Schema, default: Any) -> Any:
    """`{}` where the nested defaults say the same; the API server fills those in anyway.

    Not where the object has rules of its own: they are tried on the default as it stands.
    """
    if schema.get("type") != "object" or "x-kubernetes-validations" in schema:
        return default
    return {} if apply_defaults(schema, {}) == apply_defaults(schema, default) else default


def _set_default(out: Schema, default: Any) -> None:
    """The default in the schema, and in words: `kubectl explain` does not show the former."""
    out["default"] = default
    if out["type"] == "object" and apply_defaults(out, {}) == apply_defaults(out, default):
        return  # the nested fields say theirs
    out["description"] = f"{out.get('description', '')} Default: {_flow(default)}.".strip()


def _flow(value: Any) -> str:
    """A value as one would write it in YAML on one line."""
    match value:
        case bool():
            return str(value).lower()
        case str():
            return json.dumps(value) if set(value) <= set("0123456789.-") else value
        case list():
            return f"[{', '.join(_flow(one) for one in value)}]"
        case dict():
            return f"{{{', '.join(f'{key}: {_flow(one)}' for key, one in value.items())}}}"
        case _:
            return str(value)


def _without_empty(value: Any) -> Any:
    if isinstance(value, dict):
        cleaned = {key: _without_empty(one) for key, one in value.items()}
        return {key: one for key, one in cleaned.items() if one not in _EMPTY}
    if isinstance(value, list):
        return [_without_empty(one) for one in value]
    return value


def _finish_integer(out: Schema) -> None:
    if out.get("type") == "integer":
        small = out.get("minimum", -(2**63)) >= -_INT32 and out.get("maximum", 2**63) <= _INT32
        out["format"] = "int32" if small else "int64"


def _check_bounds(out: Schema, path: str) -> None:
    match out.get("type"):
        case "string":
            if not ({"maxLength", "enum"} & out.keys() or out.get("format") in _BOUNDED_BY_FORMAT):
                raise SchemaError(f"{path}: a string needs max_length")
        case "array":
            if "maxItems" not in out:
                raise SchemaError(f"{path}: a list needs max_length")
            if "x-kubernetes-list-type" not in out:
                raise SchemaError(f"{path}: a list needs map_list(...), SET_LIST or ATOMIC_LIST")
        case "object":
            if "additionalProperties" in out and "maxProperties" not in out:
                raise SchemaError(f"{path}: a map needs max_length")
        case "number":
            raise SchemaError(f"{path}: a float does not survive every encoder; use DecimalString")
        case "integer" | "boolean":
            pass
        case other:
            raise SchemaError(f"{path}: type {other!r} has no structural schema")


def _paragraphs(text: str) -> str:
    """Docstring lines joined into paragraphs; kubectl wraps them itself."""
    blocks = text.strip().split("\n\n")
    return "\n\n".join(" ".join(block.split()) for block in blocks)
