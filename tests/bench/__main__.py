"""`python -m tests.bench`: run the benchmarks and print their tables; `data` runs one alone."""

import asyncio
import sys
import tempfile
from pathlib import Path

from rich.console import Console

from tests.bench import data_bench, operator_bench, serving_bench, tables


def main() -> int:
    """Run everything. What missed its bar is said, and is no failure of the run."""
    if sys.argv[1:2] == ["data"]:
        return data_bench.main(sys.argv[2:])
    out = Console(soft_wrap=True)
    with tempfile.TemporaryDirectory(prefix="tidemill-bench-") as directory:
        result = asyncio.run(operator_bench.compare(Path(directory)))
    tables.show(out, result)
    serving_bench.main()
    data_bench.main()
    return 0


if __name__ == "__main__":
    sys.exit(main())
