"""`python -m tests.bench`: run the benchmarks and print their tables."""

import asyncio
import tempfile
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tests.bench import operator_bench


def main() -> None:
    """Run everything."""
    out = Console(soft_wrap=True)
    with tempfile.TemporaryDirectory(prefix="tidemill-bench-") as directory:
        rows, kinds = asyncio.run(operator_bench.compare(Path(directory)))
    table = Table("what", "unit", "Tidemill", "Argo Rollouts", "ratio", "bar")
    for row in rows:
        peer = "" if row.peer is None else f"{row.peer:.1f}"
        ratio = f"{row.ours / row.peer:.2f}" if row.peer else ""
        table.add_row(row.what, row.unit, f"{row.ours:.1f}", peer, ratio, row.bar)
    out.print("The operator beside Argo Rollouts v1.10.2 (its client-side limits lifted)")
    out.print(table)
    out.print("Tidemill, 1,000 objects of each kind, with the children they make")
    each = Table("kind", "MiB", "writes each", "Events each", "CPU ms each", "seconds")
    for line in kinds:
        each.add_row(*line)
    out.print(each)


if __name__ == "__main__":
    main()
