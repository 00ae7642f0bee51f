"""Streams of feature events, one file a broker."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from trimtab.config import Count, Positive, Section
from trimtab.errors import InvalidRow
from trimtab.features.writing import RowReader, Tally
from trimtab.protocols import FeatureStore
from trimtab.types import StoredRow

_decode = msgspec.json.Decoder(dict[str, Any]).decode


class StreamOptions(Section, frozen=True):
    """A stream that feeds a view, and how it is read.

    An entry that a consumer of the group took and did not finish within ``claim_seconds`` is taken
    over. ``block_ms`` is how long one read waits for new entries. ``settings`` are the client's own, as
    far as it has any.
    """

    url: str
    stream: str
    group: str = "trimtab"
    consumer: str = "consumer"
    time_column: str = "event_time"
    batch_rows: Count = 500
    claim_seconds: Positive = 60.0
    block_ms: Count = 1_000
    settings: Mapping[str, str] = {}


class Intake:
    """Where the events of a stream go, whatever brings them: into a view's store, or back if they cannot.

    Args:
        view: The view's name.
        reader: Makes rows of what comes.
        store: Keeps them.
        tally: Counts them.
    """

    def __init__(self, view: str, reader: RowReader, store: FeatureStore, tally: Tally) -> None:
        self._view = view
        self._reader = reader
        self._store = store
        self._tally = tally

    async def take(self, entries: Iterable[tuple[str, bytes]]) -> list[tuple[int, str]]:
        """Store a batch, of each entity its newest row; the places of what is refused, with the reason.

        Args:
            entries: Where each stands, for the error, and its JSON object.

        Raises:
            Unavailable: the store cannot be reached; nothing is lost if it is taken again.
        """
        newest: dict[str, StoredRow] = {}
        refused: list[tuple[int, str]] = []
        for place, (path, text) in enumerate(entries):
            self._tally.rows += 1
            try:
                entity, row = self._reader.read(
                    _object(text, path), path, self._tally.value_refused
                )
            except InvalidRow as wrong:
                self._tally.row_refused(wrong)
                refused.append((place, str(wrong)))
                continue
            known = newest.get(entity)
            if known is None or row.event_time >= known.event_time:
                newest[entity] = row
        if newest:
            self._tally.kept += await self._store.write(self._view, newest)
        return refused


def _object(text: bytes, path: str) -> dict[str, Any]:
    if not text:
        raise InvalidRow("The entry has no row.", code="malformed_entry", path=path)
    try:
        return _decode(text)
    except (msgspec.MsgspecError, UnicodeDecodeError) as wrong:
        raise InvalidRow(
            f"The row is no JSON object: {wrong}.", code="malformed_entry", path=path
        ) from wrong
