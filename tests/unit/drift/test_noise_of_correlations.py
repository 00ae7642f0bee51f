"""The noise of rank correlations is measured on the reference, not taken as the Gaussian's."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from scipy.special import ndtri
from scipy.stats import pearsonr, rankdata

from trimtab.drift.correlation import correlated, correlations, largest_change, pair_variances
from trimtab.sketch import Sketcher, fit, sketch
from trimtab.types import FeatureKind

ROWS = 500
Draw = Callable[[np.random.Generator, int], tuple[np.ndarray, np.ndarray]]


def heavy(rng: np.random.Generator, rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Uncorrelated, yet both are far out at the same time."""
    scale = np.exp(1.5 * rng.normal(size=rows))
    return scale * rng.normal(size=rows), scale * rng.normal(size=rows)


def gaussian(rng: np.random.Generator, rows: int) -> tuple[np.ndarray, np.ndarray]:
    a, b = rng.normal(size=(2, rows))
    return a, 0.6 * a + 0.8 * b


def sketcher_of(columns: tuple[np.ndarray, ...]) -> Sketcher:
    binnings = [fit(FeatureKind.NUMERIC, column) for column in columns]
    return Sketcher(binnings, ranks=dict(enumerate(map(sketch, binnings, columns))))


@pytest.mark.parametrize(("draw", "stated"), [(heavy, None), (gaussian, (1 - 0.36) ** 2)])
def test_variances_are_those_of_repeated_samples(draw: Draw, stated: float | None) -> None:
    rng = np.random.default_rng(1)
    reference = draw(rng, 50_000)
    sketcher = sketcher_of(reference)
    predicted = pair_variances(*sketcher.normal_scores(reference))[0, 1]
    found = []
    for _ in range(600):
        pairs = sketcher.sketch(draw(rng, ROWS)).pairs
        assert pairs is not None
        found.append(correlations(pairs)[0, 1])
    assert predicted == pytest.approx(ROWS * np.var(found), rel=0.2)
    if stated is not None:
        assert predicted == pytest.approx(stated, rel=0.05)
    else:
        assert predicted > 1.3


def test_correlations_are_those_of_the_normal_scores() -> None:
    rng = np.random.default_rng(2)
    columns = gaussian(rng, 4_000)
    pairs = sketcher_of(columns).sketch(columns).pairs
    assert pairs is not None
    scores = [ndtri((rankdata(column) - 0.5) / 4_000) for column in columns]
    assert correlations(pairs)[0, 1] == pytest.approx(pearsonr(*scores).statistic, abs=0.005)


def test_missing_values_do_not_weaken_a_correlation() -> None:
    rng = np.random.default_rng(3)
    a, b = gaussian(rng, 20_000)
    sketcher = sketcher_of((a, b))
    holes = np.where(rng.random(20_000) < 0.4, np.nan, a)
    whole, partial = sketcher.sketch([a, b]).pairs, sketcher.sketch([holes, b]).pairs
    assert whole is not None
    assert partial is not None
    assert correlations(partial)[0, 1] == pytest.approx(correlations(whole)[0, 1], abs=0.02)


def test_a_feature_that_no_longer_varies_has_no_correlation_to_compare() -> None:
    rng = np.random.default_rng(4)
    a, b = gaussian(rng, 2_000)
    sketcher = sketcher_of((a, b))
    reference, stuck = (
        sketcher.sketch([a, b]).pairs,
        sketcher.sketch([np.zeros(500), b[:500]]).pairs,
    )
    assert reference is not None
    assert stuck is not None
    assert largest_change(correlated(reference), correlated(stuck), np.ones((2, 2))) is None
