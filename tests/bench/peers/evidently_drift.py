"""Evidently's drift report: `python evidently_drift.py CURRENT REFERENCE`; prints one JSON line."""

import json
import os
import sys
import time
import warnings
from pathlib import Path

warnings.simplefilter("ignore")

import pandas  # type: ignore[import-untyped, unused-ignore]  # noqa: E402
from evidently import Report  # type: ignore[import-not-found]  # noqa: E402
from evidently.presets import DataDriftPreset  # type: ignore[import-not-found]  # noqa: E402

LEFT_OUT = ("time_hour", "late")


def main(current: str, reference: str) -> None:
    """Read both sides and compare all features."""
    began, cpu = time.perf_counter(), sum(os.times()[:4])
    now, before = (
        pandas.read_parquet(file).drop(columns=list(LEFT_OUT)) for file in (current, reference)
    )
    found = Report([DataDriftPreset()]).run(reference_data=before, current_data=now)
    columns = len(found.dict()["metrics"])
    seconds, cpu = time.perf_counter() - began, sum(os.times()[:4]) - cpu
    (most,) = (
        line.split()[1]
        for line in Path("/proc/self/status").read_text().splitlines()
        if line.startswith("VmHWM:")
    )
    sys.stdout.write(
        json.dumps({"seconds": seconds, "cpu": cpu, "mib": int(most) / 1024, "did": columns})
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
