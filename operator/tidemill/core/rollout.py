"""Canary rollout: what a rollout claims next.

`step_rollout` looks once and answers with the status to claim. Where that differs from what was
seen, nothing else happens until it is written; weights and replicas then follow from what is
written. So a crash at any point repeats a decision or finds it made, and never doubles one.

The candidate's way up: its pods are ready, Prometheus has two samples of each (`NotScraped`), the
step's weight is claimed, the route is seen to carry it, one scrape later measuring begins, and the
step is over when it has lasted holdSeconds and the last verdict, on at least minSamples requests,
is Successful. Pods for the next weight come before the weight. After the last step it becomes
stable once it has all its pods; that moves pointers and restarts nothing.

The way down is one claim from anywhere: the weight goes at once, the pods after the drain.
"""

from dataclasses import replace
from datetime import datetime, timedelta

from tidemill.api.reasons import Reason
from tidemill.api.v1alpha1.modeldeployment import (
    ModelDeploymentStatus,
    OnNoData,
    Phase,
    RevisionStatus,
    Rollout,
    RolloutStatus,
)
from tidemill.core.analysis import Analysed, next_at
from tidemill.core.candidates import Target
from tidemill.core.conditions import MAX_MESSAGE, parse_time, rfc3339
from tidemill.core.rolloutends import ended, inconclusive, promotion, rolled_back, weighed
from tidemill.core.rolloutview import Move, Seen, hold_until
from tidemill.core.scaling import weight_of
from tidemill.core.verdicts import Verdict

MOST_RETIRING = 8
TRY_AGAIN_SECONDS = 600
"""When a rollout that ended without a verdict is tried again, at the latest."""


def step_rollout(seen: Seen) -> Move:
    """Decide what to claim next.

    The first rule that applies wins. What takes weight away stands before what waits, and what
    waits before what moves up; a deadline only ends what could not move up by itself.
    """
    if seen.status.rollout is None or seen.status.candidate is None:
        return _begin(seen)
    for rule in (_superseded, _aborted, _asked_up, _first):
        move = rule(seen)
        if move is not None:
            return move
    seen = _measured(seen)
    for rule in (_failed, _lost, _promoted, _over, _raised, _observed, _late):
        move = rule(seen)
        if move is not None:
            return move
    return _waiting(seen)


def is_news(policy: Rollout, rollout: RolloutStatus, taken: Analysed) -> bool:
    """Whether a measurement has to be written down: it counts, or says something else than before.

    That a step which still holds has too few samples yet is nothing to write down.
    """
    if taken.verdict in (Verdict.FAILED, Verdict.ERROR) or rollout.errors > 0:
        return True
    until = hold_until(policy, rollout)
    early = until is not None and taken.at < until and not rollout.verdict
    if early and taken.verdict is Verdict.NO_DATA:
        return False
    return taken.verdict != rollout.verdict


def _begin(seen: Seen) -> Move:
    """Without a rollout: start one, or say why none is needed or possible."""
    target, status = seen.choice.target, seen.status
    if target is None:
        return _idle(seen)
    if status.stable is not None and seen.replicas == 0:
        said = "Rollouts start when spec.replicas is more than 0."
        return Move(status=status, complete=None, reason=Reason.SCALED_TO_ZERO, message=said)
    later = _try_again_at(seen, target)
    if later is not None:
        return later
    if not _has_room(status, target.revision):
        said = f"{target.model.version} waits until the pods of earlier revisions have ended."
        return Move(status=status, complete=False, reason=Reason.DRAINING, message=said)
    started = _with_candidate(seen, status, target)
    said = f"{target.model.version} is the candidate, as revision {target.revision}."
    if seen.choice.note:
        said = f"{said} {seen.choice.note}"
    return Move(status=started, complete=False, reason=Reason.ROLLOUT_STARTED, message=said)


