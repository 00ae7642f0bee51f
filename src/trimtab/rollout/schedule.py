"""The hours in which a candidate may get more traffic."""

from __future__ import annotations

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from trimtab.types import RampHours

_HOURS_AHEAD = 24 * 8


def is_open(hours: RampHours, at: datetime) -> bool:
    """Whether a local time is within the hours; those over midnight belong to the day they began."""
    if hours.begin < hours.end:
        return at.isoweekday() in hours.days and hours.begin <= at.hour < hours.end
    began = at if at.hour >= hours.begin else at - timedelta(days=1)
    within = at.hour >= hours.begin or at.hour < hours.end
    return within and began.isoweekday() in hours.days


def next_opening(hours: RampHours, now: float) -> str | None:
    """When the hours begin next, in words with the time zone; None if they are on now.

    Args:
        hours: The plan's hours, as ``check_plan`` lets them through.
        now: Unix seconds.

    Example:
        >>> next_opening(RampHours(begin=9, end=17, days=(1, 2, 3, 4, 5)), 1_754_686_800.0)
        'Mon 11 Aug 2025 09:00 UTC'
    """
    zone = ZoneInfo(hours.time_zone)
    at = datetime.fromtimestamp(now, zone)
    if is_open(hours, at):
        return None
    # Steps of an hour of absolute time: a change of the clock neither skips nor repeats one.
    whole = now - now % 3600
    for ahead in range(1, _HOURS_AHEAD + 1):
        at = datetime.fromtimestamp(whole + 3600 * ahead, zone)
        if is_open(hours, at):
            return f"{at:%a %d %b %Y %H:%M} {hours.time_zone}"
    return "a time that never comes"
