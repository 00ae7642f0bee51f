"""Chi-square distance, and Pearson's test."""

from __future__ import annotations

import numpy as np

from trimtab.drift.cells import cells
from trimtab.drift.noise import chi_square_test, effective_size
from trimtab.drift.rounding import worth
from trimtab.sketch import Sketch
from trimtab.types import Comparison


class ChiSquare:
    """``√(½ Σ (p - q)² / (p + q))``; without drift about ``√((B - 1) / (4 n))`` for B cells.

    Its p-value is Pearson's test of homogeneity, in which the reference is a sample too.

    Source:
        The test equals ``scipy.stats.chi2_contingency``:
        tests/unit/drift/test_statistics_equal_scipy.py.
    """

    name = "chi_square"
    floor = 0.05

    def score(self, reference: Sketch, current: Sketch) -> Comparison | None:
        """The distance, in [0, 1]; None without values."""
        a, b = cells(reference, current)
        n, m = int(a.sum()), int(b.sum())
        if not n or not m:
            return None
        p, q = a / n, b / m
        kept = p + q > 0
        triangle = float((np.square(p - q)[kept] / (p + q)[kept]).sum())
        return Comparison(
            name="",
            statistic=self.name,
            score=min(1.0, float(np.sqrt(triangle / 2))),
            noise_floor=min(1.0, float(np.sqrt((len(a) - 1) / (4 * effective_size(n, m))))),
            floor=self.floor,
            p_value=chi_square_test(a * worth(reference, len(a)), b),
        )
