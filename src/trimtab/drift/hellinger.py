"""Hellinger distance."""

from __future__ import annotations

import numpy as np

from trimtab.drift.cells import cells
from trimtab.drift.noise import effective_size, g_test
from trimtab.drift.rounding import worth
from trimtab.sketch import Sketch
from trimtab.types import Comparison


class Hellinger:
    """``√(½ Σ (√p - √q)²)``; without drift about ``√((B - 1) / (8 n))`` for B cells.

    Its p-value is the G-test's.
    """

    name = "hellinger"
    floor = 0.05

    def score(self, reference: Sketch, current: Sketch) -> Comparison | None:
        """The distance, in [0, 1]; None without values."""
        a, b = cells(reference, current)
        n, m = int(a.sum()), int(b.sum())
        if not n or not m:
            return None
        gaps = np.square(np.sqrt(a / n) - np.sqrt(b / m))
        return Comparison(
            name="",
            statistic=self.name,
            score=min(1.0, float(np.sqrt(gaps.sum() / 2))),
            noise_floor=min(1.0, float(np.sqrt((len(a) - 1) / (8 * effective_size(n, m))))),
            floor=self.floor,
            p_value=g_test(a * worth(reference, len(a)), b),
        )
