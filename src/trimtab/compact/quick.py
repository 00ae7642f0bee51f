"""The short way for a single row: a run of encoders of text is one look-up for each column."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np

from trimtab.compact.program import Codes, Hot, Operation, Table, read_numbers, read_places
from trimtab.errors import InvalidInput
from trimtab.types import Array, FloatArray, Scalar

Registers = FloatArray
Slots = list[object]
Sources = Sequence[Array] | Array
"""A column each, or all of them as the rows of one array."""

Run = Callable[[Registers, Slots, Sources], None]
RunOne = Callable[[Registers, Slots, Sequence[Scalar]], None]
Hit = tuple[int, float] | None
"""The register that a category switches on, -1 none, and its number; None where it is refused."""


def quick(
    operations: Sequence[Operation], ones: Sequence[RunOne], text: tuple[bool, ...]
) -> tuple[RunOne, ...]:
    """The operations for one row, where runs of encoders of text are one look-up for each column."""
    uses = Counter(op.slot for op in operations if isinstance(op, Hot | Table))
    runs: list[RunOne] = []
    lookups: list[tuple[int, dict[str | None, Hit], Hit]] = []
    off: list[tuple[slice, Array]] = []
    skip = False
    for op, after, run in zip(operations, [*operations[1:], None], ones, strict=True):
        if skip:
            skip = False
            continue
        hits = _hits(op, after, text) if isinstance(op, Codes) and uses[op.slot] == 1 else None
        if hits is None or after is None:
            if lookups:
                runs.append(_look_up(tuple(lookups), tuple(off)))
                lookups, off = [], []
            runs.append(run)
            continue
        skip = True
        lookups.append((op.source, *hits))  # type: ignore[union-attr]  # it is Codes
        if isinstance(after, Hot):
            values = read_numbers(after.off)
            off.append((slice(after.first, after.first + len(values)), values))
    if lookups:
        runs.append(_look_up(tuple(lookups), tuple(off)))
    return tuple(runs)


def _hits(
    op: Codes, after: Operation | None, text: tuple[bool, ...]
) -> tuple[dict[str | None, Hit], Hit] | None:
    """What each category does, if one operation after it is all that reads its codes."""
    if op.source < 0 or not text[op.source]:
        return None
    by_code: list[Hit]
    if isinstance(after, Hot) and after.slot == op.slot:
        on = read_numbers(after.on).tolist()
        by_code = [
            (after.first + place if place >= 0 else -1, value)
            for place, value in zip(read_places(after.places).tolist(), on, strict=True)
        ]
    elif isinstance(after, Table) and after.slot == op.slot and after.width == 1:
        by_code = [(after.first, value) for value in read_numbers(after.values).tolist()]
    else:
        return None
    by_code.append(None)  # code -1 refuses
    known: dict[str | None, Hit] = {
        word: by_code[code]
        for word, code in zip(op.words, read_places(op.codes).tolist(), strict=True)
    }
    known[None] = by_code[op.missing]
    return known, by_code[op.unknown]


def _look_up(
    lookups: tuple[tuple[int, dict[str | None, Hit], Hit], ...],
    off: tuple[tuple[slice, Array], ...],
) -> RunOne:
    bound = tuple((source, known.get, unknown) for source, known, unknown in lookups)
    off = _joined(off)

    def one(into: Registers, _: Slots, values: Sequence[Scalar]) -> None:
        for where, number in off:
            into[where] = number
        for source, get, unknown in bound:
            value = values[source]
            hit = get(value, unknown)  # type: ignore[arg-type]  # text or None
            if hit is None:
                raise refused_value(value)
            place, found = hit
            if place >= 0:
                into[place] = found

    return one


def _joined(off: tuple[tuple[slice, Array], ...]) -> tuple[tuple[slice, Array], ...]:
    """Ranges that follow each other, as one."""
    found: list[tuple[slice, Array]] = []
    for where, values in off:
        if found and found[-1][0].stop == where.start:
            before, earlier = found.pop()
            joined = slice(before.start, where.stop), np.concatenate([earlier, values])
            found.append(joined)
        else:
            found.append((where, values))
    return tuple(found)


def refused_value(value: object) -> InvalidInput:
    """The refusal of a value that an encoder did not learn."""
    shown = "a missing value" if value is None or value != value else repr(value)  # noqa: PLR0124 - NaN
    return InvalidInput(
        f"The model's encoder learned no category for {shown}, and refuses what it did not learn.",
        hint="Fit it with handle_unknown='ignore', or an imputer before it.",
        code="unknown_category",
    )
