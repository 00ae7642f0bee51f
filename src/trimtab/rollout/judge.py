"""judge and act for a rollout: the verdict on its guardrails, and the move that follows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import msgspec

from trimtab.protocols import Clock, StateTx
from trimtab.rollout import audit, controller
from trimtab.rollout.arms import candidates, left, share_now
from trimtab.rollout.change import OPEN, Change
from trimtab.rollout.decision import Decision, Move, crossing, decide
from trimtab.rollout.readings import (
    SAMPLE_RATIO,
    RolloutReadings,
    certified,
    crossed,
    split_broken,
)
from trimtab.rollout.telling import alert_key
from trimtab.types import (
    Alert,
    Comparison,
    GuardrailAction,
    Rollout,
    RolloutPlan,
    Severity,
    State,
    UnitEvent,
    Verdict,
    Window,
)


class RolloutJudge:
    """Says what the guardrails mean: steady, to be watched, or crossed.

    A guardrail is to be watched from the square root of its limit on: half of the way, as evidence
    multiplies.

    Args:
        plan: The rollout's plan.
    """

    def __init__(self, plan: RolloutPlan) -> None:
        self._plan = plan
        self._uncertified = frozenset(
            g.name for g in plan.guardrails if g.event is UnitEvent.PREDICTION_DRIFT
        )
        self._since: float | None = None

    def judge(self, window: Window, comparisons: Sequence[Comparison]) -> Verdict:
        """The verdict; ``evidence`` and ``alarm_at`` are those of the guardrail nearest its limit."""
        found: RolloutReadings = window.content
        pairs = list(zip(self._plan.guardrails, found.readings, strict=True))
        flagged = tuple(spec.name for spec, reading in pairs if crossed(reading))
        if split_broken(found.split):
            flagged = (*flagged, SAMPLE_RATIO)
        if flagged and self._since is None:
            self._since = window.end
        nearest = max((*found.readings, found.split), key=lambda r: r.e_value / r.limit)
        if flagged:
            state = State.DRIFTED
        elif any(r.e_value >= r.limit**0.5 and sum(r.events) >= s.min_events for s, r in pairs):
            state = State.WATCH
        elif all(sum(reading.events) < spec.min_events for spec, reading in pairs):
            state = State.NOT_ENOUGH_DATA
        else:
            state = State.STEADY
        shown = [c for c in comparisons if c.name in flagged] or [
            c for c in comparisons if c.name != SAMPLE_RATIO
        ]
        return Verdict(
            subject=window.subject,
            model=window.model,
            version=window.version,
            start=window.start,
            end=window.end,
            rows=window.rows,
            state=state,
            score=max(comparison.score for comparison in shown),
            evidence=nearest.e_value,
            alarm_at=nearest.limit,
            alarmed=bool(flagged),
            since=self._since,
            comparisons=tuple(comparisons),
            flagged=flagged,
            words=_verdict_words(flagged, found, shown, self._uncertified),
            readings=(*found.readings, found.split),
            rollout=found.rollout,
        )

    def dump(self) -> bytes:
        """Since when a guardrail is crossed."""
        return msgspec.msgpack.encode(self._since)

    def load(self, blob: bytes) -> None:
        """Take up where ``dump`` left off."""
        self._since = msgspec.msgpack.decode(blob, type=float | None)


class RolloutActor:
    """Carries out what the evidence asks for, in the watcher's transaction.

    It reads the rollout from that transaction, so what a person has done meanwhile holds; moves are
    fenced by the epoch.

    Args:
        clock: Wall time, for the audit log.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def act(self, window: Window, verdict: Verdict, state: StateTx) -> Sequence[Alert]:
        """Ramp, hold, roll back, promote or wait; of what else than the change people are to be told."""
        found: RolloutReadings = window.content
        state.control.take_turn()
        rollout = state.control.rollout(found.rollout)
        if rollout is None or rollout.state not in OPEN or found.arm in rollout.lost:
            return []
        rollout = _mark(rollout, found, state)
        decision = decide(rollout, found)
        if decision.move is Move.RAMP:
            rollout, decision = _together(rollout, found.arm, decision, state)
        held_by = crossing(found.arm, decision.guardrail)
        if decision.move is Move.HOLD and decision.guardrail and held_by not in rollout.held_by:
            held = msgspec.structs.replace(rollout, held_by=(*rollout.held_by, held_by))
            state.control.put_rollout(held)
        if decision.move is Move.WAIT:
            if decision.reason != rollout.reason and found.arm == left(rollout)[0]:
                state.control.put_rollout(msgspec.structs.replace(rollout, reason=decision.reason))
            return _warnings(rollout, verdict)
        change = Change(state, audit.SYSTEM, decision.reason, self._clock, event_time=verdict.end)
        if decision.move is Move.ROLL_BACK and decision.guardrail:
            controller.drop(change, rollout.model, candidates(rollout)[found.arm - 1])
        else:
            _MOVES[decision.move](change, rollout.model)
        ended = decision.move in (Move.ROLL_BACK, Move.PROMOTE)
        return [] if ended else _warnings(rollout, verdict)


