"""What a score means, learned from held-out rows."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.isotonic import IsotonicRegression

from trimtab.performance.estimated import calibrate, isotonic
from trimtab.performance.estimated.calibration import pooled
from trimtab.types import FloatArray


def draw(rows: int, seed: int, bend: float = 1.0) -> tuple[FloatArray, FloatArray]:
    random = np.random.default_rng(seed)
    scores = random.beta(2, 3, rows)
    return scores, (random.random(rows) < scores**bend).astype(np.float64)


def test_pools_are_scikit_learns_isotonic_regression() -> None:
    random = np.random.default_rng(1)
    for _ in range(20):
        rows = random.integers(1, 30, 60).astype(np.float64)
        hits = random.binomial(rows.astype(int), np.linspace(0.2, 0.7, 60)).astype(np.float64)
        middle = np.arange(60.0)
        expected = IsotonicRegression().fit_transform(middle, hits / rows, sample_weight=rows)
        found = pooled(hits, rows, middle)
        shares = [hit / count for hit, count, _ in found]
        assert np.unique(expected.round(12)) == pytest.approx(np.unique(np.round(shares, 12)))
        assert rows.sum() == sum(count for _, count, _ in found)


def test_a_bent_score_is_straightened_and_a_true_one_is_left_alone() -> None:
    bent, _ = calibrate(*draw(20_000, 2, bend=2.0))
    assert bent(np.array([0.3, 0.5, 0.7])) == pytest.approx([0.09, 0.25, 0.49], abs=0.04)
    true, shares = calibrate(*draw(20_000, 3))
    assert () == true.scores
    assert shares == pytest.approx(draw(20_000, 3)[0])


def test_few_rows_one_class_and_scores_outside_are_taken() -> None:
    few, _ = calibrate(np.array([0.1, 0.9]), np.array([0.0, 1.0]))
    assert few(np.array([-1.0, 0.5, 2.0])).tolist() == [0.0, 0.5, 1.0]
    never = isotonic(np.linspace(0, 1, 500), np.zeros(500))
    assert never(np.array([0.0, 1.0])).tolist() == [0.0, 0.0]
    same = isotonic(np.full(100, 0.3), np.tile([0.0, 1.0], 50))
    assert same(np.array([0.0, 0.3, 1.0])) == pytest.approx([0.5, 0.5, 0.5])
