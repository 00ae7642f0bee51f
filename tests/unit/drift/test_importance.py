"""What matters to the model comes first."""

from __future__ import annotations

import numpy as np
import pytest

from trimtab.config import WatchConfig
from trimtab.drift import FeatureComparer, build_profile, window_of
from trimtab.drift.importance import permutation_importance
from trimtab.judge import DriftJudge
from trimtab.types import Columns, FeatureKind, FeatureSpec, FloatArray


def table(rows: int, by: float = 0.0) -> Columns:
    rng = np.random.default_rng(rows)
    kinds = (FeatureKind.NUMERIC, FeatureKind.NUMERIC, FeatureKind.CATEGORICAL)
    specs = tuple(
        FeatureSpec(name=name, kind=kind)
        for name, kind in zip(("weak", "strong", "unused"), kinds, strict=True)
    )
    text = np.array(["a", "b"], dtype=object)[rng.integers(0, 2, rows)]
    return Columns(
        features=specs, arrays=(rng.normal(by * 1.5, 1, rows), rng.normal(by, 1, rows), text)
    )


def score(columns: Columns) -> FloatArray:
    weak, strong, _ = columns.arrays
    return np.asarray(0.2 * weak + strong, dtype=np.float64)


def test_importance_is_the_change_of_scores() -> None:
    found = permutation_importance(score, table(4_000))
    assert {"strong": 1.0, "unused": 0.01} == {n: found[n] for n in ("strong", "unused")}
    assert found["weak"] == pytest.approx(0.2, abs=0.02)


def test_a_model_that_looks_at_nothing_ranks_nothing() -> None:
    found = permutation_importance(lambda columns: np.zeros(columns.rows), table(40))
    assert {"weak": 1.0, "strong": 1.0, "unused": 1.0} == found


def test_the_verdict_names_first_what_moves_predictions_most() -> None:
    reference = table(4_000)
    window = table(1_000, by=0.5)
    for importance, first in ((None, "weak"), (permutation_importance(score, reference), "strong")):
        profile = build_profile(reference, importance=importance)
        current = window_of(profile, window)
        compared = FeatureComparer(profile).compare(current)
        verdict = DriftJudge("data_drift", WatchConfig()).judge(current, compared)
        assert first == verdict.flagged[0]
