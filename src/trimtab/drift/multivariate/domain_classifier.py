"""A classifier that tries to tell current rows from the reference's; needs scikit-learn."""

from __future__ import annotations

import math

import numpy as np
from scipy.special import ndtr
from scipy.stats import rankdata
from sklearn.ensemble import HistGradientBoostingClassifier
from threadpoolctl import threadpool_limits

from trimtab.types import Array, Comparison, FloatArray

_SEED = 20_071


class DomainClassifier:
    """How well boosted trees tell the two samples apart: ``2 AUC - 1``.

    Each half of the rows is judged by trees that learnt from the other half. In either half the
    p-value is Mann and Whitney's, which holds since those rows were not learnt from; the smaller one
    counts twice (Bonferroni).

    Source:
        Lopez-Paz and Oquab, 2017, ICLR. The level and the power are in
        tests/unit/drift/test_multivariate.py.
    """

    name = "domain_classifier"
    floor = 0.05

    def score(self, reference: FloatArray, current: FloatArray) -> Comparison:
        """Compare two samples of points, shapes ``(n, d)`` and ``(m, d)``."""
        points = np.concatenate((reference, current))
        side = np.concatenate((np.zeros(len(reference)), np.ones(len(current))))
        order = np.random.default_rng(_SEED).permutation(len(points))
        halves = order[::2], order[1::2]
        found = [
            self._half(points, side, learnt, judged) for learnt, judged in (halves, halves[::-1])
        ]
        auc = sum(area for area, _ in found) / 2
        rows = len(points)
        spread = math.sqrt(rows / (12 * max(side.sum() * (rows - side.sum()), 1.0)))
        return Comparison(
            name=self.name,
            statistic=self.name,
            score=max(0.0, 2 * auc - 1),
            noise_floor=min(1.0, 2 * spread),
            floor=self.floor,
            p_value=min(1.0, 2 * min(p for _, p in found)),
            words=f"a classifier tells current rows from the reference's with ROC AUC {auc:.2f}",
            reference_value=0.5,
            current_value=auc,
        )

    def _half(
        self, points: FloatArray, side: FloatArray, learnt: Array, judged: Array
    ) -> tuple[float, float]:
        """ROC AUC and one-sided p-value on ``judged`` rows; no finding without both sides."""
        if min(len(np.unique(side[learnt])), len(np.unique(side[judged]))) < 2:
            return 0.5, 1.0
        trees = HistGradientBoostingClassifier(
            max_iter=40, max_leaf_nodes=8, learning_rate=0.1, random_state=_SEED,
            early_stopping=False,
        )  # fmt: skip
        with threadpool_limits(1):  # threads that wait for each other cost more than so few rows
            trees.fit(points[learnt], side[learnt])
            scores = trees.predict_proba(points[judged])[:, 1]
        ranks = rankdata(scores)
        current = side[judged] == 1
        m, n = int(current.sum()), int((~current).sum())
        area = float((ranks[current].sum() - m * (m + 1) / 2) / (m * n))
        # Ties shrink the spread; taking it without them is conservative.
        above = (area - 0.5) / math.sqrt((m + n + 1) / (12 * m * n))
        return area, float(ndtr(-above))
