"""Rows that arrive a few at a time, sketched many at a time."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from trimtab.sketch.records import Coded, Column, Counted
from trimtab.sketch.table import Sketcher, TableSketch, merge_many
from trimtab.types import Array, FloatArray

_MERGED_AT_ONCE = 8


class Accumulator:
    """Sketches a stream: the rows of small batches wait, as they are, until 24,576 are there.

    What a sketch costs beyond its rows (a pass over the bins of every feature) is so paid once for
    all of them. The sketch is that of all rows, exactly, whatever the batches were.

    Args:
        sketcher: What is kept.
        rows: How many rows wait at most; that many times the features times 8 bytes are in use.
    """

    def __init__(self, sketcher: Sketcher, rows: int = 24_576) -> None:
        self._sketcher = sketcher
        self._waiting = [
            np.empty(rows, dtype=np.float64 if binning.bits else object)
            for binning in sketcher.features
        ]
        self._scores = np.empty(rows)
        self._room = rows
        self._filled = 0
        self._done = [sketcher.sketch(self._rows(), self._scores[:0])]

    def add(self, columns: Sequence[Column], scores: FloatArray | None = None) -> None:
        """Add rows, given column by column as for :meth:`Sketcher.sketch`.

        Args:
            columns: Shape ``(rows,)`` each.
            scores: Shape ``(rows,)``; left alone unless the sketcher keeps scores.
        """
        count = len(columns[0]) if columns else 0 if scores is None else len(scores)
        if self._filled + count > self._room:
            self._flush()
        if count > self._room or any(isinstance(column, Coded | Counted) for column in columns):
            self._keep(self._sketcher.sketch(columns, scores))
            return
        rows = slice(self._filled, self._filled + count)
        for waiting, column in zip(self._waiting, columns, strict=True):
            waiting[rows] = column
        if self._sketcher.score is not None:
            self._scores[rows] = scores
        self._filled = rows.stop

    def table(self) -> TableSketch:
        """The sketch of all rows so far."""
        self._flush()
        self._done = [merge_many(self._done)]
        return self._done[0]

    def _flush(self) -> None:
        if self._filled:
            scores = self._scores[: self._filled]
            self._keep(self._sketcher.sketch(self._rows(), scores))
            self._filled = 0

    def _keep(self, found: TableSketch) -> None:
        """Merged a few at a time, which costs little more than to merge two."""
        self._done.append(found)
        if len(self._done) > _MERGED_AT_ONCE:
            self._done = [merge_many(self._done)]

    def _rows(self) -> list[Array]:
        return [waiting[: self._filled] for waiting in self._waiting]
