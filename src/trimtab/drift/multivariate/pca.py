"""Principal components: rows that the reference's structure no longer describes."""

from __future__ import annotations

import math

import numpy as np
from scipy.special import kolmogorov

from trimtab.types import Comparison, FloatArray

_EXPLAINED = 0.65


class PcaReconstruction:
    """How the error of rebuilding a row from the leading components has changed.

    The components that explain 65 % of the variance are fitted to every second row of the reference;
    the errors of its other rows and of the current ones are compared by Kolmogorov and Smirnov. Both
    were left out of the fit, so that the p-value holds.

    Source:
        The reconstruction error as drift: Qahtan et al., 2015, KDD. The level and the power are in
        tests/unit/drift/test_multivariate.py.
    """

    name = "pca"
    floor = 0.05

    def score(self, reference: FloatArray, current: FloatArray) -> Comparison:
        """Compare two samples of points, shapes ``(n, d)`` and ``(m, d)``."""
        fitted, rest = reference[::2], reference[1::2]
        middle = fitted.mean(0)
        spread = fitted.std(0)
        spread = np.where(spread > 0, spread, 1.0)
        _, sizes, axes = np.linalg.svd((fitted - middle) / spread, full_matrices=False)
        share = np.cumsum(np.square(sizes)) / max(float(np.square(sizes).sum()), 1e-300)
        kept = axes[: int(np.searchsorted(share, _EXPLAINED)) + 1]
        before, now = (self._errors((x - middle) / spread, kept) for x in (rest, current))
        distance = _gap(before, now)
        size = len(before) * len(now) / (len(before) + len(now))
        root = math.sqrt(size)
        return Comparison(
            name=self.name,
            statistic=self.name,
            score=distance,
            noise_floor=min(1.0, 0.87 / root),
            floor=self.floor,
            p_value=float(kolmogorov((root + 0.12 + 0.11 / root) * distance)),
            words=f"error of reconstruction {np.median(before):.3g} → {np.median(now):.3g}",
            reference_value=float(np.median(before)),
            current_value=float(np.median(now)),
        )

    def _errors(self, points: FloatArray, axes: FloatArray) -> FloatArray:
        rebuilt = points @ axes.T @ axes
        found: FloatArray = np.sqrt(np.square(points - rebuilt).sum(1))
        return found


def _gap(a: FloatArray, b: FloatArray) -> float:
    both = np.sort(np.concatenate((a, b)))
    below = [np.searchsorted(np.sort(x), both, side="right") / len(x) for x in (a, b)]
    return float(np.abs(below[0] - below[1]).max())
