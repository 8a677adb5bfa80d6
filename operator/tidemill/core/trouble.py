"""Why a Dataset or TrainingJob cannot go on by itself, or cannot use what a step handed back."""

from dataclasses import dataclass

from pydantic import ValidationError

from tidemill.api.documents.results import Failure
from tidemill.api.reasons import Reason
from tidemill.api.v1alpha1 import PipelineExecution
from tidemill.core.observed import Unreadable, stuck_of

LOOK_SECONDS = 10.0
"""How soon to look whether somebody else's object of a child's name is gone: nobody tells us."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """Why it cannot go on by itself."""

    reason: str
    message: str
    unready: bool = False
    """It does not do what its spec says, even where a good version or model is in use."""

    @property
    def look_again(self) -> float | None:
        """Seconds after which to look whether it has passed; None: whatever ends it wakes us."""
        return LOOK_SECONDS if self.reason == Reason.NAME_CONFLICT else None


def stuck(execution: PipelineExecution) -> Problem | None:
    """What an execution waits for that a person has to do, if it does."""
    told = stuck_of(execution)
    return None if told is None else Problem(reason=told[0], message=told[1])


def name_conflict(kind: str, name: str, parent: str) -> Problem:
    """Another's object has the name of a child."""
    message = (
        f"{kind} {name} exists and does not belong to this {parent}; it is left alone. Delete it"
        " to let the work go on."
    )
    return Problem(reason=Reason.NAME_CONFLICT, message=message)


def unusable(result: object) -> Unreadable:
    """What is wrong with the result of an execution that succeeded, if it is not the one asked
    for.
    """
    if isinstance(result, Unreadable):
        return result
    if isinstance(result, Failure):
        return Unreadable(result.reason, result.message)
    kind = getattr(result, "kind", None)
    said = f"The result document is of kind {kind}, which was not asked for."
    return Unreadable(Reason.RESULT_INVALID, said)


def invalid_result(error: ValidationError) -> Unreadable:
    """What a result is called that does not fit into a record."""
    where = ".".join(str(part) for part in error.errors()[0]["loc"])
    return Unreadable(Reason.RESULT_INVALID, f"The result does not fit into a record at {where}.")
