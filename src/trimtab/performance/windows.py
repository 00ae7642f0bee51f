"""Predictions and their outcomes, counted in windows of event time.

Everything is read off one table of integer counts: of rows by (score bin, decision, outcome) for a
binary model, by error bin for a regression. Integers merge and subtract exactly in any order, so
late and corrected outcomes cost nothing. A score's bin is 1/256 of log-odds wide, which moves a
score by at most 1/2048; an error's bin is its top 18 bits as a float32, at most 0.1 % off.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterable, Mapping, Sequence

import msgspec
import numpy as np
import numpy.typing as npt

from trimtab.config import WatchConfig
from trimtab.performance.metrics import LEAST_SHARE, Estimate, classifier, regression
from trimtab.protocols import StateTx
from trimtab.types import FloatArray, Matured, PredictionRecord, Record, Task, Version, Window

SUBJECT = "performance"

_BINS_PER_LOG_ODDS = 256.0
_LOG_ODDS_LIMIT = 20.0
_ERROR_SHIFT = 14


class Counted(Record, frozen=True):
    """What became known of one window: ``predictions`` made, and rows by bin.

    ``table`` maps a bin to its rows: with a negative and a positive outcome for a binary model; all
    in the second place for a regression.
    """

    task: Task
    predictions: int
    outcomes: int
    table: Mapping[int, tuple[int, int]]


class _Open(msgspec.Struct):
    """A window that still waits; ``late`` are predictions that came after its lateness."""

    predictions: int = 0
    outcomes: int = 0
    table: dict[int, tuple[int, int]] = {}
    late: set[str] = set()


class _Saved(msgspec.Struct):
    watermark: float
    open: list[tuple[int, _Open]]


class PerformanceWindows:
    """Folds predictions and their outcomes into windows of the predictions' event time.

    A window is complete when the watermark (the model's latest prediction) is ``lateness_seconds``
    past its end and ``maturity_ratio`` of its predictions have an outcome, or else when the
    watermark is ``outcome_delay_seconds`` past its end. Windows are yielded in order; what comes
    for a window that has been yielded is left out. A model of several classes yields none: the
    outcome join does not keep which class was predicted.

    Args:
        version: Whose predictions; a window belongs to one version.
        config: Spans in event time.
    """

    def __init__(self, version: Version, config: WatchConfig) -> None:
        self._model = version.model
        self._version = version.version
        self._task = version.signature.task
        self._config = config
        self._watermark = -math.inf
        self._open: dict[int, _Open] = {}

    def fold(
        self, predictions: Sequence[PredictionRecord], matured: Sequence[Matured], state: StateTx
    ) -> Iterable[Window]:
        """Fold new records; the windows that are now complete, oldest first."""
        del state
        if self._task is Task.MULTICLASS:
            return []
        for record in predictions:
            if record.model == self._model:
                self._expect(record)
        for outcome in matured:
            if outcome.facts.model == self._model and outcome.facts.version == self._version:
                self._take(outcome)
        complete = []
        for index in sorted(self._open):
            if not self._complete(index):
                break
            complete.append(self._window(index, self._open.pop(index)))
        return complete

    def dump(self) -> bytes:
        """All that has been folded and not yet yielded."""
        return msgspec.msgpack.encode(_Saved(self._watermark, sorted(self._open.items())))

    def load(self, blob: bytes) -> None:
        """Take up where ``dump`` left off."""
        saved = msgspec.msgpack.decode(blob, type=_Saved)
        self._watermark, self._open = saved.watermark, dict(saved.open)

    def _index(self, event_time: float) -> int:
        return math.floor(event_time / self._config.window_seconds)

    def _end(self, index: int) -> float:
        return (index + 1) * self._config.window_seconds

    def _expect(self, record: PredictionRecord) -> None:
        self._watermark = max(self._watermark, record.event_time)
        if record.version != self._version:
            return
        index = self._index(record.event_time)
        if self._watermark < self._end(index) + self._config.lateness_seconds:
            self._open.setdefault(index, _Open()).predictions += 1
        elif index in self._open:
            self._open[index].late.add(record.prediction_id)

    def _take(self, matured: Matured) -> None:
        window = self._open.get(self._index(matured.facts.event_time))
        if window is None or matured.facts.prediction_id in window.late:
            return
        if matured.previous is None:
            window.outcomes += 1
        else:
            self._count(window, matured, matured.previous, -1)
        self._count(window, matured, matured.value, 1)

    def _count(self, window: _Open, matured: Matured, value: float, amount: int) -> None:
        facts = matured.facts
        if self._task is Task.REGRESSION:
            place, second = _error_bin(facts.score - value), True
        else:
            place, second = _score_bin(facts.score, bool(facts.positive)), value > 0
        first_rows, second_rows = window.table.get(place, (0, 0))
        rows = (first_rows + amount * (not second), second_rows + amount * second)
        if rows == (0, 0):
            del window.table[place]
        else:
            window.table[place] = rows

    def _complete(self, index: int) -> bool:
        config, window, end = self._config, self._open[index], self._end(index)
        if self._watermark < end + config.lateness_seconds:
            return False
        mature = window.outcomes >= config.maturity_ratio * window.predictions
        return mature or self._watermark >= end + config.outcome_delay_seconds

    def _window(self, index: int, window: _Open) -> Window:
        return Window(
            subject=SUBJECT,
            model=self._model,
            version=self._version,
            start=index * self._config.window_seconds,
            end=self._end(index),
            rows=window.outcomes,
            content=Counted(
                task=self._task,
                predictions=window.predictions,
                outcomes=window.outcomes,
                table=window.table,
            ),
        )


def _score_bin(score: float, positive: bool) -> int:
    """The score's bin of log-odds; the low bit is the decision, which splits its own bin."""
    share = min(max(score, LEAST_SHARE), 1.0 - LEAST_SHARE)
    odds = min(max(math.log(share / (1.0 - share)), -_LOG_ODDS_LIMIT), _LOG_ODDS_LIMIT)
    return math.floor(odds * _BINS_PER_LOG_ODDS) * 2 + positive


def _scores(places: npt.NDArray[np.int64]) -> FloatArray:
    """The scores in the middle of their bins."""
    odds = ((places >> 1) + 0.5) / _BINS_PER_LOG_ODDS
    return np.asarray(1.0 / (1.0 + np.exp(-odds)), dtype=np.float64)


def _error_bin(error: float) -> int:
    """Sign, exponent and nine bits of mantissa of the error as a float32."""
    most = float(np.finfo(np.float32).max)
    (bits,) = struct.unpack("<I", struct.pack("<f", min(max(error, -most), most)))
    return int(bits) >> _ERROR_SHIFT


def _errors(places: npt.NDArray[np.int64]) -> FloatArray:
    """The errors in the middle of their bins; less than the least normal float32 is no error."""
    bits = (places << _ERROR_SHIFT) + (1 << (_ERROR_SHIFT - 1))
    errors = bits.astype(np.uint32).view(np.float32).astype(np.float64)
    return np.where(np.abs(errors) < np.finfo(np.float32).tiny, 0.0, errors)


def measure(counted: Counted) -> dict[str, Estimate]:
    """The metrics that a window's counts define, with intervals; none without outcomes."""
    if not counted.table:
        return {}
    places = np.array(sorted(counted.table), dtype=np.int64)
    counts = np.array([counted.table[int(place)] for place in places], dtype=np.float64)
    if counted.task is Task.REGRESSION:
        return regression(_errors(places), counts[:, 1])
    return classifier(_scores(places), (places & 1).astype(bool), counts)
