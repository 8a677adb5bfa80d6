"""Why a model server could not start, told where people look.

One line goes to stderr and a JSON document {"reason", "message"} to the container's termination
log, from where the kubelet copies it into the pod's status.
"""

import json
import sys
from enum import IntEnum
from pathlib import Path

TERMINATION_LOG = Path("/dev/termination-log")
_MESSAGE_LIMIT = 900  # characters; the kubelet keeps 4096 bytes


class Exit(IntEnum):
    """Exit codes of both programs; 0 is success."""

    INTERNAL = 1
    USAGE = 2
    NOT_FOUND = 3
    ACCESS_DENIED = 4
    DIGEST_MISMATCH = 5
    INVALID_BUNDLE = 6
    UNAVAILABLE = 7
    DISK = 8
    GOLDEN_MISMATCH = 9


class StartError(Exception):
    """The program cannot go on. `reason` is one CamelCase word, the message is for a person."""

    def __init__(self, code: Exit, reason: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason


def report(failure: StartError, termination_log: Path = TERMINATION_LOG) -> int:
    """Say why on stderr and in the termination log, and return the exit code.

    The log is written only where the kubelet has made it: elsewhere there is nobody to read it.
    """
    message = " ".join(str(failure).split())[:_MESSAGE_LIMIT]
    sys.stderr.write(f"{failure.reason}: {message}\n")
    if termination_log.exists():
        try:
            said = {"reason": failure.reason, "message": message}
            termination_log.write_text(json.dumps(said, ensure_ascii=False), "utf-8")
        except OSError as error:
            sys.stderr.write(f"the termination log cannot be written: {error.strerror}\n")
    return int(failure.code)
