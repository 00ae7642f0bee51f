"""What can still be lost before outcomes show it, held against simulated losses."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from msgspec.structs import replace

from trimtab.rollout import controller
from trimtab.rollout.change import Change
from trimtab.rollout.guardrails import GuardrailWindows
from trimtab.types import (
    GuardrailReading,
    GuardrailSpec,
    Harm,
    Rollout,
    RolloutPlan,
    Stake,
    UnitEvent,
    Window,
)

Make = Callable[..., Any]
DELAY, PER_SECOND, WRONG = 50.0, 20.0, 0.2
RAMPED = 200.0


@pytest.fixture
def rollout(state: Any, plan: RolloutPlan, who: Any) -> Rollout:
    controller.deploy_first(Change(state, **who), "flights", 1)
    return controller.start(Change(state, **who), "flights", plan, 2)


class Traffic:
    """400 s of single visits at 20 a second; a candidate's share goes from 10 to 50 % on the way.

    ``wrong`` are the answers that control gets wrong; every decision is positive.
    """

    def __init__(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        self.times = np.cumsum(rng.exponential(1 / PER_SECOND, 8_000))
        self.shares = np.where(self.times < RAMPED, 0.1, 0.5)
        self.candidate = rng.random(8_000) < self.shares
        self.wrong = rng.random(8_000) < WRONG

    def batches(self, record: Make, outcome: Make) -> Iterator[tuple[list[Any], list[Any]]]:
        """Records of each second, and the outcomes of those of one delay before."""
        made = [
            record(f"p{i}", event_time=float(at), arm=int(arm), share=float(share))
            for i, (at, arm, share) in enumerate(
                zip(self.times, self.candidate, self.shares, strict=True)
            )
        ]
        known = [outcome(r, float(not w)) for r, w in zip(made, self.wrong, strict=True)]
        seconds = self.times.astype(int)
        for second in range(seconds[-1] + 1):
            ripe = np.flatnonzero(seconds == second - int(DELAY))
            yield (
                [made[i] for i in np.flatnonzero(seconds == second)],
                [known[i] for i in ripe],
            )

    def lost(self, after: float) -> int:
        """What control would have got right of what the candidate answers within one delay."""
        within = (self.times > after) & (self.times <= after + DELAY) & self.candidate
        return int((within & ~self.wrong).sum())


def stakes(windows: list[Window], name: str) -> dict[float, Stake]:
    found: dict[float, Stake] = {}
    for window in windows:
        readings: tuple[GuardrailReading, ...] = window.content.readings
        stake = next(reading.stake for reading in readings if reading.guardrail == name)
        assert stake is not None
        found[window.end] = stake
    return found


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("name", ["wrong", "right"])
def test_the_stake_is_what_the_worst_candidate_then_loses(
    rollout: Rollout, new_state: Make, record: Make, outcome: Make, seed: int, name: str
) -> None:
    """It gets wrong all that control gets right, which is one loss by both guardrails."""
    right = GuardrailSpec(
        name="right",
        event=UnitEvent.POSITIVE_OUTCOME,
        harm=Harm.FEWER,
        cost_per_event=3.0,
        currency="EUR",
    )
    wrong = replace(rollout.plan.guardrails[0], name="wrong")
    made = replace(rollout, plan=replace(rollout.plan, guardrails=(wrong, right)))
    folding, state, traffic = GuardrailWindows(made), new_state(), Traffic(seed)
    windows = [
        window
        for answers, known in traffic.batches(record, outcome)
        for window in folding.fold(answers, known, state)
    ]
    found = stakes(windows, name)
    judged = 0
    for at, stake in found.items():
        if DELAY * 2 < at < RAMPED - DELAY or RAMPED + 1 < at < traffic.times[-1] - DELAY:
            lost = traffic.lost(at)
            assert abs(lost - stake.most) <= 4.5 * np.sqrt(stake.most) + 0.05 * stake.most
            assert stake.cost == pytest.approx(stake.most * (3.0 if name == "right" else 2.0))
            judged += 1
    assert judged > 150


def test_everything_is_at_stake_until_outcomes_are_known(
    rollout: Rollout, state: Any, record: Make
) -> None:
    answers = [record(f"p{i}", event_time=10.0 + i, arm=i % 10 == 0) for i in range(40)]
    (window,) = GuardrailWindows(rollout).fold(answers, [], state)
    wrong, errors, bookings, slow = window.content.readings
    assert (None, None) == (errors.stake, slow.stake), "these are known at once"
    assert wrong.stake.answers == pytest.approx(DELAY * 0.1, rel=0.05)
    assert wrong.stake.most == bookings.stake.most == wrong.stake.answers
    assert (wrong.stake.most * 2.0, None) == (wrong.stake.cost, bookings.stake.cost)


def test_a_first_burst_is_no_rate(rollout: Rollout, state: Any, record: Make) -> None:
    """40 answers within 0.04 s: as many in a slice of the delay, not 1,000 a second."""
    answers = [record(f"p{i}", event_time=10.0 + i / 1_000, arm=i % 10 == 0) for i in range(40)]
    (window,) = GuardrailWindows(rollout).fold(answers, [], state)
    assert window.content.readings[0].stake.answers == pytest.approx(40 * 20 * 0.1)


def test_a_restart_changes_no_stake(rollout: Rollout, new_state: Make, record: Make) -> None:
    answers = [record(f"p{i}", event_time=10.0 + i, arm=i % 2, share=0.5) for i in range(200)]
    at_once, state = GuardrailWindows(rollout), new_state()
    (whole,) = at_once.fold(answers, [], new_state())
    blob, last = GuardrailWindows(rollout).dump(), []
    for begin in range(0, 200, 7):
        part = GuardrailWindows(rollout)
        part.load(blob)
        last = list(part.fold(answers[begin : begin + 7], [], state))
        blob = part.dump()
    assert whole.content.readings[0].stake == last[0].content.readings[0].stake


def test_a_shadow_has_nothing_at_stake(
    rollout: Rollout, new_state: Make, record: Make, plan: RolloutPlan
) -> None:
    shadow = replace(rollout, plan=replace(plan, strategy="shadow"))
    answers = [record(f"p{i}", event_time=10.0 + i, arm=1, shadow=True) for i in range(40)]
    (window,) = GuardrailWindows(shadow).fold(answers, [], new_state())
    assert [None] * 4 == [reading.stake for reading in window.content.readings]
