"""Columns as symbols: what each column of a matrix is made of, while a pipeline is read.

A converter takes the symbols of a transformer's input and answers those of its output. What a
transformer computes cell by cell stays a list of steps; what depends on a category becomes a
:class:`Cell`, which is a number for each code.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any

import numpy as np

from trimtab.compact.program import REFUSED
from trimtab.compact.steps import FUNCTIONS, change_of
from trimtab.errors import InvalidInput
from trimtab.types import FeatureKind


class Unsupported(Exception):
    """Why a part of a model cannot be compiled; it stays native."""


class Refuse(Enum):
    """What became of a value that a transformer refuses."""

    ROW = "row"


@dataclass(frozen=True, slots=True)
class Deed:
    """One step on one column: its name and numbers, as in ``trimtab.compact.steps``."""

    name: str
    numbers: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Number:
    """A numeric column: a source column, or a product, and the steps since."""

    base: int | Product
    steps: tuple[Deed, ...] = ()
    kind: FeatureKind = FeatureKind.NUMERIC
    gaps: bool = True
    wild: bool = False


@dataclass(frozen=True, slots=True)
class Product:
    """Two columns multiplied."""

    left: Column
    right: Column


@dataclass(frozen=True, slots=True)
class Text:
    """A column of text. ``changed`` is what single values became; all others are as they were.

    ``missing`` is how scikit-learn sees a missing value here: NaN or None.
    """

    source: int
    missing: Any
    changed: tuple[tuple[str | None, Any], ...] = ()

    def value(self, raw: str | None) -> Any:
        """What a raw value has become."""
        for key, value in self.changed:
            if key == raw:
                return value
        return self.missing if raw is None else raw


@dataclass(frozen=True, slots=True, eq=False)
class Coding:
    """Codes of a column: of text by ``keys``, of numbers likewise; -1 refuses."""

    column: Number | int
    keys: tuple[Any, ...]
    codes: tuple[int, ...]
    missing: int
    unknown: int

    @property
    def count(self) -> int:
        """How many codes there are."""
        return max((*self.codes, self.missing, self.unknown)) + 1


@dataclass(frozen=True, slots=True)
class Cell:
    """A number for each code: ``others`` by code, ``default`` for the rest."""

    coding: Coding
    default: float
    others: tuple[tuple[int, float], ...] = ()

    def value(self, code: int) -> float:
        """The number of a code."""
        return dict(self.others).get(code, self.default)


Column = Number | Text | Cell


@dataclass(frozen=True, slots=True)
class Matrix:
    """The columns that a transformer is given. ``names`` are empty where it gets an array."""

    columns: tuple[Column, ...]
    names: tuple[str, ...] = ()
    sparse: bool = False

    def pick(self, places: list[int]) -> Matrix:
        """Some of the columns."""
        names = tuple(self.names[place] for place in places) if self.names else ()
        return Matrix(tuple(self.columns[place] for place in places), names, self.sparse)


def then(column: Column, name: str, *numbers: float) -> Number | Cell:
    """The column after one step.

    Raises:
        Unsupported: it is text, or a category comes to a value that the step refuses.
    """
    if isinstance(column, Text):
        raise Unsupported("a numeric step is put on a column of text")
    if isinstance(column, Cell):
        values = np.array([[column.default, *(value for _, value in column.others)]])
        change = _change(name, len(numbers))
        try:
            change(values, [np.array([[number]]) for number in numbers])
        except InvalidInput as refusal:
            raise Unsupported("a category comes to a value that the next step refuses") from refusal
        first, *rest = values[0].tolist()
        codes = [code for code, _ in column.others]
        return Cell(column.coding, first, tuple(zip(codes, rest, strict=True)))
    gaps, wild = column.gaps, column.wild
    if name == "fill_nan":
        gaps = math.isnan(numbers[0])
    elif name in {"is_nan", "is_equal", "is_above", "finite"}:
        gaps = wild = False
    elif name == "not_infinite":
        wild = False
    elif name in FUNCTIONS:
        gaps = wild = True
    return replace(
        column,
        steps=(*column.steps, Deed(name, tuple(float(number) for number in numbers))),
        kind=FeatureKind.NUMERIC,
        gaps=gaps,
        wild=wild,
    )


def _change(name: str, numbers: int) -> Any:
    if name == "bins":

        def bins(block: Any, edges: Any) -> None:
            inner = np.array([float(edge[0, 0]) for edge in edges])
            block[...] = np.searchsorted(inner, block, side="right")

        return bins
    return change_of(name, numbers, 1, one=False)


def checked(column: Column, *, nan: bool) -> Column:
    """The column after scikit-learn's check of values: no infinity, and no NaN unless allowed."""
    if isinstance(column, Text):
        return column
    if isinstance(column, Cell):
        return then(column, "not_infinite" if nan else "finite")
    if column.gaps and not nan:
        return then(column, "finite")
    if column.wild:
        return then(column, "not_infinite")
    return column


def coded(column: Column, keys: list[Any], code_of: Any) -> Coding:
    """Codes for a column.

    Args:
        column: Text or numbers.
        keys: The values that have codes of their own: text, or finite numbers in rising order.
        code_of: The code of a value (a key, NaN, None, or an object that equals none of them).
    """
    if isinstance(column, Cell):
        old = column.coding
        new = [_safe(code_of, column.value(code)) if code >= 0 else REFUSED for code in old.codes]
        return Coding(
            old.column,
            old.keys,
            tuple(new),
            _safe(code_of, column.value(old.missing)) if old.missing >= 0 else REFUSED,
            _safe(code_of, column.value(old.unknown)) if old.unknown >= 0 else REFUSED,
        )
    stranger = object()
    if isinstance(column, Number):
        return Coding(
            column,
            tuple(keys),
            tuple(_safe(code_of, key) for key in keys),
            _safe(code_of, math.nan),
            _safe(code_of, stranger),
        )
    words = dict.fromkeys([*keys, *(raw for raw, _ in column.changed)])
    words.pop(None, None)
    return Coding(
        column.source,
        tuple(words),
        tuple(_safe(code_of, column.value(word)) for word in words),
        _safe(code_of, column.value(None)),
        _safe(code_of, stranger),
    )


def _safe(code_of: Any, value: Any) -> int:
    return REFUSED if value is Refuse.ROW else int(code_of(value))
