"""Runs a row program: every operation is bound to its arrays once, and checked while it is bound.

There are two ways, with the same arithmetic: one row of plain values, and many as columns.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from trimtab.compact.kernel import COMPILED, packing
from trimtab.compact.program import (
    REFUSED,
    Codes,
    Hot,
    Load,
    Operation,
    Program,
    Step,
    Table,
    Times,
    read_numbers,
    read_places,
)
from trimtab.compact.quick import Registers, Run, RunOne, Slots, Sources, quick, refused_value
from trimtab.compact.steps import STEPS, Change, change_of
from trimtab.errors import Refused
from trimtab.types import Array, FloatArray, Scalar

CHUNK_ROWS = 2048
CHUNK_NUMBERS = 4_000_000
"""How many rows, and numbers, are worked on at a time: registers stay small whatever the batch."""

MAX_REGISTERS = 1_000_000

Bound = tuple[RunOne, Run]
"""An operation for one row (registers of shape ``(n,)``) and for many (``(n, rows)``)."""


class Rows:
    """A program that is ready to run.

    Args:
        program: The operations.
        text: For each source column, whether it holds text (``object``) or numbers.
        compiled: Whether C is to be used where it can.

    Raises:
        Refused: an operation names a register, column or code that does not exist.
    """

    def __init__(
        self, program: Program, text: Sequence[bool], *, compiled: bool = COMPILED
    ) -> None:
        self._registers = _within(program.registers, MAX_REGISTERS + 1)
        slots = {op.slot: _codes_of(op) for op in program.operations if isinstance(op, Codes)}
        self._slots = len(slots)
        if set(slots) != set(range(self._slots)):
            raise _malformed("code slots")
        self._texts = any(text)
        order = _Order(tuple(text), slots)
        bound = [order.bind(op, self._registers) for op in program.operations]
        self._many = tuple(many for _, many in bound)
        self._one = quick(program.operations, [one for one, _ in bound], tuple(text))
        self._output = _checked(read_places(program.output), self._registers).astype(np.intp)
        self._chunk = min(CHUNK_ROWS, max(1, CHUNK_NUMBERS // max(1, self._registers)))
        self.width = len(self._output)
        self._plain = bool((self._output == np.arange(self._registers)[: self.width]).all())
        steps = self._changes(program.operations, len(text))
        self._pack, self._in_place = _packing(len(text), steps, compiled=compiled)

    def matrix(self, sources: Sources, rows: int) -> FloatArray:
        """The program's output for columns of equal length.

        Args:
            sources: One array of shape ``(rows,)`` for each source column, or all of them as one.
            rows: How many rows there are.

        Returns:
            Shape ``(rows, width)``, in row order.

        Raises:
            InvalidInput: a value that the original's preprocessing refuses.
        """
        if rows == 1:
            return self.one([array[0] for array in sources])[None]
        out = np.empty((rows, self.width))
        for start in range(0, rows, self._chunk):
            stop = min(start + self._chunk, rows)
            part: Sources = (
                sources[:, start:stop]
                if isinstance(sources, np.ndarray)
                else [array[start:stop] for array in sources]
            )
            registers = np.empty((self._registers, stop - start))
            slots: Slots = [None] * self._slots
            for run in self._many:
                run(registers, slots, part)
            chosen = registers[: self.width] if self._plain else registers[self._output]
            out[start:stop] = chosen.T
        return out

    def one(self, values: Sequence[Scalar]) -> FloatArray:
        """The program's output for one row, shape ``(width,)``.

        Args:
            values: One value for each source column; None and NaN are missing.

        Raises:
            InvalidInput: a value that the original's preprocessing refuses.
        """
        if self._in_place is not None:
            numbers = self._numbers((values,))
            for change, given in self._in_place:
                change(numbers, given)
            return numbers
        registers = np.empty(self._registers)
        slots: Slots = [None] * self._slots
        for run in self._one:
            run(registers, slots, values)
        return registers[: self.width] if self._plain else registers[self._output]

    def several(self, rows: Sequence[Sequence[Scalar]]) -> FloatArray:
        """The program's output for several rows, shape ``(rows, width)``; each is what :meth:`one` makes of it.

        Args:
            rows: One value for each source column; None and NaN are missing.

        Raises:
            InvalidInput: a value that the original's preprocessing refuses.
        """
        if self._texts or len(rows) == 1:
            return np.array([self.one(row) for row in rows])
        numbers = self._numbers(rows).reshape(len(rows), -1)
        if self._in_place is None:
            return self.matrix(numbers.T, len(rows))
        for change, given in self._in_place:
            change(numbers, given)
        return numbers

    def _numbers(self, rows: Sequence[Sequence[Scalar]]) -> FloatArray:
        """The numbers of rows one after the other, by the way that is short where nothing is missing."""
        try:
            packed = bytearray().join([self._pack(*row) for row in rows])
        except struct.error:
            return np.array(rows, dtype=np.float64).reshape(-1)
        return np.frombuffer(packed)

    def _changes(
        self, operations: Sequence[Operation], columns: int
    ) -> Sequence[tuple[str, Sequence[Array]]] | None:
        """The steps that make whole rows, or one, the output in place; None where there is more to do.

        Only arithmetic of single numbers is done so: it has the same bits however the numbers lie.
        """
        load, *steps = operations or (None,)
        whole = list(range(columns))
        if (
            not isinstance(load, Load)
            or read_places(load.sources).tolist() != whole
            or not (self._plain and self._registers == self.width == columns)
        ):
            return None
        found = []
        for step in steps:
            if not isinstance(step, Step) or step.name not in STEPS:
                return None
            if (step.first, step.last) != (0, columns):
                return None
            given = [read_numbers(data) for data in step.parameters]
            found.append((step.name, given))
        return found


def _packing(
    columns: int, steps: Sequence[tuple[str, Sequence[Array]]] | None, *, compiled: bool
) -> tuple[Callable[..., bytes | bytearray], Sequence[tuple[Change, Sequence[Array]]] | None]:
    """What packs a row's numbers, and what is left to do to them then; None where that is more than steps."""
    pack = struct.Struct(f"{columns}d").pack
    if steps is None:
        return pack, None
    each = [(name, given[0]) for name, given in steps if len(given) == 1]
    made = packing(columns, each, compiled=compiled) if len(each) == len(steps) else None
    if made is not None:
        return made, ()
    return pack, [(STEPS[name][1], given) for name, given in steps]


