"""A Thompson-sampling bandit: arms get traffic as they prove themselves. Not sticky, by design."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from trimtab.rollout.split import SLOTS
from trimtab.types import Route


class Bandit:
    """The arm that owns the slot of the prediction, not of the routing key.

    Shares move both ways, so nobody keeps an arm: it is for choices that carry no state from one
    prediction to the next.
    """

    name = "bandit"
    sticky = False

    def route(self, slot: int, route: Route) -> int:
        """The slot's owner."""
        return route.slots[slot]


def thompson(
    successes: Sequence[int], trials: Sequence[int], floor: int, seed: int
) -> tuple[int, ...]:
    """How many slots each arm gets: the chance that it is the best, as far as is known.

    Each slot is one draw of Thompson sampling: a success rate of each arm from its posterior,
    Beta(1 + successes, 1 + failures), and the slot to the largest. An arm that may still play keeps at
    least ``floor`` slots.

    Args:
        successes: By arm, control first.
        trials: By arm; -1 for an arm that was taken off and gets nothing.
        floor: Slots that each arm keeps at least.
        seed: Of the draws, so that the same evidence gives the same slots.

    Returns:
        Slots by arm; they add up to 10,000.

    Source: Thompson, On the likelihood that one unknown probability exceeds another (Biometrika 1933).
    """
    alive = [arm for arm, n in enumerate(trials) if n >= 0]
    rng = np.random.default_rng(seed)
    free = SLOTS - floor * len(alive)
    draws = np.column_stack(
        [rng.beta(1 + successes[a], 1 + trials[a] - successes[a], free) for a in alive]
    )
    won = np.bincount(draws.argmax(axis=1), minlength=len(alive))
    slots = [0] * len(trials)
    for arm, count in zip(alive, won.tolist(), strict=True):
        slots[arm] = floor + count
    return tuple(slots)


def table(slots: Sequence[int]) -> bytes:
    """A slot table in which each arm owns so many slots, in the order of the arms."""
    return b"".join(bytes([arm]) * count for arm, count in enumerate(slots))
