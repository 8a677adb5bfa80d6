"""An operator whose Datasets do something small, to test the machinery alone.

    python -m tests.integration.fake_kind

A Dataset's annotation example.test/services names Services to apply, example.test/revisions
names ControllerRevisions to create; with example.test/claim the revisions are made only from what
status.active has claimed.
"""

import sys
from dataclasses import dataclass
from datetime import datetime

from tidemill.api.v1alpha1 import Dataset
from tidemill.api.v1alpha1.dataset import ActiveExecution
from tidemill.core.conditions import condition, merge, rfc3339
from tidemill.core.identity import LABEL_DATASET, controller_reference, labels
from tidemill.core.plan import Body, Event, Plan
from tidemill.ports import Sight
from tidemill.settings import Settings
from tidemill.shell.app import run
from tidemill.shell.kinds import Kind

SERVICES = "example.test/services"
REVISIONS = "example.test/revisions"
CLAIM = "example.test/claim"


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """One Dataset at one time."""

    dataset: Dataset
    now: datetime


async def gather(body: Body, sight: Sight) -> Observed:
    """The Dataset itself is all that matters."""
    return Observed(dataset=Dataset.parse(body), now=sight.now)


def plan_dataset(seen: Observed) -> Plan:
    """Claim if asked to, then hold the named children."""
    dataset = seen.dataset
    notes = dataset.metadata.annotations
    wanted = notes.get(CLAIM, "")
    active = dataset.status.active
    if wanted and (active is None or active.name != wanted):
        claimed = ActiveExecution(
            name=wanted, cause="Manual", key=wanted, since=rfc3339(seen.now), for_generation=0
        )
        return Plan(claim=dataset.status.model_copy(update={"active": claimed}).to_wire())
    revisions = [active.name] if active else notes.get(REVISIONS, "").split()
    services = notes.get(SERVICES, "").split()
    said = f"Holds {len(services)} services and {len(revisions)} revisions."
    conditions = merge(
        dataset.status.conditions,
        [condition("Ready", True, "Held", said)],
        generation=dataset.metadata.generation,
        now=seen.now,
    )
    status = dataset.status.model_copy(
        update={"observed_generation": dataset.metadata.generation, "conditions": conditions}
    )
    return Plan(
        apply=tuple(_service(dataset, name) for name in services),
        create=tuple(_revision(dataset, name) for name in revisions),
        status=status.to_wire(),
        events=(Event(reason="Held", message=said),),
    )


def _metadata(dataset: Dataset, name: str) -> Body:
    about = dataset.metadata
    return {
        "name": name,
        "namespace": about.namespace,
        "labels": labels("test", {LABEL_DATASET: about.name}),
        "ownerReferences": [controller_reference("Dataset", about.name, about.uid)],
    }


def _service(dataset: Dataset, name: str) -> Body:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": _metadata(dataset, name),
        "spec": {
            "selector": {"app": name},
            "ports": [{"name": "http", "port": 80, "targetPort": 8080}],
        },
    }


def _revision(dataset: Dataset, name: str) -> Body:
    return {
        "apiVersion": "apps/v1",
        "kind": "ControllerRevision",
        "metadata": _metadata(dataset, name),
        "revision": 1,
        "data": {"of": dataset.metadata.name},
    }


def a_dataset(namespace: str, name: str = "tides", **annotations: str) -> Body:
    """A Dataset to apply; keywords are annotations under example.test/."""
    return {
        "apiVersion": "tidemill.dev/v1alpha1",
        "kind": "Dataset",
        "metadata": {
            "name": name,
            "namespace": namespace,
            "annotations": {f"example.test/{key}": value for key, value in annotations.items()},
        },
        "spec": {
            "source": {"objects": {"uri": "s3://tides/*.parquet"}},
            "columns": {"eventTime": "at", "label": {"name": "late"}},
        },
    }


if __name__ == "__main__":
    sys.exit(run(Settings.from_environment(), {"Dataset": Kind(gather, plan_dataset)}))
