"""Records in the journal's order, which tell columns without being made one by one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cached_property
from typing import Any, NamedTuple, overload

import numpy as np
import numpy.typing as npt

from trimtab.recordtable.aligned import aligned
from trimtab.recordtable.layout import NO_RECORD, Places, decode
from trimtab.recordtable.pieces import Alike, Loose, Piece
from trimtab.types import FloatArray, PredictionRecord, Scalar

LEAST_ALIKE = 32
"""So many records pay for finding out where their fields are."""

_TRIALS = 4
"""So often it is tried in vain."""

_MANY = 128
"""Records of each length on average: fewer are looked at together with those of other lengths."""


class _Part(NamedTuple):
    """Some rows of a piece, and their places among all."""

    piece: Piece
    rows: Places
    places: Places


class RecordTable(Sequence[PredictionRecord]):
    """Some records, in an order.

    Args:
        pieces: What they are taken from.
        order: Their places, counted through all pieces; None for all in turn.
    """

    def __init__(self, pieces: Sequence[Piece], order: Places | None = None) -> None:
        self.pieces = pieces
        self._ends = np.cumsum([len(piece) for piece in pieces], dtype=np.int64)
        self.order = np.arange(sum(map(len, pieces))) if order is None else order
        self._of_models: dict[str, RecordTable] = {}
        self._floats: dict[str, FloatArray] = {}

    def __len__(self) -> int:
        return len(self.order)

    @overload
    def __getitem__(self, at: int) -> PredictionRecord: ...
    @overload
    def __getitem__(self, at: slice) -> RecordTable: ...
    def __getitem__(self, at: int | slice) -> PredictionRecord | RecordTable:
        if isinstance(at, slice):
            return RecordTable(self.pieces, self.order[at])
        return self._record(int(self.order[at]))

    def __iter__(self) -> Iterator[PredictionRecord]:
        return map(self._record, self.order.tolist())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]  # as a list's

    def where(self, chosen: npt.NDArray[np.bool_] | Places) -> RecordTable:
        """Some of them: those where ``chosen`` is true, or those at its places."""
        return RecordTable(self.pieces, self.order[chosen])

    def of_model(self, model: str) -> RecordTable:
        """Those of one model, of whatever version; the same object each time."""
        if model not in self._of_models:
            chosen = np.array([name == model for name in self.cells("model")], dtype=bool)
            self._of_models[model] = self.where(chosen)
        return self._of_models[model]

    def of_version(self, version: int) -> Places:
        """The places of those that a version answered itself; shadow predictions are left out."""
        return np.flatnonzero((self.floats("version") == version) & ~self.shadowed)

    @cached_property
    def shadowed(self) -> npt.NDArray[np.bool_]:
        """Which of them nobody was answered with."""
        found: npt.NDArray[np.bool_] = self.floats("shadow") > 0
        return found

    def floats(self, name: str) -> FloatArray:
        """A field that is a number or a truth value, of each record; NaN for None."""
        if name not in self._floats:
            found = np.empty(len(self))
            for part in self._parts:
                found[part.places] = part.piece.floats(name)[part.rows]
            self._floats[name] = found
        return self._floats[name]

    def cells(self, name: str) -> list[Any]:
        """A field of each record."""
        return self._gathered(lambda piece: piece.cells(name))

    def scalars(self, position: int) -> list[Scalar]:
        """A feature's values; the records are of one version."""
        return self._gathered(lambda piece: piece.scalars(position))

    def numbers(self, position: int) -> FloatArray | None:
        """A feature's values as numbers, NaN where there is none; None where some are texts."""
        found = np.empty(len(self))
        for part in self._parts:
            numbers = part.piece.numbers(position)
            if numbers is not None:
                found[part.places] = numbers[part.rows]
                continue
            every = part.piece.scalars(position)
            values = [every[row] for row in part.rows.tolist()]
            if str in set(map(type, values)):
                return None
            found[part.places] = values
        return found

    def parts(self) -> Iterator[tuple[Piece, Places, Places]]:
        """The pieces that records are taken from: piece, rows of it, and their places here."""
        yield from self._parts

    def _gathered(self, cells: Callable[[Piece], Sequence[Any]]) -> list[Any]:
        found: list[Any] = [None] * len(self)
        for part in self._parts:
            values = cells(part.piece)
            if len(part.rows) == len(found) == len(values) and self._in_turn:
                return list(values)
            for place, row in zip(part.places.tolist(), part.rows.tolist(), strict=True):
                found[place] = values[row]
        return found

    @cached_property
    def _in_turn(self) -> bool:
        return bool((np.diff(self.order) == 1).all())

    @cached_property
    def _parts(self) -> list[_Part]:
        of = np.searchsorted(self._ends, self.order, side="right")
        starts = self._ends - [len(piece) for piece in self.pieces]
        found = []
        for at in np.unique(of).tolist():
            places = np.flatnonzero(of == at)
            found.append(_Part(self.pieces[at], self.order[places] - starts[at], places))
        return found

    def _record(self, row: int) -> PredictionRecord:
        at = int(np.searchsorted(self._ends, row, side="right"))
        return self.pieces[at].record(row - (int(self._ends[at - 1]) if at else 0))


