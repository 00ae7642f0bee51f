"""The laws of a rollout strategy."""

from __future__ import annotations

from trimtab.protocols import RolloutStrategy
from trimtab.types import Arm, Route

SLOTS = 10_000
RAMPS: tuple[tuple[tuple[int, ...], ...], ...] = (
    ((1_000,), (2_500,), (5_000,), (10_000,)),
    ((1_000, 1_000), (2_500, 2_500), (5_000, 5_000)),
    ((1,), (2,), (3_333,)),
)


def check_rollout_strategy(strategy: RolloutStrategy) -> None:
    """The laws of a rollout strategy.

    It is pure: a slot gets the same arm whenever asked. A slot goes to the arm that owns it in the
    route's table, or to the champion; so no arm ever gets more than its exact share. While a ramp
    gives arms slots of control only, nobody who had a candidate gets another arm. And with one arm,
    that arm answers.

    Args:
        strategy: The object to check.

    Raises:
        AssertionError: naming the law that is broken.
    """
    _expect(bool(strategy.name), "the strategy has no name")
    for ramp in RAMPS:
        before = bytes(SLOTS)
        for step in ramp:
            route = _route(step)
            arms = [strategy.route(slot, route) for slot in range(SLOTS)]
            again = [strategy.route(slot, route) for slot in reversed(range(SLOTS))]
            where = f"{strategy.name} at {step}"
            _expect(arms == again[::-1], f"{where}: another arm when asked again")
            _expect(
                all(arm in (0, owner) for arm, owner in zip(arms, route.slots, strict=True)),
                f"{where}: a slot goes to an arm that does not own it",
            )
            flipped = sum(old not in (0, arm) for old, arm in zip(before, arms, strict=True))
            _expect(flipped == 0, f"{where}: {flipped} slots left the candidate that they had")
            before = bytes(arms)
    alone = {strategy.route(slot, _route(())) for slot in range(SLOTS)}
    _expect(alone == {0}, f"{strategy.name}: with one arm, it gives {alone}")


def _route(counts: tuple[int, ...]) -> Route:
    """Candidates own the lowest slots, interleaved so that a ramp takes from control only."""
    owners = bytearray(SLOTS)
    free = iter(range(SLOTS))
    taken = [0] * len(counts)
    while any(have < want for have, want in zip(taken, counts, strict=True)):
        for arm, want in enumerate(counts):
            if taken[arm] < want:
                owners[next(free)] = arm + 1
                taken[arm] += 1
    shares = (SLOTS - sum(counts), *counts)
    return Route(
        model="checked",
        epoch=1,
        arms=tuple(
            Arm(name=f"arm{i}", version=i + 1, share=n / SLOTS) for i, n in enumerate(shares)
        ),
        slots=bytes(owners),
        salt="salt",
        rollout="checked-0001",
        strategy="checked",
    )


def _expect(holds: bool, law: str) -> None:
    if not holds:
        raise AssertionError(law)
