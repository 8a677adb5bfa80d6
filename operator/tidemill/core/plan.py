"""A plan: what one pass wants done, as values.

A pass either claims or acts. A claim is one status write that carries the resourceVersion it was
decided on; the effects follow in the next pass, derived from the claimed status alone, so a crash
between the two loses nothing and doubles nothing.
"""

from dataclasses import dataclass, field
from typing import Any

Body = dict[str, Any]
"""A Kubernetes object as JSON."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Delete:
    """Delete this very object: the uid is a precondition."""

    api_version: str
    kind: str
    namespace: str
    name: str
    uid: str
    background: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """A line of the object's story. `reason` is a condition reason."""

    reason: str
    message: str
    warning: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineCall:
    """Something to ask Kubeflow Pipelines for: `verb` is Create or Terminate."""

    verb: str
    run_id: str
    body: Body = field(default_factory=dict)
    """For Create: display_name, description, pipeline_spec, parameters, service_account."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What one pass wants done, in this order: claim and stop, or apply, create, delete, engine
    calls, finalizers, status, events.
    """

    claim: Body | None = None
    """A whole status to write before any effect. With it set, nothing else of the plan is done
    and the key is looked at again at once."""
    apply: tuple[Body, ...] = ()
    """Children to hold at this state by server-side apply: whole bodies, with namespace, labels
    and the controller ownerReference. Written only if their hash or a live field differs."""
    create: tuple[Body, ...] = ()
    """Objects made once and never changed: executions, records, ControllerRevisions. Found
    already there, they must be ours (controller uid where they have one, and spec hash)."""
    delete: tuple[Delete, ...] = ()
    """Objects to delete."""
    engine: tuple[EngineCall, ...] = ()
    """Calls to Kubeflow Pipelines."""
    finalizers: tuple[str, ...] | None = None
    """Our finalizers on the object itself, the wanted ones; None leaves them alone."""
    status: Body | None = None
    """The whole status to end with; None leaves it alone."""
    events: tuple[Event, ...] = ()
    """Told after the status was written."""
    lineage: tuple[Body, ...] = ()
    """OpenLineage events, offered after the claim or status was written; never waited for."""
    requeue_after: float | None = None
    """Seconds until the next look, if no change comes first; None: only a change wakes it."""
