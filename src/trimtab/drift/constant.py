"""Features that never varied in the reference."""

from __future__ import annotations

from trimtab.drift.cells import aligned
from trimtab.drift.noise import rate_test
from trimtab.sketch import Sketch
from trimtab.types import Comparison


class ConstantChanged:
    """The share of rows that differ from the one value that the reference has.

    Distances between distributions have no power here: the reference has no spread to compare with.
    """

    name = "constant_changed"
    floor = 0.0075

    def score(self, reference: Sketch, current: Sketch) -> Comparison | None:
        """The share, in [0, 1]; None for categories, without values, or if the reference varies."""
        if not reference.bits or len(reference.codes) != 1 or not len(current.codes):
            return None
        _, a, b = aligned(reference, current)
        differ, m = int(b[a == 0].sum()), int(b.sum())
        return Comparison(
            name="",
            statistic=self.name,
            score=differ / m,
            noise_floor=0.0,
            floor=self.floor,
            p_value=rate_test((0, differ), (int(a.sum()), m), only_more=True),
            reference_value=0.0,
            current_value=differ / m,
        )
