"""How unusual a window is, given how far blocks of the reference are from each other."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import t

from trimtab.drift import FeatureComparer, ReferenceProfile, build_profile, window_of
from trimtab.drift.dispersion import Dispersion, Season
from trimtab.types import Columns, FeatureKind, FeatureSpec

RESTLESS = Dispersion(mean_logit=0.3, sd_logit=0.8, expected=0.56, blocks=49, size=900.0)
"""The flights' temperature in winter: days differ by 0.56 on average."""


def test_what_blocks_do_anyway_is_nothing_unusual() -> None:
    assert RESTLESS.p_value(0.56, 900.0) > 0.4
    assert RESTLESS.p_value(0.74, 900.0) > 0.1


def test_nothing_in_common_stands_out_even_where_blocks_differ_much() -> None:
    assert RESTLESS.p_value(0.99, 900.0) < 1e-5
    assert RESTLESS.p_value(1.0, 900.0) < RESTLESS.p_value(0.99, 900.0)


def test_it_is_a_t_tail_on_the_logit() -> None:
    score = 0.8
    above = (np.log(score / (1 - score)) - 0.3) / (0.8 * np.sqrt(1 + 1 / 49))
    assert pytest.approx(float(t.sf(above, 48))) == RESTLESS.p_value(score, 900.0)


def test_a_smaller_window_is_less_unusual_and_a_larger_one_gets_no_credit() -> None:
    whole = RESTLESS.p_value(0.9, 900.0)
    assert RESTLESS.p_value(0.9, 225.0) > whole
    assert whole == RESTLESS.p_value(0.9, 9_000.0)
    assert 1.0 == RESTLESS.p_value(0.0, 900.0)


def test_a_reference_of_many_days_carries_its_dispersion() -> None:
    rng = np.random.default_rng(1)
    days = np.repeat(np.arange(40), 200)
    values = rng.normal(size=days.size) + rng.normal(size=40)[days]
    spec = FeatureSpec(name="x", kind=FeatureKind.NUMERIC)
    columns = Columns(features=(spec,), arrays=(values,))
    profile = build_profile(columns, times=(days * 86_400.0 + 1.0).astype(np.float64))
    found = profile.features[0].dispersion["ks"]
    assert 40 == found.blocks
    assert 0.15 < found.expected < 0.6
    assert {} == build_profile(columns).features[0].dispersion


HOUR, WEEK = 3_600.0, 604_800.0
SPECS = (FeatureSpec(name="x", kind=FeatureKind.NUMERIC),)


def weeks(rng: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Sixty rows an hour; from 7 to 10 on the first day of each week they are of another kind."""
    hour = np.repeat(np.arange(count * 168), 60)
    rush = np.isin(hour % 168, (7, 8, 9))
    return rng.normal(size=hour.size) + 1.5 * rush, hour * HOUR


def p_of_hour(
    profile: ReferenceProfile, rng: np.random.Generator, hour: int, shift: float
) -> float:
    window = window_of(
        profile,
        Columns(features=SPECS, arrays=(rng.normal(shift, 1, 60),)),
        start=hour * HOUR,
        end=(hour + 1) * HOUR,
    )
    (found,) = FeatureComparer(profile).compare(window)
    assert found.p_value is not None
    return found.p_value


def test_the_rush_of_monday_morning_is_no_drift_on_monday_morning_only() -> None:
    rng = np.random.default_rng(11)
    values, times = weeks(rng, 5)
    columns = Columns(features=SPECS, arrays=(values,))
    profile = build_profile(columns, times=times, block_seconds=HOUR)
    assert Season(period_seconds=WEEK, slots=168) == profile.season
    in_time = [p_of_hour(profile, rng, 168 * 9 + 8, shift=1.5) for _ in range(20)]
    at_night = [p_of_hour(profile, rng, 168 * 9 + 27, shift=1.5) for _ in range(20)]
    assert min(in_time) > 0.001
    assert np.mean(in_time) > 0.2
    assert max(at_night) < 0.001
    assert ReferenceProfile.load(profile.dump()).features[0].dispersion == (
        profile.features[0].dispersion
    )


def test_a_season_needs_four_rounds() -> None:
    rng = np.random.default_rng(12)
    values, times = weeks(rng, 3)
    columns = Columns(features=SPECS, arrays=(values,))
    found = build_profile(columns, times=times, block_seconds=HOUR).season
    assert Season(period_seconds=86_400.0, slots=24) == found


def test_a_window_longer_than_a_slot_has_no_place_in_the_season() -> None:
    season = Season(period_seconds=WEEK, slots=7)
    day = WEEK / 7
    assert [3, None, None] == [
        season.slot(3 * day, 4 * day),
        season.slot(3 * day, 5 * day),
        season.slot(0.0, 0.0),
    ]
