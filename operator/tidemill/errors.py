"""Everything an adapter may raise.

    TidemillError
    ├── TransientError     may pass: a timeout, 409, 429, 5xx; try again after `retry_after`
    │   └── ConflictError  the object moved since it was read: gather and decide again
    └── TerminalError      will not pass by itself: 400, 403, 404, 422; carries a `reason`

Waiting and stalled are values in a plan, not exceptions.
"""


class TidemillError(Exception):
    """Base of everything an adapter may raise."""


class TransientError(TidemillError):
    """It may pass; try again after `retry_after` seconds (None: with backoff)."""

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class ConflictError(TransientError):
    """The object moved since it was read, or is another one: gather and decide again."""


class TerminalError(TidemillError):
    """It will not pass by itself. `reason` is one CamelCase word."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason
