"""Requests to a rollout: promote, skip, abort and retry, each for a named revision."""

from collections.abc import Mapping

from tidemill.api.reasons import Reason
from tidemill.api.v1alpha1.modeldeployment import ModelDeploymentStatus
from tidemill.core.deploymentview import Observed
from tidemill.core.plan import Event
from tidemill.core.requests import Ignored, Request, read_request

VERBS: Mapping[str, bool] = {"promote": True, "skip": True, "abort": True, "retry": True}
"""What may be requested; all of it names a revision."""


def answer(
    observed: Observed, status: ModelDeploymentStatus
) -> tuple[ModelDeploymentStatus, str, tuple[Event, ...]]:
    """Answer an open request: the status with it answered, what it asks, what to tell."""
    request = read_request(
        observed.deployment.metadata, answered=status.request, now=observed.now, verbs=VERBS
    )
    if request is None:
        return status, "", ()
    status = status.model_copy(update={"request": request.text})
    if isinstance(request, Ignored):
        return status, "", (_ignored(request.message),)
    if request.verb == "retry":
        return _retry(status, request)
    why = _why_not(status, request)
    if why:
        said = f"Request {request.text!r} was ignored: {why}."
        return status, "", (_ignored(said),)
    return status, request.verb, ()


def _retry(
    status: ModelDeploymentStatus, request: Request
) -> tuple[ModelDeploymentStatus, str, tuple[Event, ...]]:
    """Let a refused revision, or one that ended without a verdict, be tried again now."""
    kept = tuple(item for item in status.refused if item.revision != request.target)
    past = status.last_rollout
    undecided = (
        past is not None and past.outcome == "Inconclusive" and past.revision == request.target
    )
    if len(kept) == len(status.refused) and not undecided:
        said = f"Request {request.text!r} was ignored: {request.target} was not refused."
        return status, "", (_ignored(said),)
    said = f"A request lets revision {request.target} be tried again."
    status = status.model_copy(update={"refused": kept})
    return status, "retry", (Event(reason=Reason.RETRIED, message=said),)


def _why_not(status: ModelDeploymentStatus, request: Request) -> str:
    """Why promote, skip or abort cannot be done."""
    candidate = status.candidate
    if candidate is None:
        return "no rollout is under way"
    if candidate.revision != request.target:
        return f"the candidate is {candidate.revision}, not {request.target}"
    if status.stable is None and request.verb != "abort":
        return "the first model takes all traffic without steps"
    return ""


def _ignored(message: str) -> Event:
    return Event(reason=Reason.REQUEST_IGNORED, message=message, warning=True)


def released(status: ModelDeploymentStatus) -> bool:
    """Whether the last request asked the candidate up, paused or not."""
    if status.request is None or status.candidate is None:
        return False
    asked = status.request.partition("@")[0]
    return asked in {f"{verb}/{status.candidate.revision}" for verb in ("promote", "skip")}
