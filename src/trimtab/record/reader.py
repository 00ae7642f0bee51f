"""The journal's reader: every process's segments as one stream of records."""

from __future__ import annotations

import heapq
import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from typing import NamedTuple

import msgspec

from trimtab.record.following import Writer, in_order
from trimtab.record.frames import scan
from trimtab.record.parts import Span, part_files, read_part, stem_of
from trimtab.record.segment import SUFFIX, abandoned
from trimtab.recorded import Recorded
from trimtab.telemetry import Event, Metrics
from trimtab.types import PredictionRecord

log = logging.getLogger(__name__)


class _Entry(NamedTuple):
    """A record, or None for damage at the end of a segment, and the offset behind it."""

    wall_time: float
    record: PredictionRecord | None
    segment: str
    end: int
    skipped: int


class SegmentReader:
    """Reads what all writers appended; a :class:`~trimtab.protocols.JournalReader`.

    Writers are merged by ``wall_time``, each one's records stay in its order, and ties go by name:
    the order depends on the files and the offsets alone, not on how much is read at once.

    Args:
        directory: Where segments are kept.
        metrics: Counts damaged bytes.
    """

    def __init__(self, directory: Path, metrics: Metrics) -> None:
        self._directory = directory
        self._metrics = metrics
        self._decoder = msgspec.msgpack.Decoder(PredictionRecord)
        self._record_bytes = 0.0

    def read(self, offsets: Mapping[str, int], limit: int) -> tuple[Recorded, Mapping[str, int]]:
        """Up to ``limit`` records behind ``offsets``, and the offsets behind them.

        Args:
            offsets: Bytes read so far by segment name; an absent segment is read from its start.
            limit: At least 1.
        """
        names = self._names()
        reached = {name: offsets[name] for name in names if name in offsets}
        writers = [
            Writer(self._directory, segments, offsets)
            for segments in self._by_writer(names)
            if any(self._grown(name, offsets) for name in segments)
        ]
        found, counts = in_order(writers, limit)
        for writer, count in zip(writers, counts, strict=True):
            ends, damages = writer.reached(count)
            reached |= ends
            for one in damages:
                self._damaged(one.segment, one.end, one.size_bytes)
        if len(found):
            read = sum(end - offsets.get(name, 0) for name, end in reached.items())
            self._record_bytes = read / len(found)
        return found, reached

    def unread(self, offsets: Mapping[str, int]) -> int:
        """About how many records are behind ``offsets``: as many as such bytes held when some were last read."""
        left = 0
        for name in self._names():
            with suppress(FileNotFoundError):
                size = (self._directory / name).stat().st_size
                left += max(0, size - offsets.get(name, 0))
        return round(left / self._record_bytes) if self._record_bytes else 0

    def records(
        self, since: float | None = None, until: float | None = None, model: str | None = None
    ) -> Iterator[PredictionRecord]:
        """All that is in the journal, compacted or not, in the order of :meth:`read`.

        Args:
            since: Event time from which on records are wanted, inclusive.
            until: Event time before which records are wanted, exclusive.
            model: The only model wanted.

        Raises:
            Unavailable: a compacted part is damaged.
        """
        span = Span(since, until, model)
        names = self._names()  # before the parts: what is compacted in between is then in both
        stems = {name.removesuffix(SUFFIX) for name in names}
        names += [
            f"{stem}{SUFFIX}" for stem in {stem_of(p) for p in part_files(self._directory)} - stems
        ]
        for entry in self._merged(names, {}, span):
            if entry.record is not None and span.takes(entry.record):
                yield entry.record

    def _names(self) -> list[str]:
        if not self._directory.is_dir():
            return []
        return sorted(path.name for path in self._directory.iterdir() if path.suffix == SUFFIX)

    def _by_writer(self, names: Sequence[str]) -> list[list[str]]:
        """Each writer's segments in order; writers by name."""
        by_writer = sorted(names, key=lambda name: (_writer(name), name))
        return [list(segments) for _, segments in groupby(by_writer, _writer)]

    def _grown(self, name: str, offsets: Mapping[str, int]) -> bool:
        try:
            return (self._directory / name).stat().st_size > offsets.get(name, 0)
        except FileNotFoundError:
            return False

    def _merged(
        self, names: Sequence[str], offsets: Mapping[str, int], span: Span | None = None
    ) -> Iterator[_Entry]:
        """Entries of all writers by wall time; with ``span`` those of compacted segments, too."""
        streams = [self._of_writer(segments, offsets, span) for segments in self._by_writer(names)]
        return heapq.merge(*streams, key=attrgetter("wall_time"))

    def _of_writer(
        self, segments: Sequence[str], offsets: Mapping[str, int], span: Span | None
    ) -> Iterator[_Entry]:
        for name in segments:
            yield from self._of_segment(name, offsets.get(name, 0), span)

    def _of_parts(self, name: str, span: Span) -> Iterator[_Entry]:
        """What was compacted from a segment, in its order."""
        paths = part_files(self._directory, name.removesuffix(SUFFIX))
        parts = [read_part(path, span) for path in paths]
        for place, record in heapq.merge(*parts, key=attrgetter("place")):
            yield _Entry(record.wall_time, record, name, place, 0)

    def _of_segment(self, name: str, offset: int, span: Span | None) -> Iterator[_Entry]:
        wall_time = 0.0
        path = self._directory / name
        try:
            if path.stat().st_size <= offset:
                return
            file = path.open("rb")
        except FileNotFoundError:
            if span is not None:
                yield from self._of_parts(name, span)
            return
        with file:
            for payload, end, skipped in scan(file, offset, final=abandoned(file.fileno())):
                record, damaged = None, skipped
                if payload is not None:
                    try:
                        record = self._decoder.decode(payload)
                        wall_time = record.wall_time
                    except msgspec.MsgspecError:
                        damaged += len(payload)
                yield _Entry(wall_time, record, name, end, damaged)

    def _damaged(self, segment: str, offset: int, size: int) -> None:
        self._metrics.count("ml_journal_damaged_bytes_total", size)
        log.error(
            Event.JOURNAL_DAMAGED, extra={"segment": segment, "offset": offset, "bytes": size}
        )


def _writer(name: str) -> str:
    """``<pid>-<random>`` of a segment's name."""
    return name.partition("-")[2].rpartition("-")[0]
