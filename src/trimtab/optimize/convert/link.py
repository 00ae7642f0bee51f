"""Symbols to a row program: columns with the same steps become one block of registers."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from trimtab.compact.program import (
    Codes,
    Hot,
    Load,
    Operation,
    Program,
    Step,
    Table,
    Times,
    numbers,
    places,
)
from trimtab.optimize.convert.symbols import Cell, Coding, Column, Number, Text, Unsupported

MAX_TABLE = 4_000_000
"""The most numbers in one table of codes."""


def linked(columns: Sequence[Column]) -> Program:
    """The program whose output are these columns, in order.

    Raises:
        Unsupported: a column is text still.
    """
    if not columns:
        raise Unsupported("the preprocessing keeps no column")
    return _Linker().program(columns)


class _Linker:
    def __init__(self) -> None:
        self._operations: list[Operation] = []
        self._registers = 0
        self._where: dict[Column, int] = {}
        self._slots: dict[Coding, int] = {}

    def program(self, columns: Sequence[Column]) -> Program:
        for level in _levels(columns):
            self._numbers([column for column in level if isinstance(column, Number)])
            self._cells([column for column in level if isinstance(column, Cell)])
        output = [self._where[column] for column in columns]
        return Program(
            registers=self._registers,
            operations=tuple(self._operations),
            output=places(output),
        )

    def _take(self, count: int) -> int:
        first = self._registers
        self._registers += count
        return first

    def _numbers(self, columns: Sequence[Number]) -> None:
        blocks: dict[Any, list[Number]] = defaultdict(list)
        for column in columns:
            blocks[_shape(column)].append(column)
        for block in blocks.values():
            first = self._take(len(block))
            self._operations.append(self._begin(first, block))
            self._steps(first, block)
            for register, column in enumerate(block, first):
                self._where[column] = register

    def _begin(self, first: int, block: Sequence[Number]) -> Operation:
        products = [column.base for column in block if not isinstance(column.base, int)]
        if not products:
            return Load(first=first, sources=places([column.base for column in block]))
        return Times(
            first=first,
            left=places([self._where[product.left] for product in products]),
            right=places([self._where[product.right] for product in products]),
        )

    def _steps(self, first: int, block: Sequence[Number]) -> None:
        for deeds in zip(*(column.steps for column in block), strict=True):
            name = deeds[0].name
            if name == "bins":
                given = tuple(numbers(deed.numbers) for deed in deeds)
            else:
                given = tuple(
                    numbers(row) for row in zip(*(deed.numbers for deed in deeds), strict=True)
                )
            self._operations.append(
                Step(first=first, last=first + len(block), name=name, parameters=given)
            )

    def _cells(self, columns: Sequence[Cell]) -> None:
        groups: dict[Coding, list[Cell]] = defaultdict(list)
        for column in columns:
            groups[column.coding].append(column)
        for coding, group in groups.items():
            slot = self._slot(coding)
            first = self._take(len(group))
            hot = _hot(first, slot, coding, group)
            self._operations.append(hot or _table(first, slot, coding, group))
            for register, column in enumerate(group, first):
                self._where[column] = register

    def _slot(self, coding: Coding) -> int:
        if coding not in self._slots:
            slot = self._slots[coding] = len(self._slots)
            text = isinstance(coding.column, int)
            self._operations.append(
                Codes(
                    slot=slot,
                    source=coding.column if isinstance(coding.column, int) else -1,
                    register=-1 if isinstance(coding.column, int) else self._where[coding.column],
                    words=coding.keys if text else (),
                    numbers=b"" if text else numbers(coding.keys),
                    codes=places(coding.codes),
                    missing=coding.missing,
                    unknown=coding.unknown,
                )
            )
        return self._slots[coding]


def _levels(columns: Sequence[Column]) -> Iterator[list[Column]]:
    """All columns that are needed, each once, those that others are made of before them."""
    depth: dict[Column, int] = {}

    def visit(column: Column) -> int:
        if isinstance(column, Text):
            raise Unsupported("a column of text reaches the estimator")
        if column not in depth:
            depth[column] = max((visit(needed) + 1 for needed in _needs(column)), default=0)
        return depth[column]

    for column in columns:
        visit(column)
    levels: dict[int, list[Column]] = defaultdict(list)
    for column, level in depth.items():
        levels[level].append(column)
    for level in sorted(levels):
        yield levels[level]


def _needs(column: Column) -> tuple[Column, ...]:
    if isinstance(column, Cell):
        read = column.coding.column
        return () if isinstance(read, int) else (read,)
    if isinstance(column, Number) and not isinstance(column.base, int):
        return (column.base.left, column.base.right)
    return ()


def _shape(column: Number) -> Any:
    """What columns must have in common to be one block; the place keeps the order stable."""
    return (
        isinstance(column.base, int),
        tuple(
            (deed.name, None if deed.name == "bins" else len(deed.numbers)) for deed in column.steps
        ),
    )


def _hot(first: int, slot: int, coding: Coding, group: Sequence[Cell]) -> Hot | None:
    """One-hot, if every code has at most one register that is not at its default."""
    where = np.full(coding.count, -1)
    on = np.zeros(coding.count)
    for place, cell in enumerate(group):
        for code, value in _met(cell):
            if where[code] >= 0:
                return None
            where[code], on[code] = place, value
    off = [cell.default for cell in group]
    return Hot(first=first, slot=slot, off=numbers(off), places=places(where), on=numbers(on))


def _met(cell: Cell) -> Iterator[tuple[int, float]]:
    """The codes that some value has; an encoder may keep numbers for more."""
    return ((code, value) for code, value in cell.others if code < cell.coding.count)


def _table(first: int, slot: int, coding: Coding, group: Sequence[Cell]) -> Table:
    if coding.count * len(group) > MAX_TABLE:
        raise Unsupported(f"an encoder makes a table of {coding.count} × {len(group)} numbers")
    values = np.empty((coding.count, len(group)))
    for place, cell in enumerate(group):
        values[:, place] = cell.default
        for code, value in _met(cell):
            values[code, place] = value
    return Table(first=first, slot=slot, width=len(group), values=numbers(values))
