"""What an optimised model may cost and lose: ``auc<=0.002,max_abs<=0.01,rss<=500MB,p99<=1ms``."""

from __future__ import annotations

import math
import re
from difflib import get_close_matches
from enum import StrEnum

from trimtab.errors import InvalidPlan
from trimtab.types import Record


class Measure(StrEnum):
    """What a limit is a limit of."""

    METRIC_LOSS = "metric loss"
    DIFFERENCE = "difference of outputs"
    COUNT = "rows"
    BYTES = "bytes"
    SECONDS = "seconds"
    RATE = "rows per second"


_BYTES = {
    "B": 1.0, "kB": 1e3, "MB": 1e6, "GB": 1e9, "KiB": 2.0**10, "MiB": 2.0**20, "GiB": 2.0**30,
}  # fmt: skip
_SECONDS = {"us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0}
UNITS = {Measure.BYTES: _BYTES, Measure.SECONDS: _SECONDS}

METRICS = {
    "auc": "roc_auc",
    "roc_auc": "roc_auc",
    "accuracy": "accuracy",
    "brier": "brier",
    "log_loss": "log_loss",
    "rmse": "rmse",
    "mae": "mae",
}
"""Names of metric limits, and the metric that each is a loss of."""

MEASURES = {
    **dict.fromkeys(METRICS, Measure.METRIC_LOSS),
    "segment": Measure.METRIC_LOSS,
    "max_abs": Measure.DIFFERENCE,
    "mean_abs": Measure.DIFFERENCE,
    "flips": Measure.COUNT,
    "disk": Measure.BYTES,
    "rss": Measure.BYTES,
    "pss": Measure.BYTES,
    "load": Measure.SECONDS,
    "p50": Measure.SECONDS,
    "p99": Measure.SECONDS,
    "throughput": Measure.RATE,
}
LOSSES = (Measure.METRIC_LOSS, Measure.DIFFERENCE, Measure.COUNT)
SEGMENT_ALLOWANCE = 3.0
_BOUNDED_BY_ONE = ("auc", "roc_auc", "accuracy", "brier")
_LIMIT = re.compile(r"\s*([a-z_0-9]+)\s*(<=|>=)\s*([0-9.eE+-]+)\s*([A-Za-zµμ%]*)\s*")


class Limit(Record, frozen=True):
    """One limit in base units: bytes, seconds, rows per second, rows, or the metric's own.

    Every limit is a most, but ``throughput``, which is a least. ``words`` is as it was written.
    """

    name: str
    measure: Measure
    value: float
    words: str

    @property
    def metric(self) -> str | None:
        """The metric that it limits the loss of."""
        return METRICS.get(self.name)


class Budget(Record, frozen=True):
    """What a plan must keep to; an empty one allows lossless steps only."""

    limits: tuple[Limit, ...] = ()

    def __str__(self) -> str:
        return ",".join(limit.words for limit in self.limits)

    @property
    def lossy(self) -> bool:
        """Whether anything may be lost at all."""
        return any(limit.measure in LOSSES for limit in self.limits)

    @property
    def metrics(self) -> tuple[Limit, ...]:
        """The limits on what a metric may lose."""
        return tuple(limit for limit in self.limits if limit.metric)

    @property
    def segment(self) -> float | None:
        """The most that the first limited metric may lose in a segment.

        As stated by ``segment<=``, else three times what it may lose over all rows; None without a
        limited metric.
        """
        for limit in self.limits:
            if limit.name == "segment":
                return limit.value
        return SEGMENT_ALLOWANCE * self.metrics[0].value if self.metrics else None


def parse_budget(text: str) -> Budget:
    """Read a budget.

    Args:
        text: Limits with commas between them. ``auc``, ``accuracy``, ``brier``, ``log_loss``,
            ``rmse`` and ``mae`` limit what is lost of that metric, ``segment`` what any segment may
            lose of the first of them; ``max_abs`` and ``mean_abs`` limit differences of outputs,
            ``flips`` the rows whose decision changes; ``disk``, ``rss`` and ``pss`` take a unit from
            B to GiB, ``load``, ``p50`` and ``p99`` one from us to s; ``throughput>=`` is in rows per
            second. Empty: nothing may be lost.

    Raises:
        InvalidPlan: naming the limit that cannot be read, and what would be.

    >>> budget = parse_budget("auc<=0.002, rss<=500MB")
    >>> [(limit.name, limit.value) for limit in budget.limits]
    [('auc', 0.002), ('rss', 500000000.0)]
    """
    limits: list[Limit] = []
    for part in filter(None, (part.strip() for part in text.split(","))):
        limit = _limit(part)
        if limit.name in {known.name for known in limits}:
            raise _wrong(part, f"{limit.name} is limited twice.", "Keep one of the two.")
        limits.append(limit)
    budget = Budget(limits=tuple(limits))
    if any(limit.name == "segment" for limit in limits) and not budget.metrics:
        raise InvalidPlan(
            "segment limits what a segment may lose of a metric, but no metric is limited.",
            code="invalid_budget",
            path="budget.segment",
            hint="Add one, for example auc<=0.002.",
        )
    return budget


def _limit(part: str) -> Limit:
    found = _LIMIT.fullmatch(part)
    if found is None:
        raise _wrong(part, f"{part!r} is no limit.", "Write name<=value, such as auc<=0.002.")
    name, sign, number, unit = found.groups()
    measure = MEASURES.get(name)
    if measure is None:
        near = get_close_matches(name, MEASURES, 1)
        hint = f"Did you mean {near[0]}? " if near else ""
        raise _wrong(part, f"{name!r} cannot be limited.", f"{hint}Known: {', '.join(MEASURES)}.")
    least = measure is Measure.RATE
    if (sign == ">=") != least:
        raise _wrong(part, f"{name} is limited by {'>=' if least else '<='}.", "Turn the sign.")
    return Limit(name=name, measure=measure, value=_value(part, name, number, unit), words=part)


def _value(part: str, name: str, number: str, unit: str) -> float:
    try:
        value = float(number)
    except ValueError as error:
        raise _wrong(part, f"{number!r} is no number.", "Write one, such as 0.002.") from error
    if not math.isfinite(value) or value < 0.0:
        raise _wrong(part, f"{name} cannot be limited to {number}.", "A limit is 0 or more.")
    units = UNITS.get(MEASURES[name])
    if units is None:
        if unit:
            raise _wrong(part, f"{name} has no unit, but {unit!r} was given.", "Leave it out.")
        if name in _BOUNDED_BY_ONE and value > 1.0:
            raise _wrong(part, f"{name} lies in [0, 1]; {number} limits nothing.", "Lower it.")
        return value
    scale = {known.casefold(): scale for known, scale in units.items()}.get(unit.casefold())
    if scale is None:
        hint = f"Known: {', '.join(units)}."
        raise _wrong(
            part, f"{unit!r} is no unit of {name}." if unit else f"{name} needs a unit.", hint
        )
    if value == 0.0:
        raise _wrong(part, f"{name} cannot be 0.", "State what would be enough.")
    return value * scale


def _wrong(part: str, message: str, hint: str) -> InvalidPlan:
    name = re.split(r"[<>=\s]", part, maxsplit=1)[0] or part
    return InvalidPlan(message, code="invalid_budget", path=f"budget.{name}", hint=hint)
