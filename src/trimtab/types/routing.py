"""Who answers: arms, slots, routes."""

from __future__ import annotations

from trimtab.types.record import Record


class Arm(Record, frozen=True):
    """One side of a traffic split. ``share`` is in [0, 1] and a multiple of 1/10,000."""

    name: str
    version: int
    share: float


class Route(Record, frozen=True):
    """Who answers for a model, valid for one epoch.

    ``arms[0]`` is the champion. ``slots`` has 10,000 bytes, each the index of the arm that owns the
    slot. ``hash_name`` is stored so that a later release can never re-bucket a running experiment.
    """

    model: str
    epoch: int
    arms: tuple[Arm, ...]
    slots: bytes
    salt: str
    hash_name: str = "xxh3_64/multiply-shift/1"
    rollout: str | None = None
    strategy: str = "champion_only"

    @property
    def champion(self) -> int:
        """The version that answers when a candidate fails."""
        return self.arms[0].version


class Assignment(Record, frozen=True):
    """Where a routing key goes. ``sticky`` is false when no key was given."""

    arm: int
    sticky: bool
