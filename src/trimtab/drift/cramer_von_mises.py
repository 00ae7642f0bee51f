"""Cramér-von Mises distance."""

from __future__ import annotations

import numpy as np
from scipy.special import gammaln, kve

from trimtab.drift.cells import aligned
from trimtab.drift.noise import effective_size
from trimtab.sketch import Sketch
from trimtab.types import Comparison

_TERMS = np.arange(12)
_LEAST = 0.003


class CramerVonMises:
    """How far two distribution functions are apart on average: ``√(3 ∫ (F - G)² dH)``, H of both.

    It is 1 if the samples do not overlap, and without drift about ``√(1 / (2 n))`` for the effective
    size n. Numeric features only. Rows of one bin have their middle rank.

    Source:
        Anderson, 1962, Annals of Mathematical Statistics 33: the statistic is n times the integral.
        Equal to ``scipy.stats.cramervonmises_2samp`` where no values repeat:
        tests/unit/drift/test_statistics_equal_scipy.py.
    """

    name = "cramer_von_mises"
    floor = 0.05

    def score(self, reference: Sketch, current: Sketch) -> Comparison | None:
        """The distance, in [0, 1]; None for categories or without values."""
        if not reference.bits or not len(reference.codes) or not len(current.codes):
            return None
        _, a, b = aligned(reference, current)
        n, m = int(a.sum()), int(b.sum())
        gaps = (np.cumsum(a) - a / 2) / n - (np.cumsum(b) - b / 2) / m
        integral = float((np.square(gaps) * (a + b)).sum()) / (n + m)
        size = effective_size(n, m)
        return Comparison(
            name="",
            statistic=self.name,
            score=min(1.0, float(np.sqrt(3 * integral))),
            noise_floor=min(1.0, float(np.sqrt(1 / (2 * size)))),
            floor=self.floor,
            p_value=cramer_von_mises_p(size * integral),
        )


def cramer_von_mises_p(statistic: float) -> float:
    """P(a statistic at least this large) without drift, for large samples.

    Source:
        Csörgő and Faraway, 1996, Journal of the Royal Statistical Society B 58, equation 1.3.

    >>> round(cramer_von_mises_p(0.46136), 3)
    0.05
    """
    if statistic < _LEAST:
        return 1.0
    odd = 4 * _TERMS + 1
    power = np.square(odd) / (16 * statistic)
    weight = np.exp(gammaln(_TERMS + 0.5) - gammaln(_TERMS + 1) - 2 * power)
    below = (weight * np.sqrt(odd) * kve(0.25, power)).sum() / (np.pi**1.5 * np.sqrt(statistic))
    return float(np.clip(1 - below, 0.0, 1.0))
