"""What can be wrong with one feature's values: one function a check."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from trimtab.quality.rates import all_alike, beyond_all, gap_p, more_often
from trimtab.quality.units import unit_change
from trimtab.sketch import CATEGORY_LIMIT, Binning, IntArray, Sketch, standardised, value_of
from trimtab.types import FeatureKind, FeatureSpec, FloatArray

_NAMED = 2


class Usual(NamedTuple):
    """What one feature's time blocks in the reference were like: seasons and weather are no faults.

    A block's values stay within ``low`` and ``high``, its 95 % point stays above ``bulk[0]`` and its 5 % point
    below ``bulk[1]``, in the feature's unit; ``constant`` of ``blocks`` had one value only; ``gap`` is the usual KS distance of a block from the others.
    ``p_value`` takes a drift statistic's name, a score and a window's rows: the probability that a block scores
    at least this.
    """

    blocks: int
    constant: int
    low: float
    high: float
    bulk: tuple[float, float]
    gap: float
    p_value: Callable[[str, float, int], float]


class Reference(NamedTuple):
    """One feature of the reference; ``usual`` where it is known in time blocks."""

    feature: FeatureSpec
    binning: Binning
    sketch: Sketch
    usual: Usual | None = None

    def noise(self, statistic: str, score: float, rows: int) -> float:
        """The probability that a time block scores at least this; 0 without blocks."""
        return self.usual.p_value(statistic, score, rows) if self.usual else 0.0


class Found(NamedTuple):
    """One check's finding: ``effect`` in [0, 1] counts from ``floor`` on."""

    check: str
    effect: float
    floor: float
    p_value: float
    words: str
    before: float
    now: float


def missing(reference: Reference, current: Sketch) -> Found:
    """More values are missing."""
    old, rows = reference.sketch, (reference.sketch.rows, current.rows)
    before, now = old.missing / max(rows[0], 1), current.missing / max(rows[1], 1)
    words = f"missing {percent(before)} → {percent(now)}"
    more = max(0.0, now - before)
    p = max(
        more_often((old.missing, current.missing), rows),
        reference.noise("missing_rate", more, current.rows),
    )
    return Found("missing", more, 0.02, p, words, before, now)


