"""Counting what was asked of the API server, from its audit log."""

import json
from dataclasses import dataclass
from pathlib import Path

WRITES = ("create", "update", "patch", "delete", "deletecollection")


@dataclass(frozen=True)
class Request:
    """One finished request."""

    verb: str
    resource: str
    subresource: str
    namespace: str
    name: str
    code: int
    agent: str

    @property
    def is_write(self) -> bool:
        """Whether it could have changed something."""
        return self.verb in WRITES


class AuditLog:
    """The audit log of one API server."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def mark(self) -> int:
        """Return where the log ends now."""
        return self.path.stat().st_size if self.path.exists() else 0

    def since(self, mark: int, agent: str = "tidemill/") -> list[Request]:
        """Return the requests of one user agent that were answered after `mark`.

        Watches count when they begin (their audit stage is ResponseStarted), all else when done.
        """
        with self.path.open("rb") as log:
            log.seek(mark)
            lines = log.read().splitlines()
        found = []
        for line in lines:
            try:
                event = json.loads(line)
            except ValueError:
                continue  # the last line is still being written
            wanted = "ResponseStarted" if event["verb"] == "watch" else "ResponseComplete"
            if event["stage"] == wanted and event.get("userAgent", "").startswith(agent):
                found.append(_request(event))
        return found

    def writes(self, mark: int, agent: str = "tidemill/") -> list[Request]:
        """Return the writes after `mark`, renewals of Leases left out."""
        return [one for one in self.since(mark, agent) if one.is_write and one.resource != "leases"]


def _request(event: dict[str, object]) -> Request:
    about = event.get("objectRef") or {}
    status = event.get("responseStatus") or {}
    assert isinstance(about, dict) and isinstance(status, dict)
    return Request(
        verb=str(event["verb"]),
        resource=str(about.get("resource", "")),
        subresource=str(about.get("subresource", "")),
        namespace=str(about.get("namespace", "")),
        name=str(about.get("name", "")),
        code=int(status.get("code", 0)),
        agent=str(event.get("userAgent", "")),
    )
