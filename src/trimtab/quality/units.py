"""A change of unit: one factor or offset that explains how a feature moved, named in words."""

from __future__ import annotations

import math
from collections.abc import Iterable
from copy import copy
from operator import itemgetter
from typing import NamedTuple

import numpy as np

from trimtab.sketch import Binning, Sketch, standardised
from trimtab.types import FloatArray

MATERIAL = 0.1
_LEAST_ROWS = 100
_EXPLAINED = 0.3
_LEFT_OVER = 0.1
_FAR_BETTER = 0.1
_LEAST_FACTOR = 1.5
_SURE = 1.63
_BINNED = 0.002
_APART = 0.9
_MIXED = 0.1
_SHARES = np.linspace(0.05, 0.95, 19)


class Unit(NamedTuple):
    """A known pair: ``now = factor · before + offset``."""

    before: str
    now: str
    factor: float
    offset: float = 0.0

    @property
    def back(self) -> Unit:
        """The pair the other way round."""
        return Unit(self.now, self.before, 1 / self.factor, -self.offset / self.factor)


_PAIRS = (
    Unit("miles", "km", 1.609344),
    Unit("feet", "metres", 0.3048),
    Unit("inches", "cm", 2.54),
    Unit("pounds", "kg", 0.45359237),
    Unit("gallons", "litres", 3.785411784),
    Unit("ounces", "g", 28.349523125),
    Unit("knots", "km/h", 1.852),
    Unit("°C", "°F", 1.8, 32.0),
    Unit("°C", "K", 1.0, 273.15),
    Unit("hours", "minutes", 60.0),
    Unit("minutes", "seconds", 60.0),
    Unit("hours", "seconds", 3_600.0),
    Unit("days", "hours", 24.0),
    Unit("weeks", "days", 7.0),
    Unit("years", "days", 365.25),
    Unit("years", "months", 12.0),
    Unit("shares", "percent", 100.0),
    Unit("thousands", "units", 1_000.0),
    Unit("millions", "units", 1_000_000.0),
    Unit("one sign", "the other", -1.0),
)
_SPELLED = {
    "mile": "miles", "mi": "miles", "kilometre": "km", "kilometer": "km", "kilometres": "km",
    "foot": "feet", "ft": "feet", "metre": "metres", "meter": "metres", "meters": "metres",
    "m": "metres", "inch": "inches", "in": "inches", "pound": "pounds", "lb": "pounds",
    "gallon": "gallons", "litre": "litres", "liter": "litres", "l": "litres", "knot": "knots",
    "hour": "hours", "h": "hours", "minute": "minutes", "min": "minutes", "second": "seconds",
    "s": "seconds", "day": "days", "week": "weeks", "year": "years", "month": "months",
    "c": "°C", "f": "°F", "k": "K", "celsius": "°C", "fahrenheit": "°F", "kelvin": "K",
    "share": "shares", "%": "percent",
}  # fmt: skip


class UnitChange(NamedTuple):
    """``now = factor · before + offset`` explains the change.

    ``before`` and ``after`` undoing it are the Kolmogorov-Smirnov distances. ``known`` is the pair of
    units with that map, if there is one. ``share`` of the rows, in (0, 1], have changed.
    """

    factor: float
    offset: float
    before: float
    after: float
    known: Unit | None
    share: float = 1.0

    @property
    def words(self) -> str:
        """``looks like km instead of miles: ×1.609 (KS 0.41, 0.01 after undoing it)``."""
        named = (
            f"looks like {self.known.now} instead of {self.known.before}: " if self.known else ""
        )
        where = f" in {100 * self.share:.0f} % of rows" if self.share < 1 else ""
        return (
            f"{named}{self._map}{where} (KS {self.before:.2f}, {self.after:.2f} after undoing it)"
        )

    @property
    def _map(self) -> str:
        offset = f"{self.offset:+.4g}".replace("-", "−") if self.offset else ""
        factor = f"×{self.factor:.4g}".replace("-", "−") if self.factor != 1 else ""
        return f"{factor}{' ' if factor and offset else ''}{offset}"


def unit_change(
    binning: Binning,
    reference: Sketch,
    current: Sketch,
    unit: str | None = None,
    gap: float = 0.0,
) -> UnitChange | None:
    """The map that explains how a numeric feature moved; None if it did not, or none does.

    Known pairs of units are tried first, then a factor and an offset fitted to the quantiles. A map
    explains a change if undoing it leaves at most 0.1 of KS distance (or what time blocks differ by anyway)
    and 30 % of what there was. A pair
    that the feature's unit does not suggest has to leave no more than noise (1 % of a KS test's null, or
    what time blocks differ by anyway if that is a tenth of the change), since among so many pairs one is
    always near; a fitted map no more than the null's.

    Where no map explains all rows, a known pair may explain a part of them: a sender of several, or the
    hour in which it began. It is named only if its two units hardly overlap, and if what is left is
    no more than noise and a tenth of what there was.

    Args:
        binning: The feature's.
        reference: Its values in the reference.
        current: Its values in the window.
        unit: What the feature is said to be measured in; pairs from that unit are preferred.
        gap: The usual KS distance of a time block of the reference from the others.
    """
    if min(reference.present, current.present) < _LEAST_ROWS or not binning.bits:
        return None
    before, now = _Spread(binning, reference), _Spread(binning, current)
    moved = before.distance(now, 1.0, 0.0)
    if moved < MATERIAL:
        return None
    limit = min(_LEFT_OVER, _EXPLAINED * moved)
    spread = math.sqrt(1 / reference.present + 1 / current.present)
    pairs, suggested = _known(unit)
    exact = min(limit, _SURE * spread + _BINNED)
    alike = max(exact, min(gap, _FAR_BETTER * moved))
    said = max(limit, min(gap, _EXPLAINED * moved))
    limits = (said if suggested else min(limit, alike), exact)
    found = [
        UnitChange(pair.factor, pair.offset, moved, left, pair if pair.now else None)
        for (left, pair), most in zip(
            (_best(pairs, before, now), _best(_fitted(before, now), before, now)),
            limits,
            strict=True,
        )
        if left <= most
    ]
    # A known pair is named unless the fit is better by more than noise.
    noise = 0.6 * spread
    whole = min(found, key=lambda one: one.after + noise * (one.known is None), default=None)
    return whole or _mixed(pairs, before, now, moved, min(exact, _MIXED * moved))


