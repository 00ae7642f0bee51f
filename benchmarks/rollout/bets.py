"""Trimtab's e-processes on many runs at once, event by event; the payoffs are the product's own."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from worlds import Events, Floats, Ints

from trimtab.rollout.eprocess import EProcess

NEVER = -1


def crossings(
    bet: EProcess, events: Events, limits: Sequence[float], amounts: Floats | None = None
) -> Ints:
    """Each run's first event at which its e-value stands at a limit.

    Args:
        bet: The e-process.
        events: What happened, one column a run.
        limits: E-values.
        amounts: How much of an event each is, in [0, 1]; None stands for whole events.

    Returns:
        One row a limit, one column a run; -1 where the limit is never reached.
    """
    return _followed(bet, events, limits, amounts)[0]


def levels(
    rng: np.random.Generator, bet: EProcess, events: Events, limits: Sequence[float]
) -> Floats:
    """The same events with arms as the bets would have them: a weight for each run and limit.

    Its mean is the probability that the limit is ever reached where nothing is wrong, and it varies little:
    under the bets' own mixture nearly every run crosses, and the weight is one over the e-value there.

    Source: Wald's likelihood ratio identity; Siegmund, Importance Sampling in the Monte Carlo Study of
    Sequential Tests (1976).
    """
    shape = events.arm.shape
    ratio = np.array(bet.ratios)[rng.integers(0, len(bet.ratios), shape[1])]
    odds = bet.edge * ratio * (events.share / (1 - events.share))[events.block]
    arm = (rng.random(shape) < odds / (1 + odds)).astype(np.int8)
    arm[events.arm < 0] = -1
    # Behind its limit an e-value may grow beyond all numbers.
    with np.errstate(over="ignore"):
        return _followed(bet, Events(events.share, arm, events.block), limits, None)[1]


def _followed(
    bet: EProcess, events: Events, limits: Sequence[float], amounts: Floats | None
) -> tuple[Ints, Floats]:
    """Each run's first event at each limit, and one over the e-value there, 0 where it is never reached."""
    table, codes = _payoffs(bet, events)
    runs, grid = events.arm.shape[1], len(bet.ratios)
    wealth, paid = np.full((runs, grid), 1 / grid), np.empty((runs, grid))
    value, ones = np.empty(runs), np.ones(grid)
    found = np.full((len(limits), runs), NEVER, dtype=np.int64)
    weights = np.zeros((len(limits), runs))
    least = min(limits)
    for at, code in enumerate(codes):
        np.take(table, code, axis=0, out=paid, mode="clip")
        if amounts is not None:
            paid -= 1
            paid *= amounts[at, :, None]
            paid += 1
        wealth *= paid
        np.dot(wealth, ones, out=value)
        if value.max() >= least:
            for first, weight, limit in zip(found, weights, limits, strict=True):
                new = (value >= limit) & (first == NEVER)
                first[new], weight[new] = at, 1 / value[new]
    return found, weights


def _payoffs(bet: EProcess, events: Events) -> tuple[Floats, npt.NDArray[np.int16]]:
    """What each kind of event pays each grid point, and each event's kind; kind 0 pays 1."""
    levels, level = np.unique(events.share, return_inverse=True)
    kinds = [(bool(arm), float(share)) for share in levels for arm in (0, 1)]
    paid = [np.exp(bet.update(bet.start(), [kind]).log_payoffs) for kind in kinds]
    codes = 1 + 2 * level.astype(np.int16)[events.block] + events.arm
    codes[events.arm < 0] = 0
    return np.vstack([np.ones(len(bet.ratios)), *paid]), codes