_MOVES: Mapping[Move, Callable[[Change, str], object]] = {
    Move.RAMP: controller.advance,
    Move.HOLD: controller.pause,
    Move.ROLL_BACK: controller.roll_back,
    Move.PROMOTE: controller.promote,
}


def _mark(rollout: Rollout, found: RolloutReadings, state: StateTx) -> Rollout:
    """Keep when the step began, once its first unit has been seen."""
    seen = found.at(share_now(rollout))
    if rollout.step_since is not None or seen is None:
        return rollout
    # When a candidate was lost, what is left may have had this share at an earlier step.
    since = found.now if rollout.lost else seen.since
    marked = msgspec.structs.replace(rollout, step_since=since)
    state.control.put_rollout(marked)
    return marked


def _together(
    rollout: Rollout, arm: int, decision: Decision, state: StateTx
) -> tuple[Rollout, Decision]:
    """Candidates go on together: keep that one is done with the step until all that are left are."""
    if arm not in rollout.baked:
        rollout = msgspec.structs.replace(rollout, baked=(*rollout.baked, arm))
        state.control.put_rollout(rollout)
    waiting = [str(candidates(rollout)[a - 1]) for a in left(rollout) if a not in rollout.baked]
    if not waiting:
        return rollout, decision
    reason = f"The step has baked but for the versions {', '.join(waiting)}."
    return rollout, Decision(move=Move.WAIT, reason=reason)


def _warnings(rollout: Rollout, verdict: Verdict) -> list[Alert]:
    """Of crossed guardrails that are only to alert."""
    said = {comparison.name: comparison.words for comparison in verdict.comparisons}
    return [
        Alert(
            key=alert_key(rollout.model, f"guardrail/{spec.name}"),
            severity=Severity.TICKET,
            title=f"Version {rollout.candidate} of {rollout.model} crossed the guardrail "
            f"{spec.name}.",
            body=said[spec.name],
            model=rollout.model,
            version=rollout.candidate,
            event_time=verdict.end,
            runbook="guardrail",
        )
        for spec in rollout.plan.guardrails
        if spec.action is GuardrailAction.ALERT and spec.name in verdict.flagged
    ]


def _verdict_words(
    flagged: tuple[str, ...],
    found: RolloutReadings,
    shown: Sequence[Comparison],
    uncertified: frozenset[str],
) -> str:
    if flagged:
        told = "The split is broken. " if flagged == (SAMPLE_RATIO,) else "Harm is established. "
        return told + " ".join(c.words for c in shown)
    bound = [r for r in found.readings if r.guardrail not in uncertified]
    if bound and all(certified(reading) for reading in bound):
        return "Certified: the harm that the plan wants ruled out is ruled out."
    return "No harm is established. " + " ".join(c.words for c in shown)
