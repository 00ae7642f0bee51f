from __future__ import annotations

import random

import pytest

from trimtab.protocols import RolloutStrategy
from trimtab.rollout.router import BUILT_IN
from trimtab.testing import check_rollout_strategy
from trimtab.types import Route


@pytest.mark.parametrize("strategy", BUILT_IN.values(), ids=str)
def test_built_in_strategies_obey_the_laws(strategy: RolloutStrategy) -> None:
    check_rollout_strategy(strategy)


class Coin:
    name = "coin"

    def __init__(self) -> None:
        self.random = random.Random(1)  # noqa: S311 - a coin, not a secret

    def route(self, slot: int, route: Route) -> int:
        return self.random.choice((0, route.slots[slot]))


class Cumulative:
    """The well-known trap: cumulative weights let slots change arms when an earlier arm grows."""

    name = "cumulative"

    def route(self, slot: int, route: Route) -> int:
        reached = 0.0
        for arm in (*range(1, len(route.arms)), 0):
            reached += route.arms[arm].share * 10_000
            if slot < round(reached):
                return arm
        return 0


class CandidateOnly:
    name = "candidate_only"

    def route(self, slot: int, route: Route) -> int:
        return 0 * slot + len(route.arms) - 1


@pytest.mark.parametrize(
    ("strategy", "law"),
    [
        (Coin(), "another arm when asked again"),
        (Cumulative(), "does not own it"),
        (CandidateOnly(), "does not own it"),
    ],
)
def test_broken_strategies_are_found(strategy: RolloutStrategy, law: str) -> None:
    with pytest.raises(AssertionError, match=law):
        check_rollout_strategy(strategy)
