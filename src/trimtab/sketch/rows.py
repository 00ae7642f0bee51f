"""Whole rows: how many of them repeat another one, from the rows of lowest hash."""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec
import numpy as np
import numpy.typing as npt
import xxhash

from trimtab.sketch.categories import name_of
from trimtab.sketch.numbers import scaled_bits
from trimtab.sketch.records import Binning, Coded, Column, Counted, IntArray
from trimtab.types import Array, Record

ROWS_KEPT = 1_024
_CHUNK = 16_384
_LOW = np.uint64(0xFFFF_FFFF)
_MISSING = np.uint32(0x7FC0_0000)

Hashes = npt.NDArray[np.uint64]


class RowSketch(msgspec.Struct, frozen=True, eq=False, kw_only=True):
    """A sample of the distinct rows: the 1,024 of lowest hash, with how often each occurs.

    ``hashes`` ascend. A row that is among the lowest of everything is among the lowest of every part
    that has it, so that merging is exact, in any order and grouping. ``full`` says that there may be
    more distinct rows than are kept.
    """

    rows: int
    hashes: IntArray
    counts: IntArray
    full: bool = False


class RepeatedRows(Record, frozen=True):
    """The share of rows that repeat an earlier one, in samples of ``rows``, and its standard error.

    ``estimated`` says that a sample of the distinct rows was counted and not all of them; ``blocks``,
    where it is not 0, that share and error are the mean and the spread over so many blocks of time.
    """

    rows: int
    share: float
    se: float
    estimated: bool = False
    blocks: int = 0


def repeated(found: RowSketch, most: int | None = None) -> RepeatedRows:
    """The share of rows that repeat another: ``1 - distinct / rows``.

    The more rows, the more of them repeat an earlier one. Kept at random with probability f, a row that
    occurs c times is still there with ``1 - (1 - f)^c``; so a share is brought down to fewer rows. The
    error is that of a ratio over the distinct rows in the sample.

    Args:
        found: At least one row.
        most: Of how many rows the share is to be, if there are more.

    Source:
        Hurlbert, 1971, Ecology 52 (rarefaction); Cochran, 1977, Sampling Techniques, 6.4 (the ratio).
        tests/property/test_repeated_rows.py measures both.

    >>> twice = RowSketch(rows=4, hashes=np.array([3, 5]), counts=np.array([3, 1]))
    >>> repeated(twice).share
    0.5
    """
    kept = 1.0 if most is None else min(1.0, most / max(found.rows, 1))
    counts = found.counts.astype(np.float64)
    there = 1 - (1 - kept) ** counts
    rows = max(kept * float(counts.sum()), 1.0)
    share = max(0.0, 1 - float(there.sum()) / rows)
    apart = there - (1 - share) * kept * counts
    size = max(1, round(kept * found.rows))
    error = float(np.square(apart).sum()) / rows**2 + 1 / size**2
    return RepeatedRows(rows=size, share=share, se=math.sqrt(error), estimated=found.full)


def sketch_rows(binnings: Sequence[Binning], columns: Sequence[Column]) -> RowSketch | None:
    """Count the distinct rows of lowest hash; None where columns are counts without rows.

    Two rows are equal where all their features are: numbers to the seven digits that a float32 keeps
    of their distance from the reference's median, and missing equals missing. Rows that differ have
    the same 64-bit hash with a chance of about 2^-32.

    Args:
        binnings: Each feature's.
        columns: Shape ``(rows,)`` each, as for ``sketch``.

    Source:
        Thorup, 2015, arXiv:1504.06804 (the sum of products is strongly universal); Cohen and Kaplan,
        2007, PODC (a sketch of the lowest hashes).
    """
    if any(isinstance(column, Counted) for column in columns):
        return None
    count = len(columns[0]) if columns else 0
    found = RowSketch(rows=0, hashes=np.empty(0, np.int64), counts=np.empty(0, np.int64))
    words = [_words(b, c) for b, c in zip(binnings, columns, strict=True)]
    for start in range(0, count, _CHUNK):
        part = slice(start, min(start + _CHUNK, count))
        hashes = _hashed(binnings, columns, words, part)
        size = len(hashes)
        if found.full:
            hashes = hashes[hashes <= found.hashes[-1]]
        distinct, counts = np.unique(hashes, return_counts=True)
        found = merge_rows(found, _lowest(size, distinct, counts, full=False))
    return found


def merge_rows(a: RowSketch, b: RowSketch) -> RowSketch:
    """The sketch of both inputs' rows together: exact, in any order and grouping."""
    both = np.concatenate((a.hashes, b.hashes))
    distinct, where = np.unique(both, return_inverse=True)
    counts = np.zeros(len(distinct), dtype=np.int64)
    np.add.at(counts, where, np.concatenate((a.counts, b.counts)))
    return _lowest(a.rows + b.rows, distinct, counts, full=a.full or b.full)


def _lowest(rows: int, distinct: IntArray, counts: IntArray, *, full: bool) -> RowSketch:
    return RowSketch(
        rows=rows,
        hashes=distinct[:ROWS_KEPT],
        counts=counts[:ROWS_KEPT].astype(np.int64),
        full=full or len(distinct) > ROWS_KEPT,
    )


def _hashed(
    binnings: Sequence[Binning],
    columns: Sequence[Column],
    words: Sequence[Hashes | None],
    part: slice,
) -> IntArray:
    """Each row's hash: the sum of its features' 32 bits, each times a number of 64, then mixed."""
    total = np.zeros(part.stop - part.start, dtype=np.uint64)
    for at, (binning, column) in enumerate(zip(binnings, columns, strict=True)):
        known = words[at]
        if known is not None:
            bits: Array = known[part]
        else:
            bits = scaled_bits(binning, np.asarray(column)[part])
            missing = np.isnan(bits.view(np.float32))
            if missing.any():
                bits[missing] = _MISSING
        total += np.multiply(bits, _multiplier(at), dtype=np.uint64)
    total ^= total >> np.uint64(32)
    total *= _multiplier(-2)
    total ^= total >> np.uint64(29)
    return (total >> np.uint64(1)).astype(np.int64)


def _words(binning: Binning, column: Column) -> Hashes | None:
    """The 32 bits of each category, 0 for missing; None for numbers, whose own bits are taken."""
    if isinstance(column, Coded):
        table = np.array([*map(_word, column.labels), 0], dtype=np.uint64)
        return table[np.maximum(column.codes, -1)]
    if binning.bits:
        return None
    seen: dict[object, int] = {}
    words = []
    for value in column.tolist():  # type: ignore[union-attr]  # counts were refused
        if value not in seen:
            missing = value is None or value != value  # noqa: PLR0124 - NaN
            seen[value] = 0 if missing else _word(name_of(value))
        words.append(seen[value])
    return np.array(words, dtype=np.uint64)


def _word(name: str) -> int:
    return (xxhash.xxh3_64_intdigest(name.encode("utf-8", "surrogatepass")) & int(_LOW)) | 1


def _multiplier(at: int) -> np.uint64:
    """An odd number of 64 bits for each feature's place, the same for ever."""
    return np.uint64(xxhash.xxh3_64_intdigest(f"trimtab row {at}".encode()) | 1)
