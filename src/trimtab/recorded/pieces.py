"""Some records: those that look alike as a table of bytes, the others as objects. Both tell the same."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from itertools import chain
from operator import attrgetter
from typing import Any, Protocol

import msgspec
import numpy as np
import numpy.typing as npt

from trimtab.recorded.layout import Bytes, Layout, Spot
from trimtab.types import FloatArray, PredictionRecord, Scalar

Places = npt.NDArray[np.int64]

_DEFAULTS: dict[str, Any] = {
    field.name: field.default
    if field.default_factory is msgspec.NODEFAULT
    else field.default_factory()
    for field in msgspec.structs.fields(PredictionRecord)
}
_decode = msgspec.msgpack.Decoder(PredictionRecord).decode


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
    """Records of one layout.

    Args:
        payloads: Their bytes.
        table: The same, shape ``(records, bytes)``; there may be more bytes than theirs.
        layout: Where their fields are.
    """

    def __init__(self, payloads: Sequence[bytes], table: Bytes, layout: Layout) -> None:
        self.payloads = payloads
        self.table = table
        self.layout = layout
        self._records: dict[int, PredictionRecord] = {}

    def __len__(self) -> int:
        return len(self.payloads)

    def record(self, row: int) -> PredictionRecord:
        """One of them; the same object each time."""
        found = self._records.get(row)
        if found is None:
            found = self._records[row] = _decode(self.payloads[row])
        return found

    def where(self, rows: Places) -> Alike:
        """Some of them."""
        if len(rows) == len(self) and (np.diff(rows) == 1).all():
            return self
        payloads = [self.payloads[row] for row in rows.tolist()]
        return Alike(payloads, self.table[rows], self.layout)

    def floats(self, name: str) -> FloatArray:
        """A field that is a number or a truth value, of each record; NaN for None."""
        spot = self.layout.fields.get(name)
        return np.full(len(self), _DEFAULTS[name], float) if spot is None else self._floats(spot)

    def cells(self, name: str) -> Sequence[Any]:
        """A field of each record."""
        spot = self.layout.fields.get(name)
        return [_DEFAULTS[name]] * len(self) if spot is None else self.of(spot)

    def numbers(self, position: int) -> FloatArray | None:
        """A feature's values, NaN where there is none; None if they are texts."""
        spot = self.layout.fields["values"].parts[position]
        return None if spot.kind == "text" else self._floats(spot)

    def scalars(self, position: int) -> Sequence[Scalar]:
        """A feature's values."""
        return self.of(self.layout.fields["values"].parts[position])

    def of(self, spot: Spot) -> list[Any]:
        """The values at a place, as the decoder would give them."""
        if spot.kind == "nil":
            return [None] * len(self)
        if spot.kind == "text":
            return self._texts(spot)
        if spot.kind == "list":
            parts = [self.of(part) for part in spot.parts]
            return list(zip(*parts, strict=True)) if parts else [()] * len(self)
        if spot.kind == "map":
            return self._maps(spot)
        found: list[Any] = self.numbers_at(spot).tolist()
        return found

    def numbers_at(self, spot: Spot) -> Any:
        """The numbers at a place, in an array of their own kind; truth values as bools."""
        if spot.kind == "bool":
            return (self.table[:, spot.start] & 1).astype(bool)
        return self.bytes_at(spot).view(spot.form)[:, 0]

    def bytes_at(self, spot: Spot) -> Bytes:
        """What stands at a place, shape ``(records, bytes)``."""
        return np.ascontiguousarray(self.table[:, spot.start : spot.end])

    def _floats(self, spot: Spot) -> FloatArray:
        if spot.kind == "nil":
            return np.full(len(self), np.nan)
        found: FloatArray = self.numbers_at(spot).astype(np.float64)
        return found

    def _texts(self, spot: Spot) -> list[str]:
        found, width = self.bytes_at(spot), spot.end - spot.start
        first = bytes(found[0]).decode("ascii")
        if (found == found[0]).all():
            return [first] * len(self)
        text = found.tobytes().decode("ascii")
        return [text[at : at + width] for at in range(0, len(text), width)]

    def _maps(self, spot: Spot) -> list[dict[Any, Any]]:
        columns = [self.of(part) for part in spot.parts]
        if not columns:
            return [{} for _ in range(len(self))]
        keys, values = zip(*columns[::2], strict=True), zip(*columns[1::2], strict=True)
        return [dict(zip(k, v, strict=True)) for k, v in zip(keys, values, strict=True)]


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
