"""Calls into synchronous code that may never return, without waiting for it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from inspect import isawaitable
from queue import SimpleQueue
from threading import Lock, Thread
from typing import Any

from trimtab.errors import Unavailable
from trimtab.types import StoredRow


class DaemonPool:
    """At most ``threads`` daemon threads, which end with the process even if a call hangs.

    A call that its caller gave up keeps its thread until it returns. When every thread is kept so,
    further calls are refused at once instead of waiting in vain.

    Args:
        name: Names the threads.
        moved: Called with +1 when a running call is given up and with -1 when it returns.
        threads: The most there will be; they start on demand.
    """

    def __init__(self, name: str, moved: Callable[[int], object], threads: int = 16) -> None:
        self._name = name
        self._moved = moved
        self._limit = threads
        self._lock = Lock()
        self._calls: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._threads = 0
        self._idle = 0
        self._abandoned = 0

    def submit(self, call: Callable[..., Any], *args: object) -> Future[Any]:
        """Run a call in a thread.

        Raises:
            Unavailable: every thread is held by a call that was given up.
        """
        future: Future[Any] = Future()
        with self._lock:
            if self._abandoned >= self._limit:
                raise Unavailable(
                    f"All {self._limit} threads of {self._name!r} hang in calls given up before.",
                    code="threads_exhausted",
                    hint="Mend the store's own time-out.",
                )
            if self._idle > 0:
                self._idle -= 1
            elif self._threads < self._limit:
                self._threads += 1
                Thread(target=self._work, name=f"trimtab-{self._name}", daemon=True).start()
            self._calls.put(lambda: _settle(future, call, args))
        return future

    def give_up(self, future: Future[Any]) -> None:
        """Stop waiting for a call: it never starts, or its thread is counted until it returns."""
        if future.cancel() or future.done():
            return
        self._count(1)
        future.add_done_callback(lambda _: self._count(-1))

    def close(self) -> None:
        """Let the threads end once their calls have returned; idempotent."""
        with self._lock:
            threads, self._threads, self._idle = self._threads, 0, 0
        for _ in range(threads):
            self._calls.put(None)

    def _count(self, step: int) -> None:
        with self._lock:
            self._abandoned += step
        self._moved(step)

    def _work(self) -> None:
        while (call := self._calls.get()) is not None:
            call()
            del call
            with self._lock:
                self._idle += 1


class ThreadedStore:
    """A synchronous feature store as an asynchronous one: its calls run in a pool."""

    def __init__(self, store: Any, pool: DaemonPool) -> None:
        self._store = store
        self._pool = pool

    async def read(self, view: str, entities: Sequence[str]) -> Mapping[str, StoredRow]:
        """The rows of those entities that exist."""
        rows: Mapping[str, StoredRow] = await self._call(self._store.read, view, entities)
        return rows

    async def write(self, view: str, rows: Mapping[str, StoredRow]) -> int:
        """Keep rows unless a newer event is there already; how many were kept."""
        return int(await self._call(self._store.write, view, rows))

    async def ping(self) -> None:
        """Return if the store answers, raise if not."""
        await self._call(self._store.ping)

    async def close(self) -> None:
        """Release the store's connections, unless all its threads hang, and the threads."""
        with suppress(Unavailable):
            await self._call(self._store.close)
        self._pool.close()

    async def _call(self, call: Callable[..., Any], *args: object) -> Any:
        future = self._pool.submit(call, *args)
        try:
            result = await asyncio.wrap_future(future)
        except asyncio.CancelledError:
            self._pool.give_up(future)
            raise
        return await result if isawaitable(result) else result


def _settle(future: Future[Any], call: Callable[..., Any], args: tuple[object, ...]) -> None:
    if not future.set_running_or_notify_cancel():
        return
    try:
        result = call(*args)
    except BaseException as wrong:  # noqa: BLE001 - handed to whoever waits for the future
        future.set_exception(wrong)
    else:
        future.set_result(result)
