"""The journal's writer: law 9, every answered prediction is in the journal."""

from __future__ import annotations

import errno
import logging
import os
import secrets
import threading
from collections.abc import Awaitable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path

import msgspec
from xxhash import xxh3_64_intdigest

from trimtab.config import JournalConfig
from trimtab.errors import Unavailable
from trimtab.log_events import Event
from trimtab.protocols import Clock, Turn
from trimtab.record.frames import frame
from trimtab.record.gathered import EachTurn, Gathered
from trimtab.record.segment import SUFFIX, Segment
from trimtab.record.sync import Batch, GroupSync, Told
from trimtab.telemetry import Metrics
from trimtab.types import PredictionRecord

log = logging.getLogger(__name__)


def in_sample(unit: str, ratio: float) -> bool:
    """Whether a unit is in the sample: the same in every process, independent of every rollout's slots.

    Args:
        unit: The unit as journalled; all records of a unit are kept, or none.
        ratio: The share of units in the sample, in [0, 1].
    """
    return xxh3_64_intdigest(f"trimtab.sample:{unit}".encode()) < ratio * 2**64


class Journal:
    """Appends predictions to segments of this process; a :class:`~trimtab.protocols.JournalWriter`.

    When ``append`` returns, the records are in the kernel, so a killed process loses none. In mode
    ``durable`` they are on disk, and many threads share one sync; on an event loop :meth:`put` does not
    hold up what else is asked meanwhile, which is one write a turn and shares the next sync. In mode ``bounded`` a thread
    syncs them within ``sync_ms`` plus one sync, which is all that a power failure can cost. ``sampled`` is
    the same for a share of the units. With ``turn``, what is put in one turn of the event loop is one write
    at its end, which all of them wait for.

    Segment names ``<unix ms>-<pid>-<random>-<number>.seg`` sort by creation and never collide.

    Args:
        directory: Where segments are kept; made if it is not there.
        config: Mode, sync interval, segment size, and what a full disk means.
        metrics: Counts bytes and dropped records.
        clock: Names segments.
        turn: Where writes are gathered; None writes at once.
    """

    def __init__(
        self,
        directory: Path,
        config: JournalConfig,
        metrics: Metrics,
        clock: Clock,
        turn: Turn | None = None,
    ) -> None:
        self._directory = directory
        self._config = config
        self._metrics = metrics
        self._count_bytes = metrics.counter("ml_journal_bytes_total", later=True)
        self._clock = clock
        self._encode = msgspec.msgpack.Encoder().encode
        self._writer = f"{os.getpid()}-{secrets.token_hex(4)}"
        self._number = 0
        self._named_ms = 0
        self._ends = 0.0
        self._segment: Segment | None = None
        self._failing = False
        self._write_lock = threading.Lock()
        self._durable = config.mode == "durable"
        self._sampled = config.mode == "sampled"
        self._bound = 0.0 if self._durable else config.sync_ms / 1000
        self._syncer = GroupSync(self._bound, self._dropped, self._synced, clock.monotonic)
        self._show_lag = metrics.setter("ml_journal_lag_seconds")
        self._show_bound = metrics.setter("ml_journal_loss_bound_seconds")
        self._show_bound(self._bound)
        self._show_failing = metrics.setter("ml_journal_failing")
        self._closed = False
        self._turn = turn
        self._gathered: Gathered | None = None

    def append(self, records: Sequence[PredictionRecord]) -> None:
        """Write the records, all or none.

        Raises:
            Unavailable: the disk refused and the setting is to refuse (``journal_unavailable``), or
                the journal was closed (``journal_closed``).
        """
        if self._sampled:
            records = self._sample(records)
        if not records:
            return
        try:
            batch = self._hand_over(self._framed(records), len(records), records[-1].wall_time)
            if self._durable:
                self._syncer.wait(batch)
        except OSError as error:
            self._refused(error, len(records))

    def put(
        self, records: Sequence[PredictionRecord], *, last: bool = False
    ) -> Awaitable[None] | None:
        """As :meth:`append`; what is to be awaited before the reply.

        Args:
            records: What was answered.
            last: Whether to write at once, together with what was put in this turn before.

        Raises:
            Unavailable: as :meth:`append`.
        """
        alone = self._turn is None or (last and self._gathered is None)
        if alone and not self._durable:
            self.append(records)
            return None
        waiting = self._gather(self._turn or EachTurn(), records)
        if last and self._turn is not None:
            self._write_gathered()
        return waiting

    def close(self) -> None:
        """Sync and close; idempotent."""
        self._write_gathered()
        with self._write_lock:
            if self._closed:
                return
            self._closed = True
            if self._segment is not None:
                self._syncer.retire(self._segment)
                self._segment = None
        self._syncer.close()

    def _gather(self, turn: Turn, records: Sequence[PredictionRecord]) -> Awaitable[None] | None:
        """Keep the records for the end of the turn."""
        if self._sampled:
            records = self._sample(records)
        if not records:
            return None
        gathered = self._gathered
        if gathered is None:
            gathered = self._gathered = Gathered()
            turn.soon(self._write_gathered)
        gathered.frames.append(self._framed(records))
        gathered.count += len(records)
        gathered.wall_time = records[-1].wall_time
        return (_on_disk if self._durable else _written)(gathered, turn)

    def _write_gathered(self) -> None:
        """Hand what was gathered in a turn to the kernel, all or none."""
        gathered, self._gathered = self._gathered, None
        if gathered is None:
            return
        told = None
        if self._durable:
            self._syncer.start()
            told = partial(self._tell, gathered)
        try:
            self._hand_over(b"".join(gathered.frames), gathered.count, gathered.wall_time, told)
        except OSError as error:
            self._settle(gathered, error)
        except Unavailable as closed:
            gathered.settle(closed)
        else:
            gathered.frames.clear()
            if told is None:
                gathered.settle(None)

    def _tell(self, gathered: Gathered, error: OSError | None) -> None:
        """Let those who wait for a turn's records know, from the thread that synced them."""
        with suppress(RuntimeError):  # the loop was closed: nobody waits any more
            gathered.loop.call_soon_threadsafe(self._settle, gathered, error)

    def _settle(self, gathered: Gathered, error: OSError | None) -> None:
        """Refuse or drop a turn's records if the disk did not take them."""
        refused = None
        if error is not None:
            try:
                self._refused(error, gathered.count)
            except Unavailable as unavailable:
                refused = unavailable
        gathered.settle(refused)

    def _framed(self, records: Sequence[PredictionRecord]) -> bytes:
        if len(records) == 1:
            return frame(self._encode(records[0]))
        return b"".join([frame(self._encode(record)) for record in records])

    def _hand_over(
        self,
        data: bytes,
        records: int,
        wall_time: float,
        told: Told | None = None,
    ) -> Batch:
        """Hand all of the records to the kernel, or none; the batch whose sync covers them."""
        with self._write_lock:
            segment = self._segment
            if segment is None or not segment.takes or wall_time >= self._ends:
                segment = self._renewed(wall_time)
            segment.write(data)
            batch = self._syncer.wrote(segment, records, told)
            if self._failing:
                self._failing = False
                self._show_failing(0.0)
        self._count_bytes(len(data))
        return batch

    def _sample(self, records: Sequence[PredictionRecord]) -> Sequence[PredictionRecord]:
        kept = [one for one in records if in_sample(one.unit, self._config.sample_ratio)]
        if len(kept) < len(records):
            self._metrics.count("ml_journal_unsampled_total", len(records) - len(kept))
        return kept

    def _synced(self, seconds: float) -> None:
        self._show_lag(seconds)
        if not self._durable and seconds > self._bound:
            self._bound = seconds
            self._show_bound(seconds)

    def _renewed(self, wall_time: float) -> Segment:
        """A new segment, where there is none, or it is full, old or spoiled."""
        if self._closed:
            raise Unavailable("The journal is closed.", code="journal_closed")
        old = self._segment
        self._directory.mkdir(parents=True, exist_ok=True)
        self._named_ms = max(self._named_ms, int(self._clock.now() * 1000))
        name = f"{self._named_ms:013d}-{self._writer}-{self._number:06d}{SUFFIX}"
        self._number += 1
        self._segment = Segment(self._directory / name, self._config.segment_bytes)
        self._ends = wall_time + self._config.segment_seconds
        if old is not None:
            self._syncer.retire(old)
        if not self._durable:
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
            self._show_failing(1.0)
            log.error(
                Event.JOURNAL_DROPPED,
                extra={"directory": str(self._directory), "error": str(error)},
            )


async def _written(gathered: Gathered, turn: Turn) -> None:
    """Wait until a turn's records are in the kernel.

    Raises:
        Unavailable: they are not.
    """
    while not gathered.done:
        await turn.ended()
    if gathered.error is not None:
        raise gathered.error


async def _on_disk(gathered: Gathered, turn: Turn) -> None:
    """Wait until a turn's records are on disk.

    Raises:
        Unavailable: they are not.
    """
    while not gathered.done:
        await turn.until(gathered.waiting)
    if gathered.error is not None:
        raise gathered.error
