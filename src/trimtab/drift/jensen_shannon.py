"""Jensen-Shannon distance."""

from __future__ import annotations

import numpy as np
from scipy.special import rel_entr

from trimtab.drift.cells import cells
from trimtab.drift.noise import effective_size, g_test
from trimtab.drift.rounding import worth
from trimtab.sketch import Sketch
from trimtab.types import Comparison, FloatArray


class JensenShannon:
    """``√(½ KL(p ‖ r) + ½ KL(q ‖ r))`` in bits, with ``r = (p + q) / 2``.

    Without drift its square is expected at ``(B - 1) / (8 n ln 2)`` for B cells and effective size
    n, which is the noise floor's square. Its p-value is the G-test's.

    Source:
        Lin, 1991, IEEE Transactions on Information Theory 37. Equal to
        ``scipy.spatial.distance.jensenshannon(base=2)``:
        tests/unit/drift/test_statistics_equal_scipy.py.
    """

    name = "jensen_shannon"
    floor = 0.05

    def score(self, reference: Sketch, current: Sketch) -> Comparison | None:
        """The distance, in [0, 1]; None without values."""
        a, b = cells(reference, current)
        n, m = int(a.sum()), int(b.sum())
        if not n or not m:
            return None
        expected = (len(a) - 1) / (8 * effective_size(n, m) * np.log(2))
        return Comparison(
            name="",
            statistic=self.name,
            score=distance(a / n, b / m),
            noise_floor=min(1.0, float(np.sqrt(expected))),
            floor=self.floor,
            p_value=g_test(a * worth(reference, len(a)), b),
        )


def distance(p: FloatArray, q: FloatArray) -> float:
    """The Jensen-Shannon distance of two rows of shares, in bits: in [0, 1].

    >>> import numpy as np
    >>> distance(np.array([1.0, 0.0]), np.array([0.0, 1.0]))
    1.0
    """
    middle = (p + q) / 2
    nats = float((rel_entr(p, middle) + rel_entr(q, middle)).sum()) / 2
    return min(1.0, float(np.sqrt(max(nats, 0.0) / np.log(2))))
