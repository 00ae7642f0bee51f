"""Whole tables: a sketch a feature, one of the scores, and sums for correlations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import reduce

import msgspec
import numpy as np
import numpy.typing as npt
from scipy.special import ndtri

from trimtab.sketch.cells import Cells, merge_cells, side_by_side
from trimtab.sketch.feature import merge_all, sketch
from trimtab.sketch.numbers import count_numbers, landmarks, raw_codes
from trimtab.sketch.records import Binning, Coded, Column, Counted, IntArray, Sketch
from trimtab.sketch.rows import RowSketch, merge_rows, sketch_rows
from trimtab.types import Array, FloatArray

_RANK_UNIT = 256.0

ByPosition = Sequence[Column] | Mapping[int, Column]


class TableSketch(msgspec.Struct, frozen=True, eq=False, kw_only=True):
    """What is kept of some rows: a sketch a feature, one of the scores, and sums for correlations.

    ``pairs`` has shape ``(4, p, p)`` over the ``p`` paired features, whose values are taken as normal
    scores of their rank in the reference, times 256, rounded: sums of products, sums of i where j is
    present, sums of squares of i where j is present, and rows where both are. ``distinct`` is a sample
    of the distinct rows.
    """

    rows: int
    cells: Cells
    score: Sketch | None = None
    pairs: IntArray | None = None
    distinct: RowSketch | None = None

    @property
    def features(self) -> tuple[Sketch, ...]:
        """Each feature's sketch, made anew on every call."""
        return self.cells.sketches()


def merge_tables(a: TableSketch, b: TableSketch) -> TableSketch:
    """The sketch of both inputs' rows together: exact, in any order and grouping."""
    return merge_many((a, b))


def merge_many(tables: Sequence[TableSketch]) -> TableSketch:
    """As ``merge_tables``, of any number: the shards of a window, or the parts of a longer one.

    Args:
        tables: At least one.
    """
    scores = [table.score for table in tables if table.score is not None]
    pairs = [table.pairs for table in tables if table.pairs is not None]
    distinct = [table.distinct for table in tables if table.distinct is not None]
    return TableSketch(
        rows=sum(table.rows for table in tables),
        cells=merge_cells([table.cells for table in tables]),
        score=merge_all(scores) if scores else None,
        pairs=reduce(np.add, pairs) if len(pairs) == len(tables) else None,
        distinct=reduce(merge_rows, distinct) if len(distinct) == len(tables) else None,
    )


