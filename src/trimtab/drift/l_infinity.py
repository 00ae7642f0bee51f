"""The largest change of one cell."""

from __future__ import annotations

import numpy as np

from trimtab.drift.cells import cells
from trimtab.drift.noise import effective_size
from trimtab.sketch import Sketch
from trimtab.types import Comparison


class LInfinity:
    """By how many points the share of one category, or one cell of numbers, has changed at most.

    ``max |p - q|``; without drift about ``√(2 ln(2 B) p (1 - p) / n)`` for B cells, the largest p and
    effective size n. It has no p-value: which cell is the largest is chosen by looking.
    """

    name = "l_infinity"
    floor = 0.05

    def score(self, reference: Sketch, current: Sketch) -> Comparison | None:
        """The change, in [0, 1]; None without values."""
        a, b = cells(reference, current)
        n, m = int(a.sum()), int(b.sum())
        if not n or not m:
            return None
        largest = min(0.5, float((a + b).max()) / (n + m))
        spread = largest * (1 - largest) / effective_size(n, m)
        return Comparison(
            name="",
            statistic=self.name,
            score=float(np.abs(a / n - b / m).max()),
            noise_floor=min(1.0, float(np.sqrt(2 * np.log(2 * len(a)) * spread))),
            floor=self.floor,
            p_value=None,
        )
