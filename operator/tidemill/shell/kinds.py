"""Our kinds and what works on them: how each is observed, and how its next move is decided."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from tidemill.adapters.resources import OWN
from tidemill.core.plan import Body, Plan
from tidemill.ports import Sight


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind's gather and plan functions."""

    gather: Callable[[Body, Sight], Awaitable[Any]]
    """Everything its decision may depend on, from the watched objects."""
    plan: Callable[[Any], Plan]
    """What to do, from what was gathered."""


def kinds() -> Mapping[str, Kind]:
    """All kinds by name: shell/gather/<kind>.py and core/<kind>.py:plan_<kind>."""
    found = {}
    for name in OWN:
        stem = name.lower()
        if find_spec(f"tidemill.shell.gather.{stem}") is None:
            continue
        gather = import_module(f"tidemill.shell.gather.{stem}").gather
        found[name] = Kind(gather, getattr(import_module(f"tidemill.core.{stem}"), f"plan_{stem}"))
    return found
