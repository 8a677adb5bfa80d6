"""How a rollout ends: promoted, rolled back, taken back without a verdict, or superseded.

Each is one claim. Pointers move and the weight goes; pods follow when requests are seen to have
gone elsewhere.
"""

from typing import Literal

from tidemill.api.reasons import Reason
from tidemill.api.v1alpha1.modeldeployment import ModelDeploymentStatus, PastRollout, Refused
from tidemill.core.conditions import MAX_MESSAGE, rfc3339
from tidemill.core.rolloutview import Move, Seen

MOST_REFUSED = 10

Outcome = Literal["Promoted", "RolledBack", "Superseded", "Inconclusive"]


def weighed(status: ModelDeploymentStatus, weight: int) -> ModelDeploymentStatus:
    """What `kubectl get` shows: the shares of candidate and stable."""
    update: dict[str, object] = {}
    if status.candidate is not None:
        update["candidate"] = status.candidate.model_copy(update={"weight": weight})
    if status.stable is not None:
        update["stable"] = status.stable.model_copy(update={"weight": 100 - weight})
    return status.model_copy(update=update)


def promotion(seen: Seen, reason: Reason, said: str) -> Move:
    """The candidate becomes stable; what was stable is taken out."""
    before = seen.status
    past = _past(seen, "Promoted", reason, said)
    old = (before.stable.revision,) if before.stable is not None else ()
    status = before.model_copy(
        update={
            "stable": seen.candidate.model_copy(update={"weight": 100}),
            "candidate": None,
            "rollout": None,
            "retiring": (*before.retiring, *old),
            "retiring_since": None,
            "refused": tuple(x for x in before.refused if x.digest != seen.candidate.digest),
            "last_rollout": past,
        }
    )
    return Move(status=status, complete=True, reason=reason, message=said)


def rolled_back(seen: Seen, reason: Reason, why: str) -> Move:
    """The candidate is refused; stable keeps serving."""
    said = _sentence(seen, "Rolled back", why)
    entry = Refused(
        digest=seen.candidate.digest,
        revision=seen.candidate.revision,
        reason=reason,
        message=said,
        at=rfc3339(seen.now),
        generation=seen.generation,
        spec_hash=seen.spec_hash,
    )
    others = [item for item in seen.status.refused if item.digest != entry.digest]
    status = ended(seen, "RolledBack", reason, said)
    status = status.model_copy(update={"refused": (*others[-(MOST_REFUSED - 1) :], entry)})
    return Move(status=status, complete=False, reason=reason, message=said)


def inconclusive(seen: Seen, reason: Reason, why: str) -> Move:
    """No verdict in time: the weight goes, no model is refused, and it is tried again later."""
    said = _sentence(seen, "Taken back without a verdict", why)
    status = ended(seen, "Inconclusive", reason, said)
    return Move(status=status, complete=False, reason=reason, message=said)


def _sentence(seen: Seen, what: str, why: str) -> str:
    where = f"at {seen.candidate.weight} % ({seen.place})"
    return f"{what} {where}: {why.rstrip('.')}."[:MAX_MESSAGE]


def ended(seen: Seen, outcome: Outcome, reason: Reason, said: str) -> ModelDeploymentStatus:
    """The status without the candidate, whose pods are taken out."""
    before = seen.status
    status = before.model_copy(
        update={
            "candidate": None,
            "rollout": None,
            "retiring": (*before.retiring, seen.candidate.revision),
            "retiring_since": None,
            "last_rollout": _past(seen, outcome, reason, said),
        }
    )
    return weighed(status, 0)


def _past(seen: Seen, outcome: Outcome, reason: Reason, said: str) -> PastRollout:
    return PastRollout(
        revision=seen.candidate.revision,
        model_version=seen.candidate.model_version,
        outcome=outcome,
        reason=reason,
        message=said[:MAX_MESSAGE],
        ended=rfc3339(seen.now),
    )
