"""What can be wrong with one feature's values: one function a check."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from trimtab.quality.rates import all_alike, beyond_all, gap_p, more_often
from trimtab.quality.units import unit_change
from trimtab.sketch import Binning, Sketch, standardised, value_of
from trimtab.types import FeatureKind, FeatureSpec

_NAMED = 2


class Reference(NamedTuple):
    """One feature of the reference."""

    feature: FeatureSpec
    binning: Binning
    sketch: Sketch


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
    p = more_often((old.missing, current.missing), rows)
    return Found("missing", max(0.0, now - before), 0.02, p, words, before, now)


def new_categories(reference: Reference, current: Sketch) -> Found:
    """Categories that the reference does not have."""
    old, rows = reference.sketch, (reference.sketch.present, current.present)
    before, now = old.unknown / max(rows[0], 1), current.unknown / max(rows[1], 1)
    ranked = sorted(current.fresh, key=lambda name: (-current.fresh[name], name))
    others = " and others" if len(ranked) > _NAMED or current.overflow else ""
    named = ", ".join(f"`{name}`" for name in ranked[:_NAMED]) + others
    words = f"new categories in {percent(now)} of rows: {named}"
    p = more_often((old.unknown, current.unknown), rows)
    return Found("new_category", max(0.0, now - before), 0.01, p, words, before, now)


def out_of_range(reference: Reference, current: Sketch) -> Found | None:
    """Numbers smaller or larger than any of the reference, or infinite."""
    old = reference.sketch
    if not len(old.codes) or not len(current.codes):
        return None
    below = int(current.counts[current.codes < old.codes[0]].sum())
    above = int(current.counts[current.codes > old.codes[-1]].sum())
    rows = (old.present, current.present)
    share = (below + above) / max(rows[1], 1)
    p = min(1.0, 2 * min(beyond_all(below, rows), beyond_all(above, rows)))
    low, high = (_value(reference, int(code)) for code in (old.codes[0], old.codes[-1]))
    infinite = ~np.isfinite(standardised(current.bits, current.codes))
    boundless = int(current.counts[infinite].sum())
    words = f"outside {low} … {high} in {percent(share)} of rows"
    if boundless:
        words += f", infinite in {percent(boundless / max(rows[1], 1))}"
    return Found("out_of_range", share, 0.01, p, words, 0.0, share)


def constant(reference: Reference, current: Sketch) -> Found | None:
    """A feature that varied has one value only."""
    old = reference.sketch
    if len(old.codes) < 2 or len(current.codes) + len(current.fresh) != 1 or current.overflow:
        return None
    code = int(current.codes[0]) if len(current.codes) else None
    had = int(old.counts[old.codes == code].sum()) if code is not None else 0
    share = had / max(old.present, 1)
    value = next(iter(current.fresh)) if code is None else _value(reference, code)
    p = all_alike(share, (old.present, current.present))
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
    found = unit_change(reference.binning, old, current, reference.feature.unit)
    if found is None:
        return None
    p = gap_p(found.before, (old.present, current.present))
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


def _value(reference: Reference, code: int) -> str:
    if not reference.binning.bits:
        return f"`{reference.binning.categories[code]}`"
    value = value_of(reference.binning, code)
    text = f"{value:,.0f}" if 1e3 <= abs(value) < 1e12 else f"{value:.4g}"
    return f"{text} {reference.feature.unit}" if reference.feature.unit else text


def percent(share: float) -> str:
    """A share as a percentage with at most two significant figures below ten."""
    value = 100 * share
    if value >= 10 or value == 0:
        return f"{value:.0f} %"
    return f"{value:.2g} %" if value >= 0.01 else "under 0.01 %"
