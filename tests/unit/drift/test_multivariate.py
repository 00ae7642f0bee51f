"""Each multivariate test holds its level, and finds what single features do not show."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.stats import binom

from trimtab.drift import FeatureComparer, build_profile, window_of
from trimtab.drift.multivariate import METHODS, Encoder, KernelMean, PcaReconstruction, evenly
from trimtab.drift.multivariate.domain_classifier import DomainClassifier
from trimtab.judge import flag
from trimtab.types import Columns, FeatureKind, FeatureSpec, FloatArray

ALL: list[Any] = [KernelMean(), PcaReconstruction(), DomainClassifier()]
WINDOWS = {"mmd": 200, "pca": 200, "domain_classifier": 100}


def points(rows: int, seed: int, correlation: float = 0.0, shift: float = 0.0) -> FloatArray:
    rng = np.random.default_rng(seed)
    found = rng.normal(size=(rows, 6)) + shift
    found[:, 1] = correlation * found[:, 0] + np.sqrt(1 - correlation**2) * found[:, 1]
    return found


def columns(values: FloatArray) -> Columns:
    specs = tuple(
        FeatureSpec(name=f"x{at}", kind=FeatureKind.NUMERIC) for at in range(values.shape[1])
    )
    return Columns(features=specs, arrays=tuple(values.T.copy()))


@pytest.mark.parametrize("method", ALL, ids=lambda method: method.name)
def test_without_drift_the_level_holds(method: Any) -> None:
    windows = WINDOWS[method.name]
    p = [
        method.score(points(200, 50_000 + 2 * seed), points(200, 50_001 + 2 * seed)).p_value
        for seed in range(windows)
    ]
    assert (np.array(p) <= 0.05).sum() <= binom.ppf(0.99, windows, 0.05)


@pytest.mark.parametrize("method", ALL, ids=lambda method: method.name)
def test_a_shift_of_all_features_is_found(method: Any) -> None:
    shifted = points(1_000, 2, shift=1.0)
    if method.name == "pca":  # sees a change of structure, not of place alone
        shifted = points(1_000, 2, correlation=0.9)
    found = method.score(points(1_000, 1), shifted)
    assert found.p_value is not None
    assert found.p_value <= 0.01
    assert found.score > found.noise_floor


@pytest.mark.parametrize("method", ALL, ids=lambda method: method.name)
def test_the_same_samples_give_the_same_answer(method: Any) -> None:
    a, b = points(300, 1), points(200, 2)
    assert method.score(a, b) == method.score(a, b)
    assert {*METHODS} == {one.name for one in ALL}


def test_a_change_of_correlations_alone_is_always_found_by_the_correlation_test() -> None:
    """0 → 0.5 in one pair of six features at n = 1,000: 40 windows of 40."""
    profile = build_profile(columns(points(10_000, 1)))
    comparer = FeatureComparer(profile)
    found = 0
    for seed in range(40):
        window = window_of(profile, columns(points(1_000, 100 + seed, correlation=0.5)))
        flagged = {one.name for one in flag(comparer.compare(window))}
        found += "correlation" in flagged
    assert 40 == found


def test_mixed_features_become_points() -> None:
    reference = Columns(
        features=(
            FeatureSpec(name="x", kind=FeatureKind.NUMERIC),
            FeatureSpec(name="c", kind=FeatureKind.CATEGORICAL),
        ),
        arrays=(
            np.array([0.0, 1.0, 2.0, 3.0, np.nan]),
            np.array(["a", "a", "b", None, "b"], dtype=object),
        ),
    )
    made = Encoder(reference).encode(reference)
    assert (5, 5) == made.shape
    assert [0, 0, 0, 0, 1] == made[:, 1].tolist()
    assert [0, 0, 0, 1, 0] == made[:, 4].tolist()
    assert np.isfinite(made).all()


def test_samples_are_spread_evenly() -> None:
    assert 2_000 == len(evenly(1_000_000))
    assert (0, 999_999) == (evenly(1_000_000)[0], evenly(1_000_000)[-1])
    assert list(range(10)) == evenly(10).tolist()
