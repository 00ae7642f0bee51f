"""Numbers: a float's top bits are its bin."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from trimtab.sketch.records import COARSE_BITS, FINE_BITS, Binning, IntArray, Sketch
from trimtab.types import FeatureKind, FloatArray

_CHUNK = 65_536
_SPLIT_MASS = 0.01


def fit_numbers(kind: FeatureKind, values: FloatArray) -> Binning:
    """The binning of a reference column of numbers, NaN for missing.

    A feature without spread is scaled by the distance of its odd values from the median, or by the
    median itself, so that it is seen when it starts to vary. 16 bits are used when more than 1 % of
    the rows lie in one coarse bin that finer bins would tell apart.
    """
    finite = values[np.isfinite(values)]
    if not len(finite):
        return Binning(kind=kind)
    low, median, high = _quartiles(finite)
    scale = high - low
    if not scale:
        away = np.abs(finite - median)
        away = away[away > 0]
        scale = float(np.median(away)) if len(away) else abs(median)
    if not np.isfinite(scale) or scale < np.finfo(np.float64).tiny:
        scale = 1.0
    fine = Binning(kind=kind, median=median, scale=scale, bits=FINE_BITS)
    split = _largest_split(count_numbers(fine, values))
    bits = FINE_BITS if split > _SPLIT_MASS * len(finite) else COARSE_BITS
    return Binning(kind=kind, median=median, scale=scale, bits=bits)


def count_numbers(
    binning: Binning, values: FloatArray, ranks: tuple[FloatArray, FloatArray] | None = None
) -> Sketch:
    """Count numbers into bins; infinities and NaN are apart.

    Values further than 3e38 scales from the median count as infinite.

    Args:
        binning: From ``fit_numbers``.
        values: Shape ``(rows,)``.
        ranks: A table by raw code and an array of shape ``(rows,)`` to look up every value into.
    """
    size = 1 << binning.bits
    total: IntArray = np.empty(0, dtype=np.int64)
    for start in range(0, len(values), _CHUNK) or (0,):
        codes = raw_codes(binning, values[start : start + _CHUNK])
        counted: IntArray = np.bincount(codes, minlength=size)
        total = counted if not start else np.add(total, counted, out=total)
        if ranks is not None:
            # Every code is inside the table, so that clipping changes nothing: it saves a copy.
            ranks[0].take(codes, out=ranks[1][start : start + _CHUNK], mode="clip")
    half, infinite = landmarks(binning.bits)
    total[0] += total[half]
    total[half] = 0  # minus nothing
    # A comparison first: it is many times as fast as to look for numbers.
    found = np.flatnonzero(total != 0)
    # Raw codes ascend from 0 upwards, then from there downwards; each ends in those of NaN.
    first, last = np.searchsorted(found, (infinite + 1, half)).tolist()
    below = found[last : np.searchsorted(found, half + infinite + 1)][::-1]
    ordered: IntArray = np.concatenate((half - below, found[:first]))
    counts = total[np.concatenate((below, found[:first]))]
    missing = len(values) - int(counts.sum())
    return Sketch(bits=binning.bits, codes=ordered, counts=counts, missing=missing)


def raw_codes(binning: Binning, values: FloatArray) -> npt.NDArray[np.uint32]:
    """Each value's unordered bin: the top bits of its standardised float32."""
    return scaled_bits(binning, values) >> np.uint32(32 - binning.bits)


def scaled_bits(binning: Binning, values: FloatArray) -> npt.NDArray[np.uint32]:
    """The bits of each standardised value as a float32."""
    with np.errstate(over="ignore", invalid="ignore"):
        away = values - binning.median
        away *= 1.0 / binning.scale
        scaled = away.astype(np.float32)
    return scaled.view(np.uint32)


def standardised(bits: int, codes: IntArray) -> FloatArray:
    """The middle of each numeric bin, in scales from the median; shape of ``codes``."""
    _, infinite = landmarks(bits)
    size = np.minimum(np.abs(codes), infinite)
    low = _edge(bits, size)
    high = _edge(bits, np.minimum(size + 1, infinite))
    middle = np.where(np.isfinite(high), (low + high) / 2, low)
    return np.sign(codes) * np.where(size == 0, 0.0, middle)


def quantile(binning: Binning, summary: Sketch, share: float) -> float:
    """The value below which about ``share`` of the rows lie, in the feature's unit; NaN if none.

    Its error is at most 1/64 of its distance from the reference's median (1/256 at 16 bits).
    """
    if not len(summary.codes):
        return float("nan")
    through = np.cumsum(summary.counts)
    at = int(np.searchsorted(through, share * through[-1]))
    code = summary.codes[min(at, len(through) - 1)]
    return value_of(binning, int(code))


def value_of(binning: Binning, code: int) -> float:
    """A numeric code as a value in the feature's unit; whole numbers for whole-numbered features."""
    middle = float(standardised(binning.bits, np.array([code], dtype=np.int64))[0])
    value = binning.median + binning.scale * middle
    whole = binning.kind in {FeatureKind.INTEGER, FeatureKind.BOOLEAN}
    return float(np.rint(value)) if whole else value


def landmarks(bits: int) -> tuple[int, int]:
    """How many codes have no sign, and which of them is infinity; those above are NaN."""
    return 1 << (bits - 1), 0xFF << (bits - 9)


def _quartiles(finite: FloatArray) -> tuple[float, float, float]:
    with np.errstate(over="ignore", invalid="ignore"):
        low, median, high = np.quantile(finite, (0.25, 0.5, 0.75)).tolist()
    return low, median, high


def _edge(bits: int, codes: IntArray) -> FloatArray:
    raw = codes.astype(np.uint32) << np.uint32(32 - bits)
    return raw.view(np.float32).astype(np.float64)


def _largest_split(fine: Sketch) -> int:
    """The most rows of one coarse bin that lie outside that bin's heaviest fine bin."""
    coarse = np.sign(fine.codes) * (np.abs(fine.codes) >> (FINE_BITS - COARSE_BITS))
    starts = np.flatnonzero(np.diff(coarse, prepend=coarse[:1] - 1))
    if not len(starts):
        return 0
    sums = np.add.reduceat(fine.counts, starts)
    return int((sums - np.maximum.reduceat(fine.counts, starts)).max())
