"""Whole tables: a sketch a feature, one of the scores, and sums for correlations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec
import numpy as np
from scipy.special import ndtri

from trimtab.sketch.feature import merge, sketch
from trimtab.sketch.numbers import landmarks, raw_codes
from trimtab.sketch.records import Binning, Column, IntArray, Sketch
from trimtab.types import Array, FloatArray

_RANK_UNIT = 256.0


class TableSketch(msgspec.Struct, frozen=True, eq=False, kw_only=True):
    """What is kept of some rows: a sketch a feature, one of the scores, and sums for correlations.

    ``pairs`` has shape ``(4, p, p)`` over the ``p`` paired features, whose values are taken as normal
    scores of their rank in the reference, times 256, rounded: sums of products, sums of i where j is
    present, sums of squares of i where j is present, and rows where both are.
    """

    rows: int
    features: tuple[Sketch, ...]
    score: Sketch | None = None
    pairs: IntArray | None = None


def merge_tables(a: TableSketch, b: TableSketch) -> TableSketch:
    """The sketch of both inputs' rows together: exact, in any order and grouping."""
    score = merge(a.score, b.score) if a.score and b.score else a.score or b.score
    both = a.pairs is not None and b.pairs is not None
    return TableSketch(
        rows=a.rows + b.rows,
        features=tuple(merge(x, y) for x, y in zip(a.features, b.features, strict=True)),
        score=score,
        pairs=a.pairs + b.pairs if both else None,  # type: ignore[operator]  # both are there
    )


class Sketcher:
    """Sketches tables of one model's features.

    Args:
        features: Each feature's binning, in the signature's order; empty to sketch scores only.
        score: The binning of the scores, None to leave them out.
        ranks: For the features whose correlations are followed, by position: their reference.
    """

    def __init__(
        self,
        features: Sequence[Binning],
        score: Binning | None = None,
        ranks: Mapping[int, Sketch] | None = None,
    ) -> None:
        self.features = tuple(features)
        self.score = score
        self._ranks = {
            at: _rank_table(self.features[at].bits, reference)
            for at, reference in (ranks or {}).items()
        }

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
        return TableSketch(
            rows=rows,
            features=tuple(map(sketch, self.features, columns)),
            score=None if self.score is None or scores is None else sketch(self.score, scores),
            pairs=self._pairs(columns, pair_step) if len(self._ranks) > 1 else None,
        )

    def normal_scores(self, columns: Sequence[Column], step: int = 1) -> tuple[FloatArray, Array]:
        """The paired features' normal scores times 256 (0 where missing), and where present.

        Returns:
            Two arrays of shape ``(p, rows)``: whole numbers as float64, and bool.
        """
        chosen = np.stack([np.asarray(columns[at])[::step] for at in self._ranks])
        scores = np.empty_like(chosen)
        for row, (at, table) in enumerate(self._ranks.items()):
            table.take(raw_codes(self.features[at], chosen[row]), out=scores[row])
        return scores, ~np.isnan(chosen)

    def _pairs(self, columns: Sequence[Column], step: int) -> IntArray:
        scores, present = self.normal_scores(columns, step)
        # Whole numbers below 2**53: the float64 products and their sums are exact in any order.
        mask = present.astype(np.float64)
        sums = (scores @ scores.T, scores @ mask.T, np.square(scores) @ mask.T, mask @ mask.T)
        return np.stack(sums).astype(np.int64)


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
