"""Rows that repeat another row in every feature, under whatever prediction ids."""

from __future__ import annotations

import math

from scipy.special import ndtr, stdtr

from trimtab.quality.checks import percent
from trimtab.sketch import RepeatedRows, RowSketch, repeated
from trimtab.types import Comparison

DUPLICATE_ROWS = "duplicate_rows"
_FLOOR = 0.02
_Z = 1.959963984540054


def repeated_rows(reference: RepeatedRows, current: RowSketch) -> Comparison:
    """Whether more rows repeat another than in the reference; both are samples.

    A window of more rows than the reference (or, where there are, than one of its time blocks) is
    brought down to as many, since more rows repeat more often. Smaller ones are given no credit for
    their size: it is not known whether the reference's repeats lay close together.

    Args:
        reference: Its share.
        current: The window's distinct rows; at least one.
    """
    whole, alike = repeated(current), repeated(current, reference.rows)
    effect = max(0.0, alike.share - reference.share)
    z = effect / math.hypot(alike.se, reference.se)
    p = float(stdtr(reference.blocks - 1, -z)) if reference.blocks else float(ndtr(-z))
    low, high = max(0.0, whole.share - _Z * whole.se), min(1.0, whole.share + _Z * whole.se)
    said = f"{percent(whole.share)} of rows repeat another row"
    if whole.estimated:
        said = f"an estimated {said} ({percent(low)} to {percent(high)})"
    return Comparison(
        name=DUPLICATE_ROWS,
        statistic=DUPLICATE_ROWS,
        score=effect,
        noise_floor=0.0,
        floor=_FLOOR,
        p_value=p if effect else 1.0,
        words=f"{said}, {percent(reference.share)} in the reference",
        reference_value=reference.share,
        current_value=whole.share,
        interval=(low, high) if whole.estimated else None,
        estimated=whole.estimated,
    )
