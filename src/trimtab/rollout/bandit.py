"""journal -> window -> compare -> judge -> act for a bandit: outcomes move the shares.

A success is a positive outcome, and every prediction that got an outcome is a trial; so outcomes have to be
sent for both. Shares change at most every ``bake_seconds`` of event time, and never go below the plan's
``explore`` for an arm that is left. Which share an arm had when a prediction was made, its propensity, is
journalled with it (``share``, or ``shares`` where there are several candidates).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec
from msgspec.structs import replace

from trimtab.protocols import Clock, StateTx
from trimtab.rollout import audit
from trimtab.rollout.arms import candidates, left
from trimtab.rollout.change import OPEN, Change
from trimtab.rollout.split import SLOTS
from trimtab.rollout.strategies.bandit import table, thompson
from trimtab.types import (
    Alert,
    Comparison,
    Matured,
    PredictionRecord,
    Record,
    Rollout,
    State,
    Verdict,
    Window,
)

BANDIT = "bandit"


class Played(Record, frozen=True):
    """What each arm has won so far, control first, and the event time of now."""

    rollout: str
    now: float
    successes: tuple[int, ...]
    trials: tuple[int, ...]


class _Memory(msgspec.Struct):
    successes: list[int]
    trials: list[int]
    now: float = 0.0
    moved: float | None = None


class BanditWindows:
    """Counts each arm's outcomes; a window whenever the shares are due to be thought over.

    Args:
        rollout: The bandit's.
    """

    def __init__(self, rollout: Rollout) -> None:
        self._rollout = rollout
        self._every = rollout.plan.steps[0].bake_seconds
        arms = 1 + len(candidates(rollout))
        self._memory = _Memory([0] * arms, [0] * arms)

    def fold(
        self,
        predictions: Sequence[PredictionRecord],
        matured: Sequence[Matured],
        state: StateTx,  # noqa: ARG002 - the Protocol's arguments
    ) -> Iterable[Window]:
        """Fold new outcomes; a correction takes the outcome that it replaces back."""
        memory, mine = self._memory, self._rollout.id
        for record in predictions:
            if record.rollout == mine:
                memory.now = max(memory.now, record.event_time)
        told = [m for m in matured if m.facts.rollout == mine]
        for outcome in told:
            arm = outcome.facts.arm
            if outcome.previous is None:
                memory.trials[arm] += 1
            else:
                memory.successes[arm] -= outcome.previous > 0
            memory.successes[arm] += outcome.value > 0
        if memory.moved is None:
            memory.moved = memory.now
        if not told or memory.now < memory.moved + self._every:
            return []
        start, memory.moved = memory.moved, memory.now
        played = Played(
            rollout=mine,
            now=memory.now,
            successes=tuple(memory.successes),
            trials=tuple(memory.trials),
        )
        return [
            Window(
                subject=BANDIT,
                model=self._rollout.model,
                version=self._rollout.candidate,
                start=start,
                end=memory.now,
                rows=sum(memory.trials),
                content=played,
            )
        ]

    def dump(self) -> bytes:
        """All that has been folded."""
        return msgspec.msgpack.encode(self._memory)

    def load(self, blob: bytes) -> None:
        """Take up where ``dump`` left off."""
        self._memory = msgspec.msgpack.decode(blob, type=_Memory)


class BanditParts:
    """compare, judge and act: how the arms do, in words, and the shares that follow.

    Args:
        clock: Wall time, for the audit log.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def compare(self, window: Window) -> Sequence[Comparison]:
        """Each arm's success rate."""
        played: Played = window.content
        rates = [s / max(n, 1) for s, n in zip(played.successes, played.trials, strict=True)]
        return [
            Comparison(
                name=f"arm {arm}",
                statistic="success_rate",
                score=rate,
                noise_floor=0.0,
                floor=0.0,
                p_value=1.0,
                words=f"arm {arm}: {played.successes[arm]:,} of {played.trials[arm]:,} ({rate:.2%}).",
            )
            for arm, rate in enumerate(rates)
        ]

    def judge(self, window: Window, comparisons: Sequence[Comparison]) -> Verdict:
        """A bandit finds nothing wrong; its guardrails do."""
        return Verdict(
            subject=window.subject,
            model=window.model,
            version=window.version,
            start=window.start,
            end=window.end,
            rows=window.rows,
            state=State.STEADY,
            score=0.0,
            evidence=1.0,
            alarm_at=float("inf"),
            alarmed=False,
            since=None,
            comparisons=tuple(comparisons),
            flagged=(),
            words=" ".join(comparison.words for comparison in comparisons),
        )

    def act(self, window: Window, verdict: Verdict, state: StateTx) -> Sequence[Alert]:
        """Give the arms the slots that their outcomes have earned."""
        played: Played = window.content
        state.control.take_turn()
        rollout, route = state.control.rollout(played.rollout), state.control.route(window.model)
        if rollout is None or route is None or rollout.state not in OPEN:
            return []
        alive = {0, *left(rollout)}
        trials = [n if arm in alive else -1 for arm, n in enumerate(played.trials)]
        floor = round(rollout.plan.explore * SLOTS)
        slots = thompson(played.successes, trials, floor, seed=sum(played.trials))
        if [arm.share for arm in route.arms] == [n / SLOTS for n in slots]:
            return []
        change = Change(state, audit.SYSTEM, verdict.words, self._clock, event_time=window.end)
        arms = tuple(
            replace(arm, share=n / SLOTS) for arm, n in zip(route.arms, slots, strict=True)
        )
        epoch = change.raise_epoch()
        state.control.put_route(replace(route, epoch=epoch, arms=arms, slots=table(slots)))
        change.log_rollout("shift", rollout, shares=[n / SLOTS for n in slots])
        return []

    def dump(self) -> bytes:
        """Nothing is remembered."""
        return b""

    def load(self, blob: bytes) -> None:
        """Nothing is remembered."""
