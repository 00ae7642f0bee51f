"""How inputs and thresholds become unsigned integers that compare in the same order.

A *slot* is a feature read in one way: which values are missing and whether they go left or right.
A row has one code for each slot, a node one code and a slot, and the row goes right exactly where
``code of the row > code of the node``. Two kinds of code:

- ranked: a node has the place of its threshold among the slot's sorted thresholds, a row the number
  of thresholds below its value. ``value <= threshold[r]`` if and only if ``rank(value) <= r``.
  Where splits are strict, a row has the number of thresholds at or below its value.
- direct, for models that round inputs to float32: both are the bits of the float32, turned so that
  they order as the numbers do; a threshold is first moved to the next float32.

A missing value has the least code, or the greatest where missing goes right. A categorical slot's
code is the category's place; one past the last stands for unknown values and two past for NaN.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt

from trimtab.compact.ensemble import NEAR_ZERO, CategorySet, Missing, Reading
from trimtab.types import Array, FloatArray

MISSING_KIND = 3
MISSING_RIGHT = 4
CATEGORICAL = 8
STRICT = 16
READING_SHIFT = 5
READINGS = (Reading.EXACT, Reading.TRUNCATE, Reading.FLOOR)
GREATEST = 0xFFFFFFFF

Codes = npt.NDArray[np.uint32]


def snapped(thresholds: FloatArray, *, strict: bool) -> npt.NDArray[np.float32]:
    """Float32 thresholds that decide as the given ones do on every float32 input.

    ``x <= t`` is ``x <= `` the next float32 at or below t, ``x < t`` is ``x <`` the next at or above.
    """
    with np.errstate(over="ignore"):
        near = thresholds.astype(np.float32)
    wrong = near < thresholds if strict else near > thresholds
    away = np.float32(np.inf if strict else -np.inf)
    return np.where(wrong, np.nextafter(near, away), near)


def direct_codes(thresholds: npt.NDArray[np.float32], *, strict: bool) -> Codes:
    """Codes of nodes for snapped thresholds; a strict one is the last code below its threshold."""
    return ordered(thresholds) - np.uint32(strict)


def ordered(values: Array) -> Codes:
    """The bits of float32 values, turned so that they order as the numbers do; -0 is 0."""
    bits = (values.astype(np.float32) + np.float32(0)).view(np.uint32)
    return np.where(bits >> 31, ~bits, bits | np.uint32(0x80000000))


def row_codes(values: FloatArray, how: int, table: Array, *, direct: bool) -> Codes:
    """Codes of one slot for a column of inputs that are rounded as the model rounds them.

    Args:
        values: Shape ``(rows,)``.
        how: The slot's bits.
        table: The slot's sorted thresholds, or its categories.
        direct: Whether numeric codes are direct.
    """
    if how & CATEGORICAL:
        return _category_codes(values, how, table)
    kind = how & MISSING_KIND
    absent = np.isnan(values)
    if kind == Missing.NEVER:
        values, absent = np.where(absent, 0.0, values), np.zeros(len(values), bool)
    elif kind == Missing.ZERO:
        absent |= np.abs(values) <= NEAR_ZERO
    if direct:
        codes = ordered(values)
    else:
        side: Literal["left", "right"] = "right" if how & STRICT else "left"
        codes = np.searchsorted(table, values, side=side).astype(np.uint32)
    codes[absent] = GREATEST if how & MISSING_RIGHT else 0
    return codes


def _category_codes(values: FloatArray, how: int, table: Array) -> Codes:
    reading = READINGS[how >> READING_SHIFT]
    read = values
    if reading is Reading.TRUNCATE:
        read = np.trunc(values)
    elif reading is Reading.FLOOR:
        read = np.floor(values)
    place = np.searchsorted(table, read, side="left")
    known = place < len(table)
    known[known] = table[place[known]] == read[known]
    codes = np.where(known, place, len(table))
    return np.where(np.isnan(values), len(table) + 1, codes).astype(np.uint32)


def set_words(split: CategorySet, categories: FloatArray) -> Codes:
    """A categorical split as bits by category code, 1 where it goes left."""
    left = np.zeros(-(-(len(categories) + 2) // 32) * 32, bool)
    left[: len(categories)] = np.isin(categories, list(split.left))
    left[len(categories) : len(categories) + 2] = split.other_left, split.missing_left
    return np.packbits(left, bitorder="little").view("<u4").astype(np.uint32)
