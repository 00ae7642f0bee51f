"""Categories that the reference does not have."""

from __future__ import annotations

import numpy as np

from trimtab.drift.cells import aligned
from trimtab.drift.noise import absolute_noise, effective_size, rate_test
from trimtab.sketch import IntArray, Sketch
from trimtab.types import Comparison


class NewCategory:
    """How many more rows have a category new to them than reference rows had when left out.

    A reference row is new to the rest of the reference when its category occurs once: the share of
    such rows estimates how much of undrifted traffic is new (Good and Turing), so that features with
    many rare categories raise no false alarm. Where the profile has not kept all categories, "once"
    is the fewest rows that a kept one has.

    Source:
        Good, 1953, Biometrika 40.
    """

    name = "new_category"
    floor = 0.0075

    def score(self, reference: Sketch, current: Sketch) -> Comparison | None:
        """The excess share of rows, in [0, 1]; None for numbers, or if no row is new."""
        n, m = reference.present, current.present
        if reference.bits or not n or not m:
            return None
        _, a, b = aligned(reference, current)
        once = int(a[a == _least(a, reference)].sum()) + reference.unknown
        new = int(b[a == 0].sum()) + current.unknown
        if not (once or new):
            return None
        pooled = np.array([(once + new) / (n + m)])
        return Comparison(
            name="",
            statistic=self.name,
            score=max(0.0, new / m - once / n),
            noise_floor=float(absolute_noise(pooled, effective_size(n, m))[0]),
            floor=self.floor,
            p_value=rate_test((once, new), (n, m), only_more=True),
            reference_value=once / n,
            current_value=new / m,
        )


def _least(counts: IntArray, reference: Sketch) -> int:
    """The rows with which a category is just known."""
    return int(counts[counts > 0].min(initial=2**62)) if reference.unknown else 1
