"""What a score means: the share of rows with that score whose outcome is the class."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from trimtab.types import Array, FloatArray, Record

FOLDS = 5
_BINS = 256


class Calibration(Record, frozen=True):
    """Shares by score, piecewise linear through ``scores``; without any, a score means itself."""

    scores: tuple[float, ...] = ()
    shares: tuple[float, ...] = ()

    def __call__(self, scores: FloatArray) -> FloatArray:
        """The share that each score means, in [0, 1]."""
        if not self.scores:
            return np.clip(scores, 0.0, 1.0)
        return np.interp(scores, self.scores, self.shares)


def isotonic(scores: FloatArray, hits: FloatArray) -> Calibration:
    """A rising function of the score that fits the outcomes best.

    At most 256 bins of equally many rows; neighbours that would fall are pooled, and each pool is pulled
    towards the mean by one row of it.

    Args:
        scores: Shape ``(rows,)``, at least one.
        hits: Shape ``(rows,)``, 1 where the outcome is the class, else 0.

    Source: Ayer, Brunk, Ewing, Reid & Silverman (1955), Annals of Mathematical Statistics 26; equal to
    scikit-learn's IsotonicRegression on the pools in test_calibration.
    """
    order = np.argsort(scores, kind="stable")
    distinct, first = np.unique(scores[order], return_index=True)
    if len(distinct) > _BINS:
        edges = np.unique(np.searchsorted(distinct, np.quantile(scores, np.arange(_BINS) / _BINS)))
        first = first[edges]
    rows = np.diff(np.append(first, len(order))).astype(np.float64)
    middle = np.add.reduceat(scores[order], first) / rows
    pools = pooled(np.add.reduceat(hits[order], first), rows, middle)
    mean = float(hits.mean())
    return Calibration(
        scores=tuple(m / n for _, n, m in pools),
        shares=tuple((h + mean) / (n + 1.0) for h, n, _ in pools),
    )


def pooled(
    hits: FloatArray, rows: FloatArray, middle: FloatArray
) -> list[tuple[float, float, float]]:
    """Neighbours pooled until shares rise: hits, rows, and sum of scores of each pool."""
    pools: list[tuple[float, float, float]] = []
    for one in zip(hits.tolist(), rows.tolist(), (middle * rows).tolist(), strict=True):
        hit, count, total = one
        while pools and pools[-1][0] * count >= hit * pools[-1][1]:
            before = pools.pop()
            hit, count, total = hit + before[0], count + before[1], total + before[2]
        pools.append((hit, count, total))
    return pools


def calibrate(scores: FloatArray, hits: FloatArray) -> tuple[Calibration, FloatArray]:
    """The calibration of held-out rows, and what each row's score meant to the other rows.

    A score means itself unless, fitted on four fifths and read on the fifth, another meaning has a
    lower Brier score. It need not be surely lower: a meaning that is a little wrong everywhere moves an
    estimate by more than the chance in a fit does.

    Returns:
        The calibration by all rows, and the cross-fitted shares, shape ``(rows,)``.
    """
    crossed = np.clip(scores, 0.0, 1.0)
    if len(scores) < 10 * FOLDS:
        return Calibration(), crossed
    fitted = np.empty(len(scores))
    for inside, outside in folds(len(scores)):
        fitted[outside] = isotonic(scores[inside], hits[inside])(scores[outside])
    gain = (crossed - hits) ** 2 - (fitted - hits) ** 2
    if gain.mean() <= 0:
        return Calibration(), crossed
    return isotonic(scores, hits), fitted


def folds(rows: int) -> Iterator[tuple[Array, Array]]:
    """Rows to fit on and rows to read, five times; every fifth row, so that each spans all of time."""
    place = np.arange(rows) % FOLDS
    for fold in range(FOLDS):
        yield place != fold, place == fold
