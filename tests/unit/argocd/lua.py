"""Argo CD's Lua: version 5.1 with base and table, and an os library of which time is left."""

from pathlib import Path
from typing import Any

import lupa.lua51 as lua

from tidemill.api.base import GROUP

ARGOCD = Path(__file__).parents[3] / "manifests" / "argocd"
SCRIPTS = ARGOCD / "resource_customizations" / GROUP
NOW = "2026-01-31T05:00:00Z"
# What Argo CD does not open, so that a script that needs it fails here too.
CLOSED = ("string", "io", "debug", "math", "os", "package", "require", "dofile", "loadfile")


def run(script: str, body: dict[str, Any], *, with_os: bool = False) -> Any:
    """What a script returns for an object, as Python values."""
    runtime = lua.LuaRuntime(unpack_returned_tuples=True)
    world = runtime.globals()
    for name in CLOSED:
        world[name] = None
    if with_os:
        clock = runtime.table_from({"date": _date})
        world["require"] = {"os": clock}.__getitem__
    world["obj"] = runtime.table_from(body, recursive=True)
    return _python(runtime.execute(script))


def _date(wanted: str) -> str:
    assert wanted == "!%Y-%m-%dT%H:%M:%SZ"
    return NOW


def _python(value: Any) -> Any:
    if lua.lua_type(value) != "table":
        return value
    items = {key: _python(one) for key, one in value.items()}
    if items and set(items) == set(range(1, len(items) + 1)):
        return [items[index] for index in sorted(items)]
    return items
