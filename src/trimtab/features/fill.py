"""One view's part of one request: realtime, else batch, against a deadline."""

from __future__ import annotations

from collections.abc import Mapping

from trimtab.features.draft import REALTIME, Layout, Want
from trimtab.features.flight import NO_ROWS, Bell, Flight, Rows
from trimtab.features.guard import Guard
from trimtab.types import Provenance

BATCH = Provenance.BATCH.code

_BATCH_RATIO = 0.5


class Fill:
    """Reads a view for all rows that want it, step by step; it never waits itself.

    The realtime read starts at once. The batch read starts as soon as the realtime one has failed,
    left something missing or too old, or cannot start; at the latest when half of the deadline has
    passed, so that a hanging store leaves time for it. Realtime values win whenever they come in
    time.

    Args:
        layout: The view, and where its features stand.
        wants: The rows that lack something, at least one.
        stores: Guarded stores by name.
        bell: Rung when a read is done.
        now: Monotonic time.
        until: The deadline, in the same time.
    """

    def __init__(
        self,
        layout: Layout,
        wants: list[Want],
        stores: Mapping[str, Guard],
        bell: Bell,
        now: float,
        until: float,
    ) -> None:
        self.layout = layout
        self.missed = False
        self.oldest: float | None = None
        self._wants = wants
        self._stores = stores
        self._bell = bell
        self._until = until
        self._batch_at = now + (until - now) * _BATCH_RATIO
        self._keys = (
            [wants[0].entity]
            if len(wants) == 1
            else list(dict.fromkeys([want.entity for want in wants]))
        )
        self._batch: Flight | None = None
        self._realtime = self._start(layout.view.realtime)

    def step(self, now: float) -> float | None:
        """Do what can be done now; when to look again at the latest, None if all is done."""
        last = now >= self._until
        realtime = self._realtime
        if realtime is not None:
            if not realtime.done and not last:
                return self._wait_for_realtime(realtime, now)
            self._realtime = None
            self._take(realtime, REALTIME)
            if self._wants and self._batch is None:
                self._batch = self._start(self.layout.view.batch)
                if last and self._batch is not None and not self._batch.done:
                    return now
        batch = self._batch
        if batch is not None:
            if self._wants and not batch.done and not last:
                return self._until if batch.hedge_at is None else self._hedged(batch, now)
            self._batch = None
            self._take(batch, BATCH)
        return None

    def stop(self) -> None:
        """Give up what is under way."""
        for flight in (self._realtime, self._batch):
            if flight is not None:
                flight.leave(self._bell)
        self._realtime = self._batch = None

    def _wait_for_realtime(self, flight: Flight, now: float) -> float:
        at = self._until
        if self._batch is None and self.layout.view.batch:
            if now >= self._batch_at:
                self._batch = self._start(self.layout.view.batch)
            else:
                at = self._batch_at
        return at if flight.hedge_at is None else min(at, self._hedged(flight, now))

    def _hedged(self, flight: Flight, now: float) -> float:
        if flight.hedge_at is not None and now >= flight.hedge_at:
            flight.hedge()
        return self._until if flight.hedge_at is None else min(self._until, flight.hedge_at)

    def _start(self, store: str) -> Flight | None:
        if not store:
            return None
        return self._stores[store].start(self.layout.view.name, self._keys, self._bell)

    def _take(self, flight: Flight, source: str) -> None:
        """Put what came, or what stands in for it, where it is wanted."""
        if not flight.done:
            self.missed = True
            flight.leave(self._bell)
        rows: Rows = flight.rows or NO_ROWS
        if not rows:
            return
        rest = []
        for want in self._wants:
            row = rows.get(want.entity)
            if row is None:
                rest.append(want)
                continue
            self.oldest = max(want.draft.event_time - row.event_time, self.oldest or 0.0)
            lacking = self.layout.put(want, row, source)
            if lacking:
                want.features = lacking
                rest.append(want)
        self._wants = rest
