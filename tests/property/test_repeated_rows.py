"""Repeated rows are counted the same however rows were batched, and estimated with an honest error."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from itertools import pairwise
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trimtab.config import WatchConfig
from trimtab.drift.profile import ReferenceProfile, profile_of
from trimtab.judge import DriftJudge
from trimtab.quality import DATA_QUALITY, QualityComparer
from trimtab.sketch import (
    Binning,
    Coded,
    Column,
    RowSketch,
    fit,
    merge_rows,
    repeated,
    sketch_rows,
    to_bytes,
)
from trimtab.types import Array, Comparison, FeatureKind, FeatureSpec, Window
from trimtab.windows import WindowSketch
from trimtab.wiring.references import references_of, sketcher_of

KINDS = (FeatureKind.NUMERIC, FeatureKind.CATEGORICAL, FeatureKind.NUMERIC)
SPECS = tuple(FeatureSpec(name=f"x{at}", kind=kind) for at, kind in enumerate(KINDS))


def columns(rows: int, seed: int, distinct: int = 10**9) -> list[Array]:
    """Rows drawn from so many different ones, a tenth of the values missing."""
    rng = np.random.default_rng(seed)
    which = rng.integers(0, distinct, rows)
    numbers = np.sin(which.astype(np.float64))
    numbers[which % 10 == 3] = np.nan
    names = np.array([None if n % 10 == 4 else f"n{n % 7}" for n in which], dtype=object)
    return [numbers, names, np.cos(which.astype(np.float64))]


def kept(binnings: Sequence[Binning], arrays: Sequence[Column]) -> RowSketch:
    found = sketch_rows(binnings, arrays)
    assert found is not None
    return found


def sketched(arrays: Sequence[Column]) -> bytes:
    return to_bytes(
        sketch_rows([fit(k, a) for k, a in zip(KINDS, columns(500, 0), strict=True)], arrays)
    )


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    distinct=st.sampled_from([3, 800, 1_100, 10**9]),
    cuts=st.lists(st.integers(0, 3_000), max_size=6),
    order=st.randoms(use_true_random=False),
)
def test_parts_merge_to_the_whole(seed: int, distinct: int, cuts: list[int], order: Random) -> None:
    arrays = columns(3_000, seed, distinct)
    binnings = [fit(kind, array) for kind, array in zip(KINDS, columns(500, 0), strict=True)]
    ends = [0, *sorted(cuts), 3_000]
    parts = [kept(binnings, [array[a:b] for array in arrays]) for a, b in pairwise(ends)]
    order.shuffle(parts)
    whole = kept(binnings, arrays)
    assert to_bytes(whole) == to_bytes(reduce(merge_rows, parts))
    shuffled = np.random.default_rng(seed).permutation(3_000)
    assert to_bytes(whole) == sketched([array[shuffled] for array in arrays])


def test_codes_and_texts_are_the_same_rows() -> None:
    numbers, names, more = columns(2_000, 4, 900)
    labels = tuple(dict.fromkeys(n for n in names if n is not None))
    codes = np.array([-1 if n is None else labels.index(n) for n in names])
    assert sketched([numbers, names, more]) == sketched(
        [numbers, Coded(labels=labels, codes=codes), more]
    )


@pytest.mark.parametrize(("rows", "distinct"), [(800, 500), (5_000, 700), (1_000, 10**9)])
def test_a_share_is_exact_where_all_distinct_rows_are_kept(rows: int, distinct: int) -> None:
    arrays = columns(rows, 5, distinct)
    found = sketch_rows([fit(k, a) for k, a in zip(KINDS, arrays, strict=True)], arrays)
    assert found is not None
    distinct_rows = set(arrays[2].tolist())
    assert (1 - len(distinct_rows) / rows, False) == (
        pytest.approx(repeated(found).share),
        found.full,
    )


@pytest.mark.parametrize("copies", [1, 4])
@pytest.mark.parametrize("most", [None, 10_000])
def test_what_is_estimated_has_an_honest_error(copies: int, most: int | None) -> None:
    """Of 20,000 rows a tenth are repeated so many times: 95 of 100 intervals, give or take."""
    inside = 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        first = rng.normal(size=20_000)
        again = rng.choice(20_000, 2_000, replace=False)
        values = np.concatenate((first, *(first[again],) * copies))
        found = sketch_rows([fit(FeatureKind.NUMERIC, first)], [values])
        assert found is not None
        shown = repeated(found, most)
        part = values if most is None else rng.permutation(values)[:most]
        true = 1 - len(np.unique(part)) / len(part)
        inside += abs(shown.share - true) <= 1.96 * shown.se
    assert inside >= 52


def compared(profile: ReferenceProfile, arrays: list[Array]) -> Comparison:
    return QualityComparer(references_of(profile), profile.repeated).compare(
        window_of(profile, arrays)
    )[-1]


def window_of(profile: ReferenceProfile, arrays: list[Array]) -> Window:
    table = sketcher_of(profile).sketch(arrays, None)
    content = WindowSketch(
        rows=table.rows, cells=table.cells, pairs=table.pairs, distinct=table.distinct,
        odd=np.zeros(3, dtype=np.int64),
    )  # fmt: skip
    return Window(subject=DATA_QUALITY, model="m", version=1, start=0.0, end=1.0, rows=table.rows, content=content)  # fmt: skip


def test_a_replay_is_named_and_judged() -> None:
    profile = profile_of(SPECS, columns(10_000, 1))
    once = columns(900, 2)
    twice = [np.concatenate((array, array[:100])) for array in once]
    found = compared(profile, twice)
    assert ("duplicate_rows", "10 % of rows repeat another row, 0 % in the reference") == (
        found.name,
        found.words,
    )
    assert (0.1, False) == (pytest.approx(found.score), found.estimated)
    judge = DriftJudge(DATA_QUALITY, WatchConfig())
    window = window_of(profile, twice)
    comparer = QualityComparer(references_of(profile), profile.repeated)
    assert ("duplicate_rows",) == judge.judge(window, comparer.compare(window)).flagged


def test_an_estimate_says_so() -> None:
    profile = profile_of(SPECS, columns(10_000, 1))
    once = columns(5_000, 2)
    found = compared(profile, [np.concatenate((array, array)) for array in once])
    assert found.estimated
    assert found.words.startswith("an estimated 5")
    assert found.interval is not None
    assert found.interval[0] < 0.5 < found.interval[1]


@pytest.mark.parametrize("distinct", [5, 2_000, 50_000, 10**9])
@pytest.mark.parametrize("rows", [200, 1_000, 30_000])
def test_tables_that_repeat_themselves_anyway_are_no_fault(distinct: int, rows: int) -> None:
    profile = profile_of(SPECS, columns(10_000, 1, distinct))
    found = [compared(profile, columns(rows, seed, distinct)) for seed in range(2, 12)]
    assert 0 == sum(c.score >= c.floor and (c.p_value or 0) < 0.005 for c in found)


def test_what_differs_between_days_anyway_is_no_fault() -> None:
    """Every third day a fifth of the rows comes twice, in the reference and afterwards."""
    days = [columns(200, day) for day in range(60)]
    days = [
        [np.concatenate((a, a[:50])) if day % 3 == 0 else a for a in one]
        for day, one in enumerate(days)
    ]
    times = np.concatenate([np.full(len(one[0]), day * 86_400.0) for day, one in enumerate(days)])
    arrays = [np.concatenate([one[at] for one in days]) for at in range(3)]
    profile = profile_of(SPECS, arrays, times=times)
    assert profile.repeated is not None
    assert (60, 200) == (profile.repeated.blocks, profile.repeated.rows)
    usual = [np.concatenate((a, a[:50])) for a in columns(200, 99)]
    assert (compared(profile, usual).p_value or 0) > 0.05
    strange = [np.concatenate((a, a, a, a)) for a in columns(50, 98)]
    assert (compared(profile, strange).p_value or 0) < 0.001


def test_a_profile_remembers_its_share_when_it_is_stored() -> None:
    profile = profile_of(SPECS, columns(3_000, 1, 2_000))
    again = ReferenceProfile.load(profile.dump())
    assert profile.repeated == again.repeated
    assert profile.repeated is not None
    assert profile.repeated.share > 0.3