class _Order:
    """Binds operations, knowing the columns and how many codes each slot has."""

    def __init__(self, text: tuple[bool, ...], slots: dict[int, int]) -> None:
        self._text = text
        self._codes = slots

    def bind(self, op: Operation, registers: int) -> Bound:
        if isinstance(op, Load):
            return self._load(op, registers)
        if isinstance(op, Step):
            return _step(op, registers)
        if isinstance(op, Times):
            return _times(op, registers)
        if isinstance(op, Codes):
            return self._read(op, registers)
        if isinstance(op, Table):
            return self._table(op, registers)
        return self._hot(op, registers)

    def _load(self, op: Load, registers: int) -> Bound:
        picks = _checked(read_places(op.sources), len(self._text)).tolist()
        if any(self._text[pick] for pick in picks) or not picks:
            raise _malformed("sources of numbers")
        first, last = _range(op.first, op.first + len(picks), registers)

        whole = picks == list(range(len(self._text)))

        def one(into: Registers, _: Slots, values: Sequence[Scalar]) -> None:
            into[first:last] = (
                values if whole else [values[pick] for pick in picks]
            )  # None becomes NaN

        def many(into: Registers, _: Slots, sources: Sources) -> None:
            if isinstance(sources, np.ndarray):
                into[first:last] = sources if whole else sources[picks]
                return
            for register, pick in enumerate(picks, first):
                into[register] = sources[pick]

        return one, many

    def _read(self, op: Codes, registers: int) -> Bound:
        if op.source < 0:
            register, _ = _range(op.register, op.register + 1, registers)
            return _codes_of_numbers(
                op, lambda into, _: into[register], lambda into, _: into[register]
            )
        source = _within(op.source, len(self._text))
        if self._text[source]:
            return _codes_of_text(op, source)
        return _codes_of_numbers(op, lambda _, values: values[source], lambda _, s: s[source])

    def _table(self, op: Table, registers: int) -> Bound:
        codes = self._codes.get(op.slot, 0)
        values = read_numbers(op.values)
        if op.width < 1 or len(values) != codes * op.width:
            raise _malformed("a table of codes")
        first, last = _range(op.first, op.first + op.width, registers)
        rows = values.reshape(codes, op.width)
        columns = np.ascontiguousarray(rows.T)
        slot = op.slot

        def one(into: Registers, slots: Slots, _: Sequence[Scalar]) -> None:
            into[first:last] = rows[slots[slot]]  # type: ignore[call-overload]  # an int

        def many(into: Registers, slots: Slots, _: Sources) -> None:
            np.take(columns, slots[slot], axis=1, out=into[first:last])  # type: ignore[call-overload]  # codes

        return one, many

    def _hot(self, op: Hot, registers: int) -> Bound:
        codes = self._codes.get(op.slot, 0)
        off, on, where = read_numbers(op.off), read_numbers(op.on), read_places(op.places)
        if len(where) != codes or len(on) != codes or not len(off):
            raise _malformed("one-hot codes")
        _checked(where + 1, len(off) + 1)
        first, last = _range(op.first, op.first + len(off), registers)
        column, slot = off[:, None], op.slot
        pairs = [
            (first + int(p) if p >= 0 else -1, float(v)) for p, v in zip(where, on, strict=True)
        ]

        def one(into: Registers, slots: Slots, _: Sequence[Scalar]) -> None:
            into[first:last] = off
            place, value = pairs[slots[slot]]  # type: ignore[call-overload]  # an int
            if place >= 0:
                into[place] = value

        def many(into: Registers, slots: Slots, _: Sources) -> None:
            into[first:last] = column
            taken = slots[slot]
            hot = where[taken]  # type: ignore[call-overload]  # codes
            rows = np.flatnonzero(hot >= 0)
            into[first + hot[rows], rows] = on[taken][rows]  # type: ignore[call-overload]  # codes

        return one, many