def _idle(seen: Seen) -> Move:
    """Nothing should take over: say how it came to that."""
    status, choice = seen.status, seen.choice
    if choice.reason:
        return Move(status=status, complete=False, reason=choice.reason, message=choice.message)
    past = status.last_rollout
    if past is None or past.outcome in ("RolledBack", "Inconclusive"):
        name = status.stable.model_version if status.stable is not None else "No model"
        said = f"{name} serves; no other model is to take over."
        return Move(status=status, complete=True, reason=Reason.SERVING, message=said)
    return Move(status=status, complete=True, reason=past.reason, message=past.message)


def _try_again_at(seen: Seen, target: Target) -> Move | None:
    """A rollout that ended without a verdict is not tried again at once."""
    past = seen.status.last_rollout
    if past is None or past.outcome != "Inconclusive" or past.revision != target.revision:
        return None
    pause = min(TRY_AGAIN_SECONDS, seen.policy.step_deadline_seconds)
    again = parse_time(past.ended) + timedelta(seconds=pause)
    if seen.now >= again or seen.asked == "retry":
        return None
    said = f"{past.message} It is tried again at {rfc3339(again)}."
    return Move(status=seen.status, complete=False, reason=past.reason, message=said, again=again)


def _with_candidate(
    seen: Seen, status: ModelDeploymentStatus, target: Target
) -> ModelDeploymentStatus:
    """The status with a new candidate, whose rollout begins now."""
    return status.model_copy(
        update={
            "candidate": RevisionStatus(
                revision=target.revision,
                model_version=target.model.version,
                digest=target.model.digest,
            ),
            "rollout": RolloutStatus(step_started=rfc3339(seen.now), from_git=target.from_spec),
            "retiring": tuple(name for name in status.retiring if name != target.revision),
        }
    )


def _has_room(status: ModelDeploymentStatus, *names: str) -> bool:
    return len({*status.retiring} - {*names}) < MOST_RETIRING


def _superseded(seen: Seen) -> Move | None:
    """Another model should serve: it takes this candidate's place."""
    target, status = seen.choice.target, seen.status
    if target is not None and target.revision == seen.candidate.revision:
        return None
    if not _has_room(status):
        said = f"{_next(target)} waits until the pods of earlier revisions have ended."
        return Move(status=status, complete=False, reason=Reason.DRAINING, message=said)
    if target is not None:
        why = f"{target.model.version} took its place."
    else:
        why = seen.choice.message or "spec asks for what serves already."
    said = f"{seen.candidate.model_version} is no candidate any more: {why}"
    over = ended(seen, "Superseded", Reason.SUPERSEDED, said)
    if target is None:
        return Move(status=over, complete=True, reason=Reason.SUPERSEDED, message=said)
    started = _with_candidate(seen, over, target)
    return Move(status=started, complete=False, reason=Reason.ROLLOUT_STARTED, message=said)


def _next(target: Target | None) -> str:
    return target.model.version if target is not None else "What spec asks for"


def _aborted(seen: Seen) -> Move | None:
    if seen.asked != "abort":
        return None
    return rolled_back(seen, Reason.ABORTED, "A request ended the rollout")


def _asked_up(seen: Seen) -> Move | None:
    """A person skips the rest of a step, or of all steps."""
    if seen.asked not in ("promote", "skip") or seen.status.stable is None or seen.last:
        return None
    step = seen.steps if seen.asked == "promote" else seen.rollout.step + 1
    claimed = _change(seen, step=step, step_started=rfc3339(seen.now))
    reason = Reason.PROMOTING if step >= seen.steps else Reason.STEP_STARTED
    said = f"A request ended {seen.place} early."
    return Move(status=claimed, complete=False, reason=reason, message=said)


def _first(seen: Seen) -> Move | None:
    """With no stable there is nothing to protect: the first ready pod takes all traffic."""
    if seen.status.stable is not None:
        return None
    name = seen.candidate.model_version
    if seen.held:
        said = f"spec.rollout.paused holds {name}, the first model."
        return _stay(seen, Reason.PAUSED, said)
    if seen.pods.endpoints or seen.replicas == 0:
        return promotion(seen, Reason.INITIAL_VERSION, f"{name} is the first model to serve.")
    if seen.now >= seen.deadline:
        said = (
            f"The pods of {seen.candidate.revision} were not ready within"
            f" {seen.policy.step_deadline_seconds} s.{_trouble(seen)}"
        )
        return _stay(seen, Reason.PROGRESS_DEADLINE_EXCEEDED, said)
    said = f"Waiting for a pod of {seen.candidate.revision} to be ready.{_trouble(seen)}"
    return _stay(seen, Reason.CANDIDATE_STARTING, said, seen.deadline)


