"""Features in this process's memory: for tests, notebooks and the in-process library."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from trimtab.config import StoreConfig
from trimtab.protocols import Clock
from trimtab.types import StoredRow


def create(config: StoreConfig, state_dir: Path, clock: Clock) -> MemoryStore:  # noqa: ARG001 - every store's form
    """An empty store."""
    return MemoryStore()


class MemoryStore:
    """Rows in a dictionary; they end with the process."""

    def __init__(self) -> None:
        self._rows: dict[tuple[str, str], StoredRow] = {}

    def read_now(self, view: str, entities: Sequence[str]) -> Mapping[str, StoredRow]:
        """The rows of those entities that exist, in order; it never waits."""
        rows = self._rows
        return {entity: rows[view, entity] for entity in entities if (view, entity) in rows}

    async def read(self, view: str, entities: Sequence[str]) -> Mapping[str, StoredRow]:
        """The rows of those entities that exist, in order."""
        return self.read_now(view, entities)

    async def write(self, view: str, rows: Mapping[str, StoredRow]) -> int:
        """Keep rows unless a newer event is there already; how many were kept."""
        kept = 0
        for entity, row in rows.items():
            held = self._rows.get((view, entity))
            if held is None or held.event_time <= row.event_time:
                self._rows[view, entity] = row
                kept += 1
        return kept

    async def ping(self) -> None:
        """It always answers."""

    async def close(self) -> None:
        """Nothing to release."""
