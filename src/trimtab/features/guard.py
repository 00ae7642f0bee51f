"""One store, made safe to wait for: breaker, hedges, cache, checked replies, bounded late reads."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from inspect import iscoroutinefunction
from math import isfinite
from typing import Any, Protocol

from trimtab.config import FeaturesConfig
from trimtab.features.breaker import Breaker
from trimtab.features.cache import RowCache
from trimtab.features.flight import NO_ROWS, Asked, Attempt, Bell, Flight, Flock, Rows
from trimtab.features.linger import Company
from trimtab.features.pace import Pace
from trimtab.features.threads import DaemonPool, ThreadedStore
from trimtab.protocols import Clock, FeatureStore
from trimtab.telemetry import Metrics
from trimtab.types import StoredRow

_MAX_ABANDONED = 64
_FAIR_RATIO = 0.25
_AT_ONCE = 128
_MOST_JOINED = 8


class Asker(Protocol):
    """Who asks for rows of one view."""

    @property
    def asked(self) -> Asked:
        """What is asked."""
        ...

    def board(self, flight: Flight | Flock) -> None:
        """Take the read that answers it, which may be over already."""
        ...


class Guard:
    """A feature store that can do no harm; one instance a process, shared by all models.

    A read that ends late is cancelled; if the store ignores that, the read is abandoned. While 64
    abandoned reads have not ended, no new one starts. A store without ``async`` methods is run in
    threads. Requests that ask for the same entities at the same time share a read of them. What comes
    back is checked for its shape, row by row.

    Two kinds of our own stores answer faster than a coroutine can, and are trusted to answer rows:
    one with ``read_now``, whose reads never wait, is read in place; one with ``begin_many`` answers
    what is asked of several views with a reply each, in one round trip. If that one has ``linger``
    too, it can look for a reply before anybody waits.

    Args:
        name: The store's name, for metrics and logs.
        store: The store itself, ours or foreign.
        metrics: Counters.
        clock: Monotonic time.
        config: Deadline, breaker, hedges, and the store's cache.
    """

    def __init__(
        self,
        name: str,
        store: FeatureStore,
        metrics: Metrics,
        clock: Clock,
        config: FeaturesConfig,
    ) -> None:
        self.name = name
        self._fair_seconds = config.deadline_ms / 1e3 * _FAIR_RATIO
        self._metrics = metrics
        self._monotonic = clock.monotonic
        self._breaker = Breaker(name, metrics, clock, config)
        self._pace = Pace(config)
        mine = config.stores.get(name)
        self._cache = RowCache(mine.cache) if mine is not None and mine.cache else None
        self._abandoned: set[Attempt] = set()
        self._flying: dict[str, dict[str, Flight]] = {}
        self._aloft: Counter[str] = Counter()
        self._store = (
            store
            if iscoroutinefunction(store.read)
            else ThreadedStore(store, DaemonPool(name, self._moved))
        )
        self._now: Any = _beside_read(store, "read_now")
        self._begin: Any = _beside_read(store, "begin_many") or self._tasks
        self._look: Callable[[], None] | None = _beside_read(store, "linger")
        self._company = Company()

    def start(self, askers: Sequence[Asker], bell: Bell, *, linger: bool = False) -> None:
        """Start reads, or join those under way; what can have no answer now is over already.

        Args:
            askers: What is asked of each view; each is given its read.
            bell: Rung when a read is done that is not over yet.
            linger: Whether there is nothing to do until the replies come. Then the reply is looked for, if
                one row is asked for and rows come one by one.
        """
        now = self._monotonic()
        allowed: bool | None = None
        new: list[Flight] = []
        begun: list[Asked] = []
        for asker in askers:
            view, entities = asker.asked
            known = NO_ROWS
            if self._cache is not None:
                known, entities = self._fresh(self._cache, view, entities, now)
            joined: Sequence[Flight] = ()
            if self._flying.get(view):
                joined, entities = self._join(view, entities, now, bell)
            if entities and allowed is None:
                steady = self._breaker.steady
                allowed = len(self._abandoned) < _MAX_ABANDONED and (
                    steady or self._breaker.allow()
                )
            if not entities:
                flight = Flight(None, view, (), now, known)
            elif not allowed:
                flight = self._over(view, entities, now, known)
            elif self._now is not None and len(entities) <= _AT_ONCE:
                flight = self._read_now(view, entities, now, known)
            else:
                flight = Flight(self, view, entities, now, known)
                new.append(flight)
                begun.append((view, entities))
            asker.board(Flock((flight, *joined), NO_ROWS) if joined else flight)
        if new:
            self._depart(new, self._begin(begun), bell, linger=linger)

    def landed(self, flight: Flight, rows: Rows, *, second: bool) -> None:
        """A read came back, by its second attempt or its first."""
        now = self._monotonic()
        if flight.aloft:
            self._forget(flight)
        if not self._breaker.steady:
            self._breaker.succeeded()
        self._pace.read(now - flight.started)
        if second:
            self._metrics.count("ml_feature_hedges_total", store=self.name, result="won")
        if self._cache is not None:
            self._cache.keep(flight.view, flight.entities, rows, flight.started)
        flight.rows = {**flight.rows, **rows} if flight.rows else rows

    def crashed(self, flight: Flight, wrong: BaseException | None) -> None:
        """A read failed."""
        if flight.aloft:
            self._forget(flight)
        self._breaker.failed(
            "the store cancelled its own read"
            if wrong is None
            else f"{type(wrong).__name__}: {wrong}"
        )
        self._stand_in(flight)

    def again(self, flight: Flight) -> Attempt | None:
        """A second attempt, while the store is worth it and the budget allows."""
        if self._breaker.is_open or not self._pace.spend():
            return None
        self._metrics.count("ml_feature_hedges_total", store=self.name, result="sent")
        attempts: Sequence[Attempt] = self._begin([(flight.view, flight.entities)])
        return attempts[0]

    def abandoned(self, flight: Flight) -> None:
        """Nobody waits any more. That is a failure if the store had a fair time to answer."""
        self._forget(flight)
        taken = self._monotonic() - flight.started
        if taken >= self._fair_seconds:
            self._pace.read(taken)
            self._breaker.failed("no answer within the deadline")
        else:
            self._breaker.undecided()
        self._stand_in(flight)

    def left(self, flight: Flight) -> None:
        """Somebody waits no longer, and takes what is known."""
        self._stand_in(flight)

    def drop(self, attempt: Attempt) -> None:
        """Cancel an attempt; one that does not end at once is counted until it does."""
        attempt.cancel()
        if not attempt.done():
            self._abandoned.add(attempt)
            self._moved(1)
            attempt.add_done_callback(self._ended)

    async def ping(self) -> None:
        """Return if the store answers, raise if not."""
        await self._store.ping()

    async def close(self) -> None:
        """Release the store's connections; idempotent."""
        await self._store.close()

    def _fresh(
        self, cache: RowCache, view: str, entities: Sequence[str], now: float
    ) -> tuple[Rows, Sequence[str]]:
        known, rest, absent = cache.fresh(view, entities, now)
        self._hit("fresh", len(known))
        self._hit("absent", absent)
        return known, rest

    def _join(
        self, view: str, entities: Sequence[str], now: float, bell: Bell
    ) -> tuple[Sequence[Flight], Sequence[str]]:
        """Reads under way that ask for some of the entities, joined; and the entities that are left."""
        flying = self._flying[view]
        joined: dict[int, Flight] = {}
        rest = []
        for entity in entities:
            flight = flying.get(entity)
            if (
                flight is None
                or now - flight.started >= self._fair_seconds
                or (id(flight) not in joined and len(joined) == _MOST_JOINED)
            ):
                rest.append(entity)
            else:
                joined[id(flight)] = flight
        for flight in joined.values():
            self._metrics.count("ml_feature_reads_shared_total", store=self.name)
            flight.join(bell)
        return tuple(joined.values()), rest

    def _depart(
        self, flights: Sequence[Flight], attempts: Sequence[Attempt], bell: Bell, *, linger: bool
    ) -> None:
        """Wait for the reads of one request, and let others join what is not over soon."""
        for at, flight in enumerate(flights):
            flight.begin(attempts[at])
        alone = self._company.alone(len(flights[0].entities))
        if linger and alone and self._look is not None:
            self._look()
        for flight in flights:
            if not flight.done:
                self._await(flight, bell)

    def _await(self, flight: Flight, bell: Bell) -> None:
        """Wait for a read with all who will ask for the same."""
        flying = self._flying.setdefault(flight.view, {})
        for entity in flight.entities:
            flying[entity] = flight
        self._aloft[flight.view] += 1
        flight.aloft = True
        flight.join(bell)
        after = self._pace.after_seconds
        if after is not None and not self._breaker.is_open:
            flight.hedge_at = flight.started + after

    def _over(self, view: str, entities: Sequence[str], now: float, known: Rows) -> Flight:
        return Flight(None, view, (), now, {**self._stale(view, entities, now), **known})

    def _stale(self, view: str, entities: Sequence[str], now: float) -> Rows:
        if self._cache is None:
            return NO_ROWS
        rows = self._cache.stale(view, entities, now)
        self._hit("stale", len(rows))
        return rows

    def _stand_in(self, flight: Flight) -> None:
        if self._cache is not None:
            now = self._monotonic()
            flight.rows = {**self._stale(flight.view, flight.entities, now), **flight.rows}

    def _forget(self, flight: Flight) -> None:
        flying = self._flying[flight.view]
        self._aloft[flight.view] -= 1
        if not self._aloft[flight.view]:
            flying.clear()
            return
        for entity in flight.entities:
            if flying.get(entity) is flight:
                del flying[entity]

    def _read_now(self, view: str, entities: Sequence[str], now: float, known: Rows) -> Flight:
        try:
            rows: Rows = self._now(view, entities)
        except Exception as wrong:  # noqa: BLE001 - a store may raise anything; the breaker logs and counts it
            self._breaker.failed(f"{type(wrong).__name__}: {wrong}")
            return self._over(view, entities, now, known)
        self._breaker.succeeded()
        if self._cache is not None:
            self._cache.keep(view, entities, rows, now)
        return Flight(None, view, (), now, {**known, **rows} if known else rows)

    def _tasks(self, asked: Sequence[Asked]) -> list[Attempt]:
        return [asyncio.ensure_future(self._read(view, entities)) for view, entities in asked]

    async def _read(self, view: str, entities: Sequence[str]) -> Rows:
        return self._sound_rows(view, entities, await self._store.read(view, entities))

    def _sound_rows(self, view: str, entities: Sequence[str], found: Rows) -> dict[str, StoredRow]:
        """The rows among what a store answered, in the order asked."""
        rows = {}
        get = dict(found).get
        for entity in entities:
            row = get(entity)
            if row is None:
                continue
            if not _sound(row):
                self._metrics.count("ml_feature_refused_total", view=view, feature="*")
            elif type(row.values) is dict:
                rows[entity] = row
            else:
                rows[entity] = StoredRow(values=dict(row.values), event_time=row.event_time)
        return rows

    def _hit(self, result: str, rows: int) -> None:
        if rows:
            self._metrics.count("ml_feature_cache_total", rows, store=self.name, result=result)

    def _ended(self, attempt: Attempt) -> None:
        self._abandoned.discard(attempt)
        self._moved(-1)
        if not attempt.cancelled():
            attempt.exception()  # looked at, or asyncio complains that nobody did

    def _moved(self, step: int) -> None:
        self._metrics.add("ml_feature_reads_abandoned", step, store=self.name)


def _beside_read(store: object, name: str) -> Any:
    """A faster way to read, unless a subclass has overridden ``read`` and not this."""
    for kind in type(store).__mro__:
        if name in vars(kind):
            return getattr(store, name)
        if "read" in vars(kind):
            return None
    return None


def _sound(row: object) -> bool:
    """Whether this is a row at all; a foreign store may hold anything."""
    if not isinstance(row, StoredRow):
        return False
    values: object = row.values
    event_time: object = row.event_time
    return (
        isinstance(values, Mapping) and isinstance(event_time, float | int) and isfinite(event_time)
    )
