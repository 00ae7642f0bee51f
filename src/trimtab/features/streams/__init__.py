"""Streams of feature events, one file a broker."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from trimtab.config import Count, Positive, Section
from trimtab.errors import InvalidRow
from trimtab.features.writing import RowReader, Tally
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


def sort_out(
    entries: Iterable[tuple[str, bytes]], reader: RowReader, tally: Tally
) -> tuple[dict[str, StoredRow], list[tuple[int, str]]]:
    """What is to be stored of a batch, the newest row of each entity, and what cannot be.

    Args:
        entries: Where each stands, for the error, and its JSON object.
        reader: Makes rows of them.
        tally: Counts them.

    Returns:
        Rows by entity; the places of what is refused, with the reason.
    """
    newest: dict[str, StoredRow] = {}
    refused: list[tuple[int, str]] = []
    for place, (path, text) in enumerate(entries):
        tally.rows += 1
        try:
            entity, row = reader.read(_object(text, path), path, tally.value_refused)
        except InvalidRow as wrong:
            tally.row_refused(wrong)
            refused.append((place, str(wrong)))
            continue
        known = newest.get(entity)
        if known is None or row.event_time >= known.event_time:
            newest[entity] = row
    return newest, refused


def _object(text: bytes, path: str) -> dict[str, Any]:
    try:
        return _decode(text)
    except (msgspec.MsgspecError, UnicodeDecodeError) as wrong:
        raise InvalidRow(
            f"The row is no JSON object: {wrong}.", code="malformed_entry", path=path
        ) from wrong