class Sketcher:
    """Sketches tables of one model's features.

    Args:
        features: Each feature's binning, in the signature's order; empty to sketch scores only.
        score: The binning of the scores, None to leave them out.
        ranks: For the features whose correlations are followed, by position: their reference.
        whole_rows: Whether a sample of the distinct rows is kept.
    """

    def __init__(
        self,
        features: Sequence[Binning],
        score: Binning | None = None,
        ranks: Mapping[int, Sketch] | None = None,
        *,
        whole_rows: bool = False,
    ) -> None:
        self.features = tuple(features)
        self.score = score
        self._whole_rows = whole_rows
        self._ranks = {
            at: _rank_table(self.features[at].bits, reference)
            for at, reference in (ranks or {}).items()
        }
        self._places = {at: place for place, at in enumerate(self._ranks)}

    def sketch(
        self, columns: Sequence[Column], scores: FloatArray | None = None, *, pair_step: int = 1
    ) -> TableSketch:
        """Sketch rows given column by column.

        Args:
            columns: One array a feature, shape ``(rows,)`` each.
            scores: Shape ``(rows,)``, or None.
            pair_step: Take every n-th row for correlations; above 1 the sketch no longer merges
                exactly in its ``pairs``.
        """
        rows = len(columns[0]) if columns else 0 if scores is None else len(scores)
        paired = len(self._ranks) > 1
        ranked = np.empty((len(self._ranks), rows)) if paired and pair_step == 1 else None
        features = tuple(self._feature(at, column, ranked) for at, column in enumerate(columns))
        pairs = None
        if ranked is not None and not any(features[at].missing for at in self._ranks):
            pairs = pair_sums(ranked)
        elif paired:
            pairs = self.pairs(columns, pair_step)
        return TableSketch(
            rows=rows,
            cells=side_by_side(features),
            score=None if self.score is None or scores is None else sketch(self.score, scores),
            pairs=pairs,
            distinct=sketch_rows(self.features, columns) if self._whole_rows else None,
        )

    def _feature(self, at: int, column: Column, ranked: FloatArray | None) -> Sketch:
        table = None if ranked is None else self._ranks.get(at)
        if table is None or ranked is None or isinstance(column, Coded | Counted):
            return sketch(self.features[at], column)
        return count_numbers(self.features[at], column, (table, ranked[self._places[at]]))

    def normal_scores(
        self, columns: ByPosition, step: int = 1
    ) -> tuple[FloatArray, npt.NDArray[np.bool_]]:
        """The paired features' normal scores times 256 (0 where missing), and where present.

        Returns:
            Two arrays of shape ``(p, rows)``: whole numbers as float64, and bool.
        """
        chosen = np.stack([np.asarray(columns[at])[::step] for at in self._ranks])
        scores = np.empty_like(chosen)
        for row, at in enumerate(self._ranks):
            scores[row] = self.ranks_of(at, chosen[row])
        return scores, ~np.isnan(chosen)

    def ranks_of(self, at: int, values: FloatArray) -> FloatArray:
        """One paired feature's normal scores times 256, 0 where missing."""
        return self._ranks[at].take(raw_codes(self.features[at], values))

    def pairs(self, columns: ByPosition, step: int = 1) -> IntArray | None:
        """The sums for correlations alone, over every n-th row; None without pairs."""
        if len(self._ranks) < 2:
            return None
        return pair_sums(*self.normal_scores(columns, step))


def pair_sums(scores: FloatArray, present: npt.NDArray[np.bool_] | None = None) -> IntArray:
    """The ``pairs`` of a table from normal scores times 256.

    Args:
        scores: Shape ``(p, rows)``, 0 where missing.
        present: Where they are not missing; everywhere, if not given.
    """
    # Whole numbers below 2**53: the float64 products and their sums are exact in any order.
    products = scores @ scores.T
    if present is not None and not present.all():
        mask = present.astype(np.float64)
        sums = (products, scores @ mask.T, np.square(scores) @ mask.T, mask @ mask.T)
        return np.stack(sums).astype(np.int64)
    found = np.empty((4, *products.shape), dtype=np.int64)
    found[0] = products
    found[1] = scores.sum(axis=1)[:, None]
    found[2] = products.diagonal()[:, None]
    found[3] = scores.shape[1]
    return found


def _rank_table(bits: int, reference: Sketch) -> FloatArray:
    """By raw code: the normal score of the mid-rank in the reference, times 256; 0 for missing."""
    half, infinite = landmarks(bits)
    rows = max(int(reference.counts.sum()), 1)
    through = np.concatenate(([0], np.cumsum(reference.counts)))
    ranks = np.stack((through[:-1], through[1:])).mean(0)
    # Codes that the reference does not have stand between their neighbours' rows.
    ends = np.concatenate(([-infinite], reference.codes, [infinite + 1]))
    scores = np.repeat(_normal_score(through, rows), np.diff(ends))
    scores[reference.codes + infinite] = _normal_score(ranks, rows)
    table = np.zeros(2 * half)
    table[: infinite + 1] = scores[infinite:]
    table[half : half + infinite + 1] = scores[infinite::-1]
    return table


def _normal_score(ranks: Array, rows: int) -> FloatArray:
    shares = np.clip(ranks / rows, 0.5 / rows, 1 - 0.5 / rows)
    return np.rint(ndtri(shares) * _RANK_UNIT)
