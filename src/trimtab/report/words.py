"""Numbers, spans and dates as people read them; all times are UTC."""

from __future__ import annotations

import math
from datetime import UTC, datetime

_DAY = 86_400.0
_UNITS = ((_DAY, "day"), (3_600.0, "hour"), (60.0, "minute"), (1.0, "second"))


def when(at: float | None, *, clock: bool = False) -> str:
    """A date, with the time of day if asked for; a dash for None.

    >>> when(1380800000.0), when(1380800000.0, clock=True)
    ('3 Oct 2013', '3 Oct 2013, 11:33 UTC')
    """
    if at is None:
        return "–"
    moment = datetime.fromtimestamp(at, UTC)
    date = f"{moment.day} {moment:%b %Y}"
    return f"{date}, {moment:%H:%M} UTC" if clock else date


def span(start: float, end: float) -> str:
    """The days from ``start`` to ``end`` (exclusive); shorter windows with their time of day.

    >>> span(1380758400.0, 1380844800.0)
    '3 Oct 2013'
    >>> span(1380758400.0, 1380762000.0)
    '3 Oct 2013, 00:00 to 01:00 UTC'
    """
    first, last = datetime.fromtimestamp(start, UTC), datetime.fromtimestamp(end, UTC)
    if end - start < _DAY:
        return f"{when(start)}, {first:%H:%M} to {last:%H:%M} UTC"
    from_day, to_day = when(start), when(end - 1.0)
    return from_day if from_day == to_day else f"{from_day} to {to_day}"


def lasting(seconds: float) -> str:
    """A span of time in its largest fitting unit.

    >>> lasting(86400), lasting(5400), lasting(0.25)
    ('1 day', '90 minutes', '0.25 seconds')
    """
    size, name = next(
        ((s, n) for s, n in _UNITS if seconds >= s and (seconds % s == 0 or seconds >= 10 * s)),
        _UNITS[-1],
    )
    amount = number(seconds / size)
    return f"{amount} {name}" if amount == "1" else f"{amount} {name}s"


def number(value: float | None) -> str:
    """A figure with three significant digits, or all digits of a whole number; a dash for None.

    >>> number(12345), number(0.08123), number(1234.5), number(None)
    ('12,345', '0.0812', '1,234', '–')
    """
    if value is None or math.isnan(value):
        return "–"
    if math.isinf(value):
        return "∞" if value > 0 else "-∞"
    if value == int(value) or abs(value) >= 1_000:
        return f"{value:,.0f}" if abs(value) < 1e12 else f"{value:.2e}"
    return f"{value:.3g}"


def score(value: float | None) -> str:
    """A score or metric with three decimals; a dash for None.

    >>> score(0.08123)
    '0.081'
    """
    return "–" if value is None or math.isnan(value) else f"{value:.3f}"


def percent(ratio: float) -> str:
    """A share in percent: as many digits as it needs, never rounded to 0 or 100 from within.

    >>> percent(0.1), percent(0.0125), percent(0.99999), percent(0.00001)
    ('10 %', '1.25 %', '> 99.99 %', '< 0.01 %')
    """
    if 0.0 < ratio < 0.0001:
        return "< 0.01 %"
    if 0.9999 < ratio < 1.0:
        return "> 99.99 %"
    return f"{ratio * 100:.2f}".rstrip("0").rstrip(".") + " %"


def p_value(value: float | None) -> str:
    """A p-value; what is below one in ten thousand is said to be so.

    >>> p_value(0.00001), p_value(0.0312), p_value(None)
    ('< 0.0001', '0.031', '–')
    """
    if value is None:
        return "–"
    return "< 0.0001" if value < 0.0001 else f"{value:.3f}" if value < 0.1 else f"{value:.2f}"


def size(count: int) -> str:
    """Bytes in decimal units.

    >>> size(512), size(1_250_000)
    ('512 bytes', '1.2 MB')
    """
    if count < 1_000:
        return f"{count} bytes"
    power = min(int(math.log10(count) // 3), 3)
    return f"{count / 1_000**power:.1f} {('kB', 'MB', 'GB')[power - 1]}"


def upfirst(text: str) -> str:
    """The text with its first letter large, and the others as they are.

    >>> upfirst("mean ROC")
    'Mean ROC'
    """
    return text[:1].upper() + text[1:]


def plain(name: str) -> str:
    """A name as words: underscores become spaces.

    >>> plain("missed_positive")
    'missed positive'
    """
    return name.replace("_", " ")
