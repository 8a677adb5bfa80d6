"""Great Expectations: `python great_expectations_suite.py CURRENT REFERENCE`; prints a JSON line.

What a profile, a schema, a contract and a comparison with a reference ask, as expectations: types,
columns, row count; of every column missing values and how many are different; of numbers range,
mean, deviation and quantiles; of texts the allowed values; of both the distance of the
distributions (Kullback-Leibler, over the same number of bins as ours).
"""

import json
import os
import sys
import time
import warnings
from pathlib import Path
from typing import Any

warnings.simplefilter("ignore")

import great_expectations as gx  # type: ignore[import-not-found]  # noqa: E402
import numpy  # noqa: E402
import pandas  # type: ignore[import-untyped, unused-ignore]  # noqa: E402
from great_expectations import expectations as gxe  # noqa: E402

LEFT_OUT = ("time_hour", "late")
BINS = 24


def of_number(name: str, before: Any) -> list[Any]:
    """What is asked of a number."""
    shares = [place / BINS for place in range(1, BINS)]
    edges = sorted(set(before[name].dropna().quantile(shares)))
    counts, _ = numpy.histogram(before[name].dropna(), [-1e9, *edges, 1e9])
    ranges = {"quantiles": shares, "value_ranges": [[None, 1e9]] * len(shares)}
    partition = {
        "bins": [-1e9, *edges, 1e9],
        "weights": (counts / counts.sum()).tolist(),
        "tail_weights": [0.0, 0.0],
    }
    return [
        gxe.ExpectColumnValuesToBeBetween(column=name, min_value=-1e9, max_value=1e9),
        gxe.ExpectColumnMinToBeBetween(column=name, min_value=-1e9, max_value=1e9),
        gxe.ExpectColumnMaxToBeBetween(column=name, min_value=-1e9, max_value=1e9),
        gxe.ExpectColumnMeanToBeBetween(column=name, min_value=-1e9, max_value=1e9),
        gxe.ExpectColumnStdevToBeBetween(column=name, min_value=0, max_value=1e9),
        gxe.ExpectColumnQuantileValuesToBeBetween(column=name, quantile_ranges=ranges),
        gxe.ExpectColumnKLDivergenceToBeLessThan(
            column=name, partition_object=partition, threshold=1e9, internal_weight_holdout=1e-6
        ),
    ]


def of_text(name: str, before: Any) -> list[Any]:
    """What is asked of a text."""
    shares = before[name].value_counts(normalize=True)
    partition = {"values": shares.index.tolist(), "weights": shares.tolist()}
    return [
        gxe.ExpectColumnValuesToBeInSet(column=name, value_set=shares.index.tolist()),
        gxe.ExpectColumnKLDivergenceToBeLessThan(
            column=name, partition_object=partition, threshold=1e9, internal_weight_holdout=1e-6
        ),
    ]


def suite(before: Any) -> Any:
    """All that is asked."""
    asked = [
        gxe.ExpectTableRowCountToBeBetween(min_value=1, max_value=10**12),
        gxe.ExpectTableColumnsToMatchSet(column_set=list(before.columns)),
    ]
    for name in before.columns:
        if name in LEFT_OUT:
            continue
        kind = str(before[name].dtype)
        number = kind.startswith(("int", "float"))
        asked += [
            gxe.ExpectColumnValuesToNotBeNull(column=name, mostly=0.5),
            gxe.ExpectColumnValuesToBeOfType(column=name, type_=kind),
            gxe.ExpectColumnUniqueValueCountToBeBetween(column=name, min_value=1),
            *(of_number(name, before) if number else of_text(name, before)),
        ]
    return gx.ExpectationSuite(name="contract", expectations=asked)


def main(current: str, reference: str) -> None:
    """Read the rows and validate them."""
    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = None
    asked = context.suites.add(suite(pandas.read_parquet(reference)))
    source = context.data_sources.add_pandas("rows")
    batch = source.add_dataframe_asset("rows").add_batch_definition_whole_dataframe("all")
    began, cpu = time.perf_counter(), sum(os.times()[:4])
    rows = pandas.read_parquet(current)
    found = batch.get_batch(batch_parameters={"dataframe": rows}).validate(
        asked, result_format="BASIC"
    )
    seconds, cpu = time.perf_counter() - began, sum(os.times()[:4]) - cpu
    raised = [
        item.expectation_config.type
        for item in found.results
        if item.exception_info and item.exception_info.get("raised_exception")
    ]
    (most,) = (
        line.split()[1]
        for line in Path("/proc/self/status").read_text().splitlines()
        if line.startswith("VmHWM:")
    )
    did = {
        "seconds": seconds,
        "cpu": cpu,
        "mib": int(most) / 1024,
        "did": len(found.results),
        "raised": raised,
    }
    sys.stdout.write(f"\n{json.dumps(did)}")


if __name__ == "__main__":
    main(*sys.argv[1:])
