"""Law 5 while a bandit moves the shares by what it has seen: the share at the answer keeps alpha."""

from __future__ import annotations

import numpy as np
from scipy.stats import binom

from trimtab.rollout import eprocess
from trimtab.rollout.split import SLOTS
from trimtab.rollout.strategies.bandit import thompson
from trimtab.types import Harm

ALPHA, RUNS = 0.05, 80


def played(rng: np.random.Generator, rates: tuple[float, float]) -> tuple[float, float]:
    """The peak of the evidence that arm 1 earns less, and arm 1's last share."""
    bet = eprocess.harm(Harm.FEWER, 0.0)
    evidence, share = bet.start(), 0.5
    successes, trials = [0, 0], [0, 0]
    for turn in range(15):
        arm = (rng.random(100) < share).astype(int)
        drift = 1 + 0.5 * np.sin(turn)
        won = rng.random(100) < np.array(rates)[arm] * drift
        evidence = bet.update(evidence, [(bool(a), share) for a in arm[won]])
        for a in (0, 1):
            successes[a] += int(won[arm == a].sum())
            trials[a] += int((arm == a).sum())
        share = thompson(successes, trials, 100, seed=turn)[1] / SLOTS
    return evidence.e_peak, share


def test_an_arm_that_is_as_good_is_rarely_rolled_back() -> None:
    rng = np.random.default_rng(21)
    crossed = sum(played(rng, (0.2, 0.2))[0] >= 1 / ALPHA for _ in range(RUNS))
    assert crossed <= int(binom.ppf(0.99, RUNS, ALPHA))


def test_the_arm_that_earns_more_gets_most_of_the_traffic() -> None:
    rng = np.random.default_rng(22)
    shares = [played(rng, (0.1, 0.3))[1] for _ in range(10)]
    assert min(shares) > 0.9
