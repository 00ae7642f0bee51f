"""Event time: how far it has come, and which records are to be believed."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from trimtab.recordtable import table_of
from trimtab.types import FloatArray, PredictionRecord
from trimtab.windows.batch import Rows

CONFIRM_RECORDS = 16


class Admitted(NamedTuple):
    """Records that are believed, and the watermark before each of them."""

    rows: Rows
    watermarks: FloatArray


class EventClock:
    """The latest event time among the believable records of a model: the watermark.

    One broken clock must not close every window. A record more than ``jump`` ahead of the watermark
    is a suspect: it is set aside until 16 suspects are (then time has really moved on, and they are
    admitted in their order), while every other record dismisses the oldest suspect, which is dropped
    and counted in ``skewed``. So are the first 16 records of all: the watermark begins at the earliest
    of them. A record without a finite time is dropped and counted at once.

    Args:
        jump: In seconds of event time.
    """

    def __init__(self, jump: float) -> None:
        self._jump = jump
        self.watermark: float | None = None
        self.suspects: deque[PredictionRecord] = deque()
        self.skewed = 0

    def admit(self, rows: Rows) -> Admitted:
        """Those that are believed, suspects of earlier calls among them, in their order."""
        plain = self._plain(rows)
        if plain is not None:
            return plain
        accepted: list[PredictionRecord] = []
        watermarks: list[float] = []
        for record in rows.records:
            self._one(record, accepted, watermarks)
        return Admitted(Rows(table_of(accepted)), np.array(watermarks, dtype=np.float64))

    def _plain(self, rows: Rows) -> Admitted | None:
        """All at once, if there is no suspect among them."""
        times = rows.times
        if self.watermark is None or self.suspects or not len(times):
            return None
        if not np.isfinite(times).all():
            return None
        reached = np.maximum.accumulate(np.concatenate(([self.watermark], times)))
        if (times > reached[:-1] + self._jump).any():
            return None
        self.watermark = float(reached[-1])
        return Admitted(rows, reached[:-1])

    def _one(
        self, record: PredictionRecord, accepted: list[PredictionRecord], watermarks: list[float]
    ) -> None:
        at = record.event_time
        if not math.isfinite(at):
            self.skewed += 1
            return
        if self.watermark is None or at > self.watermark + self._jump:
            self.suspects.append(record)
            if len(self.suspects) == CONFIRM_RECORDS:
                self._move_on(accepted, watermarks)
            return
        if self.suspects:
            self.suspects.popleft()
            self.skewed += 1
        accepted.append(record)
        watermarks.append(self.watermark)
        self.watermark = max(self.watermark, at)

    def _move_on(self, accepted: list[PredictionRecord], watermarks: list[float]) -> None:
        """So many suspects are no accident: time goes on from the earliest of them."""
        confirmed: Sequence[PredictionRecord] = list(self.suspects)
        self.suspects.clear()
        self.watermark = min(record.event_time for record in confirmed)
        for record in confirmed:
            self._one(record, accepted, watermarks)
