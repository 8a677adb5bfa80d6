"""How a step says that it cannot go on."""

from tidemill.api.documents.results import Failure

MESSAGE_LENGTH = 1024


class StepError(Exception):
    """Expected trouble. `reason` is one CamelCase word, the message says what, where and what to
    do, in one or two sentences and without credentials.
    """

    def __init__(self, reason: str, message: str, *, transient: bool = False) -> None:
        super().__init__(message)
        self.reason = reason
        self.transient = transient

    def document(self) -> Failure:
        """The result document."""
        said = str(self)
        if len(said) > MESSAGE_LENGTH:
            said = f"{said[: MESSAGE_LENGTH - 3]}..."
        return Failure(reason=self.reason, message=said, transient=self.transient)


def listing(names: list[str], most: int = 20) -> str:
    """Names for a message: the first `most` of them, then how many more there are."""
    shown = ", ".join(names[:most])
    return f"{shown} and {len(names) - most} more" if len(names) > most else shown
