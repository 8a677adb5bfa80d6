"""What a workload has come to, to be compared with what it comes to when nothing disturbs it."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from typing import Any

from tests.chaos.picture import Masks, Picture, differences
from tests.chaos.proxy import Asked
from tests.chaos.stage import Stage

Body = dict[str, Any]


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
    weights: tuple[str, ...]
    """How requests were shared among revisions, one after the other."""

    def differs_from(self, wanted: "Outcome") -> list[str]:
        """What is not as in the undisturbed cycle, one line each.

        Events may be lost in a crash, and a status or a patch may be passed over that another one
        follows at once; but nothing is made or told twice.
        """
        found = differences(wanted.picture, self.picture)
        found += _unequal("made", wanted.made, self.made)
        found += _unequal("run", wanted.jobs, self.jobs)
        if self.weights != wanted.weights:
            found.append(f"requests were shared {self.weights} instead of {wanted.weights}")
        found += [
            f"told {count} times: {line}"
            for line, count in self.told.items()
            if count > max(1, wanted.told[line])
        ]
        return found


def outcome(stage: Stage, namespace: str, since: datetime, kinds: Iterable[str]) -> Outcome:
    """What a namespace whose workload was begun at `since` has come to."""
    cluster = stage.cluster
    bodies = cluster.everything(namespace, kinds)
    masks = Masks(
        namespace=namespace,
        cluster=stage.uid,
        root=stage.artifacts.root,
        digests=stage.artifacts.known,
        since=since,
    )
    writes = [one.asked for one in stage.proxy.writes(namespace)]
    labels = [asked.label for asked in writes]
    return Outcome(
        picture=masks.of(bodies),
        made=Counter(label for label in labels if not label.startswith(("status", "create Event"))),
        statuses=Counter(label for label in labels if label.startswith("status")),
        told=Counter(_line(item, masks, bodies) for item in cluster.all("Event", namespace)),
        jobs=Counter(
            {kind: n for (place, kind), n in stage.engine.made.items() if place == namespace}
        ),
        weights=tuple(shared for shared, _ in groupby(filter(None, map(_weights, writes)))),
    )


def _weights(asked: Asked) -> str:
    """How a write of a route shares the requests; empty for any other."""
    if asked.body.get("kind") != "HTTPRoute":
        return ""
    backends = asked.body["spec"]["rules"][0]["backendRefs"]
    return ", ".join(f"{item['name']} {item['weight']}" for item in backends if item["weight"])


def _line(event: Body, masks: Masks, bodies: Iterable[Body]) -> str:
    about = masks.text(event["regarding"]["name"], bodies)
    return f"{about} {event['reason']}: {masks.text(event['note'], bodies)}"


def _unequal(what: str, wanted: Counter[str], held: Counter[str]) -> list[str]:
    return [
        f"{what} {held[key]} times instead of {wanted[key]}: {key}"
        for key in sorted(wanted.keys() | held.keys())
        if held[key] > wanted[key] or (held[key] < wanted[key] and not key.startswith("patch"))
    ]
