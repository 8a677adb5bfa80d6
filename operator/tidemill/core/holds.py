"""Does a live object hold all that we want of it?

Server-side apply leaves fields that others own alone, the API server fills in defaults, drops
zero values and rewrites quantities; none of these is a difference that a write would mend.
"""

from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

from tidemill.core.plan import Body

_KEYED_LISTS: Mapping[str, str] = {
    "containers": "name",
    "env": "name",
    "imagePullSecrets": "name",
    "initContainers": "name",
    "ownerReferences": "uid",
    "volumeMounts": "mountPath",
    "volumes": "name",
}
"""Lists that are merged item by item: others may add items of their own."""
_SETS = frozenset({"finalizers"})
_QUANTITIES = frozenset({"requests", "limits", "sizeLimit", "divisor"})
_NOT_HELD = ("uid", "resourceVersion")

_SUFFIXES: Mapping[str, Decimal] = {
    "n": Decimal("1e-9"), "u": Decimal("1e-6"), "m": Decimal("1e-3"), "": Decimal(1),
    "k": Decimal(10) ** 3, "M": Decimal(10) ** 6, "G": Decimal(10) ** 9,
    "T": Decimal(10) ** 12, "P": Decimal(10) ** 15, "E": Decimal(10) ** 18,
    "Ki": Decimal(2) ** 10, "Mi": Decimal(2) ** 20, "Gi": Decimal(2) ** 30,
    "Ti": Decimal(2) ** 40, "Pi": Decimal(2) ** 50, "Ei": Decimal(2) ** 60,
}  # fmt: skip


def differences(desired: Body, live: Body) -> tuple[str, ...]:
    """Paths at which the live object lacks what the desired one says, without its status."""
    found: list[str] = []
    for key, value in desired.items():
        if key == "metadata":
            wanted = {name: item for name, item in value.items() if name not in _NOT_HELD}
            _compare(wanted, live.get(key), key, found, quantity=False)
        elif key != "status":
            _compare(value, live.get(key), key, found, quantity=False)
    return tuple(found)


def quantity(text: object) -> Decimal | None:
    """The number a Kubernetes quantity stands for, or None if it is none."""
    raw = str(text)
    digits = raw.rstrip("numkKMGTPEi")
    suffix = raw[len(digits) :]
    try:
        return Decimal(digits) * _SUFFIXES[suffix]
    except (InvalidOperation, KeyError):
        return None


def _compare(wanted: Any, held: Any, path: str, found: list[str], *, quantity: bool) -> None:
    if isinstance(wanted, dict) and isinstance(held, dict):
        for key, value in wanted.items():
            inner = quantity or key in _QUANTITIES
            _compare(value, held.get(key), f"{path}.{key}", found, quantity=inner)
    elif isinstance(wanted, list) and isinstance(held, list):
        _compare_lists(wanted, held, path, found)
    elif not _same(wanted, held, quantity):
        found.append(path)


def _compare_lists(wanted: list[Any], held: list[Any], path: str, found: list[str]) -> None:
    name = path.rpartition(".")[2]
    if name in _SETS:
        if not set(wanted) <= set(held):
            found.append(path)
        return
    merge_key = _KEYED_LISTS.get(name)
    if merge_key is None:
        if len(wanted) != len(held):
            found.append(path)
            return
        pairs = list(zip(wanted, held, strict=True))
    else:
        by_key = {item.get(merge_key): item for item in held}
        pairs = [(item, by_key.get(item.get(merge_key))) for item in wanted]
    for index, (one, other) in enumerate(pairs):
        _compare(one, other, f"{path}[{index}]", found, quantity=False)


def _same(wanted: Any, held: Any, is_quantity: bool) -> bool:
    if held is None:
        return not wanted  # the API server leaves zero values out
    if type(wanted) is type(held) and wanted == held:
        return True
    if is_quantity and not isinstance(wanted, dict | list) and not isinstance(held, dict | list):
        one = quantity(wanted)
        return one is not None and one == quantity(held)
    return False
