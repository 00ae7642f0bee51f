"""Kolmogorov-Smirnov distance."""

from __future__ import annotations

import numpy as np

from trimtab.drift.cells import aligned
from trimtab.drift.noise import effective_size, kolmogorov_p
from trimtab.sketch import Sketch
from trimtab.types import Comparison

_EXPECTED = float(np.sqrt(np.pi / 2) * np.log(2))


class KolmogorovSmirnov:
    """The largest gap between two distribution functions: ``max |F(x) - G(x)|``.

    Numeric features only. Exact when no two values share a bin of the sketch; else the gap that is
    overlooked is at most the rows of one bin, about .002 for a shift of .1 sd.

    Source:
        Equal to ``scipy.stats.ks_2samp``: tests/unit/drift/test_statistics_equal_scipy.py.
    """

    name = "ks"
    floor = 0.05

    def score(self, reference: Sketch, current: Sketch) -> Comparison | None:
        """The distance, in [0, 1]; None for categories or without values."""
        if not reference.bits or not len(reference.codes) or not len(current.codes):
            return None
        _, a, b = aligned(reference, current)
        n, m = int(a.sum()), int(b.sum())
        distance = float(np.abs(np.cumsum(a) / n - np.cumsum(b) / m).max())
        size = effective_size(n, m)
        return Comparison(
            name="",
            statistic=self.name,
            score=distance,
            noise_floor=min(1.0, _EXPECTED / float(np.sqrt(size))),
            floor=self.floor,
            p_value=kolmogorov_p(distance, size),
        )
