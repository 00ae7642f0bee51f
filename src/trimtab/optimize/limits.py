"""Whether a form of a model keeps to a budget, limit by limit, in words."""

from __future__ import annotations

from trimtab.optimize.agreement import Agreement
from trimtab.optimize.budget import LOSSES, Budget, Limit, Measure
from trimtab.types import Footprint

_ROUNDING = 1e-9
"""Microseconds and milliseconds do not divide exactly."""


def unmet(budget: Budget, agreed: Agreement, costs: Footprint) -> tuple[str, ...]:
    """What a form exceeds, one sentence a limit; nothing if it keeps to all.

    A metric keeps to its limit if the worse end of the loss's 95 % interval does, so that too few
    rows never pass for no loss.
    """
    found = [_words(limit, agreed, costs) for limit in budget.limits]
    found += [
        f"segment {each.column}={each.value} loses {each.change.loss:.2g} of {each.change.metric},"
        f" more than {each.budget:.2g}"
        for each in agreed.segments
        if not each.within and each.change is not None and each.budget is not None
    ]
    return tuple(filter(None, found))


def _words(limit: Limit, agreed: Agreement, costs: Footprint) -> str:
    if limit.metric is not None:
        return _lost(limit, agreed)
    value = _value(limit, agreed, costs)
    if value is None:
        return f"{limit.name} cannot be measured on this system"
    if limit.measure is Measure.RATE:
        kept = value >= limit.value
    else:
        kept = value <= limit.value * (1.0 + _ROUNDING * (limit.measure not in LOSSES))
    return "" if kept else f"{limit.name} is {_written(limit, value)}, not {limit.words}"


def _lost(limit: Limit, agreed: Agreement) -> str:
    change = agreed.change(limit.metric or "")
    if change is None:
        return f"{limit.name} is not defined on these rows"
    if change.high <= limit.value:
        return ""
    which = "loses" if change.loss > limit.value else "may lose"
    return (
        f"{which} {change.loss:.2g} of {limit.name}, 95 % interval [{change.low:.2g},"
        f" {change.high:.2g}], not {limit.words}"
    )


def _value(limit: Limit, agreed: Agreement, costs: Footprint) -> float | None:
    """What a limit is compared with, in its unit; a segment's limit is compared elsewhere."""
    found: dict[str, float | None] = {
        "segment": 0.0,
        "max_abs": agreed.max_abs,
        "mean_abs": agreed.mean_abs,
        "flips": agreed.flips,
        "disk": costs.disk_bytes,
        "rss": costs.rss_bytes,
        "pss": costs.pss_bytes,
        "load": costs.load_ms / 1e3,
        "p50": costs.p50_us / 1e6,
        "p99": costs.p99_us / 1e6,
        "throughput": costs.rows_per_s,
    }
    return found[limit.name]


def _written(limit: Limit, value: float) -> str:
    if limit.measure is Measure.BYTES:
        return f"{value / 1e6:.3g} MB"
    if limit.measure is Measure.SECONDS:
        return f"{value * 1e6:.3g} µs" if value < 1e-3 else f"{value * 1e3:.3g} ms"
    return f"{value:,.3g}"
