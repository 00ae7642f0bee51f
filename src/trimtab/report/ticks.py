"""Where a chart's axis is marked: round numbers, and round moments of the calendar."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta

_MINUTE, _HOUR, _DAY = 60.0, 3_600.0, 86_400.0
_STEPS = (
    1.0, 5.0, 15.0, 30.0, _MINUTE, 5 * _MINUTE, 15 * _MINUTE, 30 * _MINUTE,
    _HOUR, 3 * _HOUR, 6 * _HOUR, 12 * _HOUR, _DAY, 2 * _DAY, 7 * _DAY, 14 * _DAY,
)  # fmt: skip
_MONTHS = (1, 2, 3, 6, 12, 24, 60, 120)
_MONTH = 30.4 * _DAY


def number_ticks(low: float, high: float, most: int = 4) -> list[float]:
    """Round numbers from at or below ``low`` to at or above ``high``, about ``most`` + 1 of them.

    >>> number_ticks(0.0, 0.33)
    [0.0, 0.1, 0.2, 0.3, 0.4]
    """
    rough = (high - low) / most or 1.0
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(s * power for s in (1.0, 2.0, 5.0, 10.0) if s * power >= rough * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(i * step, 12) for i in range(first, last + 1)]


def time_ticks(start: float, end: float, most: int = 6) -> list[tuple[float, str]]:
    """At most about ``most`` round moments within a span (Unix seconds), with their labels.

    >>> [label for _, label in time_ticks(1356998400.0, 1364774400.0)]
    ['Jan 2013', 'Feb', 'Mar', 'Apr']
    """
    length = max(end - start, 1.0)
    for step in _STEPS:
        room = most if step >= _MINUTE else most - 2  # seconds make labels longer
        if length / step <= room:
            first = math.ceil(start / step)
            moments = [i * step for i in range(first, math.floor(end / step) + 1)]
            return _named(moments, "%H:%M:%S" if step < _MINUTE else "%H:%M", step)
    months = next((m for m in _MONTHS if length / (m * _MONTH) <= most), _MONTHS[-1])
    return _month_ticks(start, end, months)


def _named(moments: list[float], clock: str, step: float) -> list[tuple[float, str]]:
    found = []
    for at in moments:
        moment = datetime.fromtimestamp(at, UTC)
        day = f"{moment.day} {moment:%b}"
        midnight = at % _DAY == 0
        found.append((at, day if step >= _DAY or midnight else moment.strftime(clock)))
    return found


def _month_ticks(start: float, end: float, months: int) -> list[tuple[float, str]]:
    moment = datetime.fromtimestamp(start, UTC).replace(
        day=1, hour=0, minute=0, second=0, microsecond=0
    )
    found: list[tuple[float, str]] = []
    while moment.timestamp() <= end:
        at = moment.timestamp()
        if at >= start and (moment.year * 12 + moment.month - 1) % months == 0:
            with_year = not found or moment.month == 1
            found.append((at, f"{moment:%b %Y}" if with_year else f"{moment:%b}"))
        moment = (moment + timedelta(days=32)).replace(day=1)
    return found
