"""The arms of a rollout: who they are, who is left, and what each has at a step."""

from __future__ import annotations

from collections.abc import Sequence

from trimtab.errors import Conflict, NotFound
from trimtab.rollout.slots import whole_slots
from trimtab.rollout.split import SLOTS
from trimtab.types import RampStep, Rollout

CONTROL_ARM, CANDIDATE_ARM = "champion", "candidate"


def candidates(rollout: Rollout) -> tuple[int, ...]:
    """The versions of arms 1, 2, ...: of all that began, whether they are left or not."""
    return (rollout.candidate, *rollout.rivals)


def left(rollout: Rollout) -> tuple[int, ...]:
    """The arms, from 1 on, that have not been taken off the traffic."""
    arms = range(1, len(candidates(rollout)) + 1)
    return tuple(arm for arm in arms if arm not in rollout.lost)


def chosen(rollout: Rollout, version: int | None) -> int:
    """The candidate that is meant: the named one, or the only one that is left.

    Raises:
        NotFound: it is not one of those that are left.
        Conflict: none is named, and several are left.
    """
    numbers = candidates(rollout)
    alive = [numbers[arm - 1] for arm in left(rollout)]
    listed = ", ".join(map(str, alive))
    if version is None and len(alive) > 1:
        raise Conflict(
            f"Several candidates of {rollout.id} are left.",
            code="which_candidate",
            hint=f"Name one: {listed}.",
        )
    if version is not None and version not in alive:
        raise NotFound(
            f"Version {version} is no candidate of {rollout.id}.",
            code="no_such_candidate",
            hint=f"Left: {listed}.",
        )
    return alive[0] if version is None else version


def arm_name(arm: int) -> str:
    """What an arm is called: ``champion``, ``candidate``, ``candidate-2``, ..."""
    if arm == 0:
        return CONTROL_ARM
    return CANDIDATE_ARM if arm == 1 else f"{CANDIDATE_ARM}-{arm}"


def step_slots(step: RampStep, arms: int) -> tuple[int, ...]:
    """How many slots each candidate gets: as the step states them, or in equal parts.

    What cannot be divided evenly goes to the first arms, a slot each.

    Raises:
        InvalidPlan: a share is out of bounds or finer than a slot.
    """
    if step.shares:
        return tuple(whole_slots(s, f"shares[{i}]") for i, s in enumerate(step.shares))
    whole, rest = divmod(whole_slots(step.share), arms)
    return tuple(whole + (arm < rest) for arm in range(arms))


def shares_at(rollout: Rollout, step: int) -> tuple[float, ...]:
    """Each candidate's share at a step; an arm that was taken off has none."""
    slots = step_slots(rollout.plan.steps[step], len(candidates(rollout)))
    alive = left(rollout)
    return tuple(n / SLOTS if arm in alive else 0.0 for arm, n in enumerate(slots, start=1))


def share_now(rollout: Rollout) -> float:
    """What all candidates that are left have together at the present step."""
    return round(sum(shares_at(rollout, rollout.step)) * SLOTS) / SLOTS


def against_control(arm: int, share: float, shares: Sequence[float]) -> float:
    """An arm's share among what it and control have: the chance that one of their units is its own.

    Args:
        arm: From 1 on.
        share: What all candidates have together; an only candidate's own.
        shares: Each arm's, control first; empty where there is one candidate.
    """
    if not shares:
        return share
    both = shares[0] + shares[arm]
    return shares[arm] / both if both > 0 else 0.0
