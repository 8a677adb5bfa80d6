"""How a step says that it cannot go on, without saying what it must keep to itself."""

import os
import re

from tidemill.api.documents.results import Failure

MESSAGE_LENGTH = 1024
_SECRET = re.compile(
    r"SECRET|TOKEN|PASSWORD|CREDENTIAL|_KEY|^SOURCE_(?!AWS_|GOOGLE_|AZURE_|username$)",
    re.IGNORECASE,
)
"""A database's URL stands in a variable of the user's choice behind SOURCE_."""
_SHORTEST_SECRET = 6


def redacted(said: str) -> str:
    """The text with the values of secret variables starred out, in case a library quotes them."""
    for name, value in os.environ.items():
        if _SECRET.search(name) and len(value) >= _SHORTEST_SECRET:
            said = said.replace(value, "***")
    return said


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
        said = redacted(str(self))
        if len(said) > MESSAGE_LENGTH:
            said = f"{said[: MESSAGE_LENGTH - 3]}..."
        return Failure(reason=self.reason, message=said, transient=self.transient)


def listing(names: list[str], most: int = 20) -> str:
    """Names for a message: the first `most` of them, then how many more there are."""
    shown = ", ".join(names[:most])
    return f"{shown} and {len(names) - most} more" if len(names) > most else shown
