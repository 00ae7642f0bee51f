"""Reference profiles as few bytes: at most 20 KB for a hundred numeric features."""

from __future__ import annotations

import bz2
from collections.abc import Sequence

import msgspec
import numpy as np

from trimtab.drift.rounding import counts_of, steps_of
from trimtab.sketch import Binning, IntArray, Sketch
from trimtab.types import FeatureSpec, FloatArray


class Packed(msgspec.Struct, frozen=True, array_like=True):
    """One feature's binning and counts; numbers of rows as ``numbers`` writes them."""

    feature: FeatureSpec
    median: float
    scale: float
    bits: int
    categories: tuple[str, ...]
    rows: int
    missing: int
    fresh: dict[str, int]
    overflow: int
    gaps: bytes
    steps: bytes


def pack(feature: FeatureSpec, binning: Binning, found: Sketch) -> Packed:
    """A feature in few bytes; its sketch must be ``rounded``."""
    return Packed(
        feature=feature,
        median=binning.median,
        scale=binning.scale,
        bits=binning.bits,
        categories=binning.categories,
        rows=int(found.counts.sum()),
        missing=found.missing,
        fresh=dict(sorted(found.fresh.items())),
        overflow=found.overflow,
        gaps=numbers(np.diff(found.codes, prepend=0)),
        steps=numbers(steps_of(found) if found.bits else found.counts),
    )


def unpack(packed: Packed) -> tuple[Binning, Sketch]:
    """What ``pack`` took, equal in every count."""
    steps = from_numbers(packed.steps)
    binning = Binning(
        kind=packed.feature.kind,
        median=packed.median,
        scale=packed.scale,
        bits=packed.bits,
        categories=packed.categories,
    )
    found = Sketch(
        bits=packed.bits,
        codes=np.cumsum(from_numbers(packed.gaps)),
        counts=counts_of(steps, packed.rows) if packed.bits else steps,
        missing=packed.missing,
        fresh=packed.fresh,
        overflow=packed.overflow,
    )
    return binning, found


def squeezed(blob: bytes) -> bytes:
    """Bytes compressed: the gaps and steps of all features side by side are what costs."""
    return bz2.compress(blob)


def unsqueezed(blob: bytes) -> bytes:
    """What ``squeezed`` took.

    Raises:
        ValueError: these are no such bytes.
    """
    try:
        return bz2.decompress(blob)
    except OSError as wrong:
        raise ValueError(str(wrong)) from wrong


def numbers(values: IntArray | Sequence[int]) -> bytes:
    """Whole numbers as bytes: the lowest byte of each, then the next of each, as far as needed."""
    signed = np.asarray(values, dtype=np.int64)
    folded = (signed << 1) ^ (signed >> 63)
    width = max(1, (int(folded.max(initial=0)).bit_length() + 7) // 8)
    planes = folded.astype("<u8").view(np.uint8).reshape(-1, 8)[:, :width].T
    return bytes([width]) + planes.tobytes()


def from_numbers(blob: bytes) -> IntArray:
    """What ``numbers`` wrote."""
    width, planes = blob[0], np.frombuffer(blob, dtype=np.uint8, offset=1)
    wide = np.zeros((len(planes) // width, 8), dtype=np.uint8)
    wide[:, :width] = planes.reshape(width, -1).T
    folded = wide.reshape(-1).view("<u8").astype(np.int64)
    return (folded >> 1) ^ -(folded & 1)


def triangle(square: FloatArray | IntArray, unit: float) -> bytes:
    """A symmetric matrix in multiples of ``unit``; NaN is kept."""
    upper = np.asarray(square, dtype=np.float64)[np.triu_indices(len(square), 1)]
    known = np.isfinite(upper)
    steps = np.rint(np.where(known, upper, 0.0) / unit).astype(np.int64)
    return numbers(np.where(known, steps + (steps >= 0), 0))


def from_triangle(blob: bytes, size: int, unit: float) -> FloatArray:
    """What ``triangle`` wrote; 0 on the diagonal."""
    steps = from_numbers(blob).astype(np.float64)
    upper = np.where(steps == 0, np.nan, (steps - (steps > 0)) * unit)
    square = np.zeros((size, size))
    square[np.triu_indices(size, 1)] = upper
    return square + square.T