def _measured(seen: Seen) -> Seen:
    """Count a measurement; it is written down where the count or the verdict changes."""
    taken = seen.analysed
    if taken is None or seen.rollout.weight_since is None:
        return seen
    if not is_news(seen.policy, seen.rollout, taken):
        return seen
    before = seen.rollout
    failures = before.failures + (taken.verdict is Verdict.FAILED)
    errors = before.errors + 1 if taken.verdict is Verdict.ERROR else 0
    counted = _change(
        seen,
        failures=failures,
        errors=errors,
        measured_at=rfc3339(taken.at),
        verdict=str(taken.verdict),
        message=taken.message[:MAX_MESSAGE],
    )
    return replace(seen, status=counted)


def _failed(seen: Seen) -> Move | None:
    """More bad measurements than are allowed."""
    policy = seen.policy.analysis
    if seen.rollout.failures > policy.failure_limit:
        return rolled_back(seen, Reason.ANALYSIS_FAILED, seen.rollout.message)
    if seen.rollout.errors > policy.consecutive_error_limit:
        return rolled_back(seen, Reason.ANALYSIS_ERROR, seen.rollout.message)
    return None


def _lost(seen: Seen) -> Move | None:
    """A candidate without a ready endpoint gets no requests; it keeps its step."""
    if seen.rollout.weight == 0 or seen.pods.endpoints:
        return None
    claimed = _reweighed(seen, 0, phase=Phase.STARTING)
    said = f"No pod of {seen.candidate.revision} is ready: its weight is 0.{_trouble(seen)}"
    return Move(status=claimed, complete=False, reason=Reason.CANDIDATE_UNAVAILABLE, message=said)


def _promoted(seen: Seen) -> Move | None:
    """All steps are over and all pods are there: the pointers move."""
    if not seen.last or seen.held or not seen.pods.ready_for(seen.wanted):
        return None
    told = f": {seen.rollout.message}" if seen.rollout.message else ""
    said = f"{seen.candidate.model_version} took over{told}."
    return promotion(seen, Reason.PROMOTED, said)


def _over(seen: Seen) -> Move | None:
    """A step that has lasted and was judged well is over."""
    until = seen.hold_until
    if until is None or seen.now < until or seen.policy.paused:
        return None
    if seen.rollout.verdict != Verdict.SUCCESSFUL:
        return None
    return _step_up(seen)


def _step_up(seen: Seen) -> Move:
    """Claim the next step; its pods come first, its weight when they are ready."""
    step, now = seen.rollout.step + 1, rfc3339(seen.now)
    claimed = _change(seen, step=step, step_started=now)
    if step < seen.steps and weight_of(seen.policy.canary.steps, step) == seen.rollout.weight:
        # The same weight again: its hold and its measurements begin now.
        claimed = _change(seen, step=step, step_started=now, weight_since=now, **_UNMEASURED)
    told = f": {seen.rollout.message}" if seen.rollout.message else ""
    said = f"{seen.place.capitalize()} is over{told}."
    reason = Reason.PROMOTING if step >= seen.steps else Reason.STEP_STARTED
    return Move(status=claimed, complete=False, reason=reason, message=said)


def _raised(seen: Seen) -> Move | None:
    """The pods for the step are there and scraped: claim its weight."""
    if seen.last or seen.reached or seen.held or not seen.pods.ready_for(seen.wanted):
        return None
    if not _is_scraped(seen) or _must_drain(seen):
        return None
    return _raise(seen)


def _raise(seen: Seen) -> Move:
    weight = weight_of(seen.policy.canary.steps, seen.rollout.step)
    claimed = _reweighed(seen, weight, phase=Phase.STEPPING)
    said = f"{seen.place.capitalize()}: {weight} % of requests to {seen.candidate.model_version}."
    return Move(status=claimed, complete=False, reason=Reason.STEP_STARTED, message=said)


