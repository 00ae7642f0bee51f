"""Rows of floats that were decoded together, as one table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from trimtab.features.line import Head, Line
from trimtab.types import StoredRow


class Block(Mapping[str, StoredRow]):
    """Rows by entity: a mapping whose rows are made when somebody asks for one.

    Args:
        head: The names of the columns; all are floats.
        entities: Whose rows these are, in order; one that stands twice has the same row twice.
        times: Unix seconds, one a row, all finite.
        table: Float64 of the shape (rows, columns), at least one row.
    """

    __slots__ = ("_lines", "_places", "entities", "head", "table", "times")

    def __init__(
        self, head: Head, entities: Sequence[str], times: Sequence[float], table: np.ndarray
    ) -> None:
        self.head = head
        self.entities = entities
        self.times = times
        self.table = table
        self._places: dict[str, int] | None = None
        self._lines: list[list[float]] | None = None

    @property
    def places(self) -> Mapping[str, int]:
        """Where each entity's row stands."""
        if self._places is None:
            self._places = dict(zip(self.entities, range(len(self.times)), strict=True))
        return self._places

    def __bool__(self) -> bool:
        return True

    def __getitem__(self, entity: str) -> StoredRow:
        at = self.places[entity]
        if self._lines is None:
            self._lines = self.table.tolist()
        row = tuple(self._lines[at])
        return StoredRow(values=Line(self.head, row), event_time=self.times[at])  # type: ignore[arg-type]  # registered as a mapping

    def __iter__(self) -> Iterator[str]:
        return iter(self.places)

    def __len__(self) -> int:
        return len(self.places)
