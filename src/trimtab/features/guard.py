"""One store, made safe to wait for: breaker, hedges, cache, checked replies, bounded late reads."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from inspect import iscoroutinefunction
from math import isfinite
from typing import Any

from trimtab.config import FeaturesConfig
from trimtab.features.breaker import Breaker
from trimtab.features.cache import RowCache
from trimtab.features.flight import NO_ROWS, Attempt, Bell, Flight, Rows
from trimtab.features.pace import Pace
from trimtab.features.threads import DaemonPool, ThreadedStore
from trimtab.protocols import Clock, FeatureStore
from trimtab.telemetry import Metrics
from trimtab.types import StoredRow

_MAX_ABANDONED = 64
_FAIR_RATIO = 0.25
_AT_ONCE = 128


class Guard:
    """A feature store that can do no harm; one instance a process, shared by all models.

    A read that ends late is cancelled; if the store ignores that, the read is abandoned. While 64
    abandoned reads have not ended, no new one starts. A store without ``async`` methods is run in
    threads. Requests that ask the same thing at the same time share one read. What comes back is
    checked for its shape, row by row.

    Two kinds of our own stores answer faster than a coroutine can, and are trusted to answer rows:
    one with ``read_now``, whose reads never wait, is read in place; one with ``begin`` answers with
    a future.

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
        self._clock = clock
        self._breaker = Breaker(name, metrics, clock, config)
        self._pace = Pace(config)
        mine = config.stores.get(name)
        self._cache = RowCache(mine.cache) if mine is not None and mine.cache else None
        self._abandoned: set[Attempt] = set()
        self._flying: dict[tuple[str, ...], Flight] = {}
        self._store = (
            store
            if iscoroutinefunction(store.read)
            else ThreadedStore(store, DaemonPool(name, self._moved))
        )
        self._now: Any = _beside_read(store, "read_now")
        self._begin: Any = _beside_read(store, "begin") or self._task

    def start(self, view: str, entities: Sequence[str], bell: Bell) -> Flight:
        """Start a read, or join one; one that is over already if the store cannot answer now."""
        now = self._clock.monotonic()
        known = NO_ROWS
        if self._cache is not None:
            known, entities, absent = self._cache.fresh(view, entities, now)
            self._hit("fresh", len(known))
            self._hit("absent", absent)
            if not entities:
                return Flight(None, (), now, known)
        key = (view, *entities)
        flying = self._flying.get(key)
        if flying is not None and now - flying.started < self._fair_seconds:
            self._metrics.count("ml_feature_reads_shared_total", store=self.name)
            return flying.join(bell)
        if len(self._abandoned) >= _MAX_ABANDONED or not self._breaker.allow():
            return self._over(view, entities, now, known)
        if self._now is not None and len(entities) <= _AT_ONCE:
            return self._read_now(view, entities, now, known)
        flight = Flight(self, key, now, known)
        self._flying[key] = flight
        flight.join(bell).begin(self._begin(view, entities))
        after = self._pace.after_seconds
        if after is not None and not self._breaker.is_open:
            flight.hedge_at = now + after
        return flight

    def landed(self, flight: Flight, rows: Rows, *, second: bool) -> None:
        """A read came back, by its second attempt or its first."""
        now = self._clock.monotonic()
        self._forget(flight)
        self._breaker.succeeded()
        self._pace.read(now - flight.started)
        if second:
            self._metrics.count("ml_feature_hedges_total", store=self.name, result="won")
        if self._cache is not None:
            self._cache.keep(flight.key[0], flight.key[1:], rows, flight.started)
        flight.rows = {**flight.rows, **rows} if flight.rows else rows

    def crashed(self, flight: Flight, wrong: BaseException | None) -> None:
        """A read failed."""
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
        attempt: Attempt = self._begin(flight.key[0], flight.key[1:])
        return attempt

    def abandoned(self, flight: Flight) -> None:
        """Nobody waits any more. That is a failure if the store had a fair time to answer."""
        self._forget(flight)
        taken = self._clock.monotonic() - flight.started
        if taken >= self._fair_seconds:
            self._pace.read(taken)
            self._breaker.failed("no answer within the deadline")
        else:
            self._breaker.undecided()
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

    def _over(self, view: str, entities: Sequence[str], now: float, known: Rows) -> Flight:
        rows = {**self._stale(view, entities, now), **known}
        return Flight(None, (), now, rows, failed=True)

    def _stale(self, view: str, entities: Sequence[str], now: float) -> Rows:
        if self._cache is None:
            return NO_ROWS
        rows = self._cache.stale(view, entities, now)
        self._hit("stale", len(rows))
        return rows

    def _stand_in(self, flight: Flight) -> None:
        if self._cache is not None:
            now = self._clock.monotonic()
            flight.rows = {**self._stale(flight.key[0], flight.key[1:], now), **flight.rows}

    def _forget(self, flight: Flight) -> None:
        if self._flying.get(flight.key) is flight:
            del self._flying[flight.key]

    def _read_now(self, view: str, entities: Sequence[str], now: float, known: Rows) -> Flight:
        try:
            rows: Rows = self._now(view, entities)
        except Exception as wrong:  # noqa: BLE001 - a store may raise anything; the breaker logs and counts it
            self._breaker.failed(f"{type(wrong).__name__}: {wrong}")
            return self._over(view, entities, now, known)
        self._breaker.succeeded()
        if self._cache is not None:
            self._cache.keep(view, entities, rows, now)
        return Flight(None, (), now, {**known, **rows} if known else rows)

    def _task(self, view: str, entities: Sequence[str]) -> Attempt:
        return asyncio.ensure_future(self._read(view, entities))

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
