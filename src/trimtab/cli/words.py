"""Numbers and times as people read them."""

from __future__ import annotations

from datetime import UTC, datetime

from trimtab.report.words import percent, size

__all__ = ["day", "few_rows", "moment", "percent", "size", "span"]

_FEW_ROWS = 100


def few_rows(reference: int) -> str:
    """What to keep in mind about a reference of so many rows; nothing where it is long enough."""
    if reference >= _FEW_ROWS:
        return ""
    return f"the reference has {reference} rows; only large differences stand out."


def span(seconds: float) -> str:
    """A length of time: ``90 s``, ``12.5 h``, ``7 d``."""
    for limit, divisor, unit in ((1e-3, 1e-6, "µs"), (1.0, 1e-3, "ms"), (120, 1, "s")):
        if seconds < limit:
            return f"{seconds / divisor:.3g} {unit}"
    for limit, divisor, unit in ((7200, 60, "min"), (172_800, 3600, "h")):
        if seconds < limit:
            return f"{seconds / divisor:.3g} {unit}"
    return f"{seconds / 86_400:.3g} d"


def moment(unix_seconds: float | None) -> str:
    """A time in UTC to the minute, or a dash."""
    if unix_seconds is None:
        return "–"
    return datetime.fromtimestamp(unix_seconds, UTC).strftime("%Y-%m-%d %H:%M")


def day(unix_seconds: float | None) -> str:
    """A date in UTC, or a dash."""
    return "–" if unix_seconds is None else moment(unix_seconds)[:10]
