"""What a feature's time blocks are like."""

from __future__ import annotations

import math

import numpy as np

from trimtab.drift.usual import Usual, usual_of
from trimtab.sketch import fit, sketch
from trimtab.types import Array, FeatureKind


def blocks(values: Array, count: int) -> Usual | None:
    binning = fit(FeatureKind.NUMERIC, values)
    return usual_of(binning, [sketch(binning, part) for part in np.array_split(values, count)])


def test_there_is_none_without_blocks() -> None:
    assert None is usual_of(fit(FeatureKind.NUMERIC, np.arange(9.0)), [])


def test_limits_leave_room_for_what_blocks_differ_by() -> None:
    rng = np.random.default_rng(1)
    level = np.repeat(rng.normal(40, 8, 60), 200)
    found = blocks(level + rng.normal(0, 2, len(level)), 60)
    assert found is not None
    assert 60 == found.blocks
    # Five to seven deviations of the days, beyond what a day has around its own level.
    assert 70 < found.high < 105
    assert -25 < found.low < 10
    assert -10 < found.bulk[0] < 10
    assert 70 < found.bulk[1] < 100


def test_limits_of_what_never_changes_are_where_it_ends() -> None:
    found = blocks(np.tile(np.arange(101.0), 400), 40)
    assert found is not None
    np.testing.assert_allclose((found.low, found.high), (0, 100), atol=1)
    np.testing.assert_allclose(found.bulk, (95, 5), atol=2)


def test_rare_large_values_may_be_as_far_again() -> None:
    values = np.random.default_rng(2).exponential(1.0, 12_000)
    values[7] = 40.0
    found = blocks(values, 60)
    assert found is not None
    assert 70 < found.high < 80


def test_blocks_of_one_value_are_counted() -> None:
    rain = np.zeros(4_000)
    rain[:50] = rain[300:320] = 0.2
    found = blocks(rain, 40)
    assert found is not None
    assert 38 == found.constant


def test_categories_have_no_limits() -> None:
    names = np.array(["a", "b"] * 100, dtype=object)
    binning = fit(FeatureKind.CATEGORICAL, names)
    found = usual_of(binning, [sketch(binning, names[:100]), sketch(binning, names[:1])])
    assert Usual(blocks=2, constant=1) == found
    assert found is not None
    assert (-math.inf, math.inf) == found.bulk
