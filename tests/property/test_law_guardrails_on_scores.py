"""Law 5 for scores: a candidate that scores like the champion is rarely held, whichever way it might differ."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binom

from trimtab.rollout import eprocess
from trimtab.types import Harm

ALPHA, RUNS = 0.05, 400
Events = list[tuple[bool, float]]


def exceedances(rng: np.random.Generator, users: int, risk: float, rate: float = 0.1) -> Events:
    """First exceedances of users who arrive through a ramp while what is scored drifts."""
    time = np.sort(rng.random(users))
    share = np.array([0.01, 0.05, 0.1, 0.25, 0.5])[np.minimum((time * 5).astype(int), 4)]
    candidate = rng.random(users) < share
    drifting = rate * (1 + 0.8 * np.sin(6 * time)) * np.where(candidate, risk, 1.0)
    happened = rng.random(users) < drifting
    return list(zip(candidate[happened].tolist(), share[happened].tolist(), strict=True))


def crossed(margin: float, risk: float, runs: int, users: int, seed: int) -> int:
    rng, bet = np.random.default_rng(seed), eprocess.either(margin)
    peaks = [bet.update(bet.start(), exceedances(rng, users, risk)).e_peak for _ in range(runs)]
    return sum(peak >= 1 / ALPHA for peak in peaks)


@pytest.mark.parametrize(
    ("margin", "risk"), [(0.0, 1.0), (0.2, 1.0), (0.2, 1.2), (0.2, 0.8), (0.2, 1.1)]
)
def test_what_is_within_the_margin_is_rarely_crossed(margin: float, risk: float) -> None:
    assert crossed(margin, risk, RUNS, 10_000, 5) <= int(binom.ppf(0.99, RUNS, ALPHA))


@pytest.mark.parametrize("risk", [0.5, 1.6])
def test_a_difference_either_way_is_found(risk: float) -> None:
    assert crossed(0.1, risk, 40, 20_000, 6) >= 36


def test_it_is_the_average_of_the_two_bets() -> None:
    events = exceedances(np.random.default_rng(7), 3_000, 1.3)
    values = []
    for harm in (Harm.MORE, Harm.FEWER):
        bet = eprocess.harm(harm, 0.1)
        values.append(bet.update(bet.start(), events).e_value)
    both = eprocess.either(0.1)
    assert pytest.approx(sum(values) / 2) == both.update(both.start(), events).e_value