def _codes_of_text(op: Codes, source: int) -> Bound:
    known: dict[str | None, int] = dict(zip(op.words, read_places(op.codes).tolist(), strict=True))
    known[None] = op.missing
    get, unknown, slot = known.get, op.unknown, op.slot
    careful = REFUSED in known.values() or unknown == REFUSED

    def one(_: Registers, slots: Slots, values: Sequence[Scalar]) -> None:
        value = values[source]
        code = get(value, unknown)  # type: ignore[arg-type]  # text or None
        if code < 0:
            raise refused_value(value)
        slots[slot] = code

    def many(_: Registers, slots: Slots, sources: Sources) -> None:
        values = sources[source]
        codes = np.array([get(value, unknown) for value in values], dtype=np.intp)
        if careful and (codes < 0).any():
            raise refused_value(values[int(np.flatnonzero(codes < 0)[0])])
        slots[slot] = codes

    return one, many


def _codes_of_numbers(
    op: Codes,
    read_one: Callable[[Registers, Sequence[Scalar]], Any],
    read: Callable[[Registers, Sources], Array],
) -> Bound:
    keys, codes = read_numbers(op.numbers), read_places(op.codes).astype(np.intp)
    known = dict(zip(keys.tolist(), codes.tolist(), strict=True))
    missing, unknown, slot = op.missing, op.unknown, op.slot

    def one(into: Registers, slots: Slots, values: Sequence[Scalar]) -> None:
        value = read_one(into, values)
        gone = value is None or value != value  # noqa: PLR0124 - NaN
        code = missing if gone else known.get(value, unknown)
        if code < 0:
            raise refused_value(value)
        slots[slot] = code

    def many(into: Registers, slots: Slots, sources: Sources) -> None:
        values = read(into, sources)
        found = np.full(len(values), unknown, dtype=np.intp)
        if len(keys):
            near = np.searchsorted(keys, values).clip(max=len(keys) - 1)
            found = np.where(keys[near] == values, codes[near], unknown)
        found[np.isnan(values)] = missing
        if (found < 0).any():
            raise refused_value(values[int(np.flatnonzero(found < 0)[0])])
        slots[slot] = found

    return one, many


def _step(op: Step, registers: int) -> Bound:
    first, last = _range(op.first, op.last, registers)
    given = [read_numbers(data) for data in op.parameters]
    if op.name != "bins" and any(len(array) != last - first for array in given):
        raise _malformed(f"parameters of {op.name!r}")
    row = change_of(op.name, len(given), last - first, one=True)
    rows = change_of(op.name, len(given), last - first, one=False)
    if row is None or rows is None:
        raise _malformed(f"the step {op.name!r}")
    tall = given if op.name == "bins" else [array[:, None] for array in given]

    def one(into: Registers, _: Slots, __: Sequence[Scalar]) -> None:
        row(into[first:last], given)

    def many(into: Registers, _: Slots, __: Sources) -> None:
        rows(into[first:last], tall)

    return one, many


def _times(op: Times, registers: int) -> Bound:
    left = _checked(read_places(op.left), registers)
    right = _checked(read_places(op.right), registers)
    if len(left) != len(right):
        raise _malformed("factors")
    first, last = _range(op.first, op.first + len(left), registers)

    def both(into: Registers, _: Slots, __: object) -> None:
        np.multiply(into[left], into[right], out=into[first:last])

    return both, both


def _codes_of(op: Codes) -> int:
    """How many codes a slot has: all of them must be below it."""
    codes = read_places(op.codes)
    keys = len(op.words) + len(op.numbers) // 8
    numbers = read_numbers(op.numbers)
    if len(codes) != keys or (op.words and op.numbers) or len(set(op.words)) < len(op.words):
        raise _malformed("keys")
    if not bool((np.diff(numbers) > 0).all()):
        raise _malformed("the order of keys")
    every: list[int] = [*codes.tolist(), op.missing, op.unknown]
    if min(every) < REFUSED or max(every) >= MAX_REGISTERS:
        raise _malformed("codes")
    return max(every) + 1


def _within(value: int, limit: int) -> int:
    if not 0 <= value < limit:
        raise _malformed(f"the number {value}")
    return value


def _range(first: int, last: int, registers: int) -> tuple[int, int]:
    if not 0 <= first < last <= registers:
        raise _malformed(f"registers {first} to {last}")
    return first, last


def _checked(places: Array, limit: int) -> Array:
    if len(places) and not (places.min() >= 0 and places.max() < limit):
        raise _malformed("places")
    return places


def _malformed(what: str) -> Refused:
    return Refused(
        f"The row program is malformed: {what} cannot be.",
        hint="Register the model again.",
        code="artifact_malformed",
    )
