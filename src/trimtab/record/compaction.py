"""Closed segments become Parquet: once each, whatever dies in between.

A segment that is there is the truth, and its parts are not looked at. Its removal, after all of its parts are
on disk under their names, is the one step by which they take its place. Before it a second attempt writes
the same files again; after it there is nothing left to do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np

from trimtab.record.frames import runs
from trimtab.record.parts import (
    PARTS,
    PartFile,
    days_of,
    name_of,
    part_files,
    stem_of,
    sync_folder,
)
from trimtab.record.segment import SUFFIX, abandoned
from trimtab.recordtable import Places, RecordTable, decoded
from trimtab.types import Record, Signature

STRIDE = 2_000  # records between two points, at least

SignatureOf = Callable[[str, int], Signature | None]
"""The signature of a model's version, or None."""


class Compacted(Record, frozen=True):
    """What became of one segment."""

    segment: str
    records: int
    size_bytes: int
    parts: int
    parts_bytes: int


def closed_segments(directory: Path) -> list[Path]:
    """The segments whose writer is gone, oldest first."""
    found = []
    for path in sorted(directory.glob(f"*{SUFFIX}")):
        try:
            with path.open("rb") as file:
                if abandoned(file.fileno()):
                    found.append(path)
        except FileNotFoundError:
            continue
    return found


def ready(directory: Path, offsets: Mapping[str, int], before: float) -> list[Path]:
    """The segments that can be compacted: closed, read to their end, and of some age.

    Args:
        directory: The journal.
        offsets: How far the watcher has read, by segment.
        before: The Unix time before which they were last written to: what follows the journal without
            saving how far it is has read them by then.
    """
    found = []
    for path in closed_segments(directory):
        known = path.stat()
        if offsets.get(path.name, 0) >= known.st_size and known.st_mtime < before:
            found.append(path)
    return found


def compact(
    path: Path, signature_of: SignatureOf, reached: Callable[[str], None] = lambda _point: None
) -> Compacted:
    """Put a closed segment into parts, and remove it. What is damaged in it is left behind.

    Args:
        path: A segment that is :func:`ready`.
        signature_of: Gives values their names; without one they are kept as they are.
        reached: Told of each point that was passed; where it raises, compaction ends and can begin anew.

    Raises:
        OSError: the disk refuses; the segment is still there.
    """
    parts: dict[tuple[str, int, int], PartFile] = {}
    count = 0
    try:
        with path.open("rb") as file:
            for records in _strides(file):
                for key, places in _kinds(records).items():
                    if key not in parts:
                        parts[key] = _part(path, key, signature_of)
                        reached("opened")
                    parts[key].add(records.where(places), count + places)
                count += len(records)
                reached("read")
        for part in parts.values():
            part.finish()
            reached("finished")
        for part in parts.values():
            part.publish()
            reached("published")
    finally:
        for part in parts.values():
            part.discard()
    size = path.stat().st_size
    path.unlink()
    reached("removed")
    sync_folder(path.parent)
    reached("synced")
    return Compacted(
        segment=path.name,
        records=count,
        size_bytes=size,
        parts=len(parts),
        parts_bytes=sum(part.path.stat().st_size for part in parts.values()),
    )


def forgotten(directory: Path, offsets: Mapping[str, int]) -> Sequence[str]:
    """Segments whose place was taken by parts: nobody will ask how far they were read."""
    parts = {stem_of(part) for part in part_files(directory)}
    return sorted(
        name
        for name in offsets
        if name.removesuffix(SUFFIX) in parts and not (directory / name).exists()
    )


def _strides(file: BinaryIO) -> Iterator[RecordTable]:
    """A segment's records, many at a time."""
    payloads: list[bytes] = []
    for run in runs(file, 0, final=True):
        payloads += run.payloads
        if len(payloads) >= STRIDE:
            yield decoded(payloads)[0]
            payloads = []
    if payloads:
        yield decoded(payloads)[0]


def _kinds(records: RecordTable) -> dict[tuple[str, int, int], Places]:
    """The places of the records by model, day and version."""
    found: dict[tuple[str, int, int], list[int]] = {}
    versions = records.floats("version").astype(np.int64)
    keys = zip(records.cells("model"), days_of(records).tolist(), versions.tolist(), strict=True)
    for at, key in enumerate(keys):
        found.setdefault(key, []).append(at)
    return {key: np.array(places, dtype=np.int64) for key, places in found.items()}


def _part(path: Path, key: tuple[str, int, int], signature_of: SignatureOf) -> PartFile:
    model, day, version = key
    signature = signature_of(model, version)
    return PartFile(path.parent / PARTS, path.stem, (model, name_of(day), version), signature)
