"""Group commit: many appends share one sync."""

from __future__ import annotations

import threading
from collections.abc import Callable

from trimtab.record.segment import Segment


class Batch:
    """What was appended since the last sync began; ``error`` is set when its sync failed."""

    __slots__ = ("done", "error", "records", "segments")

    def __init__(self) -> None:
        self.records = 0
        self.segments: dict[Segment, None] = {}
        self.done = False
        self.error: OSError | None = None


class GroupSync:
    """Syncs what threads have written: at their wish, or steadily in the background.

    Args:
        interval_seconds: How long the background thread lets writes gather.
        failed: Called in the background thread with the error and the records it may have cost.
    """

    def __init__(self, interval_seconds: float, failed: Callable[[OSError, int], None]) -> None:
        self._interval_seconds = interval_seconds
        self._failed = failed
        self._pending = Batch()
        self._retired: list[Segment] = []
        self._busy = False
        self._changed = threading.Condition()
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None

    def wrote(self, segment: Segment, records: int) -> Batch:
        """Note an append; the batch whose sync covers it."""
        with self._changed:
            batch = self._pending
            batch.records += records
            batch.segments[segment] = None
            if self._thread is not None and batch.records == records:
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
                self._changed.wait_for(lambda: self._pending.records or self._closing.is_set())
            self._closing.wait(self._interval_seconds)
            self._sync()

    def _sync(self) -> None:
        with self._changed:
            self._changed.wait_for(lambda: not self._busy)
            self._busy = True
        batch = self._flush()
        if batch.error is not None:
            self._failed(batch.error, batch.records)

    def _flush(self) -> Batch:
        with self._changed:
            batch, self._pending = self._pending, Batch()
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
        return batch
