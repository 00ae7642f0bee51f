"""journal -> window: folds predictions into windows of mergeable sketches, by event time."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Sequence
from operator import itemgetter
from typing import Any

import msgspec
import numpy as np

from trimtab.config import WatchConfig
from trimtab.protocols import StateTx
from trimtab.sketch import (
    Binning,
    Sketcher,
    TableSketch,
    from_bytes,
    merge_tables,
    to_bytes,
)
from trimtab.types import Array, FeatureKind, Matured, PredictionRecord, Scalar, Window

CONFIRM_RECORDS = 16


class _Saved(msgspec.Struct, frozen=True, kw_only=True):
    """All that has been folded and not yet yielded."""

    watermark: float | None
    suspects: list[PredictionRecord]
    open: list[tuple[int, TableSketch]]
    late: int
    skewed: int


class FeatureWindows:
    """Folds one version's predictions into tumbling windows of event time.

    The watermark is the latest event time among the model's records of whatever version; a window
    closes, and is yielded, once the watermark is ``lateness_seconds`` past its end. A record of a
    window that has closed is dropped and counted in ``late``. Shadow predictions are not folded.
    Which window a record falls into depends on the records before it and not on how they were
    batched, so that a restart changes nothing.

    One broken clock must not close every window. A record more than a window and the lateness ahead
    of the watermark is a suspect: it is set aside until 16 suspects are (then time has really moved
    on, and they are folded in their order), while every other record dismisses the oldest suspect,
    which is dropped and counted in ``skewed``. So do the first 16 records of all: the watermark
    begins at the earliest of them.

    The windows that are open lie within ``lateness_seconds`` and one window of the watermark, which
    bounds their number.

    Args:
        subject: ``data_drift`` or ``prediction_drift``.
        model: The model's name.
        version: The version whose predictions are folded.
        sketcher: What is kept of them.
        config: Window length and lateness, in seconds.
    """

    def __init__(
        self, subject: str, model: str, version: int, sketcher: Sketcher, config: WatchConfig
    ) -> None:
        self._subject = subject
        self._model = model
        self._version = version
        self._sketcher = sketcher
        self._length = config.window_seconds
        self._lateness = config.lateness_seconds
        self._jump = config.window_seconds + config.lateness_seconds
        self._watermark: float | None = None
        self._suspects: deque[PredictionRecord] = deque()
        self._open: dict[int, TableSketch] = {}
        self.late = 0
        self.skewed = 0

    def fold(
        self,
        predictions: Sequence[PredictionRecord],
        matured: Sequence[Matured],  # noqa: ARG002 - drift needs no outcomes
        state: StateTx,  # noqa: ARG002 - nor the state
    ) -> Iterable[Window]:
        """Fold new records; the windows that are now complete, oldest first."""
        accepted: dict[int, list[PredictionRecord]] = {}
        for record in predictions:
            if record.model == self._model:
                self._admit(record, accepted)
        for at, records in accepted.items():
            new = self._sketch(records)
            known = self._open.get(at)
            self._open[at] = new if known is None else merge_tables(known, new)
        closed_before = self._closed_before()
        return [self._close(at) for at in sorted(self._open) if at < closed_before]

    def dump(self) -> bytes:
        """All that has been folded and not yet yielded."""
        return to_bytes(
            _Saved(
                watermark=self._watermark,
                suspects=list(self._suspects),
                open=sorted(self._open.items(), key=itemgetter(0)),
                late=self.late,
                skewed=self.skewed,
            )
        )

    def load(self, blob: bytes) -> None:
        """Take up where ``dump`` left off."""
        saved = from_bytes(blob, _Saved)
        self._watermark = saved.watermark
        self._suspects = deque(saved.suspects)
        self._open = dict(saved.open)
        self.late = saved.late
        self.skewed = saved.skewed

    def _admit(self, record: PredictionRecord, accepted: dict[int, list[PredictionRecord]]) -> None:
        """Put a record into its window, or set it aside, or drop it."""
        at = record.event_time
        if not math.isfinite(at):
            self.skewed += 1
            return
        if self._watermark is None or at > self._watermark + self._jump:
            self._suspects.append(record)
            if len(self._suspects) == CONFIRM_RECORDS:
                self._move_on(accepted)
            return
        if self._suspects:
            self._suspects.popleft()
            self.skewed += 1
        if at // self._length < self._closed_before():
            self.late += self._counts(record)
            return
        self._watermark = max(self._watermark, at)
        if self._counts(record):
            accepted.setdefault(int(at // self._length), []).append(record)

    def _move_on(self, accepted: dict[int, list[PredictionRecord]]) -> None:
        """So many suspects are no accident: time goes on from the earliest of them."""
        confirmed = list(self._suspects)
        self._suspects.clear()
        self._watermark = min(record.event_time for record in confirmed)
        for record in confirmed:
            self._admit(record, accepted)

    def _counts(self, record: PredictionRecord) -> bool:
        return record.version == self._version and not record.shadow

    def _closed_before(self) -> float:
        """The number of the first window that is still open."""
        if self._watermark is None:
            return -math.inf
        return (self._watermark - self._lateness) // self._length

    def _close(self, at: int) -> Window:
        content = self._open.pop(at)
        return Window(
            subject=self._subject,
            model=self._model,
            version=self._version,
            start=at * self._length,
            end=(at + 1) * self._length,
            rows=content.rows,
            content=content,
        )

    def _sketch(self, records: Sequence[PredictionRecord]) -> TableSketch:
        columns: list[Array] = []
        if self._sketcher.features:
            values = zip(*(record.values for record in records), strict=True)
            columns = list(map(_column, self._sketcher.features, values))
        scores = np.fromiter((record.score for record in records), np.float64, len(records))
        return self._sketcher.sketch(columns, scores)


def _column(binning: Binning, values: Sequence[Scalar]) -> Array:
    """Recorded values as a column; what is no number in a numeric feature is missing."""
    if binning.kind is FeatureKind.CATEGORICAL:
        column = np.empty(len(values), dtype=object)
        column[:] = values
        return column
    try:
        return np.array(values, dtype=np.float64)
    except (TypeError, ValueError):
        return np.array([_number(value) for value in values])


def _number(value: Any) -> float:  # a journal may hold what a later signature does not allow
    return float(value) if isinstance(value, int | float) else math.nan
