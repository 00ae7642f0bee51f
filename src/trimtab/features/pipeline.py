"""One user's features from a store of two methods, within a deadline: for synchronous callers.

The store has ``get_realtime_features(user_id, timeout)``, with the time-out in milliseconds, and
``get_batch_features(user_id)``. Both answer a mapping, or an awaitable of one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Mapping
from concurrent.futures import Future, wait
from inspect import isawaitable
from math import isnan
from threading import Lock, Thread
from typing import Any

import numpy as np

from trimtab.config import FeaturesConfig
from trimtab.errors import InvalidRow, Unavailable
from trimtab.features.breaker import Breaker
from trimtab.features.threads import DaemonPool
from trimtab.protocols import Clock
from trimtab.telemetry import Metrics
from trimtab.types import Provenance, Record

_HEDGE_RATIO = 0.5
_FAIR_RATIO = 0.25
_PANDAS_NULLS = frozenset({"NAType", "NaTType"})


class FeatureAnswer(Record, frozen=True):
    """Values by feature name, and where each came from."""

    values: dict[str, Any]
    provenance: dict[str, Provenance]


class FeaturePipeline:
    """Realtime, else batch, else fallback, feature by feature; thread-safe.

    The names in ``fallback_values``, and those that a source knows, are the features. The batch
    method is called when the realtime one failed, lacks a feature, or has taken half of the time. The
    store's methods run in daemon threads and awaitables in a loop of their own, so a method that
    ignores its time-out holds a thread, never the caller.

    Args:
        store: The object with the two methods.
        fallback_values: What to answer for features that no source has; None or NaN is no value.
        metrics: Counters.
        clock: Monotonic time.
        config: Bounds of the breakers, one for each method.
    """

    def __init__(
        self,
        store: object,
        fallback_values: Mapping[str, Any] | None,
        metrics: Metrics,
        clock: Clock,
        config: FeaturesConfig,
    ) -> None:
        self._fallbacks = {k: v for k, v in (fallback_values or {}).items() if not _is_null(v)}
        self._names = tuple(fallback_values or ())
        self._clock = clock
        self._loop = _LoopThread()
        self._realtime = _Method(store, "realtime", self._loop, metrics, clock, config)
        self._batch = _Method(store, "batch", self._loop, metrics, clock, config)

    def get(self, user_id: object, timeout_ms: float = 100.0) -> FeatureAnswer:
        """The features of a user, after at most ``timeout_ms``.

        Raises:
            InvalidRow: no source has a feature that is known by name.
            Unavailable: no source answered, and no fallback names a feature.
        """
        started = self._clock.monotonic()
        until = started + timeout_ms / 1e3
        realtime = self._realtime.start((user_id, timeout_ms), started, until)
        batch: _Call | None = None
        found: Mapping[Any, Any] = {}
        stored: Mapping[Any, Any] = {}
        try:
            realtime.wait(started + timeout_ms / 1e3 * _HEDGE_RATIO)
            if not realtime.done:
                batch = self._batch.start((user_id,), self._clock.monotonic(), until)
                realtime.wait(until)
            found = realtime.take()
            if not found or any(_is_null(found.get(name)) for name in (*self._names, *found)):
                batch = batch or self._batch.start((user_id,), self._clock.monotonic(), until)
                batch.wait(until)
                stored = batch.take()
        finally:
            realtime.stop()
            if batch is not None:
                batch.stop()
        return self._answer(found, stored)

    def close(self) -> None:
        """Let the threads end; idempotent."""
        self._realtime.close()
        self._batch.close()
        self._loop.close()

    def _answer(self, found: Mapping[Any, Any], stored: Mapping[Any, Any]) -> FeatureAnswer:
        sources = (
            (Provenance.REALTIME, found),
            (Provenance.BATCH, stored),
            (Provenance.DEFAULT, self._fallbacks),
        )
        values: dict[str, Any] = {}
        provenance: dict[str, Provenance] = {}
        for name in dict.fromkeys((*self._names, *found, *stored)):
            for source, held in sources:
                if not _is_null(value := held.get(name)):
                    values[name], provenance[name] = value, source
                    break
            else:
                raise InvalidRow(
                    f"No source has the feature {name!r}, and it has no fallback value.",
                    code="feature_unavailable",
                    path=f"features.{name}",
                    hint="Give it a value in fallback_values.",
                )
        if not values:
            raise Unavailable(
                "Neither the realtime nor the batch source has any features.",
                code="features_unavailable",
                hint="Name the features in fallback_values, with what to use in their stead.",
            )
        return FeatureAnswer(values=values, provenance=provenance)


class _Method:
    """One of the store's two methods, with its threads and its breaker."""

    def __init__(
        self,
        store: object,
        source: str,
        loop: _LoopThread,
        metrics: Metrics,
        clock: Clock,
        config: FeaturesConfig,
    ) -> None:
        self._store = store
        self._name = f"get_{source}_features"
        self._loop = loop
        self._clock = clock
        self.breaker = Breaker(source, metrics, clock, config)
        self.pool = DaemonPool(
            source, lambda step: metrics.add("ml_feature_reads_abandoned", step, store=source)
        )

    def start(self, args: tuple[object, ...], now: float, until: float) -> _Call:
        """Start a call, unless the method is known not to answer now."""
        fair_at = now + (until - now) * _FAIR_RATIO
        if not self.breaker.allow():
            return _Call(self, None, self._clock, fair_at)
        try:
            future = self.pool.submit(self._call, args, until)
        except Unavailable as full:
            self.breaker.failed(str(full))
            return _Call(self, None, self._clock, fair_at)
        return _Call(self, future, self._clock, fair_at)

    def close(self) -> None:
        """Let the threads end."""
        self.pool.close()

    def _call(self, args: tuple[object, ...], until: float) -> dict[Any, Any]:
        answer = getattr(self._store, self._name)(*args)
        if isawaitable(answer):
            answer = self._loop.run(answer, until - self._clock.monotonic())
        return {} if answer is None else dict(answer)


