"""The journal read through for damage, each spot with its place."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

import msgspec

from trimtab.errors import Unavailable
from trimtab.record.frames import HEADER_BYTES, scan
from trimtab.record.parts import part_files, rows_of, stem_of
from trimtab.record.segment import SUFFIX, abandoned
from trimtab.recordtable import NO_RECORD
from trimtab.types import PredictionRecord, Record

What = Literal["damaged", "torn_tail", "no_record"]


class Damage(Record, frozen=True):
    """Bytes ``start`` to ``end`` (exclusive) of a segment that hold no record.

    ``damaged``: the checksum does not hold, sound records stand behind. ``torn_tail``: the same at the end
    of a segment whose writer is gone, as a power failure leaves it. ``no_record``: the checksum holds, but
    what it covers is no record.
    """

    start: int
    end: int
    what: What


class SegmentReport(Record, frozen=True):
    """What stands in one segment; ``open`` while its writer lives, whose last record may be under way."""

    segment: str
    size_bytes: int
    records: int
    open: bool
    damage: Sequence[Damage] = ()


def verify(directory: Path) -> Iterator[SegmentReport]:
    """Each segment of a journal, oldest first; memory holds one chunk."""
    paths = sorted(directory.glob(f"*{SUFFIX}")) if directory.is_dir() else []
    for path in paths:
        try:
            yield verify_segment(path)
        except FileNotFoundError:
            continue  # compacted or removed in the meantime


def verify_parts(directory: Path) -> Iterator[SegmentReport]:
    """Each compacted part, its checksums read through; one that is damaged is so as a whole."""
    for path in part_files(directory):
        if (directory / f"{stem_of(path)}{SUFFIX}").exists():
            continue  # not in force yet: its segment is
        try:
            size, records, damage = path.stat().st_size, 0, []
            try:
                records = rows_of(path)
            except Unavailable:
                damage.append(Damage(start=0, end=size, what="damaged"))
        except FileNotFoundError:
            continue
        name = str(path.relative_to(directory))
        yield SegmentReport(
            segment=name, size_bytes=size, records=records, open=False, damage=damage
        )


def verify_segment(path: Path) -> SegmentReport:
    """Read one segment through.

    Raises:
        OSError: it cannot be read.
    """
    decoder = msgspec.msgpack.Decoder(PredictionRecord)
    records, damage, reached = 0, [], 0
    with path.open("rb") as file:
        gone = abandoned(file.fileno())
        for payload, end, skipped in scan(file, 0, final=gone):
            if skipped:
                what: What = "torn_tail" if payload is None else "damaged"
                damage.append(Damage(start=reached, end=reached + skipped, what=what))
            if payload is not None:
                try:
                    decoder.decode(payload)
                    records += 1
                except NO_RECORD:
                    start = end - len(payload) - HEADER_BYTES
                    damage.append(Damage(start=start, end=end, what="no_record"))
            reached = end
        size = file.seek(0, 2)
    return SegmentReport(
        segment=path.name, size_bytes=size, records=records, open=not gone, damage=damage
    )
