"""The ways in which drift monitors are known to misbehave, none of which this one has."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from scipy.stats import binom

from trimtab.config import WatchConfig
from trimtab.drift import FeatureComparer, build_profile, window_of
from trimtab.drift.cells import cells
from trimtab.judge import LEVEL, DriftJudge
from trimtab.sketch import fit, sketch
from trimtab.types import Columns, Comparison, FeatureKind, FeatureSpec, State, Verdict

Draw = Callable[[np.random.Generator, int], np.ndarray]


def table(**columns: np.ndarray) -> Columns:
    return Columns(
        features=tuple(
            FeatureSpec(
                name=name,
                kind=FeatureKind.CATEGORICAL if a.dtype == object else FeatureKind.NUMERIC,
            )
            for name, a in columns.items()
        ),
        arrays=tuple(columns.values()),
    )


def verdict(reference: Columns, current: Columns) -> Verdict:
    profile = build_profile(reference)
    window = window_of(profile, current)
    return DriftJudge("data_drift", WatchConfig()).judge(
        window, FeatureComparer(profile).compare(window)
    )


def comparison(of: Verdict, name: str) -> Comparison:
    (found,) = (c for c in of.comparisons if c.name == name)
    return found


def test_a_shift_too_small_to_matter_does_not_alarm_at_a_million_rows() -> None:
    rng = np.random.default_rng(0)
    reference = table(x=rng.normal(size=1_000_000), y=rng.normal(size=1_000_000))
    current = table(x=rng.normal(0.01, 1, 1_000_000), y=rng.normal(size=1_000_000))
    found = verdict(reference, current)
    p_value = comparison(found, "x").p_value
    assert p_value is not None
    assert p_value < 1e-3
    assert (State.STEADY, (), False) == (found.state, found.flagged, found.alarmed)
    assert found.score < 0.01
    assert found.evidence < 1


def test_no_drift_in_few_rows_does_not_look_like_drift() -> None:
    rng = np.random.default_rng(1)
    reference = table(**{f"x{i}": rng.normal(size=10_000) for i in range(20)})
    current = table(**{f"x{i}": rng.normal(size=200) for i in range(20)})
    found = verdict(reference, current)
    assert (State.STEADY, ()) == (found.state, found.flagged)


@pytest.mark.parametrize("known", [5, 40, 90])
def test_a_reference_of_few_rows_cries_no_wolf_and_finds_what_is_plain(known: int) -> None:
    rng = np.random.default_rng(known)

    def draw(rows: int, by: float = 0.0) -> Columns:
        return table(
            x=rng.normal(by, 1, rows),
            y=rng.lognormal(by, 1, rows),
            c=rng.choice(np.array(["a", "b"], dtype=object), rows),
        )

    quiet = [verdict(draw(known), draw(1_000)) for _ in range(60)]
    assert sum(bool(found.flagged) for found in quiet) <= binom.ppf(0.99, 60, LEVEL)
    if known >= 40:
        assert {"x", "y"} <= set(verdict(draw(known), draw(1_000, by=2.0)).flagged)


def test_a_single_row_cannot_drift() -> None:
    rng = np.random.default_rng(2)
    found = verdict(table(x=rng.normal(size=1_000)), table(x=np.array([1e9])))
    assert (State.NOT_ENOUGH_DATA, 0.0, ()) == (found.state, found.score, found.flagged)


def test_one_broken_feature_among_sixty_is_not_averaged_away() -> None:
    rng = np.random.default_rng(3)
    columns = {f"x{i}": rng.normal(size=5_000) for i in range(60)}
    current = {f"x{i}": rng.normal(size=1_000) for i in range(60)} | {"x7": np.zeros(1_000)}
    found = verdict(table(**columns), table(**current))
    assert "x7" in found.flagged
    assert found.score >= 0.45
    assert State.STEADY is not found.state


@pytest.mark.parametrize("outlier_in", ["neither", "reference", "current"])
def test_a_doubled_amount_is_found_whatever_an_outlier_does(outlier_in: str) -> None:
    rng = np.random.default_rng(4)
    reference, current = rng.lognormal(size=10_000), 2 * rng.lognormal(size=1_000)
    if outlier_in == "reference":
        reference[0] = 1e6
    if outlier_in == "current":
        current[0] = 1e6
    found = verdict(table(amount=reference), table(amount=current))
    assert ("amount",) == found.flagged
    assert 0.2 < found.score < 0.4
    assert comparison(found, "amount").words.startswith("median ")


def test_one_outlier_is_no_drift() -> None:
    rng = np.random.default_rng(5)
    current = rng.lognormal(size=1_000)
    current[0] = 1e6
    found = verdict(table(amount=rng.lognormal(size=10_000)), table(amount=current))
    assert (State.STEADY, ()) == (found.state, found.flagged)
    assert found.score < 0.05


def test_missing_values_are_drift_and_not_dropped() -> None:
    rng = np.random.default_rng(6)
    current = np.where(rng.random(1_000) < 0.6, np.nan, rng.normal(size=1_000))
    found = verdict(table(x=rng.normal(size=10_000)), table(x=current))
    assert ("x",) == found.flagged
    assert found.score == pytest.approx(0.6, abs=0.05)


def test_a_column_of_nothing_but_missing_values_is_scored_and_the_rest_too() -> None:
    rng = np.random.default_rng(7)
    reference = table(x=rng.normal(size=1_000), y=rng.normal(size=1_000))
    found = verdict(reference, table(x=np.full(500, np.nan), y=rng.normal(1, 1, 500)))
    assert {"x", "y"} == set(found.flagged)
    assert comparison(found, "x").score == 1.0
    assert comparison(found, "x").words == "missing 0 % → 100 %"


def test_a_feature_missing_throughout_the_reference_is_compared() -> None:
    rng = np.random.default_rng(8)
    found = verdict(table(x=np.full(1_000, np.nan)), table(x=rng.normal(size=500)))
    assert comparison(found, "x").words == "missing 100 % → 0 %"


def test_a_constant_that_starts_to_vary_is_found() -> None:
    rng = np.random.default_rng(9)
    current = np.where(rng.random(1_000) < 0.03, 4.0, 3.0)
    found = verdict(table(x=np.full(10_000, 3.0)), table(x=current))
    assert ("x",) == found.flagged
    assert comparison(found, "x").words.startswith("was always 3, differs in")


def test_a_new_category_is_named_with_its_share() -> None:
    rng = np.random.default_rng(10)
    known = np.array(["at", "de", "ch"], dtype=object)
    current = known[rng.integers(0, 3, 1_000)]
    current[:180] = "zz"
    found = verdict(
        table(country=known[rng.integers(0, 3, 10_000)]), table(country=rng.permutation(current))
    )
    assert "`zz` is new, 18 % of rows" in comparison(found, "country").words


@pytest.mark.parametrize("categories", [50, 5_000, 1_000_000])
def test_many_rare_categories_are_no_drift(categories: int) -> None:
    rng = np.random.default_rng(categories)

    def draw(rows: int) -> np.ndarray:
        drawn = (categories * rng.random(rows) ** 3).astype(int)
        return np.array([f"id-{number}" for number in drawn], dtype=object)

    found = [verdict(table(user=draw(10_000)), table(user=draw(1_000))).flagged for _ in range(12)]
    assert sum(map(bool, found)) <= 3


def test_no_row_is_left_out_however_many_categories_there_are() -> None:
    rng = np.random.default_rng(14)
    reference, current = (
        np.array([f"id-{number}" for number in rng.zipf(1.3, rows) % 50_000], dtype=object)
        for rows in (10_000, 2_000)
    )
    binning = fit(FeatureKind.CATEGORICAL, reference)
    a, b = cells(sketch(binning, reference), sketch(binning, current))
    assert (10_000, 2_000) == (a.sum(), b.sum())
    assert len(a) < 100


def test_a_change_in_correlations_alone_is_found() -> None:
    rng = np.random.default_rng(11)
    a, b = rng.normal(size=(2, 1_000))
    reference = table(a=rng.normal(size=5_000), b=rng.normal(size=5_000))
    found = verdict(reference, table(a=a, b=a / 2 + b * np.sqrt(0.75)))
    assert ("correlation",) == found.flagged
    assert comparison(found, "correlation").words.startswith("a and b: ")


def test_skewed_and_dependent_features_do_not_fake_a_change_of_correlation() -> None:
    rng = np.random.default_rng(12)

    def draw(rows: int) -> Columns:
        scale = rng.lognormal(size=rows)
        return table(a=scale * rng.normal(size=rows), b=scale * rng.normal(size=rows), c=scale)

    flagged = [verdict(draw(5_000), draw(500)).flagged for _ in range(40)]
    assert sum("correlation" in names for names in flagged) <= 6


def test_infinite_values_are_compared_like_any_others() -> None:
    rng = np.random.default_rng(13)
    current = rng.normal(size=1_000)
    current[:300] = np.inf
    found = verdict(table(x=rng.normal(size=5_000)), table(x=current))
    assert ("x",) == found.flagged


def test_values_that_are_no_numbers_of_rows_are_no_verdict() -> None:
    found = verdict(table(x=np.arange(1_000.0)), table(x=np.array([], dtype=float)))
    assert State.NOT_ENOUGH_DATA is found.state
