"""What each request may log: a model that always fails must not fill a disk with the same words."""

from __future__ import annotations

import logging

from trimtab.log_events import Event

PER_SECOND = 5
"""Lines of each event, model and code."""

_OF_REQUESTS = frozenset(
    {
        Event.REQUEST_FAILED,
        Event.MODEL_FAILED,
        Event.CANDIDATE_FAILED,
        Event.JOURNAL_DROPPED,
    }
)


class Sparing(logging.Filter):
    """Leaves out lines of requests beyond ``PER_SECOND``; the next one says how many (``left_out``)."""

    def __init__(self) -> None:
        super().__init__()
        self._told: dict[tuple[str, ...], tuple[int, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the line is written."""
        if record.msg not in _OF_REQUESTS:
            return True
        key = tuple(str(getattr(record, name, "")) for name in ("msg", "model", "code"))
        second = int(record.created)
        since, lines = self._told.get(key, (second, 0))
        if since == second and lines >= PER_SECOND:
            self._told[key] = (since, lines + 1)
            return False
        if lines > PER_SECOND:
            record.left_out = lines - PER_SECOND
        self._told[key] = (second, lines + 1 if since == second else 1)
        return True