class _Spread:
    """A sketch's distribution function, linear between the middles of its bins."""

    def __init__(self, binning: Binning, found: Sketch) -> None:
        places = standardised(binning.bits, found.codes)
        finite = np.isfinite(places)
        self.values: FloatArray = binning.median + binning.scale * places[finite]
        counts = found.counts[finite]
        rows = max(int(counts.sum()), 1)
        # The middle of a step: values that repeat do not count as a gap of their own.
        self.shares: FloatArray = (np.cumsum(counts) - counts / 2) / rows

    def quantiles(self) -> FloatArray:
        """The values at 19 shares."""
        return np.interp(_SHARES, self.shares, self.values)

    def mapped(self, pair: Unit) -> _Spread:
        """What it is in another unit."""
        found = copy(self)
        found.values, found.shares = pair.factor * self.values + pair.offset, self.shares
        if pair.factor < 0:
            found.values, found.shares = found.values[::-1], 1 - found.shares[::-1]
        return found

    def at(self, values: FloatArray) -> FloatArray:
        """The share of rows at or below each value."""
        return np.interp(values, self.values, self.shares, 0.0, 1.0)

    def distance(self, now: _Spread, factor: float, offset: float) -> float:
        """The largest gap once ``now`` is mapped back; 1 without values."""
        if not len(self.values) or not len(now.values):
            return 1.0
        undone, shares = (now.values - offset) / factor, now.shares
        if factor < 0:
            undone, shares = undone[::-1], 1 - shares[::-1]
        there = np.abs(np.interp(undone, self.values, self.shares, 0.0, 1.0) - shares).max()
        back = np.abs(np.interp(self.values, undone, shares, 0.0, 1.0) - self.shares).max()
        return float(max(there, back))


def _best(pairs: Iterable[Unit], before: _Spread, now: _Spread) -> tuple[float, Unit]:
    found = [(before.distance(now, pair.factor, pair.offset), pair) for pair in pairs]
    return min(found, key=itemgetter(0), default=(math.inf, Unit("", "", 1.0)))


def _mixed(
    pairs: Iterable[Unit], before: _Spread, now: _Spread, moved: float, most: float
) -> UnitChange | None:
    """The pair that explains a part of the rows best, if what is left is at most ``most``.

    ``now = (1 - share) · before + share · mapped``, with the share read where both are furthest apart.
    """
    found: list[UnitChange] = []
    for pair in pairs if len(before.values) and len(now.values) else ():
        mapped = before.mapped(pair)
        values = np.concatenate((before.values, mapped.values, now.values))
        old, there = before.at(values), now.at(values)
        gap = mapped.at(values) - old
        widest = int(np.abs(gap).argmax())
        share = float((there - old)[widest] / gap[widest]) if gap[widest] else 0.0
        left = float(np.abs(there - old - share * gap).max())
        if abs(gap[widest]) >= _APART and 0 < share < 1 and left <= most:
            found.append(UnitChange(pair.factor, pair.offset, moved, left, pair, share))
    return min(found, key=lambda one: one.after, default=None)


def _known(unit: str | None) -> tuple[list[Unit], bool]:
    """Known pairs, only those from the feature's unit if there are any; and whether there are."""
    every = [one for pair in _PAIRS for one in (pair, pair.back)]
    said = (unit or "").strip().lower()
    spelled = _SPELLED.get(said, unit)
    own = [pair for pair in every if pair.before == spelled]
    return own or every, bool(own)


def _fitted(before: _Spread, now: _Spread) -> list[Unit]:
    """One factor alone, and one offset alone, that are too large to be a shift of usual size."""
    a, b = before.quantiles(), now.quantiles()
    maps: list[Unit] = []
    if np.square(a).sum() > 0:
        factor = float((a * b).sum() / np.square(a).sum())
        if factor and not 1 / _LEAST_FACTOR < abs(factor) < _LEAST_FACTOR:
            maps.append(Unit("", "", factor))
    offset = float(np.median(b - a))
    if abs(offset) > a[-1] - a[0]:
        maps.append(Unit("", "", 1.0, offset))
    return maps