def _is_scraped(seen: Seen) -> bool:
    """Whether increases of every pod are known; without Prometheus there is nothing to wait for."""
    if not seen.prometheus:
        return True
    return seen.scraped is not None and seen.pods.endpoints <= seen.scraped


def _must_drain(seen: Seen) -> bool:
    """Behind one Service, pods of earlier revisions would share the requests too."""
    return not seen.routed and bool(seen.status.retiring)


def _observed(seen: Seen) -> Move | None:
    """The claimed weight is in force: from now on it is measured."""
    rollout = seen.rollout
    if rollout.weight == 0 or rollout.weight_since is not None or not seen.in_force:
        return None
    status = _change(seen, weight_since=rfc3339(seen.now))
    status = weighed(status, seen.achieved)
    said = f"{seen.place.capitalize()}: {seen.achieved} % of requests, measuring."
    again = seen.now + timedelta(seconds=seen.scrape_seconds)
    return Move(
        status=status,
        complete=False,
        reason=Reason.STEP_HOLDING,
        message=said,
        again=again,
        told=False,
    )


def _late(seen: Seen) -> Move | None:
    """The step's deadline has passed and nothing above could move it."""
    until = seen.hold_until
    holding = until is not None and seen.now < until
    if seen.now < seen.deadline or holding:
        return None
    if seen.policy.paused:  # a paused step is not late: its time begins anew
        claimed = _change(seen, step_started=rfc3339(seen.now))
        return Move(status=claimed, complete=False, reason=Reason.PAUSED, message=_paused(seen))
    within = f"within {seen.policy.step_deadline_seconds} s"
    if not seen.pods.ready_for(seen.wanted):
        said = f"The pods of {seen.candidate.revision} were not ready {within}.{_trouble(seen)}"
        if seen.rollout.weight == 0:
            return rolled_back(seen, Reason.PROGRESS_DEADLINE_EXCEEDED, said)
        return inconclusive(seen, Reason.DEADLINE_EXCEEDED, said)
    if seen.last:
        return None
    if not seen.reached and _must_drain(seen):
        said = f"The pods of {', '.join(seen.status.retiring)} had not ended {within}"
        return inconclusive(seen, Reason.DEADLINE_EXCEEDED, said)
    if not seen.reached:
        return _without_data(seen, f"Prometheus had not two samples of each pod {within}")
    if seen.rollout.weight_since is None:
        told = f": {seen.route_trouble}" if seen.route_trouble else ""
        said = f"The weight was not seen in force {within}{told}"
        return inconclusive(seen, Reason.DEADLINE_EXCEEDED, said)
    return _undecided(seen, within)


def _undecided(seen: Seen, within: str) -> Move | None:
    """At a deadline, after measuring: what the last verdict comes to."""
    said = f"{within[0].upper()}{within[1:]} there was no successful verdict"
    told = f"{said}: {seen.rollout.message}" if seen.rollout.message else said
    if seen.rollout.verdict == Verdict.FAILED:
        return rolled_back(seen, Reason.ANALYSIS_FAILED, told)
    if seen.rollout.verdict == Verdict.ERROR:
        return inconclusive(seen, Reason.ANALYSIS_ERROR, told)
    if seen.rollout.verdict == Verdict.SUCCESSFUL:
        return None
    return _without_data(seen, told)


def _without_data(seen: Seen, said: str) -> Move:
    """A deadline without data: what spec.rollout.analysis.onNoData says."""
    policy = seen.policy.analysis.on_no_data
    if policy is OnNoData.FAIL:
        return rolled_back(seen, Reason.NO_DATA, said)
    if policy is OnNoData.HOLD:
        return inconclusive(seen, Reason.NO_DATA, said)
    return _step_up(seen) if seen.reached else _raise(seen)


