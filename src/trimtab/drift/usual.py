"""What a feature's values are like in each time block of the reference: what a fault must differ from."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy.special import stdtrit

from trimtab.drift.blockwise import block_length, independent
from trimtab.sketch import Binning, Sketch, standardised
from trimtab.types import FloatArray, Record

_BEYOND = 1e-6
_FAR = 1e30


class Usual(Record, frozen=True):
    """A feature's time blocks, ``blocks`` of them with values.

    Of one block in a million, the smallest value is below ``low`` or the largest above ``high``, and 95 % of
    the values are below ``bulk[0]`` or above ``bulk[1]``; in the feature's unit, infinite for categories.
    In ``constant`` of the blocks there was one value only.
    """

    blocks: int
    constant: int
    low: float = -math.inf
    high: float = math.inf
    bulk: tuple[float, float] = (-math.inf, math.inf)


def usual_of(binning: Binning, parts: Sequence[Sketch]) -> Usual | None:
    """The usual course of a feature; None without blocks.

    Quantiles and extremes of blocks are taken as normal: their mean and spread over as many independent
    blocks as they are worth give the limits, by a t tail.

    Args:
        binning: The feature's.
        parts: A sketch a block, in the order of time.
    """
    parts = [part for part in parts if part.present]
    if not parts:
        return None
    constant = sum(len(part.codes) + len(part.fresh) + (part.overflow > 0) == 1 for part in parts)
    known = [_course(binning, part) for part in parts if binning.bits and len(part.codes)]
    if len(known) < 2:
        return Usual(blocks=len(parts), constant=constant)
    lows, fives, nineties, highs = np.transpose(known)
    return Usual(
        blocks=len(parts),
        constant=constant,
        low=min(_limits(lows)[0], _as_far_again(lows, lows.min())),
        high=max(_limits(highs)[1], _as_far_again(highs, highs.max())),
        bulk=(_limits(nineties)[0], _limits(fives)[1]),
    )


def _course(binning: Binning, part: Sketch) -> FloatArray:
    """A block's smallest value, its 5 % and 95 % points, and its largest; finite."""
    shares = np.cumsum(part.counts) / part.counts.sum()
    at = np.searchsorted(shares, [0.0, 0.05, 0.95, 1.0 - 1e-12])
    places = standardised(binning.bits, part.codes)
    return binning.median + binning.scale * np.clip(places[at], -_FAR, _FAR)


def _as_far_again(series: FloatArray, extreme: float) -> float:
    """Beyond the extreme as far as it is from the mean: room for series with rare, large values."""
    return float(2 * extreme - series.mean())


def _limits(series: FloatArray) -> tuple[float, float]:
    """Between what a value of the series stays, but one in a million on either side."""
    worth = max(independent(series, block_length(series)), 2.0)
    apart = float(stdtrit(worth - 1, 1 - _BEYOND)) * math.sqrt(1 + 1 / worth)
    mean, spread = float(series.mean()), float(series.std(ddof=1))
    return mean - apart * spread, mean + apart * spread
