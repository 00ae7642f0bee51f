"""The slot table: who owns each of the 10,000 slots. An arm grows only out of control."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from math import isfinite

from trimtab.errors import InvalidPlan
from trimtab.rollout.split import SLOTS

CONTROL = 0
MAX_ARMS = 256
_ROUNDING = 1e-6


def all_control() -> bytes:
    """The table of a first deployment, and of a roll back: control owns 100 %."""
    return bytes(SLOTS)


def whole_slots(share: float, path: str = "share") -> int:
    """A share as a number of slots; 10 % is exactly 1,000.

    Args:
        share: In [0, 1], a multiple of 1/10,000.
        path: Where the share stands in the input, for the error.

    Raises:
        InvalidPlan: the share is out of bounds or finer than a slot.
    """
    exact = share * SLOTS if isfinite(share) else -1.0
    if not 0 <= exact <= SLOTS:
        raise InvalidPlan(
            f"A share of {share!r} is not between 0 and 1.",
            code="invalid_share",
            path=path,
            hint="Write 10 % as 0.1.",
        )
    count = round(exact)
    if abs(exact - count) > _ROUNDING:
        raise InvalidPlan(
            f"A share of {share!r} is finer than one slot.",
            code="share_too_fine",
            path=path,
            hint=f"Use a multiple of 0.0001, for example {count / SLOTS!r}.",
        )
    return count


def grow(slots: bytes, shares: Sequence[float]) -> bytes:
    """Give arms 1, 2, ... these shares, taking only slots that control owns.

    Slots are taken lowest first: the hash spreads keys evenly, so which ones does not matter.

    Args:
        slots: The table so far, 10,000 bytes.
        shares: The new share of each arm but control, which keeps the rest.

    Returns:
        The new table; no slot but control's has changed its owner.

    Raises:
        InvalidPlan: the shares exceed 1, are too fine, or would take slots from an arm.
    """
    check(slots)
    wanted = [whole_slots(share, f"shares[{i}]") for i, share in enumerate(shares)]
    if sum(wanted) > SLOTS or len(wanted) >= MAX_ARMS:
        raise InvalidPlan(
            f"The arms' shares add up to {sum(wanted) / SLOTS:.2%}; at most 100 % can be given.",
            code="shares_over_one",
            path="shares",
            hint="Shares are of all traffic; control gets the rest and is not listed.",
        )
    owned = Counter(slots)
    if any(arm > len(wanted) for arm in owned):
        raise _shrinks(max(owned), owned[max(owned)], 0)
    table = bytearray(slots)
    free = 0
    for arm, count in enumerate(wanted, start=1):
        if count < owned[arm]:
            raise _shrinks(arm, owned[arm], count)
        for _ in range(count - owned[arm]):
            free = table.index(CONTROL, free)
            table[free] = arm
    return bytes(table)


def give_back(slots: bytes, arm: int) -> bytes:
    """Everything that an arm owns, to control; nobody else's slot changes its owner."""
    return slots.replace(bytes([arm]), bytes([CONTROL]))


def shares(slots: bytes, arms: int) -> tuple[float, ...]:
    """The share of each arm, control first."""
    return tuple(slots.count(arm) / SLOTS for arm in range(arms))


def check(slots: bytes) -> None:
    """Refuse a table of the wrong size.

    Raises:
        InvalidPlan: it does not have 10,000 slots.
    """
    if len(slots) != SLOTS:
        raise InvalidPlan(
            f"A slot table has {SLOTS} slots, this one {len(slots)}.", code="invalid_slots"
        )


def check_arms(slots: bytes, arms: int) -> None:
    """Refuse a table that names an arm which does not exist.

    Raises:
        InvalidPlan: an owner is not in [0, arms).
    """
    if max(slots) >= arms:
        raise InvalidPlan(
            f"The slot table names arm {max(slots)}, and there are {arms}.", code="invalid_slots"
        )


def _shrinks(arm: int, before: int, after: int) -> InvalidPlan:
    return InvalidPlan(
        f"Arm {arm} owns {before / SLOTS:.2%} and would shrink to {after / SLOTS:.2%}: "
        "users would flip between versions.",
        code="arm_shrinks",
        path=f"shares[{arm - 1}]",
        hint="An arm only grows; roll back to give everybody to control again.",
    )
