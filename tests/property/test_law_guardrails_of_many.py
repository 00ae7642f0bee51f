"""Law 5 with several candidates: alpha holds over all of them, and the one that harms is found alone."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binom

from trimtab.rollout import eprocess
from trimtab.rollout.arms import against_control
from trimtab.rollout.readings import limits
from trimtab.types import GuardrailSpec, Harm, RampStep, RolloutPlan, UnitEvent

ALPHA = 0.05
STEPS = ((0.02, 0.05, 0.03), (0.1, 0.05, 0.1), (0.2, 0.25, 0.1), (0.3, 0.3, 0.3))
PLAN = RolloutPlan(
    strategy="ab",
    steps=tuple(RampStep(shares=s, bake_seconds=0.0) for s in STEPS),
    guardrails=(GuardrailSpec(name="orders", event=UnitEvent.POSITIVE_OUTCOME, harm=Harm.FEWER),),
    alpha=ALPHA,
)


def lost(rng: np.random.Generator, users: int, risks: tuple[float, ...]) -> list[int]:
    """The candidates that are crossed in one rollout with ramp, drift and delay."""
    time = np.sort(rng.random(users))
    step = np.minimum((time * len(STEPS)).astype(int), len(STEPS) - 1)
    candidates = np.array(STEPS)[step]
    table = np.column_stack([1 - candidates.sum(axis=1), candidates])
    arm = (rng.random(users)[:, None] > np.cumsum(table, axis=1)).sum(axis=1)
    rate = 0.02 * 3**time * np.array([1.0, *risks])[arm]
    happened = np.flatnonzero(rng.random(users) < rate)
    known = happened[np.argsort(time[happened] + rng.exponential(0.1, len(happened)))]
    bet, limit = eprocess.harm(Harm.FEWER, 0.0), limits(PLAN, 3)[0]
    found = []
    for candidate in (1, 2, 3):
        events = [
            (bool(arm[i]), against_control(candidate, 0.0, table[i].tolist()))
            for i in known
            if arm[i] in (0, candidate)
        ]
        if bet.update(bet.start(), events).e_peak >= limit:
            found.append(candidate)
    return found


def test_no_candidate_that_is_as_good_is_taken_off_more_often_than_alpha() -> None:
    rng, runs = np.random.default_rng(11), 300
    wrong = sum(bool(lost(rng, 10_000, (1.0, 1.0, 1.0))) for _ in range(runs))
    assert wrong <= int(binom.ppf(0.99, runs, ALPHA))


@pytest.mark.parametrize("harmful", [1, 2, 3])
def test_the_one_that_harms_is_found_and_the_others_stay(harmful: int) -> None:
    rng, runs = np.random.default_rng(harmful), 20
    risks = tuple(0.5 if arm == harmful else 1.0 for arm in (1, 2, 3))
    found = [lost(rng, 20_000, risks) for _ in range(runs)]
    assert sum(harmful in one for one in found) >= 0.9 * runs
    wrong = sum(any(arm != harmful for arm in one) for one in found)
    assert wrong <= int(binom.ppf(0.99, runs, ALPHA))
