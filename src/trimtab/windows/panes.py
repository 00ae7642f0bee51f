"""Where a window begins and ends: by event time, by rows, or by whichever comes first."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import msgspec
import numpy as np

from trimtab.config import WatchConfig
from trimtab.sketch import IntArray
from trimtab.types import FloatArray
from trimtab.windows.summary import WindowSketch


class Pane(msgspec.Struct, frozen=True, eq=False, kw_only=True):
    """A piece of a window: rows that are in the same windows for ever.

    ``cell`` is the number of its span of time (0 where windows are cut by rows alone), ``chunk`` its
    number within the cell. ``first`` and ``last`` are the event times that it holds.
    """

    cell: int
    chunk: int
    first: float
    last: float
    content: WindowSketch


class Part(NamedTuple):
    """Rows of one batch that belong to one pane, by their places; ``full`` if they fill it."""

    cell: int
    chunk: int
    places: IntArray
    full: bool


class Cut(NamedTuple):
    """How windows are cut into panes.

    A pane spans ``seconds`` of event time (infinite where windows are cut by rows alone) and has at
    most ``rows`` rows (infinite where they are cut by time alone).
    """

    seconds: float
    rows: float

    @classmethod
    def of(cls, config: WatchConfig) -> Cut:
        """As ``window_by``, ``window_seconds``, ``window_rows`` and ``window_panes`` say."""
        by_time, by_rows = config.window_by != "rows", config.window_by != "time"
        return cls(
            seconds=config.window_seconds / config.window_panes if by_time else math.inf,
            rows=math.ceil(config.window_rows / config.window_panes) if by_rows else math.inf,
        )

    def cells(self, times: FloatArray) -> IntArray:
        """Each event time's span."""
        if math.isinf(self.seconds):
            return np.zeros(len(times), dtype=np.int64)
        return np.floor(times / self.seconds).astype(np.int64)

    def closed_before(self, watermarks: FloatArray, lateness: float) -> IntArray:
        """The first span that is open at each watermark."""
        if math.isinf(self.seconds):
            return np.zeros(len(watermarks), dtype=np.int64)
        return np.floor((watermarks - lateness) / self.seconds).astype(np.int64)

    def parts(
        self, cells: IntArray, places: IntArray, held: dict[int, tuple[int, int]]
    ) -> Iterator[Part]:
        """The rows by pane, in the order in which the panes take their first row of the batch.

        Args:
            cells: Each row's span.
            places: Each row's place.
            held: By span, the chunk that is filling and the rows in it; brought up to date.
        """
        order = np.argsort(cells, kind="stable")
        starts = np.flatnonzero(np.diff(cells[order], prepend=cells[order[:1]] - 1))
        for group in np.split(order, starts[1:]):
            if not len(group):
                continue
            cell = int(cells[group[0]])
            chunk, filled = held.get(cell, (0, 0))
            at = 0
            while at < len(group):
                room = min(self.rows - filled, len(group) - at)
                some = places[group[at : at + int(room)]]
                at, filled = at + len(some), filled + len(some)
                full = filled >= self.rows
                yield Part(cell, chunk, some, full)
                if full:
                    chunk, filled = chunk + 1, 0
            held[cell] = (chunk, filled)
