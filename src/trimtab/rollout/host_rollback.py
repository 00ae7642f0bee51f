"""A rollback that a host carries out by itself while the state cannot be written.

What a rollback of each model would do is known on the host beforehand (`Undo`). An override says that
it was done (`Override`): while it is pending, the version that it took off gets no traffic here,
whatever route the database has of that rollout. Settling writes it to the database: the rollback with
its audit row if the rollout still stands, else only that it had nothing left to do. Both are safe to
repeat.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec.structs import replace

from trimtab.protocols import Clock, StateTx
from trimtab.rollout import audit, controller, slots
from trimtab.rollout.arms import CONTROL_ARM
from trimtab.rollout.change import Change
from trimtab.types import Arm, Record, Route


class Undo(Record, frozen=True):
    """What rolling a model back does: version ``to`` answers in place of the candidates of ``rollout``.

    These are ``off``.
    """

    model: str
    rollout: str
    off: tuple[int, ...]
    to: int
    epoch: int


class Override(Record, frozen=True):
    """A rollback that was carried out on one host; ``at`` is wall time."""

    undo: Undo
    actor: str
    reason: str
    at: float


def undo_of(state: StateTx, model: str) -> Undo | None:
    """What a rollback would do now; None if there is nothing to go back to."""
    undone = controller.to_undo(state, model)
    if undone is None:
        return None
    return Undo(
        model=model,
        rollout=undone.id,
        off=(undone.candidate, *undone.rivals),
        to=undone.control,
        epoch=state.control.epoch(),
    )


def over(routes: Sequence[Route], pending: Mapping[str, Override]) -> Sequence[Route]:
    """The routes as they are on a host with these overrides, by model."""
    if not pending:
        return routes
    return [_over(route, pending.get(route.model)) for route in routes]


def _over(route: Route, override: Override | None) -> Route:
    if override is None:
        return route
    promoted = route.rollout is None and route.champion in override.undo.off
    if route.rollout != override.undo.rollout and not promoted:
        return route
    return replace(
        route,
        arms=(Arm(name=CONTROL_ARM, version=override.undo.to, share=1.0),),
        slots=slots.all_control(),
        rollout=None,
        strategy="champion_only",
        overrides=None,
    )


def settle(state: StateTx, override: Override, clock: Clock) -> bool:
    """Write an override to the database once; whether it was a rollback there.

    Raises:
        Unavailable: the state cannot be written.
    """
    state.control.take_turn()
    undo = override.undo
    key = f"override/{undo.rollout}/{override.at!r}"
    if state.setting(key) is not None:
        return False
    state.save_setting(key, "settled")
    local = {"local_at": override.at, "local_epoch": undo.epoch}
    current = undo_of(state, undo.model)
    if current is None or current.rollout != undo.rollout:
        audit.append(
            state.audit,
            actor=override.actor,
            action="override",
            model=undo.model,
            detail=local | {"rollout": undo.rollout, "off": undo.off, "to": undo.to, "moot": True},
            reason=override.reason,
            clock=clock,
        )
        return False
    change = Change(state, override.actor, override.reason, clock)
    controller.roll_back(change, undo.model, detail=local)
    return True
