"""What waits for a person's approval: a schema that has changed, and a version that has grown, or
shrunk, too much.

Both are asked for by the same request on the Dataset, `approve/<name or digest>@<time>`. It is
acted on once, by the version's own pass; what was approved stays so, whatever the contract says
later. A version approved for its schema is the schema's new anchor. An expectation that is broken
is no matter of approval: it is changed in the contract, where everybody sees it.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tidemill.api.base import REQUEST_ANNOTATION, Condition
from tidemill.api.reasons import Reason
from tidemill.api.scalars import decimal
from tidemill.api.v1alpha1 import DatasetVersion
from tidemill.api.v1alpha1.datacontract import Contract
from tidemill.api.v1alpha1.datasetversion import (
    Approval,
    ContractVerdict,
    DatasetVersionSpec,
    Violation,
)
from tidemill.core import conditions as c
from tidemill.core.acceptance import is_accepted, verdict
from tidemill.core.observed import DatasetVersionObserved
from tidemill.core.requests import Ignored, Request

WAITING = frozenset({str(Reason.SCHEMA_NEEDS_APPROVAL), str(Reason.GROWTH_NEEDS_APPROVAL)})
"""Reasons of Accepted that an approval ends."""
VERBS = {"approve": True}
"""The verb, which needs a target."""
_MESSAGE = 900
"""Leaves room for what a Dataset says before it."""


def growth(contract: Contract, spec: DatasetVersionSpec) -> str | None:
    """How a version has grown or shrunk beyond what the contract lets pass; None if it has not.

    It is compared with the version that was in use when it was made.
    """
    before = spec.predecessor
    if before is None or before.rows == 0:
        return None
    most, shrink = decimal(contract.max_growth), contract.max_shrink
    said = f"It has {spec.rows:,} rows, {before.name} before it {before.rows:,}: "
    if spec.rows > most * before.rows:
        times = f"{spec.rows / before.rows:.3g} times as many"
        return f"{said}{times}, which is more than contract.maxGrowth: {contract.max_growth}."
    if shrink is not None and spec.rows * decimal(shrink) < before.rows:
        times = f"{before.rows / spec.rows:.3g} times fewer"
        return f"{said}{times}, which is more than contract.maxShrink: {shrink}."
    return None


def by_contract(seen: DatasetVersionObserved, violations: Iterable[Violation]) -> Condition:
    """The Accepted condition by what was found broken; for a schema, with how to approve it."""
    accepted, reason, said = verdict(violations, seen.version.spec.rows)
    if reason != Reason.SCHEMA_NEEDS_APPROVAL:
        return c.condition("Accepted", accepted, reason, said)
    grown = None if seen.dataset is None else growth(seen.dataset.spec.contract, seen.version.spec)
    whole = f"{said} {grown}" if grown is not None else said
    return c.condition("Accepted", accepted, reason, _asking(seen.version, whole))


def _asking(version: DatasetVersion, said: str) -> str:
    """A message with the command that approves a version."""
    meta = version.metadata
    command = (
        f"kubectl annotate dataset {version.spec.dataset_ref.name} -n {meta.namespace} --overwrite"
        f" {REQUEST_ANNOTATION}=approve/{meta.name}@$(date -u +%Y-%m-%dT%H:%M:%SZ)"
    )
    asked = f" If it is right, approve it: {command}"
    return f"{said[: _MESSAGE - len(asked)]}{asked}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """How a version stands, with the growth guard and approvals."""

    accepted: Condition
    approved: Approval | None = None
    contract: ContractVerdict | None = None
    """The contract's own verdict, while the growth guard stands above it."""


def settle(seen: DatasetVersionObserved, by_contract: Condition) -> Settled:
    """Put the growth guard and a person's approval above the contract's verdict.

    A version that was accepted once does not wait again: a lowered maxGrowth takes nothing back.
    """
    approved = seen.version.status.approved
    if approved is not None:
        return Settled(accepted=_approved(approved), approved=approved)
    grown = None
    if by_contract.status == "True" and seen.dataset is not None and not is_accepted(seen.version):
        grown = growth(seen.dataset.spec.contract, seen.version.spec)
    waits_for = by_contract.reason if grown is None else str(Reason.GROWTH_NEEDS_APPROVAL)
    if waits_for in WAITING and _is_meant(seen.approval, seen.version):
        text = "" if seen.approval is None else seen.approval.text
        approved = Approval(request=text, at=c.rfc3339(seen.now), of=waits_for)
        return Settled(accepted=_approved(approved), approved=approved)
    if grown is None:
        return Settled(accepted=by_contract)
    said = _asking(seen.version, grown)
    return Settled(
        accepted=c.condition("Accepted", None, Reason.GROWTH_NEEDS_APPROVAL, said),
        contract=ContractVerdict(reason=by_contract.reason, message=by_contract.message),
    )


def contract_before(version: DatasetVersion) -> Condition | None:
    """What the contract said of a version before: its Accepted condition, or what stood below."""
    below = version.status.contract
    if below is not None:
        return c.condition("Accepted", True, below.reason, below.message)
    return c.find(version.status.conditions, "Accepted")


def _is_meant(request: Request | None, version: DatasetVersion) -> bool:
    names = (version.metadata.name, version.spec.digest)
    return request is not None and request.target in names


def _approved(approval: Approval) -> Condition:
    what = "its schema" if approval.of == Reason.SCHEMA_NEEDS_APPROVAL else "its size"
    said = f"A person approved {what} by the request {approval.request}."
    return c.condition("Accepted", True, Reason.APPROVED_BY_HAND, said)


def approved_schema(versions: Iterable[DatasetVersion]) -> str | None:
    """The version whose schema was approved last; None if none was."""
    dated = [
        (item.status.approved.at, item.metadata.name)
        for item in versions
        if item.status.approved is not None
        and item.status.approved.of == Reason.SCHEMA_NEEDS_APPROVAL
    ]
    return max(dated)[1] if dated else None


def answer(request: Request, versions: Iterable[DatasetVersion]) -> Request | Ignored | None:
    """How a Dataset answers a request to approve: with the request itself once it was acted on;
    None while the version's own pass has not, or there is no verdict yet.
    """
    meant = [item for item in versions if _is_meant(request, item)]
    approvals = [item.status.approved for item in meant]
    if any(item is not None and item.request == request.text for item in approvals):
        return request
    why = _refusal(meant)
    if why is None:
        return None
    return Ignored(text=request.text, message=f"Request {request.text!r} was ignored: {why}.")


def _refusal(meant: Sequence[DatasetVersion]) -> str | None:
    if not meant:
        return "no version of this Dataset has that name or digest"
    if any(is_accepted(item) for item in meant):
        return "that version is accepted already"
    verdicts = [c.find(item.status.conditions, "Accepted") for item in meant]
    told = [item for item in verdicts if item is not None and item.status == "False"]
    if not told or [item for item in told if item.reason in WAITING]:
        return None
    said = told[0].message.rstrip(".")
    return f"what that version breaks is no matter of approval, but of contract or data: {said}"
