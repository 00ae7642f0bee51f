"""Several writers' records in one order, many at a time."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from trimtab.record.frames import HEADER_BYTES, Run, runs
from trimtab.record.segment import abandoned
from trimtab.recordtable import RecordTable, decoded, joined
from trimtab.types import FloatArray


class Damage(NamedTuple):
    """Bytes that hold no record, behind how many of a writer's; ``end`` is the offset behind them."""

    behind: int
    segment: str
    end: int
    size_bytes: int


class Writer:
    """What one writer appended, as far as somebody asked for.

    ``times`` are wall times, each no earlier than that before: writers are merged by them, and the records of each
    stay in their order. ``done`` if there are no more.

    Args:
        directory: Where segments are kept.
        segments: The writer's, in order.
        offsets: Bytes read before, by segment.
    """

    def __init__(
        self, directory: Path, segments: Sequence[str], offsets: Mapping[str, int]
    ) -> None:
        self._runs = _runs(directory, segments, offsets)
        self._left: tuple[str, Run] | None = None
        self._segments: list[str] = []
        self._ends: list[int] = []
        self._damages: list[Damage] = []
        self.parts: list[RecordTable] = []
        self.times: FloatArray = np.empty(0)
        self.done = False

    def more(self, count: int) -> None:
        """Read about so many records more, and at least one if there is one."""
        payloads: list[bytes] = []
        segments: list[str] = []
        ends: list[int] = []
        damages: list[Damage] = []
        while len(payloads) < count and not self.done:
            segment, run = self._next(count - len(payloads))
            for at, size in run.damaged.items():
                damages.append(Damage(len(payloads) + at, segment, _begin(run, at), size))
            payloads += run.payloads
            segments += [segment] * len(run.payloads)
            ends += run.ends
        found, bad = decoded(payloads)
        damages += [Damage(at, segments[at], ends[at], len(payloads[at])) for at in bad]
        for at in reversed(bad):
            del segments[at], ends[at]
        before = len(self.times)
        self._damages += [
            one._replace(behind=before + one.behind - bisect_left(bad, one.behind))
            for one in damages
        ]
        self._segments += segments
        self._ends += ends
        times = np.concatenate((self.times, found.floats("wall_time")))
        self.times = np.fmax.accumulate(times)
        self.parts.append(found)
        if not (len(found) or self.done):
            self.more(count)

    def reached(self, count: int) -> tuple[dict[str, int], list[Damage]]:
        """How far each segment is read with the first ``count`` records, and the damage before and right behind them."""
        found = dict(zip(self._segments[:count], self._ends[:count], strict=True))
        passed = [one for one in self._damages if one.behind <= count]
        for one in passed:
            found[one.segment] = max(found.get(one.segment, 0), one.end)
        return found, passed

    def _next(self, most: int) -> tuple[str, Run]:
        """Frames of one segment; none, and ``done``, at the end."""
        segment, run = self._left or next(self._runs, ("", None))
        self._left = None
        if run is None:
            self.done = True
            return segment, Run([], [], {}, 0)
        if len(run.payloads) > most:
            run, rest = _cut(run, most)
            self._left = segment, rest
        return segment, run


def in_order(writers: Sequence[Writer], limit: int) -> tuple[RecordTable, list[int]]:
    """Up to ``limit`` records by wall time, ties in the order of the writers; and how many of each writer's.

    The order depends on what was written alone, not on how much is read at once.
    """
    share = max(1, limit // max(1, len(writers)))
    for writer in writers:
        writer.more(share)
    while True:
        # What stands behind a writer's last time so far may still come before anything behind it.
        going = [(float(w.times[-1]), at) for at, w in enumerate(writers) if not w.done]
        last, at = min(going, default=(np.inf, len(writers)))
        sure = [
            int(np.searchsorted(writer.times, last, side="right" if rank <= at else "left"))
            for rank, writer in enumerate(writers)
        ]
        if sum(sure) >= limit or not going:
            break
        writers[at].more(share)
    times = [writer.times[:count] for writer, count in zip(writers, sure, strict=True)]
    of = np.repeat(np.arange(len(writers)), sure)
    order = np.argsort(np.concatenate([*times, np.empty(0)]), kind="stable")[:limit]
    counts = np.bincount(of[order], minlength=len(writers)).tolist()
    several = [joined(writer.parts) for writer in writers]
    found = joined([one[:count] for one, count in zip(several, sure, strict=True)])
    return found.where(order), counts


def _runs(
    directory: Path, segments: Sequence[str], offsets: Mapping[str, int]
) -> Iterator[tuple[str, Run]]:
    for segment in segments:
        try:
            file = (directory / segment).open("rb")
        except FileNotFoundError:  # compacted or removed meanwhile
            continue
        with file:
            final = abandoned(file.fileno())
            for run in runs(file, offsets.get(segment, 0), final=final):
                yield segment, run


def _begin(run: Run, at: int) -> int:
    """Where the damage before a frame ends: the frame begins there."""
    if at == len(run.payloads):
        return run.end
    return run.ends[at] - len(run.payloads[at]) - HEADER_BYTES


def _cut(run: Run, at: int) -> tuple[Run, Run]:
    first = {place: size for place, size in run.damaged.items() if place < at}
    rest = {place - at: size for place, size in run.damaged.items() if place >= at}
    return (
        Run(run.payloads[:at], run.ends[:at], first, run.ends[at - 1]),
        Run(run.payloads[at:], run.ends[at:], rest, run.end),
    )
