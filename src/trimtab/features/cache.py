"""Rows as they were last read: for when the store fails, and to spare it what was just asked."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from sys import getsizeof

from trimtab.config import CacheConfig
from trimtab.features.line import Line
from trimtab.types import StoredRow

_OVERHEAD_BYTES = 200
"""A dictionary's slot, the key's tuple, the entry and the row around what is measured."""


class RowCache:
    """A bounded memory of one store's rows, least recently used first to go.

    A row, or the knowledge that there is none, was read at a time of the monotonic clock. Until
    ``fresh_ms`` (``absent_ms``) later it is served without a read; until ``stale_seconds`` later it
    stands in for a read that failed.

    Args:
        config: Its bounds.
    """

    def __init__(self, config: CacheConfig) -> None:
        self._fresh = config.fresh_ms / 1e3
        self._absent = config.absent_ms / 1e3
        self._stale = config.stale_seconds
        self._limit = config.bytes
        self._held: OrderedDict[tuple[str, str], tuple[StoredRow | None, float, int]] = (
            OrderedDict()
        )
        self.bytes = 0

    def keep(
        self, view: str, entities: Sequence[str], rows: Mapping[str, StoredRow], now: float
    ) -> None:
        """Remember what a read of ``entities`` found; what it did not find is absent."""
        for entity in entities:
            row = rows.get(entity)
            size = _OVERHEAD_BYTES + len(entity) + (0 if row is None else _size(row))
            self._drop((view, entity))
            if size > self._limit:
                continue
            self._held[view, entity] = (row, now, size)
            self.bytes += size
        while self.bytes > self._limit:
            self._drop(next(iter(self._held)))

    def fresh(
        self, view: str, entities: Sequence[str], now: float
    ) -> tuple[dict[str, StoredRow], list[str], int]:
        """Rows that need no read, the entities that need one, and how many are known as absent."""
        rows: dict[str, StoredRow] = {}
        rest: list[str] = []
        absent = 0
        for entity in entities:
            held = self._held.get((view, entity))
            if held is None:
                rest.append(entity)
            elif held[0] is None:
                if now - held[1] < self._absent:
                    absent += 1
                else:
                    rest.append(entity)
            elif now - held[1] < self._fresh:
                rows[entity] = held[0]
                self._held.move_to_end((view, entity))
            else:
                rest.append(entity)
        return rows, rest, absent

    def stale(self, view: str, entities: Sequence[str], now: float) -> dict[str, StoredRow]:
        """Rows that may stand in for a read that failed."""
        rows = {}
        for entity in entities:
            held = self._held.get((view, entity))
            if held is not None and held[0] is not None and now - held[1] < self._stale:
                rows[entity] = held[0]
                self._held.move_to_end((view, entity))
        return rows

    def _drop(self, key: tuple[str, str]) -> None:
        held = self._held.pop(key, None)
        if held is not None:
            self.bytes -= held[2]


def _size(row: StoredRow) -> int:
    values = row.values
    if isinstance(values, Line):  # its head is shared
        return getsizeof(values) + getsizeof(values.row) + sum(map(getsizeof, values.row))
    return getsizeof(values) + sum(map(getsizeof, values)) + sum(map(getsizeof, values.values()))
