"""One view's part of one request: realtime, else batch, against a deadline."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from trimtab.features.draft import REALTIME
from trimtab.features.flight import Asked, Bell, Flight, Flock, Rows
from trimtab.features.tally import Tally
from trimtab.features.views import PlannedView
from trimtab.types import Provenance

BATCH = Provenance.BATCH.code

_BATCH_RATIO = 0.5


class Lacking(Protocol):
    """What rows want of one view."""

    @property
    def entities(self) -> Sequence[str]:
        """The entities of which the view's rows are wanted, each once."""
        ...

    def take(self, rows: Rows, source: str) -> tuple[Lacking | None, float | None]:
        """Fill the rows; what is still wanted, and the oldest stored row's age."""
        ...


class Fill:
    """Reads a view for all rows that want it, step by step; it never waits itself.

    It says in ``calls`` which store shall be asked, so that what several views want of one store can be
    asked at once. The realtime store comes first. The batch store is called as soon as the realtime read
    has failed, left something missing or too old, or cannot start; at the latest when half of the deadline
    has passed, so that a hanging store leaves time for it. Realtime values win whenever they come in time.

    Args:
        view: The view.
        tally: Told how old what came was, and what did not come.
        wants: What rows lack of it.
        bell: Rung when a read is done.
        now: Monotonic time.
        until: The deadline, in the same time.
    """

    __slots__ = (
        "_batch",
        "_batch_at",
        "_bell",
        "_calls_batch",
        "_missed",
        "_oldest",
        "_realtime",
        "_tally",
        "_until",
        "_wants",
        "asked",
        "calls",
        "view",
    )  # fmt: skip

    def __init__(
        self,
        view: PlannedView,
        tally: Tally,
        wants: Lacking,
        bell: Bell,
        now: float,
        until: float,
    ) -> None:
        self.view = view
        self._tally = tally
        self._missed = False
        self._oldest: float | None = None
        self.calls = view.realtime or view.batch
        self._calls_batch = not view.realtime
        self.asked: Asked = (view.name, wants.entities)
        self._wants: Lacking | None = wants
        self._bell = bell
        self._until = until
        self._batch_at = now + (until - now) * _BATCH_RATIO
        self._realtime: Flight | Flock | None = None
        self._batch: Flight | Flock | None = None

    def board(self, flight: Flight | Flock) -> None:
        """Take the read of the store that was called."""
        if self._calls_batch:
            self._batch = flight
        else:
            self._realtime = flight
        self.calls = ""

    def step(self, now: float) -> float | None:
        """Do what can be done now; when to look again at the latest, None if all is done."""
        last = now >= self._until
        realtime = self._realtime
        if realtime is not None:
            if not realtime.done and not last:
                return self._wait_for_realtime(realtime, now)
            self._realtime = None
            self._take(realtime, REALTIME, last=last)
            if self._wants is not None and self._batch is None:
                self._call_batch()
        if self.calls:
            return now
        batch = self._batch
        if batch is not None:
            if self._wants is not None and not batch.done and not last:
                return self._until if batch.hedge_at is None else self._hedged(batch, now)
            self._batch = None
            self._take(batch, BATCH, last=last)
        return None

    def tell(self) -> None:
        """Have the view's oldest value and a missed deadline counted."""
        if self._oldest is not None:
            self._tally.age(self._oldest)
        if self._missed:
            self._tally.missed()

    def stop(self) -> None:
        """Give up what is under way."""
        for flight in (self._realtime, self._batch):
            if flight is not None:
                flight.leave(self._bell)
        self._realtime = self._batch = None

    def _wait_for_realtime(self, flight: Flight | Flock, now: float) -> float:
        at = self._until
        if self._batch is None and self.view.batch:
            if now >= self._batch_at:
                self._call_batch()
            else:
                at = self._batch_at
        return at if flight.hedge_at is None else min(at, self._hedged(flight, now))

    def _call_batch(self) -> None:
        self.calls, self._calls_batch = self.view.batch, True

    def _hedged(self, flight: Flight | Flock, now: float) -> float:
        flight.hedge(now)
        return self._until if flight.hedge_at is None else min(self._until, flight.hedge_at)

    def _take(self, flight: Flight | Flock, source: str, *, last: bool) -> None:
        """Put what came, or what stands in for it, where it is wanted."""
        if not flight.done:
            self._missed = self._missed or last
            flight.leave(self._bell)
        rows = flight.rows
        if rows and self._wants is not None:
            self._wants, oldest = self._wants.take(rows, source)
            if oldest is not None and (self._oldest is None or oldest > self._oldest):
                self._oldest = oldest
