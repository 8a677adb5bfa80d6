"""A DatasetVersion: is it accepted, by which contract.

A version is judged once by what its own read found. When the contract changes, the newest version
is judged again: by a later read of the same content, if one was made under the present contract
(a changed contract always starts one), else by its profile. What the profile cannot answer is
Unknown until that read is over; older versions keep their verdict. Above the contract stand the
growth guard and a person's approval (`approval`). A revoked version is not
accepted, whatever the contract says.
"""

from tidemill.api.base import Condition
from tidemill.api.documents.profile import Profile
from tidemill.api.reasons import Reason
from tidemill.core import conditions as c
from tidemill.core.acceptance import (
    FAIL,
    contract_hash,
    current_hashes,
    judge_profile,
)
from tidemill.core.approval import by_contract, contract_before, settle
from tidemill.core.observed import DatasetVersionObserved
from tidemill.core.plan import Plan
from tidemill.core.revocation import refused, taints
from tidemill.core.story import tell

LOOK_SECONDS = 5.0
"""How soon to look again for a read under the present contract that is not over yet."""


def plan_datasetversion(seen: DatasetVersionObserved) -> Plan:
    """Decide a DatasetVersion's verdict."""
    version = seen.version
    if version.metadata.deletion_timestamp is not None:
        return Plan()
    judged, against = _judge(seen)
    settled = settle(seen, judged)
    accepted = settled.accepted
    if settled.approved is not None and seen.dataset is not None:
        anchor = seen.anchor.metadata.name if seen.anchor is not None else None
        against = contract_hash(seen.dataset.spec, anchor)  # nothing is left to judge
    tainted = taints(version.status.conditions, seen.revocation, erased=seen.erased)
    if tainted:
        accepted = refused(tainted[0])
    generation = version.metadata.generation
    status = version.status.model_copy(
        update={
            "observed_generation": generation,
            "judged_against": against,
            "approved": settled.approved,
            "contract": settled.contract,
            "conditions": c.merge(
                version.status.conditions,
                [_ready(accepted), accepted, *tainted],
                generation=generation,
                now=seen.now,
            ),
        }
    )
    before = [item for item in version.status.conditions if item.type != "Ready"]
    after = [item for item in status.conditions if item.type != "Ready"]
    waits = seen.reading and against not in present_hashes(seen)
    waits = waits or (seen.erasing and not seen.erased)
    return Plan(
        status=status.to_wire(),
        events=tell(before, after),
        requeue_after=LOOK_SECONDS if waits else None,
    )


def present_hashes(seen: DatasetVersionObserved) -> frozenset[str]:
    """The hashes that count as its Dataset's present contract; none once that is gone."""
    if seen.dataset is None:
        return frozenset()
    return current_hashes(
        seen.dataset.spec,
        seen.version.metadata.name,
        seen.dataset.status.schema_anchor,
        anchor_exists=seen.anchor is not None,
    )


def _judge(seen: DatasetVersionObserved) -> tuple[Condition, str | None]:
    """The Accepted condition, and the contract hash it is by."""
    spec, against = seen.version.spec, seen.version.status.judged_against
    before = contract_before(seen.version)
    present = present_hashes(seen)
    own = by_contract(seen, spec.violations)
    if before is None or against is None or spec.contract_hash in present:
        return own, spec.contract_hash
    if against in present or seen.dataset is None:
        return before, against
    anchor = seen.anchor.metadata.name if seen.anchor is not None else None
    now = contract_hash(seen.dataset.spec, anchor)
    if seen.evidence is not None:
        return by_contract(seen, seen.evidence), now
    return _judge_again(seen, before, against, now) if seen.newest else (before, against)


def _judge_again(
    seen: DatasetVersionObserved, before: Condition, against: str, now: str
) -> tuple[Condition, str]:
    """Judge the newest version by its profile."""
    if seen.dataset is None or not isinstance(seen.profile, Profile):
        why = "has not been read yet" if seen.profile is None else "cannot be read"
        return _open(f"The contract has changed, and the version's profile {why}."), against
    judged = judge_profile(
        seen.dataset.spec,
        seen.version,
        seen.profile,
        anchor=seen.anchor,
        anchor_profile=seen.anchor_profile,
    )
    refused = any(item.severity == FAIL for item in judged.violations)
    if judged.open and not refused:
        names = ", ".join(judged.open[:10])
        return _open(f"The contract has changed, and the profile cannot answer {names}."), against
    return by_contract(seen, judged.violations), now


def _open(why: str) -> Condition:
    said = f"{why} The Dataset's next refresh answers it."
    return c.condition("Accepted", None, Reason.NEEDS_JUDGING, said)


def _ready(accepted: Condition) -> Condition:
    """A record is ready once it is judged, whatever the verdict."""
    if accepted.status == "Unknown":
        return c.condition("Ready", False, accepted.reason, accepted.message)
    said = "The version is recorded and judged; see Accepted."
    return c.condition("Ready", True, Reason.JUDGED, said)
