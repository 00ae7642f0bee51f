"""Block lengths and what a mean of dependent values is worth, on series of known memory."""

from __future__ import annotations

import numpy as np
import pytest

from trimtab.drift.blockwise import block_length, independent
from trimtab.drift.dispersion import Blocks, dispersion_of, memory_of, neighbourhoods
from trimtab.drift.ks import KolmogorovSmirnov
from trimtab.sketch import fit, merge_all, sketch, to_bytes
from trimtab.types import FeatureKind, FloatArray


def remembering(size: int, memory: float, seed: int) -> FloatArray:
    """A first-order autoregression of variance 1."""
    rng = np.random.default_rng(seed)
    series = np.empty(size)
    series[0] = rng.normal()
    for at in range(1, size):
        series[at] = memory * series[at - 1] + np.sqrt(1 - memory**2) * rng.normal()
    return series


def test_independent_values_need_no_blocks() -> None:
    lengths = [block_length(remembering(120, 0.0, seed)) for seed in range(200)]
    assert 1 == np.median(lengths)
    assert np.mean(lengths) < 2


@pytest.mark.parametrize(("memory", "least", "most"), [(0.5, 3, 9), (0.8, 6, 25)])
def test_the_longer_the_memory_the_longer_the_blocks(
    memory: float, least: float, most: float
) -> None:
    """Politis and White's optimum for an AR(1): ``(6 φ² n)^⅓ / (1 - φ²)^⅔`` (here 5.9 and 14.9)."""
    lengths = [block_length(remembering(120, memory, seed)) for seed in range(100)]
    assert least <= np.median(lengths) <= most


@pytest.mark.parametrize("memory", [0.0, 0.5, 0.7])
def test_what_a_mean_is_worth_is_what_its_spread_says(memory: float) -> None:
    series = [remembering(240, memory, seed) for seed in range(300)]
    true = 1 / float(np.var([one.mean() for one in series]))
    found = float(np.median([independent(one, block_length(one)) for one in series]))
    # Blocks of finite length see a little less than all of the memory.
    assert 0.7 * true < found < 2.0 * true


def test_a_constant_series_is_worth_itself() -> None:
    assert (1, 50.0) == (block_length(np.ones(50)), independent(np.ones(50), 3))


@pytest.mark.parametrize("apart", [0, 1, 3, 20])
def test_a_block_is_left_out_with_its_neighbours(apart: int) -> None:
    rng = np.random.default_rng(1)
    values = [rng.normal(size=30) for _ in range(9)]
    binning = fit(FeatureKind.NUMERIC, np.concatenate(values))
    parts = [sketch(binning, one) for one in values]
    expected = [merge_all(parts[max(0, at - apart) : at + apart + 1]) for at in range(9)]
    found = neighbourhoods(parts, apart)
    assert list(map(to_bytes, expected)) == list(map(to_bytes, found))


def days(memory: float, seed: int) -> FloatArray:
    """How far each of 200 days is from zero: their levels depend on the days before."""
    return 0.5 * remembering(200, memory, seed)


@pytest.mark.parametrize(("memory", "limit"), [(0.0, 0.02), (0.9, 0.02), (0.97, 0.14)])
def test_later_windows_of_a_slow_series_keep_their_level(memory: float, limit: float) -> None:
    """The first 60 days are the reference; p below 1 % is rare afterwards, and less so in a random walk."""
    statistic, small, all_ = KolmogorovSmirnov(), 0, 0
    for seed in range(25):
        rng = np.random.default_rng(seed)
        values = [level + rng.normal(size=400) for level in days(memory, seed)]
        binning = fit(FeatureKind.NUMERIC, np.concatenate(values[:60]))
        parts = [sketch(binning, one) for one in values]
        rows = tuple(np.empty(0, dtype=np.int64) for _ in range(60))
        blocks = Blocks(rows=rows)
        apart = memory_of([parts[:60]], [statistic], blocks)
        scores, sizes = [], []
        whole = merge_all(parts[:60])
        for at in range(60):
            rest = merge_all([p for i, p in enumerate(parts[:60]) if abs(i - at) > apart])
            found = statistic.score(rest, parts[at])
            assert found is not None
            scores.append(found.score)
            sizes.append(rest.rows * 400 / (rest.rows + 400))
        dispersion = dispersion_of(scores, sizes, blocks)
        assert dispersion is not None
        for part in parts[60::10]:
            now = statistic.score(whole, part)
            assert now is not None
            small += dispersion.p_value(now.score, 60 * 400 * 400 / (61 * 400)) < 0.01
            all_ += 1
    assert small / all_ < limit
