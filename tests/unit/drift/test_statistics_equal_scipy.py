"""Statistics on sketches equal SciPy's on the raw values: exactly if discrete, else within bounds."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import scipy.stats
from scipy.spatial.distance import jensenshannon

from trimtab.drift.cells import cells
from trimtab.drift.chi_square import ChiSquare
from trimtab.drift.cramer_von_mises import CramerVonMises, cramer_von_mises_p
from trimtab.drift.hellinger import Hellinger
from trimtab.drift.jensen_shannon import JensenShannon
from trimtab.drift.ks import KolmogorovSmirnov
from trimtab.drift.l_infinity import LInfinity
from trimtab.drift.missing_rate import MissingRate
from trimtab.drift.noise import g_test, pooled, rate_test
from trimtab.drift.psi import index
from trimtab.drift.total_variation import TotalVariation
from trimtab.drift.wasserstein import Wasserstein
from trimtab.sketch import Sketch, fit, sketch
from trimtab.types import Comparison, FeatureKind


def sketches(reference: np.ndarray, current: np.ndarray) -> tuple[Sketch, Sketch]:
    binning = fit(FeatureKind.NUMERIC, reference)
    return sketch(binning, reference), sketch(binning, current)


def found(comparison: Comparison | None) -> Comparison:
    assert comparison is not None
    return comparison


@pytest.fixture(params=[0, 1, 2])
def discrete(request: pytest.FixtureRequest) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(request.param)
    return rng.poisson(4, 3_000).astype(float), rng.poisson(4.4, 900).astype(float)


Draw = Callable[[np.random.Generator, int, float], np.ndarray]
DRAWS: dict[str, Draw] = {
    "normal": lambda rng, n, by: rng.normal(by, 1, n),
    "lognormal": lambda rng, n, by: rng.lognormal(by, 1, n),
    "bimodal": lambda rng, n, by: np.where(rng.random(n) < 0.5, -3, 3) + rng.normal(by, 1, n),
    "uniform": lambda rng, n, by: rng.uniform(by, 1 + by, n),
}


@pytest.fixture(params=list(DRAWS))
def continuous(request: pytest.FixtureRequest) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(7)
    draw = DRAWS[request.param]
    return draw(rng, 20_000, 0.0), draw(rng, 10_000, 0.1)


def shares(*samples: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    values = np.unique(np.concatenate(samples))
    p, q = (np.array([(sample == value).mean() for value in values]) for sample in samples)
    return p, q


def test_ks_on_discrete_values(discrete: tuple[np.ndarray, np.ndarray]) -> None:
    exact = scipy.stats.ks_2samp(*discrete).statistic
    actual = found(KolmogorovSmirnov().score(*sketches(*discrete))).score
    assert actual == pytest.approx(exact, abs=1e-12)


def test_ks_on_continuous_values(continuous: tuple[np.ndarray, np.ndarray]) -> None:
    exact = scipy.stats.ks_2samp(*continuous, method="asymp")
    actual = found(KolmogorovSmirnov().score(*sketches(*continuous)))
    assert actual.score == pytest.approx(exact.statistic, abs=0.002)


def test_ks_p_value_is_scipys_or_somewhat_larger(continuous: tuple[np.ndarray, np.ndarray]) -> None:
    reference, current = continuous[0], np.random.default_rng(3).permutation(continuous[0])[:500]
    exact = scipy.stats.ks_2samp(reference, current, method="asymp").pvalue
    actual = found(KolmogorovSmirnov().score(*sketches(reference, current))).p_value
    assert actual is not None
    assert exact - 0.01 <= actual <= exact + 0.1


def test_jensen_shannon_on_discrete_values(discrete: tuple[np.ndarray, np.ndarray]) -> None:
    exact = jensenshannon(*shares(*discrete), base=2)
    actual = found(JensenShannon().score(*sketches(*discrete))).score
    assert actual == pytest.approx(exact, abs=1e-12)


def test_total_variation_and_hellinger_on_discrete_values(
    discrete: tuple[np.ndarray, np.ndarray],
) -> None:
    p, q = shares(*discrete)
    pair = sketches(*discrete)
    assert found(TotalVariation().score(*pair)).score == pytest.approx(np.abs(p - q).sum() / 2)
    exact = np.sqrt(1 - np.sqrt(p * q).sum())
    assert found(Hellinger().score(*pair)).score == pytest.approx(exact)


def test_wasserstein_on_discrete_values(discrete: tuple[np.ndarray, np.ndarray]) -> None:
    iqr = float(np.subtract(*np.quantile(discrete[0], (0.75, 0.25))))
    exact = scipy.stats.wasserstein_distance(*discrete) / iqr
    actual = found(Wasserstein().score(*sketches(*discrete))).current_value
    assert actual == pytest.approx(exact, rel=1 / 32)


def test_wasserstein_on_continuous_values(continuous: tuple[np.ndarray, np.ndarray]) -> None:
    reference, current = continuous
    median = np.median(reference)
    iqr = float(np.subtract(*np.quantile(reference, (0.75, 0.25))))
    exact = scipy.stats.wasserstein_distance(reference, current) / iqr
    bound = np.abs(np.concatenate(continuous) - median).mean() / iqr / 64
    actual = found(Wasserstein().score(*sketches(reference, current))).current_value
    assert actual == pytest.approx(exact, abs=bound)


def test_cramer_von_mises_on_continuous_values(
    continuous: tuple[np.ndarray, np.ndarray],
) -> None:
    reference, current = continuous
    exact = scipy.stats.cramervonmises_2samp(reference, current, method="asymptotic")
    size = len(reference) * len(current) / (len(reference) + len(current))
    score = found(CramerVonMises().score(*sketches(reference, current))).score
    assert score == pytest.approx(np.sqrt(3 * exact.statistic / size), abs=0.002)


def test_cramer_von_mises_p_value_without_drift() -> None:
    rng = np.random.default_rng(9)
    reference = rng.normal(size=5_000)
    for _ in range(20):
        current = rng.normal(size=500)
        exact = scipy.stats.cramervonmises_2samp(reference, current, method="asymptotic")
        actual = found(CramerVonMises().score(*sketches(reference, current))).p_value
        assert actual == pytest.approx(exact.pvalue, abs=0.02)
        assert cramer_von_mises_p(exact.statistic) == pytest.approx(exact.pvalue, abs=0.001)


def test_l_infinity_is_the_largest_change_of_a_share(
    discrete: tuple[np.ndarray, np.ndarray],
) -> None:
    p, q = shares(*discrete)
    actual = found(LInfinity().score(*sketches(*discrete))).score
    assert actual == pytest.approx(np.abs(p - q).max(), abs=1e-12)


@pytest.mark.parametrize("rows", [200, 2_000])
def test_noise_floors_are_what_scores_are_without_drift(rows: int) -> None:
    rng = np.random.default_rng(rows)
    pairs = [sketches(rng.normal(size=10_000), rng.normal(size=rows)) for _ in range(100)]
    for statistic, ratio in ((CramerVonMises(), (0.7, 1.1)), (LInfinity(), (0.6, 1.1))):
        scored = [found(statistic.score(*pair)) for pair in pairs]
        measured = np.mean([c.score for c in scored]) / np.mean([c.noise_floor for c in scored])
        assert ratio[0] < measured < ratio[1]


def test_chi_square_p_value(discrete: tuple[np.ndarray, np.ndarray]) -> None:
    pair = sketches(*discrete)
    table = pooled(*cells(*pair))
    exact = scipy.stats.chi2_contingency(table, correction=False).pvalue
    assert found(ChiSquare().score(*pair)).p_value == pytest.approx(exact, rel=1e-9)


def test_g_p_value_but_for_williams_correction() -> None:
    table = np.array([[5_000, 3_000, 2_000], [520, 310, 170]])
    exact = scipy.stats.chi2_contingency(table, correction=False, lambda_="log-likelihood").pvalue
    assert g_test(*table) == pytest.approx(exact, rel=0.02)


def test_psi_is_the_published_sum() -> None:
    assert index(np.array([50, 50]), np.array([40, 60])) == pytest.approx(
        0.1 * np.log(50 / 40) + 0.1 * np.log(60 / 50)
    )


@pytest.mark.parametrize(
    ("events", "rows"),
    [((0, 3), (1_000, 100)), ((4, 1), (500, 400)), ((2, 9), (10_000, 1_000)), ((7, 0), (90, 80))],
)
def test_rates_of_rare_events(events: tuple[int, int], rows: tuple[int, int]) -> None:
    total, share = sum(events), rows[1] / sum(rows)
    tails = (
        scipy.stats.binom.sf(events[1] - 1, total, share),
        scipy.stats.binom.cdf(events[1], total, share),
    )
    assert rate_test(events, rows, only_more=True) == pytest.approx(tails[0])
    assert rate_test(events, rows) == pytest.approx(min(1, 2 * min(tails)))


def test_rates_of_frequent_events() -> None:
    events, rows = (1_000, 140), (10_000, 1_000)
    table = np.array([[e, n - e] for e, n in zip(events, rows, strict=True)])
    exact = scipy.stats.chi2_contingency(table, correction=True).pvalue
    assert rate_test(events, rows) == pytest.approx(exact, rel=1e-6)


def test_missing_rates_are_exact() -> None:
    reference = np.where(np.arange(1_000) % 50 == 0, np.nan, 1.0)
    current = np.where(np.arange(300) % 3 == 0, np.nan, 1.0)
    comparison = found(MissingRate().score(*sketches(reference, current)))
    assert (0.02, 1 / 3) == (comparison.reference_value, comparison.current_value)
    assert comparison.score == pytest.approx(1 / 3 - 0.02)


@pytest.mark.parametrize("rows", [200, 1_000, 10_000])
def test_jensen_shannon_noise_has_a_closed_form(rows: int) -> None:
    rng = np.random.default_rng(rows)
    measured, stated = [], []
    for _ in range(200):
        comparison = found(
            JensenShannon().score(*sketches(rng.normal(size=10_000), rng.normal(size=rows)))
        )
        measured.append(comparison.score)
        stated.append(comparison.noise_floor)
    assert np.mean(measured) == pytest.approx(np.mean(stated), rel=0.05)
