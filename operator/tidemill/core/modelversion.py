"""A ModelVersion: may it serve, by which gates.

A model is judged once by its TrainingJob's gates. When the gates change, the newest model of the
job is judged again from what was measured; older ones keep their verdict, and so does an approved
one that serves. A person's approval of a digest stands above the gates, and a revocation of the
data it has learned from above all: a ModelDeployment that serves it says so and goes on serving.
"""

from tidemill.api.base import Condition
from tidemill.api.reasons import Reason
from tidemill.api.v1alpha1.modelversion import GateResult
from tidemill.core import conditions as c
from tidemill.core.gates import gates_hash, judge_model
from tidemill.core.observed import ModelVersionObserved
from tidemill.core.plan import Plan
from tidemill.core.story import tell


def plan_modelversion(seen: ModelVersionObserved) -> Plan:
    """Decide a ModelVersion's verdict."""
    model = seen.model
    if model.metadata.deletion_timestamp is not None:
        return Plan()
    approved, against, gates = _judge(seen)
    approved = _tainted(seen) or approved
    generation = model.metadata.generation
    status = model.status.model_copy(
        update={
            "observed_generation": generation,
            "judged_against": against,
            "gates": gates,
            "conditions": c.merge(
                model.status.conditions,
                [_ready(approved), approved],
                generation=generation,
                now=seen.now,
            ),
        }
    )
    before = [item for item in model.status.conditions if item.type != "Ready"]
    after = [item for item in status.conditions if item.type != "Ready"]
    return Plan(status=status.to_wire(), events=tell(before, after))


def _tainted(seen: ModelVersionObserved) -> Condition | None:
    """Not approved, whatever gates or persons say, once its data were revoked; that stays so."""
    before = c.find(seen.model.status.conditions, "Approved")
    if before is not None and before.reason == Reason.DATA_REVOKED:
        return before
    if seen.revoked_data is None:
        return None
    said = f"DatasetVersion {seen.revoked_data}, which it has learned from, was revoked."
    return c.condition("Approved", False, Reason.DATA_REVOKED, said)


_Judged = tuple[Condition, str | None, tuple[GateResult, ...]]


def _judge(seen: ModelVersionObserved) -> _Judged:
    """The Approved condition, the hash of the gates it is by, and what each gate said."""
    spec, status = seen.model.spec, seen.model.status
    before = c.find(status.conditions, "Approved")
    if spec.origin == "Imported" or spec.training_job_ref is None:
        said = "It was imported: whoever named its digest has approved it."
        return c.condition("Approved", True, Reason.IMPORTED, said), None, ()
    if seen.job is None:
        if before is not None:
            return before, status.judged_against, status.gates
        said = f"TrainingJob {spec.training_job_ref.name} is gone, and with it the gates."
        return c.condition("Approved", None, Reason.DEPENDENCY_NOT_READY, said), None, ()
    if before is not None and before.reason == Reason.APPROVED_BY_HAND:
        return before, status.judged_against, status.gates
    present = gates_hash(seen.job.spec.gates)
    old = before is not None and status.judged_against is not None
    if before is None or not old or (status.judged_against != present and seen.newest):
        before, gates = _judge_now(seen, before)
    else:
        present, gates = status.judged_against or present, status.gates
    if seen.approval is not None and seen.approval.target == spec.digest:
        said = f"A person approved it by the request {seen.approval.text}."
        before = c.condition("Approved", True, Reason.APPROVED_BY_HAND, said)
    return before, present, gates


def _judge_now(
    seen: ModelVersionObserved, before: Condition | None
) -> tuple[Condition, tuple[GateResult, ...]]:
    if seen.job is None:
        raise ValueError("a model is judged by the gates of its TrainingJob")
    spec = seen.model.spec
    gates, approved, reason, message = judge_model(
        seen.job.spec.gates,
        spec.metrics,
        champion=spec.champion,
        saw_test_rows=spec.champion_saw_test_rows,
    )
    was_approved = before is not None and before.status == "True"
    if was_approved and seen.serving and approved is not True:
        said = f"It serves and is not withdrawn, though by the present gates: {message}"
        return c.condition("Approved", True, Reason.KEPT_SERVING, said), gates
    return c.condition("Approved", approved, reason, message), gates


def _ready(approved: Condition) -> Condition:
    """A record is ready once it is judged, whatever the verdict."""
    if approved.status == "Unknown":
        return c.condition("Ready", False, approved.reason, approved.message)
    said = "The model is recorded and judged; see Approved."
    return c.condition("Ready", True, Reason.JUDGED, said)
