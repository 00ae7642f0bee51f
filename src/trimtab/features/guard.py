"""One store, made safe to wait for: breaker, checked replies, bounded abandoned reads."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from inspect import iscoroutinefunction
from math import isfinite

from trimtab.config import FeaturesConfig
from trimtab.features.breaker import Breaker
from trimtab.features.threads import DaemonPool, ThreadedStore
from trimtab.protocols import Clock, FeatureStore
from trimtab.telemetry import Metrics
from trimtab.types import StoredRow

Rows = Mapping[str, StoredRow]

_MAX_ABANDONED = 64
_FAIR_RATIO = 0.25


class Read:
    """One read under way, or one that was refused at once (``task`` is None)."""

    __slots__ = ("_guard", "_started", "_task")

    def __init__(
        self, guard: Guard | None = None, task: asyncio.Task[Rows] | None = None, started: float = 0
    ) -> None:
        self._guard = guard
        self._task = task
        self._started = started

    @property
    def done(self) -> bool:
        """Whether there is nothing to wait for."""
        return self._task is None or self._task.done()

    async def wait(self, seconds: float) -> None:
        """Wait until it is done, at most so long; it goes on if it is not.

        With no time left it still gets one turn of the loop, which is all that an embedded store
        needs: else a loop that is behind would cost features that are at hand.
        """
        if self._task is not None and not self._task.done():
            await asyncio.wait((self._task,), timeout=max(0.0, seconds))

    def take(self) -> Rows:
        """The rows that came, once; none if the read failed, was refused or is not done."""
        task, guard = self._task, self._guard
        if task is None or guard is None or not task.done():
            return {}
        self._task = None
        return guard.take(task)

    def stop(self) -> None:
        """Give it up if it is not done."""
        task, guard = self._task, self._guard
        if task is not None and guard is not None and not task.done():
            self._task = None
            guard.give_up(task, self._started)


class Guard:
    """A feature store that can do no harm; one instance a process, shared by all models.

    A read that ends late is cancelled; if the store ignores that, the read is abandoned. While 64
    abandoned reads have not ended, no new one starts. A store without ``async`` methods is run in
    threads. What comes back is checked for its shape, row by row.

    Args:
        name: The store's name, for metrics and logs.
        store: The store itself, ours or foreign.
        metrics: Counters.
        clock: Monotonic time.
        config: Deadline and breaker bounds.
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
        self._abandoned: set[asyncio.Task[Rows]] = set()
        self._store = (
            store
            if iscoroutinefunction(store.read)
            else ThreadedStore(store, DaemonPool(name, self._moved))
        )

    def start(self, view: str, entities: Sequence[str]) -> Read:
        """Start a read, unless the store is known not to answer now."""
        if len(self._abandoned) >= _MAX_ABANDONED or not self._breaker.allow():
            return Read()
        task = asyncio.ensure_future(self._read(view, entities))
        return Read(self, task, self._clock.monotonic())

    def take(self, task: asyncio.Task[Rows]) -> Rows:
        """The rows of a task that is done; none if it failed. Never raises."""
        if task.cancelled():
            self._breaker.failed("the store cancelled its own read")
            return {}
        wrong = task.exception()
        if wrong is not None:
            self._breaker.failed(f"{type(wrong).__name__}: {wrong}")
            return {}
        self._breaker.succeeded()
        return task.result()

    def give_up(self, task: asyncio.Task[Rows], started: float) -> None:
        """Cancel a read. It counts as a failure if the store had a fair time to answer."""
        task.cancel()
        self._abandoned.add(task)
        self._moved(1)
        task.add_done_callback(self._ended)
        if self._clock.monotonic() - started >= self._fair_seconds:
            self._breaker.failed("no answer within the deadline")

    async def ping(self) -> None:
        """Return if the store answers, raise if not."""
        await self._store.ping()

    async def close(self) -> None:
        """Release the store's connections; idempotent."""
        await self._store.close()

    async def _read(self, view: str, entities: Sequence[str]) -> Rows:
        found = dict(await self._store.read(view, entities))
        rows = {}
        for entity in entities:
            row = found.get(entity)
            if row is None:
                continue
            if not _sound(row):
                self._metrics.count("ml_feature_refused_total", view=view, feature="*")
            elif type(row.values) is dict:
                rows[entity] = row
            else:
                rows[entity] = StoredRow(values=dict(row.values), event_time=row.event_time)
        return rows

    def _ended(self, task: asyncio.Task[Rows]) -> None:
        self._abandoned.discard(task)
        self._moved(-1)
        if not task.cancelled():
            task.exception()  # looked at, or asyncio complains that nobody did

    def _moved(self, step: int) -> None:
        self._metrics.add("ml_feature_reads_abandoned", step, store=self.name)


def _sound(row: object) -> bool:
    """Whether this is a row at all; a foreign store may hold anything."""
    if not isinstance(row, StoredRow):
        return False
    values: object = row.values
    event_time: object = row.event_time
    return (
        isinstance(values, Mapping) and isinstance(event_time, float | int) and isfinite(event_time)
    )
