"""Group commit: many appends share one sync."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import suppress

from trimtab.record.segment import Segment


class Batch:
    """What was appended since the last sync began; ``error`` is set when its sync failed.

    ``since`` is when the first of it was appended, ``futures`` wait for its sync on event loops.
    """

    __slots__ = ("done", "error", "futures", "records", "segments", "since")

    def __init__(self) -> None:
        self.since = 0.0
        self.futures: list[asyncio.Future[None]] = []
        self.records = 0
        self.segments: dict[Segment, None] = {}
        self.done = False
        self.error: OSError | None = None


class GroupSync:
    """Syncs what threads have written: at their wish, or steadily in the background.

    Args:
        interval_seconds: How long the background thread lets writes gather.
        failed: Called in the background thread with the error and the records it may have cost; those
            that somebody waits for are not among them.
        synced: Called behind each sync with the seconds since the first append that it covers.
        monotonic: The clock for that.
    """

    def __init__(
        self,
        interval_seconds: float,
        failed: Callable[[OSError, int], None],
        synced: Callable[[float], None] = lambda _seconds: None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._synced = synced
        self._monotonic = monotonic
        self._interval_seconds = interval_seconds
        self._failed = failed
        self._pending = Batch()
        self._retired: list[Segment] = []
        self._busy = False
        self._asked = False
        self._changed = threading.Condition()
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None

    def wrote(
        self, segment: Segment, records: int, future: asyncio.Future[None] | None = None
    ) -> Batch:
        """Note an append; the batch whose sync covers it.

        Args:
            segment: What was appended to.
            records: How many there were.
            future: Settled behind that sync, for which :meth:`hurry` is called in the same turn of its
                event loop.
        """
        with self._changed:
            batch = self._pending
            if not batch.records:
                batch.since = self._monotonic()
            batch.records += records
            batch.segments[segment] = None
            if future is not None:
                batch.futures.append(future)
            elif not self._asked:
                self._asked = True
                self._changed.notify_all()
            return batch

    def hurry(self) -> None:
        """Let the background thread begin with what was appended so far."""
        with self._changed:
            if self._pending.records and not self._asked:
                self._asked = True
                self._changed.notify_all()

    def retire(self, segment: Segment) -> None:
        """Close a segment once what was written to it has been synced."""
        with self._changed:
            self._retired.append(segment)

    def wait(self, batch: Batch) -> None:
        """Return when a batch is on disk; one of the waiting threads syncs for all.

        Raises:
            OSError: its sync failed.
        """
        while True:
            with self._changed:
                self._changed.wait_for(lambda: batch.done or not self._busy)
                if batch.done:
                    break
                self._busy = True
            self._flush()
        if batch.error is not None:
            raise OSError(batch.error.errno, batch.error.strerror)

    def start(self) -> None:
        """Begin to sync in the background; idempotent."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="journal-sync", daemon=True)
            self._thread.start()

    def close(self) -> None:
        """Sync what is left, close retired segments, end the background thread."""
        self._closing.set()
        with self._changed:
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        self._sync()

    def _run(self) -> None:
        while not self._closing.is_set():
            with self._changed:
                self._changed.wait_for(lambda: self._asked or self._closing.is_set())
            self._closing.wait(self._interval_seconds)
            self._sync()

    def _sync(self) -> None:
        with self._changed:
            self._changed.wait_for(lambda: not self._busy)
            self._busy = True
        batch = self._flush()
        if batch.error is not None and not batch.futures:
            self._failed(batch.error, batch.records)

    def _flush(self) -> Batch:
        with self._changed:
            batch, self._pending, self._asked = self._pending, Batch(), False
            retired, self._retired = self._retired, []
        try:
            for segment in batch.segments:
                segment.sync()
        except OSError as error:
            batch.error = error
        for segment in retired:
            segment.close()
        with self._changed:
            batch.done = True
            self._busy = False
            self._changed.notify_all()
        if batch.records and batch.error is None:
            self._synced(self._monotonic() - batch.since)
        _settle_all(batch)
        return batch


def _settle_all(batch: Batch) -> None:
    """Wake those who wait on event loops: one call a loop, however many they are."""
    by_loop: dict[asyncio.AbstractEventLoop, list[asyncio.Future[None]]] = defaultdict(list)
    for future in batch.futures:
        by_loop[future.get_loop()].append(future)
    for loop, futures in by_loop.items():
        with suppress(RuntimeError):  # the loop was closed: nobody waits any more
            loop.call_soon_threadsafe(_settle, futures, batch.error)


def _settle(futures: Sequence[asyncio.Future[None]], error: OSError | None) -> None:
    for future in futures:
        if future.done():
            continue  # given up by whoever waited
        if error is None:
            future.set_result(None)
        else:
            future.set_exception(OSError(error.errno, error.strerror))
