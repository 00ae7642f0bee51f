"""Group commit: many appends share one sync."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from trimtab.record.segment import Segment

Told = Callable[[OSError | None], None]
"""Called in the thread that synced, with what went wrong."""


class Batch:
    """What was appended since the last sync began; ``error`` is set when its sync failed.

    ``since`` is when the first of it was appended, ``told`` are called behind its sync.
    """

    __slots__ = ("done", "error", "records", "segments", "since", "told")

    def __init__(self) -> None:
        self.since = 0.0
        self.told: list[Told] = []
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
        # Taken by itself for each append: a condition costs three calls more.
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None

    def wrote(self, segment: Segment, records: int, told: Told | None = None) -> Batch:
        """Note an append, which the background thread syncs; the batch whose sync covers it.

        Args:
            segment: What was appended to.
            records: How many there were.
            told: Called behind that sync.
        """
        with self._lock:
            batch = self._pending
            if not batch.records:
                batch.since = self._monotonic()
            batch.records += records
            batch.segments[segment] = None
            if told is not None:
                batch.told.append(told)
            if not self._asked:
                self._asked = True
                self._changed.notify_all()
            return batch

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
            if self._interval_seconds:
                self._closing.wait(self._interval_seconds)
            self._sync()

    def _sync(self) -> None:
        with self._changed:
            self._changed.wait_for(lambda: not self._busy)
            self._busy = True
        batch = self._flush()
        if batch.error is not None and not batch.told:
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
        for told in batch.told:
            told(batch.error)
        return batch
