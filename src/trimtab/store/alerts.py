"""Open alerts and the queue of their deliveries, in SQL."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, Update, select, update

from trimtab.errors import NotFound
from trimtab.store.statements import insert
from trimtab.store.tables import alerts, deliveries, is_open, undelivered
from trimtab.types import Alert


@dataclass(frozen=True, slots=True)
class SqlAlerts:
    """Open alerts and the queue of deliveries, within a transaction."""

    connection: Connection

    def open(self, alert: Alert, channels: Sequence[str]) -> bool:
        """Open an alert or count a repeat; whether it is new and was queued for ``channels``."""
        opened = self.connection.execute(
            insert(self.connection, alerts)
            .values(key=alert.key, model=alert.model, body=alert, repeats=0)
            .on_conflict_do_update(
                index_elements=["key"], index_where=is_open, set_={"repeats": alerts.c.repeats + 1}
            )
            .returning(alerts.c.id, alerts.c.repeats)
        ).one()
        if opened.repeats:
            return False
        self._queue(opened.id, channels)
        return True

    def close(self, key: str, event_time: float) -> bool:
        """Close an open alert; whether there was one."""
        closed = update(alerts).where(alerts.c.key == key, is_open).values(closed_at=event_time)
        return self.connection.execute(closed).rowcount == 1

    def alerts(
        self, model: str | None = None, limit: int = 200
    ) -> Sequence[tuple[Alert, int, float | None]]:
        """The newest alerts, oldest first: alert, repeats, and when it was closed."""
        newest = select(alerts.c.body, alerts.c.repeats, alerts.c.closed_at)
        newest = newest.order_by(alerts.c.id.desc()).limit(limit)
        if model is not None:
            newest = newest.where(alerts.c.model == model)
        rows = self.connection.execute(newest).all()
        return [(alert, repeats, closed_at) for alert, repeats, closed_at in reversed(rows)]

    def due(self, now: float, limit: int) -> Sequence[tuple[int, str, Alert, int]]:
        """Deliveries to try, longest due first: id, channel, alert, attempts so far."""
        waiting = (
            select(deliveries.c.id, deliveries.c.channel, alerts.c.body, deliveries.c.attempts)
            .join(alerts, alerts.c.id == deliveries.c.alert)
            .where(undelivered, deliveries.c.next_at <= now)
            .order_by(deliveries.c.next_at, deliveries.c.id)
            .limit(limit)
        )
        rows = self.connection.execute(waiting)
        return [(id_, channel, alert, attempts) for id_, channel, alert, attempts in rows]

    def delivered(self, delivery: int, now: float) -> None:
        """Take a delivery out of the queue.

        Raises:
            NotFound: no such delivery.
        """
        self._change(delivery, update(deliveries).values(delivered_at=now, error=""))

    def spread(self, delivery: int, channels: Sequence[str], now: float) -> None:
        """Put a delivery to each of ``channels`` in the place of one to ``EVERY_CHANNEL``.

        Raises:
            NotFound: no such delivery.
        """
        self.delivered(delivery, now)
        alert = select(deliveries.c.alert).where(deliveries.c.id == delivery)
        self._queue(self.connection.execute(alert).scalar_one(), channels)

    def retry(self, delivery: int, at: float, error: str) -> None:
        """Count a failed attempt; the delivery is due again at ``at``.

        Raises:
            NotFound: no such delivery.
        """
        attempts = deliveries.c.attempts + 1
        self._change(
            delivery, update(deliveries).values(next_at=at, attempts=attempts, error=error)
        )

    def _queue(self, alert: int, channels: Sequence[str]) -> None:
        for channel in dict.fromkeys(channels):
            self.connection.execute(
                deliveries.insert().values(
                    alert=alert, channel=channel, attempts=0, next_at=0.0, error=""
                )
            )

    def _change(self, delivery: int, statement: Update) -> None:
        if not self.connection.execute(statement.where(deliveries.c.id == delivery)).rowcount:
            raise NotFound(f"There is no delivery {delivery}.", code="delivery_not_found")
