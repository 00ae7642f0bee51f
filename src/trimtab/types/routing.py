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
    ``overrides`` are testers' units, each with the version that answers it.
    """

    model: str
    epoch: int
    arms: tuple[Arm, ...]
    slots: bytes
    salt: str
    hash_name: str = "xxh3_64/multiply-shift/1"
    rollout: str | None = None
    strategy: str = "champion_only"
    overrides: dict[str, int] | None = None

    @property
    def champion(self) -> int:
        """The version that answers when a candidate fails."""
        return self.arms[0].version


class Assignment(Record, frozen=True):
    """Where a row goes. ``sticky`` is false when the next row of the same sender may go elsewhere.

    ``drawn`` is false when somebody chose the arm: then the row is in no rollout's statistics.
    """

    arm: int
    sticky: bool
    drawn: bool = True
