"""Routes and rollouts in SQL, fenced by one epoch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
from sqlalchemy import Connection, func, select, update

from trimtab.errors import Conflict
from trimtab.store.statements import insert, lock, upsert
from trimtab.store.tables import control, rollouts, routes
from trimtab.types import Rollout, Route

PUSH_CHANNEL = "trimtab_epoch"
"""Where PostgreSQL tells of a raised epoch."""


@dataclass(frozen=True, slots=True)
class SqlControl:
    """Routes and rollouts, within a transaction."""

    connection: Connection

    def take_turn(self) -> None:
        """Wait until nobody else changes routes or rollouts; nobody does until this transaction ends."""
        lock(self.connection, "control")

    def epoch(self) -> int:
        """The control epoch; it never falls."""
        epoch: int = self.connection.execute(select(control.c.epoch)).scalar_one()
        return epoch

    def advance(self, expected: int) -> int:
        """Raise the epoch by one.

        Raises:
            Conflict: the epoch is no longer ``expected``; somebody else has acted.
        """
        raised = self.connection.execute(
            update(control).where(control.c.epoch == expected).values(epoch=expected + 1)
        )
        if raised.rowcount != 1:
            raise Conflict(
                f"The control epoch is {self.epoch()}, not {expected}: somebody else has acted.",
                hint="Read the present routes and decide again.",
                code="stale_epoch",
            )
        if self.connection.dialect.name == "postgresql":
            # Sent when the transaction commits.
            self.connection.execute(select(func.pg_notify(PUSH_CHANNEL, str(expected + 1))))
        return expected + 1

    def put_route(self, route: Route) -> None:
        """Keep a model's route in place of the one before.

        Raises:
            Conflict: the kept route is of a higher epoch.
        """
        row = msgspec.structs.asdict(route)
        statement = insert(self.connection, routes)
        changed = {name: statement.excluded[name] for name in row if name != "model"}
        kept = self.connection.execute(
            statement.values(row)
            .on_conflict_do_update(
                index_elements=["model"],
                set_=changed,
                where=routes.c.epoch <= statement.excluded.epoch,
            )
            .returning(routes.c.model)
        ).all()
        if not kept:
            raise Conflict(
                f"The route of {route.model!r} is newer than epoch {route.epoch}.",
                hint="Read the present route and decide again.",
                code="stale_epoch",
            )

    def route(self, model: str) -> Route | None:
        """A model's route, if it has one."""
        found = select(routes).where(routes.c.model == model)
        row = self.connection.execute(found).mappings().one_or_none()
        return None if row is None else Route(**row)

    def routes(self) -> Sequence[Route]:
        """The routes of all models, by name."""
        found = self.connection.execute(select(routes)).mappings()
        return sorted((Route(**row) for row in found), key=lambda route: route.model)

    def put_rollout(self, rollout: Rollout) -> None:
        """Keep a rollout in place of what was known of it."""
        row = {
            "id": rollout.id,
            "model": rollout.model,
            "started_at": rollout.started_at,
            "body": rollout,
        }
        upsert(self.connection, rollouts, [row])

    def rollout(self, rollout_id: str) -> Rollout | None:
        """One rollout, if there is such."""
        return self.connection.scalar(select(rollouts.c.body).where(rollouts.c.id == rollout_id))

    def rollouts(self, model: str | None = None) -> Sequence[Rollout]:
        """All rollouts, or those of one model, oldest first."""
        found = select(rollouts.c.body).order_by(rollouts.c.started_at, rollouts.c.id)
        if model is not None:
            found = found.where(rollouts.c.model == model)
        return self.connection.scalars(found).all()