class _Call:
    """One call under way, or one that was refused at once (``future`` is None)."""

    def __init__(
        self,
        method: _Method,
        future: Future[dict[Any, Any]] | None,
        clock: Clock,
        fair_at: float,
    ) -> None:
        self._method = method
        self._future = future
        self._clock = clock
        self._fair_at = fair_at

    @property
    def done(self) -> bool:
        """Whether there is nothing to wait for."""
        return self._future is None or self._future.done()

    def wait(self, until: float) -> None:
        """Wait until it is done, at most so long; it goes on if it is not."""
        if self._future is not None:
            wait((self._future,), timeout=max(0.0, until - self._clock.monotonic()))

    def take(self) -> dict[Any, Any]:
        """What the call answered; nothing if it failed, was refused or is not done."""
        if self._future is None or not self._future.done():
            return {}
        wrong = self._future.exception()
        if wrong is not None:
            self._method.breaker.failed(f"{type(wrong).__name__}: {wrong}")
            return {}
        self._method.breaker.succeeded()
        return self._future.result()

    def stop(self) -> None:
        """Give it up if it is not done; a failure if it had a fair part of the time."""
        if self._future is None or self._future.done():
            return
        self._method.pool.give_up(self._future)
        if self._clock.monotonic() >= self._fair_at:
            self._method.breaker.failed("no answer within the deadline")
        else:
            self._method.breaker.undecided()


class _LoopThread:
    """An event loop in a daemon thread, started when the first awaitable comes."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._loop: asyncio.AbstractEventLoop | None = None

    def run(self, awaitable: Awaitable[Any], seconds: float) -> Any:
        """Wait for an awaitable from another thread; it is cancelled when time is up.

        Raises:
            TimeoutError: it took longer.
        """
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                Thread(target=_turn, args=(self._loop,), daemon=True).start()
            future = asyncio.run_coroutine_threadsafe(_awaited(awaitable), self._loop)
        try:
            return future.result(seconds)
        except TimeoutError:
            future.cancel()
            raise

    def close(self) -> None:
        """Stop the loop; idempotent."""
        with self._lock:
            loop, self._loop = self._loop, None
        if loop is not None:
            loop.call_soon_threadsafe(loop.stop)


def _turn(loop: asyncio.AbstractEventLoop) -> None:
    loop.run_forever()
    loop.close()


async def _awaited(awaitable: Awaitable[Any]) -> Any:
    return await awaitable


def _is_null(value: object) -> bool:
    """None, NaN of Python or NumPy, and the nulls of pandas, known by name: it is no dependency."""
    if isinstance(value, float | np.floating):
        return isnan(value)
    return value is None or type(value).__name__ in _PANDAS_NULLS
