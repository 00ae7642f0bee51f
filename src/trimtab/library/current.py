"""The window that rows accumulate in, one call after the other."""

from __future__ import annotations

from collections.abc import Sequence
from threading import Lock

from trimtab.drift import DATA_DRIFT, FeatureComparer, ReferenceProfile
from trimtab.errors import InvalidConfig
from trimtab.judge import LEVEL, flag
from trimtab.schema import Checker
from trimtab.sketch import Column, TableSketch, merge_tables
from trimtab.types import Scalar, Window

_FIRST_LOOK_RATIO = 0.1


class CurrentWindow:
    """Tumbling windows of at least ``window_rows`` rows, as mergeable sketches; thread-safe.

    A window is looked at when a tenth of it is there, then at twice as many rows each time, and when
    it is full. Looking k times, each look has the k-th part of the level, so that the false alarms of
    all looks together stay within it. An early look can raise the score; only a full window lowers it.

    Args:
        profile: The reference.
        checker: Turns single rows into columns.
        window_rows: How many rows fill a window.
        min_rows: Below these, no look is taken.

    Raises:
        InvalidConfig: a window would be full before it may be looked at.
    """

    def __init__(
        self, profile: ReferenceProfile, checker: Checker, window_rows: int, min_rows: int
    ) -> None:
        if not 1 <= min_rows <= window_rows:
            raise InvalidConfig(
                f"A window of {window_rows} rows cannot have {min_rows} rows at least.",
                hint="Choose 1 <= min_rows <= window_rows.",
                path="window_rows",
            )
        self._checker = checker
        self._sketcher = profile.feature_sketcher()
        self._comparer = FeatureComparer(profile)
        self._looks = _looks(max(min_rows, int(window_rows * _FIRST_LOOK_RATIO)), window_rows)
        self._lock = Lock()
        self._rows: list[Sequence[Scalar]] = []
        self._sketch: TableSketch | None = None
        self._next = 0
        self._early = 0.0
        self._last = 0.0

    @property
    def score(self) -> float:
        """The largest effect that stands out, of the last full window or of this one so far."""
        return max(self._last, self._early)

    def add_row(self, values: Sequence[Scalar]) -> float:
        """Add one checked row; the score after it."""
        with self._lock:
            self._rows.append(values)
            return self._look()

    def add(self, columns: Sequence[Column]) -> float:
        """Add rows, column by column; the score after them."""
        added = self._sketcher.sketch(columns)
        with self._lock:
            self._merge(added)
            return self._look()

    def _look(self) -> float:
        rows = len(self._rows) + (self._sketch.rows if self._sketch else 0)
        if rows < self._looks[self._next]:
            return self.score
        if self._rows:
            self._merge(self._sketcher.sketch(self._checker.columns(self._rows).arrays))
            self._rows.clear()
        found = self._strongest(rows)
        if rows >= self._looks[-1]:
            self._last, self._early = found, 0.0
            self._sketch, self._next = None, 0
        else:
            self._early = max(self._early, found)
            self._next = next(at for at, look in enumerate(self._looks) if look > rows)
        return self.score

    def _merge(self, added: TableSketch) -> None:
        self._sketch = added if self._sketch is None else merge_tables(self._sketch, added)

    def _strongest(self, rows: int) -> float:
        window = Window(
            subject=DATA_DRIFT,
            model="",
            version=0,
            start=0.0,
            end=0.0,
            rows=rows,
            content=self._sketch,
        )
        flagged = flag(self._comparer.compare(window), LEVEL / len(self._looks))
        return max((comparison.score for comparison in flagged), default=0.0)


def _looks(first: int, last: int) -> tuple[int, ...]:
    """After how many rows a window is looked at.

    >>> _looks(100, 1_000)
    (100, 200, 400, 800, 1000)
    """
    looks = []
    while first < last:
        looks.append(first)
        first *= 2
    return (*looks, last)
