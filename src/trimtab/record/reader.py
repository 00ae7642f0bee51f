"""The journal's reader: every process's segments as one stream of records."""

from __future__ import annotations

import heapq
import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from typing import BinaryIO

import msgspec

from trimtab.log_events import Event
from trimtab.record.following import Writer, in_order
from trimtab.record.frames import scan
from trimtab.record.parts import Span, part_files, read_part, stem_of
from trimtab.record.segment import SUFFIX, abandoned
from trimtab.recordtable import NO_RECORD, RecordTable
from trimtab.telemetry import Metrics
from trimtab.types import PredictionRecord

log = logging.getLogger(__name__)


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

    def read(self, offsets: Mapping[str, int], limit: int) -> tuple[RecordTable, Mapping[str, int]]:
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
        writers = [self._of_writer(segments, span) for segments in self._by_writer(names)]
        for record in heapq.merge(*writers, key=attrgetter("wall_time")):
            if span.takes(record):
                yield record

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

    def _of_writer(self, segments: Sequence[str], span: Span) -> Iterator[PredictionRecord]:
        for name in segments:
            try:
                file = (self._directory / name).open("rb")
            except FileNotFoundError:
                yield from self._of_parts(name, span)
            else:
                with file:
                    yield from self._of_segment(file)

    def _of_parts(self, name: str, span: Span) -> Iterator[PredictionRecord]:
        """What was compacted from a segment, in its order."""
        paths = part_files(self._directory, name.removesuffix(SUFFIX))
        parts = [read_part(path, span) for path in paths]
        for _, record in heapq.merge(*parts, key=attrgetter("place")):
            yield record

    def _of_segment(self, file: BinaryIO) -> Iterator[PredictionRecord]:
        """What can be read; damage takes no place among the records and is counted by who follows the segment."""
        for payload, _, _ in scan(file, 0, final=abandoned(file.fileno())):
            if payload is not None:
                with suppress(*NO_RECORD):
                    yield self._decoder.decode(payload)

    def _damaged(self, segment: str, offset: int, size: int) -> None:
        self._metrics.count("ml_journal_damaged_bytes_total", size)
        log.error(
            Event.JOURNAL_DAMAGED, extra={"segment": segment, "offset": offset, "bytes": size}
        )


def _writer(name: str) -> str:
    """``<pid>-<random>`` of a segment's name."""
    return name.partition("-")[2].rpartition("-")[0]
