"""Some records: those that are built alike as a table of bytes, the others as objects. Both tell the same."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from itertools import chain
from operator import attrgetter
from typing import Any, Protocol

import msgspec
import numpy as np

from trimtab.recordtable.columns import floats_at, values_at
from trimtab.recordtable.layout import Bytes, Places, Spot, decode
from trimtab.types import FloatArray, PredictionRecord, Scalar

_DEFAULTS: dict[str, Any] = {
    field.name: field.default
    if field.default_factory is msgspec.NODEFAULT
    else field.default_factory()
    for field in msgspec.structs.fields(PredictionRecord)
}


class Piece(Protocol):
    """Some records, by columns."""

    def __len__(self) -> int: ...
    def record(self, row: int) -> PredictionRecord:
        """One of them as it was written."""
        ...

    def where(self, rows: Places) -> Piece:
        """Some of them."""
        ...

    def floats(self, name: str) -> FloatArray:
        """A field that is a number or a truth value, of each record; NaN for None."""
        ...

    def cells(self, name: str) -> Sequence[Any]:
        """A field of each record."""
        ...

    def numbers(self, position: int) -> FloatArray | None:
        """A feature's values, NaN where there is none; None where some of them are texts."""
        ...

    def scalars(self, position: int) -> Sequence[Scalar]:
        """A feature's values."""
        ...


class Alike:
    """Records that are built alike.

    Args:
        payloads: Their bytes.
        table: The same as they are aligned, shape ``(records, bytes)``.
        fields: Where their fields are in it.
    """

    def __init__(self, payloads: Sequence[bytes], table: Bytes, fields: Mapping[str, Spot]) -> None:
        self.payloads = payloads
        self.table = table
        self.fields = fields
        self._records: dict[int, PredictionRecord] = {}

    def __len__(self) -> int:
        return len(self.payloads)

    def record(self, row: int) -> PredictionRecord:
        """One of them; the same object each time."""
        found = self._records.get(row)
        if found is None:
            found = self._records[row] = decode(self.payloads[row])
        return found

    def where(self, rows: Places) -> Alike:
        """Some of them."""
        if len(rows) == len(self) and (np.diff(rows) == 1).all():
            return self
        payloads = [self.payloads[row] for row in rows.tolist()]
        return Alike(payloads, self.table[rows], self.fields)

    def floats(self, name: str) -> FloatArray:
        """A field that is a number or a truth value, of each record; NaN for None."""
        spot = self.fields.get(name)
        found = None if spot is None else floats_at(self.table, spot)
        return np.full(len(self), _DEFAULTS[name], float) if found is None else found

    def cells(self, name: str) -> Sequence[Any]:
        """A field of each record."""
        spot = self.fields.get(name)
        return [_DEFAULTS[name]] * len(self) if spot is None else values_at(self.table, spot)

    def numbers(self, position: int) -> FloatArray | None:
        """A feature's values, NaN where there is none; None if some are texts."""
        return floats_at(self.table, self.fields["values"].parts[position])

    def scalars(self, position: int) -> Sequence[Scalar]:
        """A feature's values."""
        return values_at(self.table, self.fields["values"].parts[position])


class Loose:
    """Records as objects.

    Args:
        records: At least one; all of them have as many values.
    """

    def __init__(self, records: Sequence[PredictionRecord]) -> None:
        self.records = records

    def __len__(self) -> int:
        return len(self.records)

    def record(self, row: int) -> PredictionRecord:
        """One of them."""
        return self.records[row]

    def where(self, rows: Places) -> Loose:
        """Some of them."""
        return Loose([self.records[row] for row in rows.tolist()])

    def floats(self, name: str) -> FloatArray:
        """A field that is a number or a truth value, of each record; NaN for None."""
        return np.array(list(map(attrgetter(name), self.records)), dtype=np.float64)

    def cells(self, name: str) -> Sequence[Any]:
        """A field of each record."""
        return list(map(attrgetter(name), self.records))

    def numbers(self, position: int) -> FloatArray | None:
        """A feature's values, NaN where there is none; None where some of them are texts."""
        values = self.scalars(position)
        # NumPy reads '3' as 3.0, and a journal may hold texts that an earlier signature allowed.
        return None if str in set(map(type, values)) else np.array(values, dtype=np.float64)

    def scalars(self, position: int) -> Sequence[Scalar]:
        """A feature's values."""
        found: list[Scalar] = self._values[position].tolist()
        return found

    @cached_property
    def _values(self) -> Any:
        """Feature by feature; taken row by row, as they lie in memory: else most of the time is spent waiting for it."""
        rows = list(map(attrgetter("values"), self.records))
        width = len(rows[0])
        flat = np.fromiter(chain.from_iterable(rows), object, width * len(rows))
        return np.ascontiguousarray(flat.reshape(len(rows), width).T)
