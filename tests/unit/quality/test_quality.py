"""Each fault in the data is found and named, and none where there is none."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from trimtab.quality import QualityComparer, Reference, Usual, unit_change
from trimtab.quality.rates import all_alike, beyond_all, more_often
from trimtab.sketch import fit, side_by_side, sketch
from trimtab.types import Array, Comparison, FeatureKind, FeatureSpec, Window
from trimtab.windows import WindowSketch

RNG = np.random.default_rng(11)
ROWS = 5_000


def distances(rows: int, seed: int = 1) -> Array:
    return np.random.default_rng(seed).lognormal(6.5, 0.6, rows)


def gains(rows: int, losing: float) -> Array:
    """Losses around −2 and gains around 2."""
    losses = RNG.random(rows) < losing
    return np.where(losses, RNG.normal(-2, 0.5, rows), RNG.normal(2, 0.5, rows))


def countries(rows: int, seed: int = 1) -> Array:
    return np.random.default_rng(seed).choice(np.array(["de", "fr", "it"], object), rows)


def compared(
    old: Array,
    new: Array,
    *,
    kind: FeatureKind = FeatureKind.NUMERIC,
    odd: int = 0,
    unit: str = "",
    usual: Usual | None = None,
) -> Comparison:
    binning = fit(kind, old)
    spec = FeatureSpec(name="x", kind=kind, unit=unit or None)
    content = WindowSketch(
        rows=len(new),
        cells=side_by_side([sketch(binning, new)]),
        odd=np.array([odd], dtype=np.int64),
    )
    window = Window(
        subject="data_drift", model="m", version=1, start=0.0, end=1.0, rows=len(new),
        content=content,
    )  # fmt: skip
    (found,) = QualityComparer([Reference(spec, binning, sketch(binning, old), usual)]).compare(
        window
    )
    return found


def test_good_data_has_no_fault() -> None:
    found = compared(distances(ROWS), distances(1_000, 2))
    assert (1.0, "nothing is wrong") == (found.p_value, found.words)


def test_missing_values_are_named() -> None:
    new = distances(1_000, 2)
    new[:120] = np.nan
    found = compared(distances(ROWS), new)
    assert ("missing", "missing 0 % → 12 %") == (found.statistic, found.words)
    assert 0.12 == pytest.approx(found.score)
    assert found.p_value is not None
    assert found.p_value < 1e-12


def test_new_categories_are_named_most_frequent_first() -> None:
    new = countries(1_000, 2)
    new[:50], new[50:60] = "zz", "yy"
    found = compared(countries(ROWS), new, kind=FeatureKind.CATEGORICAL)
    assert "new categories in 6 % of rows: `zz`, `yy`" == found.words


def test_values_out_of_the_references_range_and_infinite_ones_are_named() -> None:
    old = RNG.uniform(0, 10, ROWS)
    new = RNG.uniform(0, 10, 1_000)
    new[:40], new[40:50] = 99.0, np.inf
    found = compared(old, new)
    assert "out_of_range" == found.statistic
    assert found.words.endswith("in 5 % of rows, infinite in 1 %")


def test_a_few_values_beyond_a_long_tail_are_no_fault() -> None:
    found = compared(distances(ROWS), np.append(distances(999, 2), 1e9))
    assert 1.0 == found.p_value


def test_another_type_is_named() -> None:
    new = distances(1_000, 2)
    new[:30] = np.nan
    found = compared(distances(ROWS), new, odd=30)
    assert "3 % of values are not a number" in found.words


@pytest.mark.parametrize("kind", [FeatureKind.NUMERIC, FeatureKind.CATEGORICAL])
def test_a_feature_that_stops_varying_is_named(kind: FeatureKind) -> None:
    old = distances(ROWS) if kind is FeatureKind.NUMERIC else countries(ROWS)
    new = np.full(500, old[3], dtype=old.dtype)
    found = compared(old, new, kind=kind)
    assert "is always" in found.words
    assert found.p_value is not None
    assert found.p_value < 1e-9


@pytest.mark.parametrize(
    ("factor", "offset", "unit", "words"),
    [
        (1.609344, 0.0, "mile", "looks like km instead of miles: ×1.609"),
        (1.609344, 0.0, "", "looks like km instead of miles: ×1.609"),
        (1 / 1.609344, 0.0, "km", "looks like miles instead of km: ×0.6214"),
        (1_000.0, 0.0, "", "looks like units instead of thousands: ×1000"),
        (60.0, 0.0, "hours", "looks like minutes instead of hours: ×60"),
        (5.0, 0.0, "", "×4.97·"),
        (-1.0, 0.0, "", "looks like the other instead of one sign: ×−1"),
    ],
)
def test_a_factor_is_named(factor: float, offset: float, unit: str, words: str) -> None:
    found = compared(distances(ROWS), factor * distances(1_000, 2) + offset, unit=unit)
    assert "unit_change" == found.statistic
    assert found.words.startswith(words[:-1])
    assert "after undoing it" in found.words


def test_a_temperature_in_fahrenheit_is_named() -> None:
    celsius = RNG.normal(12, 8, ROWS)
    found = compared(celsius, 1.8 * RNG.normal(12, 8, 1_000) + 32, unit="°C")
    assert "looks like °F instead of °C: ×1.8 +32" in found.words


def test_more_zeros_are_no_change_of_unit() -> None:
    def amounts(rows: int, zeros: float) -> Array:
        return np.where(RNG.random(rows) < zeros, 0.0, RNG.lognormal(2, 0.5, rows))

    binning = fit(FeatureKind.NUMERIC, amounts(ROWS, 0.3))
    old, new = (sketch(binning, amounts(ROWS, share)) for share in (0.3, 0.7))
    assert None is unit_change(binning, old, new)


def test_other_weights_of_two_signs_are_no_change_of_unit() -> None:
    binning = fit(FeatureKind.NUMERIC, gains(ROWS, 0.7))
    old, new = (sketch(binning, gains(ROWS, share)) for share in (0.7, 0.4))
    assert None is unit_change(binning, old, new)


@pytest.mark.parametrize("grown", [0.2, 0.5, 1.0])
def test_a_wider_spread_is_no_part_in_another_unit(grown: float) -> None:
    binning = fit(FeatureKind.NUMERIC, distances(ROWS))
    wider = sketch(binning, RNG.lognormal(2 + grown, 0.6 * (1 + grown), 2_000))
    found = unit_change(binning, sketch(binning, distances(ROWS)), wider)
    assert found is None or found.share == 1


def users(rows: int, seed: int) -> Array:
    """Ids that hardly ever repeat: too many to be known by name."""
    drawn = np.random.default_rng(seed).integers(0, 10**9, rows)
    return np.array([f"user-{at}" for at in drawn], dtype=object)


def test_ids_that_become_a_few_values_are_found() -> None:
    many = users(5_000, 1)
    same = compared(many, users(2_000, 2), kind=FeatureKind.CATEGORICAL)
    assert "nothing is wrong" == same.words
    few = np.array(["guest"] * 800 + ["staff"] * 700 + ["robot"] * 500, dtype=object)
    found = compared(many, few, kind=FeatureKind.CATEGORICAL)
    assert "`guest` is new or far more frequent, 40 % of rows" == found.words


def test_a_change_of_shape_is_no_change_of_unit() -> None:
    binning = fit(FeatureKind.NUMERIC, distances(ROWS))
    old = sketch(binning, distances(ROWS))
    bimodal = np.concatenate([distances(500, 3), 20 * distances(500, 4)])
    assert None is unit_change(binning, old, sketch(binning, bimodal))
    assert None is unit_change(binning, old, sketch(binning, 1.2 * distances(1_000, 5)))


def test_a_factor_near_a_pair_of_units_is_not_named_after_it() -> None:
    grown = 1.52 * distances(3_000, 2)
    found = compared(distances(ROWS), grown)
    assert "km" not in found.words
    declared = compared(distances(ROWS), 1.609344 * distances(3_000, 2), unit="mile")
    assert "km instead of miles" in declared.words


BINNING = fit(FeatureKind.NUMERIC, distances(ROWS))


@pytest.mark.parametrize("share", [0.3, 0.7])
def test_a_unit_that_changed_in_a_part_of_the_rows_is_named_with_that_part(share: float) -> None:
    new = distances(3_000, 2)
    new[: round(share * len(new))] *= 60.0
    found = unit_change(BINNING, sketch(BINNING, distances(ROWS)), sketch(BINNING, new))
    assert found is not None
    assert found.share == pytest.approx(share, abs=0.03)
    assert found.words.startswith("looks like minutes instead of hours: ×60 in ")
    assert "unit_change" == compared(distances(ROWS), new).statistic


def test_a_second_mode_of_another_shape_is_no_change_of_unit() -> None:
    new = distances(3_000, 2)
    new[:900] = 60.0 * np.random.default_rng(3).normal(700, 20, 900)
    assert None is unit_change(BINNING, sketch(BINNING, distances(ROWS)), sketch(BINNING, new))


def test_a_new_population_is_no_change_of_unit() -> None:
    new = distances(2_000, 2)
    new[:500] = np.random.default_rng(3).lognormal(9.5, 1, 500)
    assert None is unit_change(BINNING, sketch(BINNING, distances(ROWS)), sketch(BINNING, new))


def test_units_that_overlap_are_not_named_for_a_part_of_the_rows() -> None:
    new = distances(3_000, 2)
    new[:1_500] *= 1.609344
    assert "unit_change" != compared(distances(ROWS), new, unit="miles").statistic


def test_few_rows_name_no_unit() -> None:
    binning = fit(FeatureKind.NUMERIC, distances(ROWS))
    few = sketch(binning, 1.609344 * distances(50, 2))
    assert None is unit_change(binning, sketch(binning, distances(ROWS)), few)


def test_whole_numbers_change_unit_too() -> None:
    old = RNG.poisson(40, ROWS).astype(np.float64)
    found = compared(old, 60.0 * RNG.poisson(40, 1_000), kind=FeatureKind.INTEGER, unit="minutes")
    assert found.words.startswith("looks like seconds instead of minutes: ×60")


def test_false_alarms_stay_at_their_level() -> None:
    """400 windows without any fault: at most 5 % of features with p of 5 %, here far fewer."""
    alarms = 0
    for seed in range(400):
        rng = np.random.default_rng(seed)
        old, new = rng.normal(size=1_000), rng.normal(size=300)
        old[rng.random(1_000) < 0.05] = np.nan
        new[rng.random(300) < 0.05] = np.nan
        found = compared(old, new)
        alarms += found.p_value is not None and found.p_value <= 0.05
    assert alarms <= 32  # the 99 % point of 400 draws at 5 %


def test_the_rates_are_probabilities() -> None:
    """Against simulation: 4,000 draws of each."""
    rng = np.random.default_rng(3)
    a, b = rng.binomial(1_000, 0.03, 4_000), rng.binomial(200, 0.03, 4_000)
    p = [more_often((int(x), int(y)), (1_000, 200)) for x, y in zip(a, b, strict=True)]
    assert 0.05 >= np.mean(np.array(p) <= 0.05) - 0.006
    values = rng.random((4_000, 300))
    beyond = (values[:, 200:] > values[:, :200].max(1, keepdims=True)).sum(1)
    p = [beyond_all(int(k), (200, 100)) for k in beyond]
    assert 0.05 == pytest.approx(np.mean(np.array(p) <= 0.05), abs=0.02)
    assert all_alike(0.5, (1_000, 100)) < 1e-20


def usually(**what: Any) -> Usual:
    known: dict[str, Any] = {
        "blocks": 50,
        "constant": 0,
        "low": -np.inf,
        "high": np.inf,
        "bulk": (-np.inf, np.inf),
    }
    return Usual(**(known | {"gap": 0.0, "p_value": lambda *_: 0.0} | what))


def test_what_time_blocks_of_the_reference_do_anyway_is_no_fault() -> None:
    old, dry = RNG.binomial(1, 0.1, ROWS) * RNG.uniform(0, 1, ROWS), np.zeros(1_000)
    assert "is always 0" == compared(old, dry).words
    assert 0.05 < (compared(old, dry, usual=usually(constant=30)).p_value or 0)
    warm = RNG.uniform(8, 14, 1_000)
    cold = RNG.uniform(0, 10, ROWS)
    assert "out_of_range" == compared(cold, warm).statistic
    assert 1.0 == compared(cold, warm, usual=usually(high=20.0)).p_value
    far = compared(
        distances(ROWS), 1.609344 * distances(1_000, 2), usual=usually(p_value=lambda *_: 0.2)
    )
    assert 0.2 <= (far.p_value or 0)


def test_all_of_a_window_may_not_lie_where_single_values_may() -> None:
    humid = RNG.normal(60, 10, ROWS)
    usual = usually(low=-20.0, high=140.0, bulk=(20.0, 100.0))
    found = compared(humid, RNG.normal(60, 10, 1_000) / 100, usual=usual)
    assert "out_of_range" == found.statistic
    assert found.words.startswith("outside 20 … 140 in 100 % of rows")
