"""Total variation distance."""

from __future__ import annotations

import numpy as np

from trimtab.drift.cells import cells
from trimtab.drift.noise import absolute_noise, effective_size, g_test
from trimtab.drift.rounding import worth
from trimtab.sketch import Sketch
from trimtab.types import Comparison


class TotalVariation:
    """The share of rows that would have to change their cell: ``½ Σ |p - q|``.

    Cells are categories, or numeric values grouped as in :func:`trimtab.drift.cells.cells`. Its
    p-value is the G-test's; a reference that is rounded counts as the fewer rows that it is worth.
    """

    name = "total_variation"
    floor = 0.05

    def score(self, reference: Sketch, current: Sketch) -> Comparison | None:
        """The distance, in [0, 1]; None without values."""
        a, b = cells(reference, current)
        n, m = int(a.sum()), int(b.sum())
        if not n or not m:
            return None
        noise = absolute_noise((a + b) / (n + m), effective_size(n, m)).sum() / 2
        return Comparison(
            name="",
            statistic=self.name,
            score=min(1.0, float(np.abs(a / n - b / m).sum()) / 2),
            noise_floor=min(1.0, float(noise)),
            floor=self.floor,
            p_value=g_test(a * worth(reference, len(a)), b),
        )