def _waiting(seen: Seen) -> Move:
    """Nothing to claim but perhaps a measurement: say what is waited for, and until when."""
    rollout = seen.rollout
    if (seen.held and not seen.reached) or (seen.policy.paused and _could_go_on(seen)):
        return _stay(seen, Reason.PAUSED, _paused(seen), _next_look(seen))
    if not seen.pods.ready_for(seen.wanted):
        reason = Reason.PROMOTING if seen.last else Reason.CANDIDATE_STARTING
        pods = f"{seen.wanted} pod{'s' if seen.wanted != 1 else ''}"
        said = f"Waiting for {pods} of {seen.candidate.revision} to be ready.{_trouble(seen)}"
        return _stay(seen, reason, said, _next_look(seen))
    if not seen.reached:
        return _not_raised(seen)
    if rollout.weight_since is None:
        told = f" {seen.route_trouble}" if seen.route_trouble else ""
        said = f"{seen.place.capitalize()}: waiting to see {rollout.weight} % in force.{told}"
        return _stay(seen, Reason.WAITING_FOR_ROUTE, said, seen.deadline)
    until = seen.hold_until
    told = f" {rollout.verdict}: {rollout.message}." if rollout.verdict else ""
    weight = seen.candidate.weight
    if until is not None and seen.now < until:
        said = f"{seen.place.capitalize()}: {weight} % until {rfc3339(until)}.{told}"
        return _stay(seen, Reason.STEP_HOLDING, said, _next_look(seen))
    said = (
        f"{seen.place.capitalize()}: {weight} % until there is a successful verdict,"
        f" at most until {rfc3339(seen.deadline)}.{told}"
    )
    return _stay(seen, Reason.AWAITING_ANALYSIS, said, _next_look(seen))


def _not_raised(seen: Seen) -> Move:
    if _must_drain(seen):
        said = f"Waiting for the pods of {', '.join(seen.status.retiring)} to end."
        return _stay(seen, Reason.DRAINING, said, _next_look(seen))
    said = "Waiting for Prometheus to have two samples of each of the candidate's pods."
    again = seen.now + timedelta(seconds=seen.scrape_seconds)
    return _stay(seen, Reason.NOT_SCRAPED, said, min(again, seen.deadline))


def _could_go_on(seen: Seen) -> bool:
    """Whether only the pause keeps the step from being over."""
    until = seen.hold_until
    judged = seen.rollout.verdict == Verdict.SUCCESSFUL
    return until is not None and seen.now >= until and judged


def _paused(seen: Seen) -> str:
    weight = seen.rollout.weight
    return f"spec.rollout.paused holds {seen.candidate.model_version} at {weight} % of requests."


def _next_look(seen: Seen) -> datetime | None:
    """When time alone may change something."""
    measure = next_at(
        seen.rollout,
        seen.policy.analysis,
        scrape_seconds=seen.scrape_seconds,
        now=seen.now,
    )
    moments = (seen.hold_until, measure, seen.deadline)
    return min((item for item in moments if item is not None and item > seen.now), default=None)


def _trouble(seen: Seen) -> str:
    trouble = seen.pods.trouble
    return f" {trouble.reason}: {trouble.message}" if trouble is not None else ""


def _stay(seen: Seen, reason: str, message: str, again: datetime | None = None) -> Move:
    rollout = seen.status.rollout
    bad = rollout is not None and rollout.verdict in (Verdict.FAILED, Verdict.ERROR)
    return Move(
        status=seen.status, complete=False, reason=reason, message=message, again=again, told=bad
    )


_UNMEASURED: dict[str, object] = {"measured_at": None, "verdict": "", "message": ""}
"""Measurements begin anew; failures are counted over the whole rollout."""


def _change(seen: Seen, **update: object) -> ModelDeploymentStatus:
    return seen.status.model_copy(update={"rollout": seen.rollout.model_copy(update=update)})


def _reweighed(seen: Seen, weight: int, phase: Phase) -> ModelDeploymentStatus:
    """Another weight is asked for; what was measured belongs to the old one."""
    status = _change(seen, weight=weight, phase=phase, weight_since=None, errors=0, **_UNMEASURED)
    return weighed(status, weight) if seen.routed or weight == 0 else status
