"""One read under way: who waits for it, and its second attempt."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from functools import partial
from typing import Any, Protocol

from trimtab.types import StoredRow

Rows = Mapping[str, StoredRow]
Asked = tuple[str, Sequence[str]]
"""A view, and the entities of which its rows are asked."""

NO_ROWS: Rows = {}


class Bell:
    """Wakes one waiting request when any of its reads is done, or when time is up."""

    __slots__ = ("_waiter",)

    def __init__(self) -> None:
        self._waiter: asyncio.Future[None] | None = None

    def ring(self) -> None:
        """Wake whoever waits."""
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    async def wait(self, seconds: float) -> None:
        """Wait until it rings, at most so long."""
        loop = asyncio.get_running_loop()
        self._waiter = waiter = loop.create_future()
        timer = loop.call_later(seconds, self.ring)
        try:
            await waiter
        finally:
            timer.cancel()
            self._waiter = None


class Attempt(Protocol):
    """A read that was begun: a future, or a reply."""

    def done(self) -> bool:
        """Whether it is settled, or nobody wants it."""
        ...

    def cancel(self) -> bool:
        """Be of no use any more; whether it was of some."""
        ...

    def cancelled(self) -> bool:
        """Whether it was cancelled."""
        ...

    def result(self) -> Rows:
        """What came."""
        ...

    def exception(self) -> BaseException | None:
        """What went wrong."""
        ...

    def add_done_callback(self, told: Callable[[Any], object], /) -> None:
        """Who is told when it is done."""
        ...


class Reply:
    """As a future, but whoever waits for it is told in the same turn of the loop in which it is settled."""

    __slots__ = ("_cancelled", "_done", "_told", "rows", "wrong")

    def __init__(self) -> None:
        self._done = self._cancelled = False
        self.rows: Rows | None = None
        """What came; None before, and if it failed."""
        self.wrong: BaseException | None = None
        self._told: Callable[[Any], object] | None = None

    def done(self) -> bool:
        """Whether it is settled or cancelled."""
        return self._done

    def cancelled(self) -> bool:
        """Whether nobody wants it any more."""
        return self._cancelled

    def result(self) -> Rows:
        """What came."""
        return NO_ROWS if self.rows is None else self.rows

    def exception(self) -> BaseException | None:
        """What went wrong."""
        return self.wrong

    def cancel(self) -> bool:
        """Be done without a word; whether it was not."""
        if self._done:
            return False
        self._done = self._cancelled = True
        self._told = None
        return True

    def set_result(self, rows: Rows | None) -> None:
        """Rows came; None: none will."""
        self.rows = rows
        self._done = True
        if self._told is not None:
            self._told(self)

    def set_exception(self, wrong: BaseException) -> None:
        """It failed."""
        self.wrong = wrong
        self.set_result(None)

    def add_done_callback(self, told: Callable[[Any], object], /) -> None:
        """Who is told, one only; at once if it is done already."""
        self._told = told
        if self._done:
            told(self)


def share(trip: Coroutine[Any, Any, Sequence[Rows]], parts: int) -> list[asyncio.Future[Rows]]:
    """One attempt for each part of a trip, which is cancelled once none of them is wanted."""
    loop = asyncio.get_running_loop()
    task = loop.create_task(trip)
    attempts: list[asyncio.Future[Rows]] = [loop.create_future() for _ in range(parts)]
    task.add_done_callback(partial(_hand_out, attempts))
    for attempt in attempts:
        attempt.add_done_callback(lambda _: all(a.cancelled() for a in attempts) and task.cancel())
    return attempts


def _hand_out(attempts: Sequence[asyncio.Future[Rows]], task: asyncio.Task[Sequence[Rows]]) -> None:
    """Settle the parts of a trip that is over."""
    wrong = None if task.cancelled() else task.exception()
    for place, attempt in enumerate(attempts):
        if attempt.done():
            continue
        if task.cancelled():
            attempt.cancel()
        elif wrong is not None:
            attempt.set_exception(wrong)
        else:
            attempt.set_result(task.result()[place])


class Tower(Protocol):
    """What a flight tells the guard that started it."""

    def landed(self, flight: Flight, rows: Rows, *, second: bool) -> None:
        """It came back, by its second attempt or its first; sets its rows."""
        ...

    def crashed(self, flight: Flight, wrong: BaseException | None) -> None:
        """All attempts failed, None: the store cancelled its own read; sets its rows."""
        ...

    def again(self, flight: Flight) -> Attempt | None:
        """A second attempt, or None if there shall be none."""
        ...

    def abandoned(self, flight: Flight) -> None:
        """Nobody waits for it any more; sets its rows."""
        ...

    def left(self, flight: Flight) -> None:
        """Somebody waits no longer, others do; sets its rows."""
        ...

    def drop(self, attempt: Attempt) -> None:
        """Cancel an attempt whose answer is of no use any more."""
        ...


class Flight:
    """One read, shared by all requests that ask the same thing while it is young.

    Args:
        tower: Whom to tell how it ended; None for one that is over already.
        view: The view.
        entities: Of which its rows are asked.
        started: Monotonic time.
        rows: What is known already; what comes is added to it.
    """

    __slots__ = (
        "_attempts", "_bells", "_tower", "aloft", "done", "entities", "hedge_at", "rows", "started",
        "view",
    )  # fmt: skip

    def __init__(
        self,
        tower: Tower | None,
        view: str,
        entities: Sequence[str],
        started: float,
        rows: Rows = NO_ROWS,
    ) -> None:
        self._tower = tower
        self._attempts: list[Attempt] = []
        self._bells: list[Bell] = []
        self.view = view
        self.entities = entities
        self.started = started
        self.rows = rows
        self.done = tower is None
        self.aloft = False
        """Whether others can join it; the tower says so."""
        self.hedge_at: float | None = None

    def begin(self, attempt: Attempt) -> None:
        """Wait for one more attempt."""
        self._attempts.append(attempt)
        attempt.add_done_callback(self._ended)

    def hedge(self, now: float) -> None:
        """Start the second attempt, if its time has come and the budget allows."""
        if self.hedge_at is None or now < self.hedge_at:
            return
        self.hedge_at = None
        second = self._tower.again(self) if self._tower is not None and not self.done else None
        if second is not None:
            self.begin(second)

    def join(self, bell: Bell) -> None:
        """Be told when it is done."""
        self._bells.append(bell)

    def leave(self, bell: Bell) -> None:
        """Stop waiting; a flight that nobody waits for is given up."""
        if self.done or self._tower is None:
            return
        self._bells.remove(bell)
        if self._bells:
            self._tower.left(self)
        else:
            self.done, self.hedge_at = True, None
            self._tower.abandoned(self)
            self._drop_all()

    def _ended(self, attempt: Attempt) -> None:
        # A reply that is cancelled tells nobody.
        rows, wrong = (attempt.rows, attempt.wrong) if type(attempt) is Reply else _outcome(attempt)
        if self.done or self._tower is None:
            return
        attempts = self._attempts
        if rows is not None:
            self.done, self.hedge_at = True, None
            self._tower.landed(self, rows, second=attempt is not attempts[0])
        elif all(other.done() for other in attempts):
            self.done, self.hedge_at = True, None
            self._tower.crashed(self, wrong)
        else:
            return
        if len(attempts) > 1:
            self._drop_all()
        self._attempts = []
        for bell in self._bells:
            bell.ring()

    def _drop_all(self) -> None:
        for attempt in self._attempts:
            if not attempt.done() and self._tower is not None:
                self._tower.drop(attempt)
        self._attempts = []


def _outcome(attempt: Attempt) -> tuple[Rows | None, BaseException | None]:
    """What came of a future. It is looked at in any case, or asyncio complains that nobody did."""
    if attempt.cancelled():
        return None, None
    wrong = attempt.exception()
    return attempt.result() if wrong is None else None, wrong


class Flock:
    """Several reads that together answer what is asked; some of them may be others' as well.

    Args:
        flights: The reads, at least one.
        rows: What is known already.
    """

    __slots__ = ("_flights", "_known")

    def __init__(self, flights: Sequence[Flight], rows: Rows) -> None:
        self._flights = flights
        self._known = rows

    @property
    def done(self) -> bool:
        """Whether all are."""
        return all(flight.done for flight in self._flights)

    @property
    def rows(self) -> Rows:
        """What is known so far."""
        found = dict(self._known)
        for flight in self._flights:
            found |= flight.rows
        return found

    @property
    def hedge_at(self) -> float | None:
        """When the first second attempt is due; None if there is none."""
        times = [flight.hedge_at for flight in self._flights if flight.hedge_at is not None]
        return min(times, default=None)

    def hedge(self, now: float) -> None:
        """Start the second attempts whose time has come."""
        for flight in self._flights:
            flight.hedge(now)

    def leave(self, bell: Bell) -> None:
        """Stop waiting for all."""
        for flight in self._flights:
            flight.leave(bell)
