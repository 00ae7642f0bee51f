"""Records as columns: what all windows of one tick share."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from trimtab.recordtable import RecordTable, table_of
from trimtab.sketch import Binning, Coded, Column, IntArray
from trimtab.types import Array, FeatureKind, FloatArray, PredictionRecord, Scalar


class Batch(RecordTable):
    """The records of one tick, in the journal's order; converted to columns once for all windows.

    Args:
        records: Each prediction once.
    """

    def __init__(self, records: Iterable[PredictionRecord]) -> None:
        known = table_of(records)
        super().__init__(known.pieces, known.order)
        self._rows: dict[str, Rows] = {}

    def of(self, model: str) -> Rows:
        """The records of one model, of whatever version."""
        if model not in self._rows:
            self._rows[model] = Rows(self.of_model(model))
        return self._rows[model]


@dataclass
class Rows:
    """Some records of one model, and their columns."""

    records: RecordTable
    _versions: dict[int, VersionRows] = field(default_factory=dict)

    @property
    def times(self) -> FloatArray:
        """Each record's event time."""
        return self.records.floats("event_time")

    def of(self, version: int) -> VersionRows:
        """What a version answered itself; shadow predictions are left out."""
        if version not in self._versions:
            chosen = self.records.of_version(version)
            self._versions[version] = VersionRows(self.records.where(chosen), chosen)
        return self._versions[version]


class Read(NamedTuple):
    """A feature's column, and for how many rows the value was of another type than the feature's."""

    column: Array | Coded
    odd: Array


@dataclass
class VersionRows:
    """One version's records; ``rows`` are their places among the model's."""

    records: RecordTable
    rows: IntArray
    _read: dict[tuple[int, FeatureKind], Read] = field(default_factory=dict)
    _texts: dict[int, Array] = field(default_factory=dict)

    @property
    def times(self) -> FloatArray:
        """Each record's event time."""
        return self.records.floats("event_time")

    @property
    def scores(self) -> FloatArray:
        """Each record's score."""
        return self.records.floats("score")

    @cached_property
    def _withheld(self) -> Sequence[tuple[int, ...]]:
        return self.records.cells("withheld")

    def column(self, position: int, binning: Binning) -> Read:
        """One feature's values."""
        key = (position, binning.kind)
        if key not in self._read:
            categorical = binning.kind is FeatureKind.CATEGORICAL
            self._read[key] = (
                _categories(self.records.scalars(position))
                if categorical
                else _numbers(self.records, position)
            )
        return self._read[key]

    def withheld(self, places: IntArray, width: int) -> IntArray:
        """Of how many of some rows each feature's value was kept from the journal."""
        counts = np.zeros(width, dtype=np.int64)
        if any(self._withheld):
            for place in places.tolist():
                for at in self._withheld[place]:
                    counts[at] += 1
        return counts

    def texts(self, position: int) -> Array:
        """One feature's values as texts, None for missing: what segments are named by."""
        if position not in self._texts:
            texts = [_text(value) for value in self.records.scalars(position)]
            self._texts[position] = np.array(texts, dtype=object)
        return self._texts[position]


def take(read: Read, rows: IntArray) -> tuple[Column, int]:
    """Some rows of a column, and how many of them were of another type."""
    odd = int(np.count_nonzero(read.odd[rows])) if len(read.odd) else 0
    if isinstance(read.column, Coded):
        return Coded(labels=read.column.labels, codes=read.column.codes[rows]), odd
    return read.column[rows], odd


_NONE_ODD: Array = np.empty(0, dtype=bool)


def _numbers(records: RecordTable, position: int) -> Read:
    """What is no number in a numeric feature is missing, and odd."""
    numbers = records.numbers(position)
    return _odd(records.scalars(position)) if numbers is None else Read(numbers, _NONE_ODD)


def _odd(values: Sequence[Scalar]) -> Read:
    odd = np.array([value is not None and not _is_number(value) for value in values], dtype=bool)
    numbers = [float(value) if _is_number(value) else math.nan for value in values]  # type: ignore[arg-type]  # it is one
    return Read(np.array(numbers), odd)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float)


def _categories(values: Sequence[Scalar]) -> Read:
    codes: dict[Scalar, int] = {}
    found = np.fromiter((codes.setdefault(v, len(codes)) for v in values), np.int64, len(values))
    if all(map(_is_text, codes)):
        labels = tuple("" if value is None else str(value) for value in codes)
        if None in codes:
            found[found == codes[None]] = -1
        return Read(Coded(labels=labels, codes=found), _NONE_ODD)
    column = np.empty(len(values), dtype=object)
    column[:] = values
    return Read(column, np.array([not _is_text(value) for value in values], dtype=bool))


def _is_text(value: Scalar) -> bool:
    return value is None or isinstance(value, str)


def _text(value: Scalar) -> str | None:
    if value is None or value != value:  # noqa: PLR0124 - NaN
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    whole = isinstance(value, float) and value.is_integer()
    return str(int(value)) if whole else str(value)
