"""Population stability index."""

from __future__ import annotations

import numpy as np

from trimtab.drift.cells import cells
from trimtab.drift.noise import effective_size, g_test
from trimtab.drift.rounding import worth
from trimtab.sketch import Sketch
from trimtab.types import Array, Comparison

_SMALLEST = 0.001


class PopulationStability:
    """``PSI = Σ (p - q) ln(p / q)``, as the score ``1 - exp(-PSI)``.

    Without drift the PSI of B cells is about ``(B - 1) / n``. Its p-value is the G-test's. The index
    itself is ``current_value``.
    """

    name = "psi"
    floor = 0.05

    def score(self, reference: Sketch, current: Sketch) -> Comparison | None:
        """The score, in [0, 1); None without values."""
        a, b = cells(reference, current)
        n, m = int(a.sum()), int(b.sum())
        if not n or not m:
            return None
        found = index(a, b)
        return Comparison(
            name="",
            statistic=self.name,
            score=float(-np.expm1(-found)),
            noise_floor=float(-np.expm1(-(len(a) - 1) / effective_size(n, m))),
            floor=self.floor,
            p_value=g_test(a * worth(reference, len(a)), b),
            reference_value=0.0,
            current_value=found,
        )


def index(reference: Array, current: Array) -> float:
    """The PSI of two rows of counts, in [0, ∞).

    When a cell is empty on one side, a thousandth of the rows is added to every cell of both, so that
    the index is finite and does not grow with the number of rows.
    """
    p, q = reference / reference.sum(), current / current.sum()
    if not (reference.all() and current.all()):
        p, q = ((x + _SMALLEST) / (1 + _SMALLEST * len(x)) for x in (p, q))
    return max(0.0, float(((p - q) * np.log(p / q)).sum()))
