"""How long the journal is kept: by age and by size, and nothing unread goes unless forced."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

from trimtab.record.compaction import closed_segments
from trimtab.record.parts import part_files
from trimtab.record.segment import SUFFIX
from trimtab.types import Record


class Removed(Record, frozen=True):
    """A file that retention takes: ``unread`` if the watcher never saw all of it."""

    path: str
    size_bytes: int
    reason: str
    unread: bool = False


def journal_bytes(directory: Path) -> tuple[int, int]:
    """How large the segments and the parts are."""
    segments = sum(path.stat().st_size for path in directory.glob(f"*{SUFFIX}"))
    return segments, sum(path.stat().st_size for path in part_files(directory))


def outdated(
    directory: Path,
    offsets: Mapping[str, int],
    *,
    now: float,
    days: float = 0.0,
    size_bytes: int = 0,
    force: bool = False,
) -> list[Removed]:
    """What is to be removed, oldest first.

    Parts go when their whole day is older than ``days``, and the oldest ones while segments and parts together
    exceed ``size_bytes``. A closed segment that was read to its end goes the same way, one that was not only
    when forced; an open one never.

    Args:
        directory: The journal.
        offsets: How far the watcher has read, by segment.
        now: Unix seconds.
        days: How long records are kept; 0 keeps them for ever.
        size_bytes: How much is kept; 0 sets no limit.
        force: Whether unread segments may go, too.
    """
    files = sorted(_files(directory, offsets, force=force))
    limit = now - days * 86_400
    found, left = [], sum(journal_bytes(directory))
    for newest, path, size, unread in files:
        reason = ""
        if days and newest <= limit:
            reason = "age"
        elif size_bytes and left > size_bytes:
            reason = "size"
        if reason:
            found.append(Removed(path=str(path), size_bytes=size, reason=reason, unread=unread))
            left -= size
    return found


def _files(
    directory: Path, offsets: Mapping[str, int], *, force: bool
) -> list[tuple[float, Path, int, bool]]:
    """Each file that may go: a time that none of its records is later than, path, size, whether unread."""
    found = []
    for part in part_files(directory):
        day = datetime.strptime(part.parent.name, "trimtab_day=%Y-%m-%d").replace(tzinfo=UTC)
        end = (day + timedelta(days=1)).timestamp()
        found.append((end, part, part.stat().st_size, False))
    for segment in closed_segments(directory):
        known = segment.stat()
        unread = offsets.get(segment.name, 0) < known.st_size
        if force or not unread:
            found.append((known.st_mtime, segment, known.st_size, unread))
    return found
