"""The reference profile: what it keeps, that it comes back from bytes, and what it refuses."""

from __future__ import annotations

import numpy as np
import pytest
from msgspec.structs import replace

from trimtab.drift import (
    PREDICTION_DRIFT,
    FeatureComparer,
    ReferenceProfile,
    ScoreComparer,
    build_profile,
    window_of,
)
from trimtab.errors import InvalidInput
from trimtab.types import Columns, FeatureKind, FeatureSpec

DAY = 86_400.0


def table(rows: int, seed: int = 0) -> Columns:
    rng = np.random.default_rng(seed)
    temperature = rng.normal(38, 9, rows)
    temperature[rng.random(rows) < 0.02] = np.nan
    kinds = (
        FeatureSpec(name="temp", kind=FeatureKind.NUMERIC, unit="°F"),
        FeatureSpec(name="hour", kind=FeatureKind.INTEGER),
        FeatureSpec(name="holiday", kind=FeatureKind.BOOLEAN),
        FeatureSpec(name="origin", kind=FeatureKind.CATEGORICAL),
    )
    return Columns(
        features=kinds,
        arrays=(
            temperature,
            rng.integers(5, 24, rows).astype(np.float64),
            (rng.random(rows) < 0.2).astype(np.float64),
            np.array(["EWR", "JFK", "LGA"], dtype=object)[rng.integers(0, 3, rows)],
        ),
    )


def changed(columns: Columns, position: int, values: np.ndarray) -> Columns:
    arrays = list(columns.arrays)
    arrays[position] = values
    return Columns(features=columns.features, arrays=tuple(arrays))


def words(profile: ReferenceProfile, columns: Columns, name: str) -> str:
    compared = FeatureComparer(profile).compare(window_of(profile, columns))
    (found,) = (c for c in compared if c.name == name)
    return found.words


def test_bytes_bring_back_the_same_comparisons() -> None:
    rng = np.random.default_rng(1)
    profile = build_profile(
        table(6_000), rng.uniform(size=6_000), np.arange(6_000) * DAY / 200, importance={"temp": 3}
    )
    loaded = ReferenceProfile.load(profile.dump())
    window = window_of(profile, table(500, seed=2))
    assert profile.dump() == loaded.dump()
    assert FeatureComparer(profile).compare(window) == FeatureComparer(loaded).compare(window)
    assert (30, DAY, 3.0) == (loaded.blocks, loaded.block_seconds, loaded.features[0].importance)


def test_missing_rates_are_kept() -> None:
    profile = build_profile(table(5_000))
    assert profile.features[0].missing_rate == pytest.approx(0.02, abs=0.01)


def test_too_few_time_blocks_calibrate_nothing() -> None:
    profile = build_profile(table(1_000), times=np.arange(1_000) * DAY * 19 / 1_000)
    assert 0 == profile.blocks
    assert all(not feature.dispersion for feature in profile.features)


def test_blocks_are_shuffled_in_time_without_harm() -> None:
    columns, times = table(4_000), np.arange(4_000) * DAY / 100
    order = np.random.default_rng(5).permutation(4_000)
    shuffled = Columns(
        features=columns.features, arrays=tuple(array[order] for array in columns.arrays)
    )
    straight = build_profile(columns, times=times).features[0].dispersion
    assert straight == build_profile(shuffled, times=times[order]).features[0].dispersion


@pytest.mark.parametrize(
    "blob", [b"", b"nonsense", b"\x80", build_profile(table(200)).dump()[:-9]], ids=len
)
def test_what_is_no_profile_is_refused(blob: bytes) -> None:
    with pytest.raises(InvalidInput) as refused:
        ReferenceProfile.load(blob)
    assert "invalid_profile" == refused.value.code


def test_a_profile_of_a_later_release_is_refused() -> None:
    later = replace(build_profile(table(200)), format=9).dump()
    with pytest.raises(InvalidInput, match="format 9"):
        ReferenceProfile.load(later)


def test_a_reference_without_rows_is_refused() -> None:
    with pytest.raises(InvalidInput, match="at least one row"):
        build_profile(table(0))


def test_arrays_of_different_lengths_are_refused() -> None:
    with pytest.raises(InvalidInput, match=r"\[99, 100\]"):
        build_profile(table(100), scores=np.zeros(99))


def test_a_feature_that_has_not_changed_scores_below_its_noise() -> None:
    profile = build_profile(table(20_000))
    compared = FeatureComparer(profile).compare(window_of(profile, table(20_000)))
    assert ["temp", "hour", "holiday", "origin", "correlation"] == [c.name for c in compared]
    temperature, *exact, correlation = compared
    assert [0.0] * 3 == [c.score for c in exact]
    assert temperature.score <= 1 / 800
    assert correlation.score <= 1 / 1_024 < correlation.noise_floor


def test_words_on_numbers_have_the_unit() -> None:
    profile, current = build_profile(table(5_000)), table(1_000, seed=3)
    warmer = changed(current, 0, current.arrays[0] + 33.6)
    said = words(profile, warmer, "temp")
    assert said.startswith("median 3")
    assert said.endswith(" °F")
    assert float(said.split(" ")[3]) == pytest.approx(71.6, abs=1.5)


def test_words_on_whole_numbers_are_whole() -> None:
    profile, current = build_profile(table(5_000)), table(1_000, seed=3)
    said = words(profile, changed(current, 1, np.full(1_000, 23.0)), "hour")
    assert said in {"median 14 → 23", "median 13 → 23"}


def test_words_on_a_change_of_spread_name_a_share() -> None:
    profile, current = build_profile(table(5_000)), table(1_000, seed=3)
    narrow = changed(current, 0, 38 + (current.arrays[0] - 38) / 3)
    assert words(profile, narrow, "temp").startswith("at most ")


def test_words_on_yes_and_no() -> None:
    profile, current = build_profile(table(5_000)), table(1_000, seed=3)
    often = changed(current, 2, (np.arange(1_000) % 5 < 4).astype(np.float64))
    said = words(profile, often, "holiday")
    assert said.startswith("true ")
    assert said.endswith("→ 80 %")


def test_words_on_categories_name_the_one_that_moved_most() -> None:
    profile, current = build_profile(table(5_000)), table(1_000, seed=3)
    moved = current.arrays[3].copy()
    moved[:700] = "JFK"
    assert words(profile, changed(current, 3, moved), "origin").startswith("`JFK` 3")


def test_words_on_everything_that_changed_at_once() -> None:
    profile, current = build_profile(table(5_000)), table(1_000, seed=3)
    broken = current.arrays[0] + 20
    broken[::2] = np.nan
    said = words(profile, changed(current, 0, broken), "temp")
    assert "median 3" in said
    assert "; missing 1" in said


def test_scores_are_compared_on_their_own() -> None:
    rng = np.random.default_rng(4)
    profile = build_profile(table(5_000), scores=rng.beta(2, 8, 5_000))
    window = window_of(profile, table(1_000), rng.beta(4, 6, 1_000), subject=PREDICTION_DRIFT)
    (found,) = ScoreComparer(profile).compare(window)
    assert ("score", 1_000) == (found.name, window.rows)
    assert found.score > 0.3
    assert found.words.startswith("median 0.1")


def test_a_profile_without_scores_compares_none() -> None:
    profile = build_profile(table(500))
    window = window_of(profile, table(500), np.zeros(500), subject=PREDICTION_DRIFT)
    assert [] == ScoreComparer(profile).compare(window)
