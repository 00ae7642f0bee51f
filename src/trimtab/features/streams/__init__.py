"""Streams of feature events, one file a broker."""

from __future__ import annotations

from trimtab.config import Count, Positive, Section


class StreamOptions(Section, frozen=True):
    """A stream that feeds a view, and how it is read.

    An entry that a consumer of the group took and did not finish within ``claim_seconds`` is taken
    over. ``block_ms`` is how long one read waits for new entries.
    """

    url: str
    stream: str
    group: str = "trimtab"
    consumer: str = "consumer"
    time_column: str = "event_time"
    batch_rows: Count = 500
    claim_seconds: Positive = 60.0
    block_ms: Count = 1_000
