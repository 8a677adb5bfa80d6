"""Taking back a version: `revoke` taints it, `erase` also deletes its bytes and keeps its record.

Both are requests on the Dataset, `revoke/<DatasetVersion or digest>@<time>`. The DatasetVersion's
own pass sees the request that names it and says so in its own status, for good: a version is never
trusted again. The Dataset answers a revocation once every version it names says it is revoked, so
that none is lost between the two.

A digest, or a name whose content another reading shares, means every record of that content.
"""

from collections.abc import Iterable, Sequence

from tidemill.api.base import Condition
from tidemill.api.reasons import Reason
from tidemill.api.v1alpha1 import Dataset, DatasetVersion
from tidemill.core import conditions as c
from tidemill.core.causes import handled
from tidemill.core.requests import Request, parse_request

REVOKE, ERASE = "revoke", "erase"
VERBS = {REVOKE: True, ERASE: True}
"""The verbs, with whether they need a target."""
ERASE_CAUSE = "Erase"
"""The cause of the run that deletes bytes; its key is the request."""


def is_revoked(version: DatasetVersion) -> bool:
    """Whether it says so itself."""
    return c.is_true(version.status.conditions, "Revoked")


def is_erased(version: DatasetVersion) -> bool:
    """Whether its bytes are gone."""
    return c.is_true(version.status.conditions, "Erased")


def named(versions: Sequence[DatasetVersion], target: str | None) -> list[DatasetVersion]:
    """The records of the content that a request names; none if nothing has that name or digest."""
    digests = {
        item.spec.digest for item in versions if target in (item.metadata.name, item.spec.digest)
    }
    return [item for item in versions if item.spec.digest in digests]


def target_of(key: str) -> str | None:
    """The target in the key of an Erase cause, which is the request."""
    request = parse_request(key)
    return None if request is None else request.target


def erases(cause: str, key: str, version: DatasetVersion, others: Sequence[DatasetVersion]) -> bool:
    """Whether a cause is the erasure of this version."""
    return cause == ERASE_CAUSE and version in named(others, target_of(key))


def is_erased_by(
    dataset: Dataset, version: DatasetVersion, versions: Sequence[DatasetVersion], *, ended: bool
) -> bool:
    """Whether the run that was to delete its bytes has succeeded. `ended`: the active one has."""
    active = dataset.status.active
    if active is not None and ended and erases(active.cause, active.key, version, versions):
        return True
    spent = handled(dataset.status.handled, ERASE_CAUSE)
    return (
        spent is not None
        and spent.outcome == "Succeeded"
        and erases(spent.cause, spent.key, version, versions)
    )


def taints(
    before: Iterable[Condition], request: Request | None, *, erased: bool
) -> tuple[Condition, ...]:
    """The Revoked and Erased conditions; both stay once they are there.

    `request` names this version, if there is an open one that does.
    """
    held = tuple(before)
    revoked, gone = c.find(held, "Revoked"), c.find(held, "Erased")
    if revoked is None and request is not None:
        said = (
            f"It was revoked by the request {request.text}: nothing is trained on it, and models"
            " that have learned from it are not approved."
        )
        revoked = c.condition("Revoked", True, Reason.REVOKED, said)
    if gone is None and erased:
        said = "Its rows, manifest, profile and page are deleted; the record stays."
        gone = c.condition("Erased", True, Reason.ERASED, said)
    return tuple(item for item in (revoked, gone) if item is not None)


def refused(revoked: Condition) -> Condition:
    """The Accepted condition of a revoked version."""
    return c.condition("Accepted", False, Reason.REVOKED, revoked.message)
