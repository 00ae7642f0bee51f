"""One feature's sketch: what lands where, what is kept, and how exact it is."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import ndtri

from trimtab.sketch import (
    FINE_BITS,
    FRESH_LIMIT,
    Binning,
    Coded,
    Sketch,
    Sketcher,
    fit,
    from_bytes,
    merge,
    quantile,
    sketch,
    subtract,
    to_bytes,
)
from trimtab.types import FeatureKind

NUMERIC = FeatureKind.NUMERIC


def objects(*values: str | None) -> np.ndarray:
    column = np.empty(len(values), dtype=object)
    column[:] = values
    return column


def test_missing_values_are_counted_apart() -> None:
    values = np.array([1.0, np.nan, 2.0, np.nan, 3.0])
    found = sketch(fit(NUMERIC, values), values)
    assert (found.rows, found.present, found.missing) == (5, 3, 2)


def test_infinities_have_bins_of_their_own() -> None:
    binning = fit(NUMERIC, np.arange(101.0))
    found = sketch(binning, np.array([-np.inf, 0.0, 50.0, 1e30, np.inf, np.inf]))
    assert [1, 1, 1, 1, 2] == found.counts.tolist()
    assert 0 == found.missing


def test_minus_zero_and_zero_share_a_bin() -> None:
    binning = Binning(kind=NUMERIC)
    found = sketch(binning, np.array([0.0, -0.0]))
    assert ([0], [2]) == (found.codes.tolist(), found.counts.tolist())


def test_codes_ascend_with_values() -> None:
    values = np.concatenate((-np.logspace(6, -6, 60), np.logspace(-6, 6, 60)))
    binning = Binning(kind=NUMERIC)
    codes = [int(sketch(binning, np.array([value])).codes[0]) for value in values]
    assert sorted(codes) == codes


@pytest.mark.parametrize("share", [0.01, 0.25, 0.5, 0.9, 0.99])
def test_quantiles_are_within_the_stated_bound(share: float) -> None:
    values = np.random.default_rng(1).lognormal(size=50_000)
    binning = fit(NUMERIC, values)
    exact = float(np.quantile(values, share))
    bound = abs(exact - binning.median) / 32 + 1e-3
    assert abs(quantile(binning, sketch(binning, values), share) - exact) <= bound


def test_a_heavy_mode_far_away_is_told_apart_with_16_bits() -> None:
    rng = np.random.default_rng(2)
    near, far = rng.normal(size=8_000), rng.normal(100, 1, size=2_000)
    assert FINE_BITS == fit(NUMERIC, np.concatenate((near, far))).bits
    assert 14 == fit(NUMERIC, near).bits


def test_an_atom_far_away_needs_no_finer_bins() -> None:
    values = np.concatenate((np.random.default_rng(2).normal(size=8_000), np.full(2_000, 999.0)))
    assert 14 == fit(NUMERIC, values).bits


@pytest.mark.parametrize("constant", [0.0, 7.0, -1e-300, 1e300])
def test_a_constant_feature_is_told_apart_from_any_other_value(constant: float) -> None:
    binning = fit(NUMERIC, np.full(100, constant))
    found = sketch(binning, np.array([constant, constant + 1 + abs(constant) / 10]))
    assert [1, 1] == found.counts.tolist()


def test_a_feature_of_nothing_but_missing_values_has_a_sketch() -> None:
    values = np.full(10, np.nan)
    found = sketch(fit(NUMERIC, values), values)
    assert (0, 10) == (found.present, found.missing)
    assert np.isnan(quantile(fit(NUMERIC, values), found, 0.5))


def test_categories_are_known_or_fresh_or_missing() -> None:
    binning = fit(FeatureKind.CATEGORICAL, objects("a", "b", None, "a"))
    found = sketch(binning, objects("b", "zz", None, "a", "zz", None))
    assert ("a", "b") == binning.categories
    assert [1, 1] == found.counts.tolist()
    assert {"zz": 2} == found.fresh
    assert 2 == found.missing


def test_what_is_no_text_is_read_as_text_and_nan_as_missing() -> None:
    binning = fit(FeatureKind.CATEGORICAL, objects("1", "2"))
    mixed = np.array([1, "1", float("nan"), None, True], dtype=object)
    found = sketch(binning, mixed)
    # 1 and True are equal keys to a counter: both are read as the first of them.
    assert ([3], 2) == (found.counts.tolist(), found.missing)


def test_an_explosion_of_categories_takes_bounded_memory() -> None:
    binning = fit(FeatureKind.CATEGORICAL, objects("a"))
    many = objects(*(f"id-{number}" for number in range(100_000)))
    found = sketch(binning, many)
    assert FRESH_LIMIT == len(found.fresh)
    assert 100_000 == found.unknown
    assert len(to_bytes(found)) < 4_000


def test_a_long_name_is_cut_and_stays_distinct() -> None:
    binning = fit(FeatureKind.CATEGORICAL, objects("a"))
    found = sketch(binning, objects("x" * 10_000 + "1", "x" * 10_000 + "2"))
    assert 2 == len(found.fresh)
    assert max(map(len, found.fresh)) <= 120


def test_dictionary_codes_give_the_same_sketch_as_the_values() -> None:
    labels = ("a", "b", "zz")
    codes = np.array([0, 2, -1, 1, 1, 2, -1, 0])
    values = objects(*(labels[code] if code >= 0 else None for code in codes))
    binning = fit(FeatureKind.CATEGORICAL, objects("a", "b"))
    assert to_bytes(sketch(binning, values)) == to_bytes(
        sketch(binning, Coded(labels=labels, codes=codes))
    )


def test_a_part_can_be_taken_out_again() -> None:
    rng = np.random.default_rng(3)
    first, second = rng.normal(size=500), rng.normal(2, 3, size=70)
    binning = fit(NUMERIC, first)
    a, b = sketch(binning, first), sketch(binning, second)
    assert to_bytes(a) == to_bytes(subtract(merge(a, b), b))


def test_bytes_bring_back_the_same_sketch() -> None:
    values = np.random.default_rng(4).normal(size=1_000)
    found = sketch(fit(NUMERIC, values), values)
    assert to_bytes(found) == to_bytes(from_bytes(to_bytes(found), Sketch))


def test_pair_sums_are_those_of_the_normal_scores() -> None:
    rng = np.random.default_rng(5)
    columns = [rng.normal(size=400), rng.normal(size=400)]
    columns[1][::4] = np.nan
    binnings = [fit(NUMERIC, column) for column in columns]
    sketches = map(sketch, binnings, columns)
    sketcher = Sketcher(binnings, ranks=dict(enumerate(sketches)))
    scores, present = sketcher.normal_scores(columns)
    pairs = sketcher.sketch(columns).pairs
    assert pairs is not None
    assert int((scores[0] * scores[1]).sum()) == pairs[0, 0, 1]
    assert int(scores[0][present[1]].sum()) == pairs[1, 0, 1]
    assert 300 == pairs[3, 0, 1]


def test_normal_scores_are_those_of_the_mid_ranks_in_the_reference() -> None:
    reference = np.array([1.0, 1.0, 1.0, 1.0, 5.0, 5.0, 9.0, 9.0, 9.0, 9.0])
    binning = fit(NUMERIC, reference)
    sketcher = Sketcher((binning,), ranks={0: sketch(binning, reference)})
    values = np.array([1.0, 5.0, 9.0, 3.0, 7.0, 0.0, 10.0, np.nan, np.inf])
    ranks = np.array([2.0, 5.0, 8.0, 4.0, 6.0, 0.5, 9.5])
    scores, present = sketcher.normal_scores([values])
    expected = np.rint(256 * ndtri(ranks / 10)).tolist()
    assert [*expected, 0.0, expected[-1]] == scores[0].tolist()
    assert [True] * 7 + [False, True] == present[0].tolist()