def new_categories(reference: Reference, current: Sketch) -> Found:
    """Categories that the reference does not have, or has among those too rare to be known by name."""
    old, rows = reference.sketch, (reference.sketch.present, current.present)
    before, now = old.unknown / max(rows[0], 1), current.unknown / max(rows[1], 1)
    ranked = sorted(current.fresh, key=lambda name: (-current.fresh[name], name))
    others = " and others" if len(ranked) > _NAMED or current.overflow else ""
    named = ", ".join(f"`{name}`" for name in ranked[:_NAMED]) + others
    words = f"new categories in {percent(now)} of rows: {named}"
    more, p = max(0.0, now - before), more_often((old.unknown, current.unknown), rows)
    often = max(current.fresh.values(), default=0)
    # None that the reference does not know by name was more frequent there than the least it knows.
    least = int(old.counts.min()) if len(old.counts) else max(1, old.unknown // CATEGORY_LIMIT)
    grown = often / max(rows[1], 1) - least / max(rows[0], 1)
    if grown > more:
        more, p = grown, min(1.0, len(current.fresh) * more_often((least, often), rows))
        words = f"`{ranked[0]}` is new or far more frequent, {percent(often / rows[1])} of rows"
    p = max(p, reference.noise("new_category", more, current.rows))
    return Found("new_category", more, 0.01, p, words, before, now)


def out_of_range(reference: Reference, current: Sketch) -> Found | None:
    """Numbers smaller or larger than any of the reference, and than its time blocks lead to expect."""
    old, usual = reference.sketch, reference.usual
    if not len(old.codes) or not len(current.codes):
        return None
    values = values_of(reference.binning, current.codes)
    low, high = values_of(reference.binning, old.codes[[0, -1]]).tolist()
    if usual:
        low, high = min(low, usual.low), max(high, usual.high)
        # Where single values may be, all of them may not.
        if values[-1] < usual.bulk[0]:
            low = usual.bulk[0]
        elif values[0] > usual.bulk[1]:
            high = usual.bulk[1]
    below, above = int(current.counts[values < low].sum()), int(current.counts[values > high].sum())
    rows = (old.present, current.present)
    share = (below + above) / max(rows[1], 1)
    p = min(1.0, 2 * min(beyond_all(below, rows), beyond_all(above, rows)))
    boundless = int(current.counts[~np.isfinite(values)].sum())
    words = (
        f"outside {_said(reference, low)} … {_said(reference, high)} in {percent(share)} of rows"
    )
    if boundless:
        words += f", infinite in {percent(boundless / max(rows[1], 1))}"
    return Found("out_of_range", share, 0.01, p, words, 0.0, share)


def constant(reference: Reference, current: Sketch) -> Found | None:
    """A feature that varied has one value only, and in no time block of the reference it had."""
    old, usual = reference.sketch, reference.usual
    if len(old.codes) < 2 or len(current.codes) + len(current.fresh) != 1 or current.overflow:
        return None
    code = int(current.codes[0]) if len(current.codes) else None
    had = int(old.counts[old.codes == code].sum()) if code is not None else 0
    share = had / max(old.present, 1)
    value = next(iter(current.fresh)) if code is None else _value(reference, code)
    p = all_alike(share, (old.present, current.present))
    if usual and usual.constant:
        p = max(p, (usual.constant + 1) / (usual.blocks + 1))
    return Found("constant", 1 - share, 0.02, p, f"is always {value}", share, 1.0)


def type_change(reference: Reference, current: Sketch, odd: int) -> Found:
    """Values of another type than the feature's."""
    share = odd / max(current.rows, 1)
    p = more_often((0, odd), (reference.sketch.rows, current.rows))
    wanted = "text" if reference.feature.kind is FeatureKind.CATEGORICAL else "a number"
    words = f"{percent(share)} of values are not {wanted}"
    return Found("type_change", share, 0.01, p, words, 0.0, share)


def unit(reference: Reference, current: Sketch) -> Found | None:
    """One factor or offset explains how the feature moved."""
    old = reference.sketch
    if reference.feature.kind is FeatureKind.BOOLEAN:
        return None
    gap = reference.usual.gap if reference.usual else 0.0
    found = unit_change(reference.binning, old, current, reference.feature.unit, gap)
    if found is None:
        return None
    p = max(
        gap_p(found.before, (old.present, current.present)),
        reference.noise("ks", found.before, current.rows),
    )
    return Found("unit_change", min(1.0, found.before), 0.1, p, found.words, 1.0, found.factor)


def checked(reference: Reference, current: Sketch, odd: int) -> Iterator[Found]:
    """All findings on one feature that apply to its kind."""
    yield missing(reference, current)
    yield type_change(reference, current, odd)
    if current.present and reference.sketch.present:
        if reference.binning.bits:
            yield from filter(None, (out_of_range(reference, current), unit(reference, current)))
        else:
            yield new_categories(reference, current)
        yield from filter(None, (constant(reference, current),))


def values_of(binning: Binning, codes: IntArray) -> FloatArray:
    """The middle of each numeric bin, in the feature's unit; infinite beyond all bins."""
    return binning.median + binning.scale * standardised(binning.bits, codes)


def _value(reference: Reference, code: int) -> str:
    if not reference.binning.bits:
        return f"`{reference.binning.categories[code]}`"
    return _said(reference, value_of(reference.binning, code))


def _said(reference: Reference, value: float) -> str:
    """A number with the feature's unit; whole for whole-numbered features."""
    if reference.feature.kind in {FeatureKind.INTEGER, FeatureKind.BOOLEAN}:
        value = float(np.rint(value))
    text = f"{value:,.0f}" if 1e3 <= abs(value) < 1e12 else f"{value:.4g}"
    return f"{text} {reference.feature.unit}" if reference.feature.unit else text


def percent(share: float) -> str:
    """A share as a percentage with at most two significant figures below ten."""
    value = 100 * share
    if value >= 10 or value == 0:
        return f"{value:.0f} %"
    return f"{value:.2g} %" if value >= 0.01 else "under 0.01 %"
