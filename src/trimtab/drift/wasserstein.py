"""Wasserstein distance, normed."""

from __future__ import annotations

import numpy as np

from trimtab.drift.cells import aligned
from trimtab.drift.noise import absolute_noise, effective_size
from trimtab.sketch import Sketch, standardised
from trimtab.types import Comparison


class Wasserstein:
    """How far rows have to move on average, in interquartile ranges of the reference.

    ``W = ∫ |F(x) - G(x)| dx``, as the score ``1 - exp(-W)``; W itself is ``current_value``. A value
    stands at the middle of its bin, at most 1/64 of its distance from the median away from where it
    is. Infinite values are left out. It has no p-value: one far row can move it at will.

    Source:
        Equal to ``scipy.stats.wasserstein_distance`` within that bound:
        tests/unit/drift/test_statistics_equal_scipy.py.
    """

    name = "wasserstein"
    floor = 0.05

    def score(self, reference: Sketch, current: Sketch) -> Comparison | None:
        """The score, in [0, 1]; None for categories or without finite values."""
        if not reference.bits:
            return None
        codes, a, b = aligned(reference, current)
        places = standardised(reference.bits, codes)
        finite = np.isfinite(places)
        places, a, b = places[finite], a[finite], b[finite]
        n, m = int(a.sum()), int(b.sum())
        if not n or not m:
            return None
        widths = np.diff(places)
        below, above = np.cumsum(a)[:-1], np.cumsum(b)[:-1]
        moved = float((np.abs(below / n - above / m) * widths).sum())
        noise = absolute_noise((below + above) / (n + m), effective_size(n, m))
        return Comparison(
            name="",
            statistic=self.name,
            score=float(-np.expm1(-moved)),
            noise_floor=float(-np.expm1(-(noise * widths).sum())),
            floor=self.floor,
            p_value=None,
            reference_value=0.0,
            current_value=moved,
        )
