"""Change of the missing rate."""

from __future__ import annotations

import numpy as np

from trimtab.drift.noise import absolute_noise, effective_size, rate_test
from trimtab.sketch import Sketch
from trimtab.types import Comparison


class MissingRate:
    """``|missing rate now - missing rate in the reference|``, with the test of two proportions."""

    name = "missing_rate"
    floor = 0.02

    def score(self, reference: Sketch, current: Sketch) -> Comparison | None:
        """The change, in [0, 1]; None if nothing is missing on either side, or without rows."""
        n, m = reference.rows, current.rows
        if not n or not m or not (reference.missing or current.missing):
            return None
        before, now = reference.missing / n, current.missing / m
        pooled = np.array([(reference.missing + current.missing) / (n + m)])
        return Comparison(
            name="",
            statistic=self.name,
            score=abs(now - before),
            noise_floor=float(absolute_noise(pooled, effective_size(n, m))[0]),
            floor=self.floor,
            p_value=rate_test((reference.missing, current.missing), (n, m)),
            reference_value=before,
            current_value=now,
        )
