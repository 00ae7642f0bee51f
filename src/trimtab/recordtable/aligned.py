"""Encoded records laid out anew so that each field begins at the same byte in all of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from trimtab.recordtable.columns import has_high_bytes
from trimtab.recordtable.layout import (
    HEAD_BYTES,
    KINDS,
    LONGEST_HEAD,
    NO_RECORD,
    SIZED,
    Bytes,
    Places,
    Spot,
    decode,
    heads_of,
    spot_of,
    tags_of,
)

_LISTS = {
    **{0x90 + count: ("list", 1, count) for count in range(0x10)},
    **{0x80 + count: ("map", 1, count) for count in range(0x10)},
    0xDC: ("list", 3, 0), 0xDE: ("map", 3, 0),
}  # fmt: skip
"""By first byte: kind, where the items begin, and how many there are if this byte tells it."""

_MARGIN = bytes(0x200)
"""So much may be copied behind the end of a record, where another one's value is longer."""


class Aligned(NamedTuple):
    """Records as a table.

    ``rows`` are the places of those that are in it, ``table`` has their bytes, shape ``(rows, bytes)``. A field
    that is not in ``fields`` was written before there was such a field.
    """

    rows: Places
    table: Bytes
    fields: Mapping[str, Spot]


class _Run(NamedTuple):
    """Bytes that follow each other in every record: where they begin in each, and where in the table."""

    begins: Places
    start: int
    length: int


class _Few(Exception):
    """Too few records are left."""


def aligned(payloads: Sequence[bytes], like: int, least: int) -> Aligned | None:
    """Those records that are built as one of them: as many fields, items and keys, whatever kind and length they have.

    Args:
        payloads: Encoded records, or anything else.
        like: The place of that one.
        least: None is returned where there are fewer.
    """
    walk = _Walk(payloads, like, least)
    try:
        decode(payloads[like])
        fields = walk.fields()
    except (_Few, *NO_RECORD):
        return None
    table = walk.table()
    suspects = np.flatnonzero(has_high_bytes(table, fields.values()))
    fits = np.ones(len(table), dtype=bool)
    for row in suspects.tolist():  # texts are UTF-8, or what holds them is no record
        try:
            decode(payloads[walk.rows[row]])
        except NO_RECORD:
            fits[row] = False
    if fits.all():
        return Aligned(walk.rows, table, fields)
    return Aligned(walk.rows[fits], table[fits], fields) if fits.sum() >= least else None


class _Walk:
    """Goes through many records at once, field by field; those that are built otherwise drop out."""

    def __init__(self, payloads: Sequence[bytes], like: int, least: int) -> None:
        self._data = np.frombuffer(b"".join([*payloads, _MARGIN]), dtype=np.uint8)
        lengths = np.fromiter(map(len, payloads), np.int64, len(payloads))
        self._ends = np.cumsum(lengths)
        self._begins = self._ends - lengths
        self._runs: list[_Run] = []
        self._start = self._length = 0
        self._like, self._least = like, least
        self.rows = np.arange(len(payloads))

    def fields(self) -> dict[str, Spot]:
        """Where each field stands in the table.

        Raises:
            _Few: hardly any record is built like this one.
        """
        kind, count = self._list()
        if kind != "list" or count > len(KINDS):
            raise _Few
        found = {
            name: self._field(own, items)
            for (name, (own, items)), _ in zip(KINDS.items(), range(count), strict=False)
        }
        self._keep(self._at() == self._ends)
        self._run_ends(self._at())
        return found

    def table(self) -> Bytes:
        """The bytes as they are aligned, once all fields have been passed over."""
        found = np.empty((len(self.rows), self._start), dtype=np.uint8)
        for begins, start, length in self._runs:
            shape = len(self._data) - length + 1, length
            every: Bytes = np.ndarray(shape, np.uint8, self._data, strides=(1, 1))
            found[:, start : start + length] = every[begins]
        return found

    def _field(self, own: str, items: str) -> Spot:
        tag = int(self._data[self._begins[self._like] + self._length])
        if tag not in _LISTS:
            return self._value(own)
        start = self._start + self._length
        kind, count = self._list()
        if kind not in own.split():
            raise _Few
        parts = tuple(self._value(items) for _ in range(2 * count if kind == "map" else count))
        return Spot(kind, start, self._start + self._length, parts=parts)

    def _list(self) -> tuple[str, int]:
        """Pass over the head of a list or map, which all have in common; its kind, and how many items it has."""
        head = self._first(HEAD_BYTES)
        like = head[:, self._like]
        kind, size, count = _LISTS.get(int(like[0]), ("", 1, 0))
        self._keep((head[:size] == like[:size, None]).all(axis=0))
        self._length += size
        return kind, count if size == 1 else int(like[1]) << 8 | int(like[2])

    def _value(self, kinds: str) -> Spot:
        """Pass over a value."""
        tags = self._data.take(self._at(), mode="clip")
        head = int(tags[0])
        if head in SIZED or (tags != head).any():
            self._keep(tags_of(kinds).take(tags))
            heads = heads_of(self._first(HEAD_BYTES))
            head = int(heads[0])
            if (heads != head).any():
                return self._mixed(heads)
        elif not tags_of(kinds)[head]:
            raise _Few
        spot, start = spot_of(head), self._start + self._length
        self._length += spot.end
        return spot._replace(start=start + spot.start, end=start + spot.end)

    def _mixed(self, heads: npt.NDArray[np.int32]) -> Spot:
        short = heads < LONGEST_HEAD  # else one long text would make all rows long
        self._keep(short)
        heads = heads[short]
        different = np.flatnonzero(np.bincount(heads))
        found = [spot_of(head) for head in different.tolist()]
        sizes = np.zeros(int(different[-1]) + 1, dtype=np.int64)
        sizes[different] = [one.end for one in found]
        begins = self._at()
        self._run_ends(begins)
        longest = max(HEAD_BYTES, int(sizes.max()))
        self._runs.append(_Run(begins, self._start, longest))
        self._start += longest
        self._begins = begins + sizes.take(heads)
        kinds = " ".join(sorted({one.kind for one in found}))
        return Spot("mixed", self._start - longest, self._start, kinds)

    def _run_ends(self, at: Places) -> None:
        """What was passed over in equal steps is one run; the next one begins here."""
        if self._length:
            self._runs.append(_Run(self._begins, self._start, self._length))
        self._start += self._length
        self._begins, self._length = at, 0

    def _at(self) -> Places:
        return self._begins + self._length

    def _first(self, count: int) -> Bytes:
        """The next bytes of each record, shape ``(count, records)``."""
        at = self._at()
        found = [self._data.take(at + more, mode="clip") for more in range(count)]
        return np.array(found)

    def _keep(self, fits: npt.NDArray[np.bool_]) -> None:
        if fits.all():
            return
        if not fits[self._like] or np.count_nonzero(fits) < self._least:
            raise _Few
        self._like = int(np.count_nonzero(fits[: self._like]))
        self.rows, self._begins, self._ends = (
            every[fits] for every in (self.rows, self._begins, self._ends)
        )
        self._runs = [run._replace(begins=run.begins[fits]) for run in self._runs]
