from __future__ import annotations

import pytest

from trimtab.config import FeaturesConfig
from trimtab.features.pace import Pace


def test_nothing_is_hedged_before_enough_was_measured() -> None:
    pace = Pace(FeaturesConfig())
    for _ in range(63):
        pace.read(0.010)
    assert pace.after_seconds is None
    pace.read(0.010)
    assert pace.after_seconds == 0.010


def test_the_quantile_follows_what_was_measured_last() -> None:
    pace = Pace(FeaturesConfig(hedge_quantile=0.9))
    for number in range(256):
        pace.read(0.001 * (number % 10 + 1))
    assert pace.after_seconds == pytest.approx(0.009)
    for _ in range(256):
        pace.read(0.050)
    assert pace.after_seconds == 0.050


def test_a_store_that_is_quick_is_hedged_no_sooner_than_a_timer_can_tell() -> None:
    pace = Pace(FeaturesConfig())
    for _ in range(64):
        pace.read(0.000_05)
    assert pace.after_seconds == 0.001


def test_hedges_never_exceed_their_share_of_the_reads() -> None:
    pace = Pace(FeaturesConfig(hedge_ratio=0.05))
    spent = 0
    for _ in range(10_000):
        pace.read(0.010)
        spent += pace.spend()
    assert spent <= 500
    assert spent >= 499


def test_saved_hedges_are_few() -> None:
    pace = Pace(FeaturesConfig(hedge_ratio=0.05))
    for _ in range(10_000):
        pace.read(0.010)
    assert sum(pace.spend() for _ in range(100)) == 10


def test_a_ratio_of_zero_turns_hedging_off() -> None:
    pace = Pace(FeaturesConfig(hedge_ratio=0.0))
    for _ in range(1_000):
        pace.read(0.010)
    assert (pace.after_seconds, pace.spend()) == (None, False)