def table_of(records: Iterable[PredictionRecord]) -> RecordTable:
    """Records as columns; what is :class:`RecordTable` already stays as it is."""
    return (
        records if isinstance(records, RecordTable) else _placed([], [], dict(enumerate(records)))
    )


def watermarks(records: RecordTable, before: float) -> tuple[FloatArray, float]:
    """The latest event time so far at each of some records, and at the last; ``before`` is that before them."""
    reached = np.fmax.accumulate(np.append(before, records.floats("event_time")))
    return reached[1:], float(reached[-1])


def joined(several: Sequence[RecordTable]) -> RecordTable:
    """Records of several, one behind the other."""
    if len(several) == 1:
        return several[0]
    pieces: list[Piece] = []
    places: list[Places] = []
    start = 0
    for one in several:
        pieces += one.pieces
        places.append(one.order + start)
        start += sum(map(len, one.pieces))
    return RecordTable(pieces, np.concatenate(places) if places else None)


def decoded(payloads: Sequence[bytes]) -> tuple[RecordTable, Sequence[int]]:
    """The records of encoded ones, and the places of payloads that hold none."""
    pieces: list[Piece] = []
    places: list[Places] = []
    lengths = np.fromiter(map(len, payloads), np.int64, len(payloads))
    left, loose = np.ones(len(payloads), dtype=bool), np.ones(len(payloads), dtype=bool)
    trials = _TRIALS
    while trials and np.count_nonzero(left) >= LEAST_ALIKE:
        some, like = _together(np.flatnonzero(left), lengths)
        found = aligned([payloads[at] for at in some.tolist()], like, LEAST_ALIKE)
        if found is None:
            trials -= 1
            left[some[like]] = False
            continue
        own = some[found.rows]
        left[own] = loose[own] = False
        pieces.append(Alike([payloads[at] for at in own.tolist()], found.table, found.fields))
        places.append(own)
    records, bad = _loose(payloads, np.flatnonzero(loose).tolist())
    return _placed(pieces, places, records), bad


def _together(left: Places, lengths: Places) -> tuple[Places, int]:
    """Which records are looked at together, and which of them has the usual length: seldom one that is built as no other is.

    Those of one length are, where there are few lengths: then there are several models whose rows miss nothing.
    """
    found, counts = np.unique(lengths[left], return_counts=True)
    usual = lengths[left] == found[counts.argmax()]
    if len(found) * _MANY <= len(left):
        return left[usual], 0
    return left, int(usual.argmax())


def _loose(
    payloads: Sequence[bytes], places: Sequence[int]
) -> tuple[dict[int, PredictionRecord], list[int]]:
    """Records decoded one by one, by their places; and the places of those that cannot be."""
    found: dict[int, PredictionRecord] = {}
    bad = []
    for at in places:
        try:
            found[at] = decode(payloads[at])
        except NO_RECORD:
            bad.append(at)
    return found, bad


def _placed(
    pieces: list[Piece], places: list[Places], loose: dict[int, PredictionRecord]
) -> RecordTable:
    """Pieces and single records, each at its place."""
    kinds: dict[tuple[str, int, int], list[int]] = {}
    for at, record in loose.items():
        kinds.setdefault((record.model, record.version, len(record.values)), []).append(at)
    for same in kinds.values():
        pieces.append(Loose([loose[at] for at in same]))
        places.append(np.array(same, dtype=np.int64))
    return RecordTable(pieces, np.argsort(np.concatenate(places)) if places else None)
