"""ydata-profiling, minimal: `python ydata_profile.py CURRENT REFERENCE`; prints one JSON line."""

import json
import os
import sys
import time
import warnings
from pathlib import Path

warnings.simplefilter("ignore")

import pandas  # type: ignore[import-untyped, unused-ignore]  # noqa: E402
from ydata_profiling import ProfileReport  # type: ignore[import-not-found]  # noqa: E402


def main(current: str, _reference: str) -> None:
    """Describe all columns; correlations, interactions and the page itself are left out."""
    began, cpu = time.perf_counter(), sum(os.times()[:4])
    report = ProfileReport(pandas.read_parquet(current), progress_bar=False)
    columns = len(report.get_description().variables)
    seconds, cpu = time.perf_counter() - began, sum(os.times()[:4]) - cpu
    (most,) = (
        line.split()[1]
        for line in Path("/proc/self/status").read_text().splitlines()
        if line.startswith("VmHWM:")
    )
    said = json.dumps({"seconds": seconds, "cpu": cpu, "mib": int(most) / 1024, "did": columns})
    sys.stdout.write(f"\n{said}")


if __name__ == "__main__":
    main(*sys.argv[1:])
