"""Seasons are no faults, and faults are found among seasons: the flights of 2013 with their weather."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pandas as pd
import pytest
from msgspec.structs import replace

from trimtab.cli.demo import flights
from trimtab.config import WatchConfig
from trimtab.drift import ReferenceProfile
from trimtab.drift.frames import features_of, profile_of_frame, sketch_frame
from trimtab.judge import DriftJudge
from trimtab.quality import DATA_QUALITY, QualityComparer
from trimtab.types import Comparison, Verdict, Window
from trimtab.wiring.references import references_of

DAY = 86_400.0
UNITS = {"distance": "miles", "humid": "%"}
WINTER = 59


@pytest.fixture(scope="module")
def profile() -> ReferenceProfile:
    """January and February, day by day."""
    rows = days()
    past = rows[rows["day"] < WINTER]
    specs = features_of(past[flights.FEATURES])
    built = profile_of_frame(
        past[flights.FEATURES],
        [replace(one, unit=UNITS.get(one.name)) for one in specs],
        times=past["event_time"].to_numpy(dtype=np.float64),
    )
    return ReferenceProfile.load(built.dump())


def days() -> pd.DataFrame:
    frame = flights.load()
    return frame.assign(day=(frame["event_time"] - frame["event_time"].min()) // DAY)


@pytest.fixture(scope="module")
def later() -> list[pd.DataFrame]:
    """Every fifth day of the ten months after."""
    rows = days()
    return [rows[rows["day"] == day][flights.FEATURES] for day in range(WINTER, 365, 5)]


def judged(profile: ReferenceProfile, rows: pd.DataFrame) -> Verdict:
    content = sketch_frame(profile, rows)
    window = Window(
        subject=DATA_QUALITY, model="m", version=1, start=0.0, end=DAY, rows=content.rows,
        content=content,
    )  # fmt: skip
    comparer = QualityComparer(references_of(profile), profile.repeated)
    return DriftJudge(DATA_QUALITY, WatchConfig()).judge(window, comparer.compare(window))


def flagged(verdict: Verdict) -> list[Comparison]:
    return [one for one in verdict.comparisons if one.name in verdict.flagged]


def test_seasons_that_the_reference_has_not_seen_are_no_faults(
    profile: ReferenceProfile, later: list[pd.DataFrame]
) -> None:
    found = [flagged(judged(profile, rows)) for rows in later]
    claimed = Counter(one.statistic for some in found for one in some)
    assert set(claimed) <= {"new_category", "missing", "out_of_range"}
    assert claimed["out_of_range"] <= 2
    assert claimed["new_category"] <= 6
    # On two days stations did not report: an hour of wind, and everything.
    gaps = [sum(one.statistic == "missing" for one in some) for some in found]
    assert [1, 6] == [gap for gap in gaps if gap]


@pytest.mark.parametrize(
    ("name", "factor", "offset", "check"),
    [
        ("distance", 1.609344, 0.0, "unit_change"),
        ("temp", 5 / 9, 255.37, "out_of_range"),
        ("pressure", 0.02953, 0.0, "out_of_range"),
        ("sched_minute", 1 / 60, 0.0, "out_of_range"),
    ],
)
def test_faults_are_found_in_every_season(
    profile: ReferenceProfile,
    later: list[pd.DataFrame],
    name: str,
    factor: float,
    offset: float,
    check: str,
) -> None:
    for rows in later[::4]:
        broken = rows.assign(**{name: rows[name] * factor + offset})
        found = {one.name: one.statistic for one in flagged(judged(profile, broken))}
        assert check == found.get(name)


def test_a_value_that_stands_for_missing_is_found(
    profile: ReferenceProfile, later: list[pd.DataFrame]
) -> None:
    for rows in later[::4]:
        broken = rows["wind_speed"].mask(np.arange(len(rows)) % 30 == 0, -999.0)
        found = {o.name: o.words for o in flagged(judged(profile, rows.assign(wind_speed=broken)))}
        assert "outside" in found["wind_speed"]
