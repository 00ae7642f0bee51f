"""Records as columns: what all windows of one tick share."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from operator import attrgetter
from typing import Any, NamedTuple

import numpy as np

from trimtab.sketch import Binning, Coded, Column, IntArray
from trimtab.types import Array, FeatureKind, FloatArray, PredictionRecord, Scalar


class Batch(list[PredictionRecord]):
    """The records of one tick, in the journal's order; converted to columns once for all windows.

    Args:
        records: Each prediction once.
    """

    def __init__(self, records: Iterable[PredictionRecord]) -> None:
        super().__init__(records)
        self._models: dict[str, Rows] = {}

    def of(self, model: str) -> Rows:
        """The records of one model, of whatever version."""
        if model not in self._models:
            self._models[model] = Rows([record for record in self if record.model == model])
        return self._models[model]


@dataclass
class Rows:
    """Some records of one model, and their columns."""

    records: Sequence[PredictionRecord]
    _versions: dict[int, VersionRows] = field(default_factory=dict)

    @cached_property
    def times(self) -> FloatArray:
        """Each record's event time."""
        return _floats(map(attrgetter("event_time"), self.records), len(self.records))

    def of(self, version: int) -> VersionRows:
        """What a version answered itself; shadow predictions are left out."""
        if version not in self._versions:
            chosen = [
                row
                for row, record in enumerate(self.records)
                if record.version == version and not record.shadow
            ]
            self._versions[version] = VersionRows(
                [self.records[row] for row in chosen], np.array(chosen, dtype=np.int64)
            )
        return self._versions[version]


class Read(NamedTuple):
    """A feature's column, and for how many rows the value was of another type than the feature's."""

    column: Array | Coded
    odd: Array


@dataclass
class VersionRows:
    """One version's records; ``rows`` are their places among the model's."""

    records: Sequence[PredictionRecord]
    rows: IntArray
    _read: dict[tuple[int, FeatureKind], Read] = field(default_factory=dict)
    _texts: dict[int, Array] = field(default_factory=dict)

    @cached_property
    def scores(self) -> FloatArray:
        """Each record's score."""
        return _floats(map(attrgetter("score"), self.records), len(self.records))

    @cached_property
    def _values(self) -> list[tuple[Scalar, ...]]:
        return list(zip(*map(attrgetter("values"), self.records), strict=True))

    def _of(self, position: int) -> Sequence[Scalar]:
        return self._values[position] if len(self.rows) else ()

    def column(self, position: int, binning: Binning) -> Read:
        """One feature's values."""
        key = (position, binning.kind)
        if key not in self._read:
            values = self._of(position)
            categorical = binning.kind is FeatureKind.CATEGORICAL
            self._read[key] = _categories(values) if categorical else _numbers(values)
        return self._read[key]

    def withheld(self, places: IntArray, width: int) -> IntArray:
        """Of how many of some rows each feature's value was kept from the journal."""
        counts = np.zeros(width, dtype=np.int64)
        for place in places.tolist():
            for at in self.records[place].withheld:
                counts[at] += 1
        return counts

    def texts(self, position: int) -> Array:
        """One feature's values as texts, None for missing: what segments are named by."""
        if position not in self._texts:
            texts = [_text(value) for value in self._of(position)]
            self._texts[position] = np.array(texts, dtype=object)
        return self._texts[position]


def take(read: Read, rows: IntArray) -> tuple[Column, int]:
    """Some rows of a column, and how many of them were of another type."""
    odd = int(np.count_nonzero(read.odd[rows])) if len(read.odd) else 0
    if isinstance(read.column, Coded):
        return Coded(labels=read.column.labels, codes=read.column.codes[rows]), odd
    return read.column[rows], odd


def _floats(values: Iterable[float], count: int) -> FloatArray:
    return np.fromiter(values, np.float64, count)


_NONE_ODD: Array = np.empty(0, dtype=bool)


def _numbers(values: Sequence[Scalar]) -> Read:
    """What is no number in a numeric feature is missing, and odd."""
    try:
        return (
            Read(np.array(values, dtype=np.float64), _NONE_ODD) if _plain(values) else _odd(values)
        )
    except (TypeError, ValueError):
        return _odd(values)


def _plain(values: Sequence[Scalar]) -> bool:
    # NumPy reads '3' as 3.0, and a journal may hold texts that an earlier signature allowed.
    return str not in set(map(type, values))


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
