"""What changed in a feature, in words for people."""

from __future__ import annotations

import numpy as np

from trimtab.drift.cells import aligned
from trimtab.drift.profile import FeatureProfile
from trimtab.sketch import Sketch, quantile, value_of
from trimtab.types import Comparison, FeatureKind

_NAMED = 2


def describe(profile: FeatureProfile, comparison: Comparison, current: Sketch) -> str:
    """One phrase on what the comparison found, such as ``median 38 → 71.6 °F``."""
    match comparison.statistic:
        case "missing_rate":
            before, now = comparison.reference_value or 0.0, comparison.current_value or 0.0
            return f"missing {percent(before)} → {percent(now)}"
        case "new_category":
            return _new_categories(profile, current)
        case "constant_changed":
            value = _number(profile.binning.median, profile)
            return f"was always {value}, differs in {percent(comparison.score)} of rows"
        case _ if not (current.present and profile.sketch.present):
            return "no values to compare"
        case _ if profile.binning.bits:
            return _numeric(profile, current)
        case _:
            return _categorical(profile, current)


def percent(share: float) -> str:
    """A share as a percentage with at most two significant figures below ten."""
    value = 100 * share
    if value >= 10 or value == 0:
        return f"{value:.0f} %"
    return f"{value:.2g} %" if value >= 0.01 else "under 0.01 %"


def _numeric(profile: FeatureProfile, current: Sketch) -> str:
    binning = profile.binning
    if profile.feature.kind is FeatureKind.BOOLEAN:
        before, now = _share_true(profile, profile.sketch), _share_true(profile, current)
        return f"true {percent(before)} → {percent(now)}"
    before, now = binning.median, quantile(binning, current, 0.5)
    if abs(now - before) > binning.scale / 10:
        unit = f" {profile.feature.unit}" if profile.feature.unit else ""
        return f"median {_digits(before)} → {_digits(now)}{unit}"
    codes, a, b = aligned(profile.sketch, current)
    below, above = np.cumsum(a) / a.sum(), np.cumsum(b) / b.sum()
    at = int(np.abs(below - above).argmax())
    value = _number(value_of(binning, int(codes[at])), profile)
    return f"at most {value}: {percent(below[at])} → {percent(above[at])} of rows"


def _share_true(profile: FeatureProfile, found: Sketch) -> float:
    values = [value_of(profile.binning, int(code)) for code in found.codes]
    true = sum(int(n) for value, n in zip(values, found.counts, strict=True) if value > 0)
    return true / max(found.present, 1)


def _categorical(profile: FeatureProfile, current: Sketch) -> str:
    codes, a, b = aligned(profile.sketch, current)
    if not len(codes):
        return _new_categories(profile, current)
    before, now = a / max(profile.sketch.present, 1), b / max(current.present, 1)
    at = int(np.abs(now - before).argmax())
    name = profile.binning.categories[codes[at]]
    return f"`{name}` {percent(before[at])} → {percent(now[at])}"


def _new_categories(profile: FeatureProfile, current: Sketch) -> str:
    codes, a, b = aligned(profile.sketch, current)
    counts = {
        profile.binning.categories[code]: int(b[at]) for at, code in enumerate(codes) if not a[at]
    }
    counts |= current.fresh
    ranked = sorted(counts, key=lambda name: (-counts[name], name))
    rows = sum(counts.values()) + current.overflow
    share = f"{percent(rows / max(current.present, 1))} of rows"
    named = ", ".join(f"`{name}`" for name in ranked[:_NAMED])
    if len(ranked) == 1 and not current.overflow:
        return f"{named} is new, {share}"
    if len(ranked) <= _NAMED and not current.overflow:
        return f"{named} are new, {share}"
    return f"{named} and others are new, {share}"


def _number(value: float, profile: FeatureProfile) -> str:
    unit = profile.feature.unit
    return f"{_digits(value)} {unit}" if unit else _digits(value)


def _digits(value: float) -> str:
    if not np.isfinite(value) or abs(value) >= 1e12:
        return f"{value:.3g}"
    return f"{value:,.0f}" if abs(value) >= 1_000 else f"{value:.3g}"
