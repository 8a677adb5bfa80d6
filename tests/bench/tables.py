"""What was measured, beside the peer and the bar it has to meet."""

from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table

from tests.bench.operator_bench import CHANGES, KINDS, OBJECTS, ROUTED, Result


@dataclass(frozen=True, kw_only=True)
class Row:
    """One line: a number of ours, the peer's, and at most how much ours may be."""

    what: str
    key: str
    unit: str = ""
    most: float | None = None
    of_peer: float | None = None
    """At most so many times the peer's without its client's limits."""
    of_limited: float | None = None
    """At most so many times the peer's as it comes."""
    digits: int = 1


ROWS = (
    Row(what="memory at the start, all kinds loaded", key="memory at start", unit="MiB", most=80),
    Row(what=f"memory of {OBJECTS} objects, children included", key="memory of objects",
        unit="MiB", most=15 * OBJECTS / 1000),
    Row(what=f"{OBJECTS} creates: all have a first status", key="to status", unit="s",
        of_peer=0.5, of_limited=0.2),
    Row(what=f"{OBJECTS} creates: all serve", key="to ready", unit="s", of_peer=0.7),
    Row(what=f"{OBJECTS} canaries of three steps: all promoted", key="to promoted", unit="s",
        of_peer=0.6, of_limited=0.25),
    Row(what="writes a create, children included", key="writes a create", most=4),
    Row(what="writes a canary", key="writes a canary", most=6),
    Row(what="Events a create", key="Events a create"),
    Row(what="Events a canary", key="Events a canary", most=4),
    Row(what="CPU a create", key="CPU a create", unit="ms", most=6),
    Row(what="CPU a canary", key="CPU a canary", unit="ms", most=10),
    Row(what=f"spec change to its status, p50 of {CHANGES}", key="latency p50", unit="ms", most=25),
    Row(what="spec change to its status, p99", key="latency p99", unit="ms", most=100),
    Row(what="requests at rest, Leases apart", key="idle requests", unit="/s", most=0, digits=2),
    Row(what="CPU at rest", key="idle CPU", unit="% core", most=0.3, digits=2),
)  # fmt: skip
"""Numbers of both."""

OWN = (
    Row(what="with an HTTPRoute: writes a create", key="routed: writes a create"),
    Row(what=f"with an HTTPRoute: writes a canary, of {ROUTED}", key="routed: writes a canary"),
    Row(what="with an HTTPRoute: CPU a canary", key="routed: CPU a canary", unit="ms"),
    Row(what="all kinds: CPU at rest", key="idle CPU with all kinds", unit="% core", most=0.3,
        digits=2),
    Row(what="all kinds: memory", key="memory with all kinds", unit="MiB"),
    Row(what="all kinds: most memory there was", key="most memory", unit="MiB"),
    Row(what="all kinds: restart until the queue is empty", key="restart", unit="s", most=10),
    Row(what="all kinds: writes by the restart", key="restart writes", most=0),
    Row(what="all kinds: memory after the restart", key="restart memory", unit="MiB"),
)  # fmt: skip
"""Numbers the peer has no counterpart of."""

KIND_MEMORY = 15.0
"""MiB for 1,000 objects of a kind, children included."""


def show(out: Console, result: Result) -> None:
    """Print all tables, and how many bars are met."""
    rows = [_line(row, result) for row in ROWS]
    out.print(
        "The operator beside Argo Rollouts v1.10.2 on the same API server. Argo Rollouts has no"
        " pods, Service, route or\nanalysis here; Tidemill holds Services, a disruption budget and"
        " a Deployment for each revision, and asks a Prometheus."
    )
    table = _table("what", "unit", "Tidemill", "Argo, unlimited", "Argo, default", "bar", "met")
    for line in rows:
        table.add_row(*line)
    out.print(table)
    own = [_line(row, result) for row in OWN]
    out.print(f"Tidemill alone; all kinds: {OBJECTS + ROUTED} and {KINDS} of each below")
    table = _table("what", "unit", "Tidemill", "bar", "met")
    for line in own:
        table.add_row(*line[:3], *line[5:])
    out.print(table)
    kinds = _kinds(result)
    out.print(f"Tidemill, {KINDS} objects of each kind with the children they have")
    table = _table(
        "kind", "MiB of 1,000", "writes", "Events", "CPU ms", "s to status", "bar", "met"
    )
    for line in kinds:
        table.add_row(*line)
    out.print(table)
    verdicts = [line[-1] for line in (*rows, *own, *kinds)]
    out.print(f"{verdicts.count('yes')} bars met, {verdicts.count('no')} missed\n")


def _table(*columns: str) -> Table:
    table = Table()
    for number, name in enumerate(columns):
        words = number == 0 or name in ("unit", "bar", "met")
        table.add_column(name, justify="left" if words else "right")
    return table


def _line(row: Row, result: Result) -> Sequence[str]:
    mine = result.mine[row.key]
    peer, limited = result.peer.get(row.key), result.limited.get(row.key)
    limits: list[tuple[str, float]] = []
    if row.most is not None:
        limits.append((f"{row.most:g}", row.most))
    if row.of_peer is not None and peer is not None:
        limits.append((f"{row.of_peer:g} x unlimited", row.of_peer * peer))
    if row.of_limited is not None and limited is not None:
        limits.append((f"{row.of_limited:g} x default", row.of_limited * limited))
    met = all(round(mine, row.digits) <= round(limit, row.digits) for _, limit in limits)
    return (
        row.what,
        row.unit,
        f"{mine:.{row.digits}f}",
        "" if peer is None else f"{peer:.{row.digits}f}",
        "" if limited is None else f"{limited:.{row.digits}f}",
        ", ".join(text for text, _ in limits),
        ("yes" if met else "no") if limits else "",
    )


def _kinds(result: Result) -> list[Sequence[str]]:
    return [
        (
            kind,
            f"{found['memory']:.1f}",
            f"{found['writes a create']:.1f}",
            f"{found['Events a create']:.1f}",
            f"{found['CPU a create']:.1f}",
            f"{found['to status']:.1f}",
            f"{KIND_MEMORY:g} MiB",
            "yes" if found["memory"] <= KIND_MEMORY else "no",
        )
        for kind, found in result.kinds.items()
    ]
