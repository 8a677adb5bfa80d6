"""The operator as it is imported, and what its watches select."""

import subprocess
import sys

import pytest

from tests.unit.shell.bodies import a_dataset, a_service
from tidemill.core.plan import Body
from tidemill.shell.app import watched

HEAVY = (
    "kubernetes", "kubernetes_asyncio", "pykube", "kfp", "kfp_server_api", "numpy", "pandas",
    "pyarrow", "duckdb", "onnxruntime", "sklearn", "scipy", "obstore",
)  # fmt: skip


def test_the_operator_imports_nothing_heavy() -> None:
    script = (
        "import sys, tidemill.shell.app; "
        f"print([name for name in {HEAVY!r} if name in sys.modules])"
    )

    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True,
        env={"PYTHONPATH": "operator"},
    )  # fmt: skip

    assert done.stdout.strip() == "[]"


def without_labels(body: Body) -> Body:
    return {**body, "metadata": {**body["metadata"], "labels": {"app": "x"}}}


@pytest.mark.parametrize(
    ("body", "seen"),
    [
        (a_dataset(), True),
        (a_service(), True),
        (without_labels(a_service()), False),
        ({**a_service(), "kind": "ConfigMap"}, False),
        ({**without_labels(a_service()), "kind": "Gateway"}, True),
    ],
    ids=["own kind", "child", "child without label", "unwatched kind", "gateway"],
)
def test_watched(body: Body, seen: bool) -> None:
    assert watched(body) is seen
