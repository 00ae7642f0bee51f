"""The exact probability that an e-process ever reaches its limit, where every event has the same share.

There its value depends on nothing but how many events each arm has had, so the probability is summed over
these numbers, event by event, instead of simulated.
"""

from __future__ import annotations

import numpy as np
from worlds import Floats

from trimtab.rollout.eprocess import EProcess


def crossing_chances(bet: EProcess, share: float, risk: float, limit: float, events: int) -> Floats:
    """The probability that the limit has been reached within 0, 1, ... ``events`` events.

    Args:
        bet: The e-process.
        share: The candidate's share at every event.
        risk: Its true relative risk.
        limit: The e-value.
        events: How many there are.
    """
    lost = np.array(bet.update(bet.start(), [(False, share)]).log_payoffs)[:, None]
    won = np.array(bet.update(bet.start(), [(True, share)]).log_payoffs)[:, None]
    chance = share * risk / (share * risk + 1 - share)
    # Whose numbers of the candidate's events lie this far out has a probability below 1e-15.
    most = int(events * chance + 9 * np.sqrt(events * chance) + 40)
    candidates = np.arange(most + 1)
    start = candidates * (won - lost)
    alive, reached = np.zeros(most + 1), np.zeros(events + 1)
    alive[0] = 1.0
    for n in range(1, events + 1):
        alive[1:] = alive[1:] * (1 - chance) + alive[:-1] * chance
        alive[0] *= 1 - chance
        crossed = np.exp(start + n * lost).mean(axis=0) >= limit
        reached[n] = reached[n - 1] + alive[crossed & (candidates <= n)].sum()
        alive[crossed] = 0.0
    return reached
