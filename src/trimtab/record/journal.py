"""The journal's writer: law 9, every answered prediction is in the journal."""

from __future__ import annotations

import errno
import logging
import os
import secrets
import threading
from collections.abc import Sequence
from pathlib import Path

import msgspec

from trimtab.config import JournalConfig
from trimtab.errors import Unavailable
from trimtab.protocols import Clock
from trimtab.record.frames import frame
from trimtab.record.segment import SUFFIX, Segment
from trimtab.record.sync import GroupSync
from trimtab.telemetry import Event, Metrics
from trimtab.types import PredictionRecord

log = logging.getLogger(__name__)


class Journal:
    """Appends predictions to segments of this process; a :class:`~trimtab.protocols.JournalWriter`.

    When ``append`` returns, the records are in the kernel, so a killed process loses none. In mode
    ``durable`` they are on disk, and many threads share one sync. In mode ``bounded`` a thread
    syncs them within ``sync_ms`` plus one sync, which is all that a power failure can cost.

    Segment names ``<unix ms>-<pid>-<random>-<number>.seg`` sort by creation and never collide.

    Args:
        directory: Where segments are kept; made if it is not there.
        config: Mode, sync interval, segment size, and what a full disk means.
        metrics: Counts bytes and dropped records.
        clock: Names segments.
    """

    def __init__(
        self, directory: Path, config: JournalConfig, metrics: Metrics, clock: Clock
    ) -> None:
        self._directory = directory
        self._config = config
        self._metrics = metrics
        self._count_bytes = metrics.counter("ml_journal_bytes_total")
        self._clock = clock
        self._encode = msgspec.msgpack.Encoder().encode
        self._writer = f"{os.getpid()}-{secrets.token_hex(4)}"
        self._number = 0
        self._named_ms = 0
        self._begun = 0.0
        self._segment: Segment | None = None
        self._failing = False
        self._write_lock = threading.Lock()
        self._syncer = GroupSync(config.sync_ms / 1000, self._dropped)
        self._closed = False

    def append(self, records: Sequence[PredictionRecord]) -> None:
        """Write the records, all or none.

        Raises:
            Unavailable: the disk refused and the setting is to refuse (``journal_unavailable``), or
                the journal was closed (``journal_closed``).
        """
        if not records:
            return
        data = b"".join([frame(self._encode(record)) for record in records])
        try:
            with self._write_lock:
                segment = self._writable(records[-1].wall_time)
                segment.write(data)
                batch = self._syncer.wrote(segment, len(records))
                self._failing = False
            if self._config.mode == "durable":
                self._syncer.wait(batch)
        except OSError as error:
            self._refused(error, len(records))
        else:
            self._count_bytes(len(data))

    def close(self) -> None:
        """Sync and close; idempotent."""
        with self._write_lock:
            if self._closed:
                return
            self._closed = True
            if self._segment is not None:
                self._syncer.retire(self._segment)
        self._syncer.close()

    def _writable(self, wall_time: float) -> Segment:
        """The segment to write to; a new one where there is none, or it is full, old or spoiled."""
        if self._closed:
            raise Unavailable("The journal is closed.", code="journal_closed")
        old = self._segment
        age = wall_time - self._begun
        if (
            old is not None
            and old.sound
            and old.size < self._config.segment_bytes
            and age < self._config.segment_seconds
        ):
            return old
        self._directory.mkdir(parents=True, exist_ok=True)
        self._named_ms = max(self._named_ms, int(self._clock.now() * 1000))
        name = f"{self._named_ms:013d}-{self._writer}-{self._number:06d}{SUFFIX}"
        self._number += 1
        self._segment = Segment(self._directory / name)
        self._begun = wall_time
        if old is not None:
            self._syncer.retire(old)
        if self._config.mode == "bounded":
            self._syncer.start()
        return self._segment

    def _refused(self, error: OSError, records: int) -> None:
        if self._config.on_full == "drop":
            self._dropped(error, records)
            return
        self._announce(error)
        raise Unavailable(
            f"The journal in {str(self._directory)!r} cannot be written: {error.strerror}.",
            hint="Free space on its disk; predictions resume by themselves.",
            code="journal_unavailable",
        ) from error

    def _dropped(self, error: OSError, records: int) -> None:
        """Count records that are not in the journal, or that a failed sync may have cost."""
        self._announce(error)
        reason = errno.errorcode.get(error.errno or 0, "unknown").lower()
        self._metrics.count("ml_prediction_log_dropped_total", records, reason=reason)

    def _announce(self, error: OSError) -> None:
        """Log the first refusal of a row of them; the counter has them all."""
        if not self._failing:
            self._failing = True
            log.error(
                Event.JOURNAL_DROPPED,
                extra={"directory": str(self._directory), "error": str(error)},
            )
