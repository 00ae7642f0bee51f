"""Law 7: merge(a, b) equals the sketch of the concatenation, exactly, in any order and grouping."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import reduce
from random import Random
from typing import TypeVar

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from trimtab.sketch import (
    FRESH_LIMIT,
    Accumulator,
    Coded,
    Sketcher,
    TableSketch,
    fit,
    from_bytes,
    merge,
    merge_all,
    merge_many,
    merge_tables,
    sketch,
    subtract,
    to_bytes,
)
from trimtab.types import FeatureKind

T = TypeVar("T")
NUMBERS = st.lists(st.floats(width=64, allow_nan=True, allow_infinity=True), max_size=60)
NAMES = st.lists(
    st.one_of(
        st.none(),
        st.integers(0, 400).map("new {}".format),
        st.sampled_from("abc"),
        st.text(max_size=3),
    ),
    max_size=300,
)
CUTS = st.lists(st.integers(0, 300), max_size=6)


def objects(values: list[str | None]) -> np.ndarray:
    column = np.empty(len(values), dtype=object)
    column[:] = values
    return column


def shuffled_fold(parts: Sequence[T], combine: Callable[[T, T], T], seed: int) -> T:
    """Merge parts two by two in a random order and grouping."""
    random = Random(seed)  # noqa: S311
    left = list(parts)
    while len(left) > 1:
        a = left.pop(random.randrange(len(left)))
        b = left.pop(random.randrange(len(left)))
        left.append(combine(a, b))
    return left[0]


@settings(max_examples=150, deadline=None)
@given(reference=NUMBERS, values=NUMBERS, cuts=CUTS, seed=st.integers(0, 10**6))
def test_numeric_sketches(
    reference: list[float], values: list[float], cuts: list[int], seed: int
) -> None:
    binning = fit(FeatureKind.NUMERIC, np.array(reference, dtype=np.float64))
    array = np.array(values, dtype=np.float64)
    parts = [sketch(binning, part) for part in np.split(array, sorted(cuts))]
    assert to_bytes(sketch(binning, array)) == to_bytes(shuffled_fold(parts, merge, seed))
    assert to_bytes(sketch(binning, array)) == to_bytes(merge_all(parts))


@settings(max_examples=60, deadline=None)
@given(values=NAMES, cuts=CUTS, seed=st.integers(0, 10**6))
def test_categorical_sketches(values: list[str | None], cuts: list[int], seed: int) -> None:
    binning = fit(FeatureKind.CATEGORICAL, objects(["a", "b", None]))
    array = objects(values)
    parts = [sketch(binning, part) for part in np.split(array, sorted(cuts))]
    whole = sketch(binning, array)
    assert to_bytes(whole) == to_bytes(shuffled_fold(parts, merge, seed))
    assert to_bytes(whole) == to_bytes(merge_all(parts))
    assert len(values) == whole.rows


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10**6), cuts=st.lists(st.integers(0, 2_000), min_size=1, max_size=6))
def test_with_more_new_categories_than_are_kept(seed: int, cuts: list[int]) -> None:
    names = np.random.default_rng(seed).zipf(1.2, 2_000) % 1_000
    array = objects([f"new {number}" for number in names])
    binning = fit(FeatureKind.CATEGORICAL, objects(["a"]))
    parts = [sketch(binning, part) for part in np.split(array, sorted(cuts))]
    whole = sketch(binning, array)
    assert to_bytes(whole) == to_bytes(shuffled_fold(parts, merge, seed))
    assert to_bytes(whole) == to_bytes(merge_all(parts))
    assert (FRESH_LIMIT, 2_000) == (len(whole.fresh), whole.unknown)


@settings(max_examples=60, deadline=None)
@given(values=NUMBERS, cut=st.integers(0, 60))
def test_what_is_taken_out_leaves_the_rest(values: list[float], cut: int) -> None:
    array = np.array(values, dtype=np.float64)
    binning = fit(FeatureKind.NUMERIC, array)
    whole, part = sketch(binning, array), sketch(binning, array[:cut])
    assert to_bytes(sketch(binning, array[cut:])) == to_bytes(subtract(whole, part))


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    cuts=st.lists(st.integers(0, 500), min_size=1, max_size=5),
    missing=st.floats(0, 0.5),
)
def test_tables_with_their_correlation_sums(seed: int, cuts: list[int], missing: float) -> None:
    rng = np.random.default_rng(seed)
    columns = [rng.normal(size=500), rng.lognormal(size=500), rng.poisson(3, 500).astype(float)]
    columns[0][rng.random(500) < missing] = np.nan
    scores = rng.uniform(size=500)
    binnings = [fit(FeatureKind.NUMERIC, column) for column in columns]
    sketcher = Sketcher(
        binnings,
        score=fit(FeatureKind.NUMERIC, scores),
        ranks=dict(enumerate(map(sketch, binnings, columns))),
    )
    rows = np.split(np.arange(500), sorted(cuts))
    parts = [sketcher.sketch([c[part] for c in columns], scores[part]) for part in rows]
    whole = to_bytes(sketcher.sketch(columns, scores))
    assert whole == to_bytes(shuffled_fold(parts, merge_tables, seed))
    assert whole == to_bytes(reduce(merge_tables, parts))
    assert whole == to_bytes(merge_many(parts))
    for room in (7, 100, 10_000):
        stream = Accumulator(sketcher, rows=room)
        for part in rows:
            stream.add([c[part] for c in columns], scores[part])
        assert whole == to_bytes(stream.table())


def test_a_stream_of_text_and_of_codes_is_the_same_stream() -> None:
    names = objects(["a", "b", None, "new"] * 30)
    codes = Coded(labels=("new", "a", "b"), codes=np.array([1, 2, -1, 0] * 30))
    numbers = np.arange(120.0)
    binnings = [fit(FeatureKind.CATEGORICAL, names[:2]), fit(FeatureKind.NUMERIC, numbers)]
    sketcher = Sketcher(binnings)
    stream = Accumulator(sketcher, rows=50)
    for start in range(0, 120, 40):
        stream.add([names[start : start + 40], numbers[start : start + 40]])
    stream.add([codes, numbers])
    twice = sketcher.sketch([np.tile(names, 2), np.tile(numbers, 2)])
    assert to_bytes(twice) == to_bytes(stream.table())


@settings(max_examples=30, deadline=None)
@given(
    parts=st.lists(st.lists(st.integers(0, 120), max_size=80), min_size=3, max_size=6),
    seed=st.integers(0, 10**6),
)
def test_tables_with_new_categories_merge_as_their_features_do(
    parts: list[list[int]], seed: int
) -> None:
    rng = np.random.default_rng(seed)
    binnings = [
        fit(FeatureKind.CATEGORICAL, objects(["known 1", "known 2"])),
        fit(FeatureKind.NUMERIC, rng.normal(size=50)),
        fit(FeatureKind.CATEGORICAL, objects([None])),
    ]
    sketcher = Sketcher(binnings)
    tables = [
        sketcher.sketch(
            [
                objects([f"known {n}" if n < 3 else f"new {n}" for n in part]),
                rng.normal(size=len(part)),
                objects([None if n % 2 else f"new {n % 7}" for n in part]),
            ]
        )
        for part in parts
    ]
    expected = [to_bytes(merge_all(of)) for of in zip(*(t.features for t in tables), strict=True)]
    assert expected == [to_bytes(one) for one in merge_many(tables).features]
    whole = to_bytes(merge_many(tables))
    assert whole == to_bytes(shuffled_fold(tables, merge_tables, seed))
    assert whole == to_bytes(from_bytes(whole, TableSketch))
