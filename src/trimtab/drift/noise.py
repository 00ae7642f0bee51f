"""How much two samples of one distribution differ: the asymptotic p-values and noise floors.

The reference is a sample too, never the truth: every formula takes both sizes.
"""

from __future__ import annotations

import numpy as np
from scipy.special import betainc, chdtrc, kolmogorov, ndtr, rel_entr

from trimtab.types import Array, FloatArray

LEAST_EXPECTED = 5.0
_FEW = 10.0


def effective_size(reference: float, current: float) -> float:
    """The size n·m/(n + m) of the one sample that is as noisy as both together; 0 if one is empty.

    Args:
        reference: Rows n of the reference.
        current: Rows m of the window.
    """
    return reference * current / (reference + current) if reference and current else 0.0


def kolmogorov_p(distance: float, size: float) -> float:
    """P(a distance at least this large) without drift; conservative where values repeat.

    Args:
        distance: The largest gap between the distribution functions, in [0, 1].
        size: The effective size.

    Source:
        Stephens, 1970, Journal of the Royal Statistical Society B 32: the small-sample factor.
    """
    root = np.sqrt(size)
    return float(kolmogorov((root + 0.12 + 0.11 / root) * distance))


def g_test(reference: Array, current: Array) -> float:
    """The p-value of the G-test that two rows of counts come from one distribution.

    ``G = 2 Σ observed · ln(observed / expected)``, chi-square with cells - 1 degrees of freedom,
    divided by Williams' correction. Cells too rare for that (expected below 5) are pooled.

    Args:
        reference: Counts by cell, shape ``(cells,)``.
        current: Counts of the same cells.

    Returns:
        In [0, 1]; 1 if fewer than two cells are left.
    """
    table = pooled(reference, current)
    if table.shape[1] < 2:
        return 1.0
    rows, cells, total = table.sum(1), table.sum(0), table.sum()
    statistic = 2 * rel_entr(table, np.outer(rows, cells) / total).sum()
    freedom = table.shape[1] - 1
    williams = 1 + (total * (1 / rows).sum() - 1) * (total * (1 / cells).sum() - 1) / (
        6 * total * freedom
    )
    return float(chdtrc(freedom, max(statistic, 0.0) / williams))


def chi_square_test(reference: Array, current: Array) -> float:
    """The p-value of Pearson's chi-square test of homogeneity; rare cells are pooled.

    ``X² = Σ (observed - expected)² / expected``, chi-square with cells - 1 degrees of freedom.
    """
    table = pooled(reference, current)
    if table.shape[1] < 2:
        return 1.0
    expected = np.outer(table.sum(1), table.sum(0)) / table.sum()
    statistic = (np.square(table - expected) / expected).sum()
    return float(chdtrc(table.shape[1] - 1, statistic))


def pooled(reference: Array, current: Array) -> FloatArray:
    """Both rows of counts, shape ``(2, cells)``, with all cells of expected count below 5 as one.

    Which cells are pooled depends on the sum of both rows only, so that it favours neither.
    """
    table = np.stack((reference, current)).astype(np.float64)
    rows, cells = table.sum(1), table.sum(0)
    if not rows.all():
        return table[:, :0]
    rare = cells * rows.min() / rows.sum() < LEAST_EXPECTED
    rest = table[:, rare].sum(1, keepdims=True)
    table = table[:, ~rare]
    if not rest.any():
        return table
    if rest.sum() * rows.min() / rows.sum() < LEAST_EXPECTED and table.shape[1]:
        table[:, table.sum(0).argmin()] += rest[:, 0]
        return table
    return np.concatenate((table, rest), axis=1)


def rate_test(events: tuple[int, int], rows: tuple[int, int], *, only_more: bool = False) -> float:
    """The p-value that an event is as frequent in the window as in the reference.

    Few events: given their total, the window's are binomial with its share of the rows, and the
    smaller tail is doubled. Many: the normal test of two proportions with continuity correction.

    Args:
        events: In the reference and in the window.
        rows: In the reference and in the window.
        only_more: Only an increase counts; the tail is not doubled.
    """
    (a, b), (n, m) = events, rows
    total, everything = a + b, n + m
    if not total or not n or not m:
        return 1.0
    share = m / everything
    if min(total, everything - total) * min(share, 1 - share) < _FEW:
        upper = float(betainc(b, a + 1, share)) if b else 1.0
        lower = 1 - float(betainc(b + 1, a, share)) if a else 1.0
        return upper if only_more else min(1.0, 2 * min(upper, lower))
    rate = total / everything
    gap = b / m - a / n
    spread = np.sqrt(rate * (1 - rate) * (1 / n + 1 / m))
    continuity = (1 / n + 1 / m) / 2
    if only_more:
        return float(ndtr(-(gap - continuity) / spread))
    return min(1.0, 2 * float(ndtr(-max(abs(gap) - continuity, 0.0) / spread)))


def absolute_noise(shares: FloatArray, size: float) -> FloatArray:
    """The expected ``|p - q|`` of each share without drift: ``√(2 p (1 - p) / (π size))``."""
    return np.sqrt(2 * shares * (1 - shares) / (np.pi * size))
