from __future__ import annotations

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.rollout.schedule import is_open, next_opening
from trimtab.types import RampHours

UTC = ZoneInfo("UTC")
NIGHT = RampHours(begin=22, end=6, days=(5,))


@pytest.mark.parametrize(
    ("day", "hour", "expected"),
    [(8, 21, False), (8, 22, True), (9, 5, True), (9, 6, False), (9, 22, False), (8, 3, False)],
)
def test_hours_over_midnight_belong_to_the_day_they_began(
    day: int, hour: int, expected: bool
) -> None:
    assert expected is is_open(NIGHT, datetime(2025, 8, day, hour, 30, tzinfo=UTC))


def test_hours_are_those_of_the_time_zone_through_its_change_of_clocks() -> None:
    hours = RampHours(begin=9, end=17, time_zone="Europe/Amsterdam")
    before, after = (
        datetime(2025, 10, day, 7, 30, tzinfo=UTC).timestamp() for day in (24, 27)
    )  # fmt: skip
    assert next_opening(hours, before) is None
    assert "Mon 27 Oct 2025 09:00 Europe/Amsterdam" == next_opening(hours, after)


@given(
    st.integers(0, 23),
    st.integers(0, 24),
    st.sets(st.integers(1, 7), min_size=1),
    st.integers(0, 10_000),
)
def test_what_is_told_is_the_first_open_hour(
    begin: int, end: int, days: set[int], hour: int
) -> None:
    if begin == end:
        return
    hours = RampHours(begin=begin, end=end, days=tuple(sorted(days)))
    now = datetime(2025, 1, 1, tzinfo=UTC) + timedelta(hours=hour, minutes=17)
    told = next_opening(hours, now.timestamp())
    at = now
    while not is_open(hours, at):
        at = at.replace(minute=0) + timedelta(hours=1)
    assert told == (None if at == now else f"{at:%a %d %b %Y %H:%M} UTC")
