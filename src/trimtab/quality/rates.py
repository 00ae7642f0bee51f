"""How surely something happens more often in a window than in the reference; both are samples."""

from __future__ import annotations

import math

from scipy.special import betainc, kolmogorov


def more_often(events: tuple[int, int], rows: tuple[int, int]) -> float:
    """The p-value of that many events in the window.

    Given their total, the window's events are binomial with its share of the rows.

    Args:
        events: In the reference and in the window.
        rows: In the reference and in the window.

    >>> more_often((0, 0), (1000, 100)), round(more_often((10, 10), (1000, 100)), 8)
    (1.0, 3.3e-07)
    """
    (a, b), (n, m) = events, rows
    if not b or not n or not m:
        return 1.0
    return float(betainc(b, a + 1, m / (n + m)))


def beyond_all(beyond: int, rows: tuple[int, int]) -> float:
    """The p-value that so many rows of the window lie beyond every row of the reference.

    Without drift each of the ``n + m`` rows is equally likely to be the largest, so that k of the
    window's m are beyond all n with probability ``Π (m - i) / (n + m - i)``, i < k.

    >>> beyond_all(0, (1000, 100)), round(beyond_all(1, (900, 100)), 3)
    (1.0, 0.1)
    """
    n, m = rows
    factors = ((m - i) / (n + m - i) for i in range(min(beyond, 200)))
    return math.prod(factors) if beyond else 1.0


def all_alike(share: float, rows: tuple[int, int]) -> float:
    """The p-value that all rows of the window have the value which ``share`` of the reference has.

    The share is taken at the upper end of what the reference leaves open, two standard deviations.
    """
    n, m = rows
    upper = min(1.0, share + 2 * math.sqrt(share * (1 - share) / n) + 2 / n)
    return upper**m


def gap_p(distance: float, rows: tuple[int, int]) -> float:
    """The p-value of a Kolmogorov-Smirnov distance, asymptotic and conservative where values repeat."""
    n, m = rows
    return float(kolmogorov(math.sqrt(n * m / (n + m)) * distance)) if n and m else 1.0
