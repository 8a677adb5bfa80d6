"""One training cycle: a Dataset and a TrainingJob are applied; in the end a model is approved."""

import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from tests.builders import GATES, dataset_spec
from tests.chaos.cluster import PATHS, Cluster
from tests.chaos.picture import Masks, Picture, differences
from tests.chaos.stage import Stage
from tests.integration.kubectl import condition

Body = dict[str, Any]
QUIET_SECONDS = 0.3
KINDS = tuple(kind for kind in PATHS if kind != "Event")


def objects(namespace: str, suffix: str = "") -> tuple[Body, Body]:
    """What a user commits."""
    data, job = f"flights{suffix}", f"delays{suffix}"
    head = {"apiVersion": "tidemill.dev/v1alpha1"}
    return (
        {
            **head,
            "kind": "Dataset",
            "metadata": {"name": data, "namespace": namespace},
            "spec": dataset_spec(),
        },
        {
            **head,
            "kind": "TrainingJob",
            "metadata": {"name": job, "namespace": namespace},
            "spec": {"datasetRef": {"name": data}, "gates": GATES},
        },
    )


def has_begun(cluster: Cluster, namespace: str) -> bool:
    """Whether the first read of the Dataset is claimed."""
    data = cluster.get("Dataset", namespace, "flights") or {}
    return "active" in (data.get("status") or {})


def is_over(cluster: Cluster, namespace: str, suffix: str = "") -> bool:
    """Whether the model is approved and nothing is under way."""
    job = cluster.get("TrainingJob", namespace, f"delays{suffix}") or {}
    data = cluster.get("Dataset", namespace, f"flights{suffix}") or {}
    under_way = [body for body in (job, data) if (body.get("status") or {}).get("active")]
    ready = [condition(body, "Ready").get("status") for body in (job, data)]
    return not under_way and ready == ["True", "True"]


def is_settled(stage: Stage, namespace: str) -> bool:
    """Whether the cycle is over and the operator has nothing more to write."""
    stage.background.check()
    if not is_over(stage.cluster, namespace):
        return False
    last = stage.proxy.writes()[-1]
    busy = stage.started[-1].metric("tidemill_operator_queue_depth")
    return not busy and time.monotonic() - last.at > QUIET_SECONDS


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a cycle has come to."""

    picture: Picture
    made: Counter[str]
    """Successful writes but those of status and Events: what was created, and what deleted."""
    statuses: Counter[str]
    """Successful writes of status."""
    told: Counter[str]
    """Events by the kind they are about, reason and masked note."""
    jobs: Counter[str]
    """Jobs the engine was given, by pipeline."""

    def differs_from(self, wanted: "Outcome") -> list[str]:
        """What is not as in the undisturbed cycle, one line each.

        Events may be lost in a crash, and a status may be passed over that another one follows
        at once; but nothing is made or told twice.
        """
        found = differences(wanted.picture, self.picture)
        found += _unequal("made", wanted.made, self.made)
        found += _unequal("run", wanted.jobs, self.jobs)
        found += [
            f"told {count} times: {line}"
            for line, count in self.told.items()
            if count > max(1, wanted.told[line])
        ]
        return found


def outcome(stage: Stage, namespace: str, since: datetime) -> Outcome:
    """What the cycle in a namespace, begun at `since`, has come to."""
    cluster = stage.cluster
    bodies = cluster.everything(namespace, KINDS)
    masks = Masks(
        namespace=namespace,
        cluster=stage.uid,
        root=stage.artifacts.root,
        digests=stage.artifacts.known,
        since=since,
    )
    labels = [one.asked.label for one in stage.proxy.writes(namespace)]
    return Outcome(
        picture=masks.of(bodies),
        made=Counter(label for label in labels if not label.startswith(("status", "create Event"))),
        statuses=Counter(label for label in labels if label.startswith("status")),
        told=Counter(_line(item, masks, bodies) for item in cluster.all("Event", namespace)),
        jobs=Counter(
            {kind: n for (place, kind), n in stage.engine.made.items() if place == namespace}
        ),
    )


def _line(event: Body, masks: Masks, bodies: Iterable[Body]) -> str:
    about = masks.text(event["regarding"]["name"], bodies)
    return f"{about} {event['reason']}: {masks.text(event['note'], bodies)}"


def _unequal(what: str, wanted: Counter[str], held: Counter[str]) -> list[str]:
    return [
        f"{what} {held[key]} times instead of {wanted[key]}: {key}"
        for key in sorted(wanted.keys() | held.keys())
        if wanted[key] != held[key]
    ]
