"""How many records the watcher takes at once: what it gets done in a moment, however large the backlog is."""

from __future__ import annotations

MOST_SECONDS = 0.25
"""A tick holds the database's lock for writing as long as it takes, and who reports outcomes waits for it."""

LEAST_ROWS = 500
"""With fewer, what a tick costs whatever it reads would be most of it."""


class Portion:
    """The rows of the next tick, by how long the last ones took.

    Args:
        most: ``batch_rows`` of the configuration; at least 1.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._least = min(most, LEAST_ROWS)
        self.rows = min(most, 4 * LEAST_ROWS)

    def took(self, records: int, seconds: float) -> bool:
        """Take more if a full tick was quick, fewer if one was slow; whether there is a backlog."""
        full = records >= self.rows
        ratio = MOST_SECONDS / max(seconds, 1e-9)
        if ratio < 1 or full:
            rows = int(self.rows * min(max(ratio, 0.25), 2.0))
            self.rows = min(max(rows, self._least), self._most)
        return full
