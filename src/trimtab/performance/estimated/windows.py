"""Predictions alone, counted in windows of event time; no outcome is waited for."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence

import msgspec
import numpy as np

from trimtab.config import WatchConfig
from trimtab.performance.bins import score_places
from trimtab.performance.estimated.estimator import Predicted
from trimtab.performance.estimated.losses import Steps, places_of
from trimtab.performance.segments import Segments, SegmentSpec
from trimtab.performance.spans import spans
from trimtab.protocols import StateTx
from trimtab.recordtable import RecordTable, table_of, watermarks
from trimtab.types import (
    Array,
    Columns,
    FeatureKind,
    Matured,
    PredictionRecord,
    Task,
    Version,
    Window,
)

SUBJECT = "estimated_performance"
WHOLE = ""


class _Part(msgspec.Struct):
    """One group of a window: rows by bin of score and decision, or by bin of each feature."""

    rows: int = 0
    tables: list[dict[int, int]] = []
    histograms: list[list[int]] = []


class _Saved(msgspec.Struct):
    watermark: float
    open: list[tuple[int, dict[str, _Part]]]
    late: int


class EstimatedWindows:
    """Folds a version's predictions into windows that close ``lateness_seconds`` after their end.

    A record of a window that has closed is dropped and counted in ``late``. Shadow predictions are not
    folded, nor are records of a regression that lack a feature that was withheld.

    Args:
        version: Whose predictions.
        config: Spans in event time.
        segments: The parts that are counted on their own.
        steps: How the features of a regression are binned, from its ``Estimator``.
    """

    def __init__(
        self,
        version: Version,
        config: WatchConfig,
        *,
        segments: tuple[SegmentSpec, ...] = (),
        steps: tuple[Steps, ...] = (),
    ) -> None:
        self._model = version.model
        self._version = version.version
        self._signature = version.signature
        self._config = config
        self._segments = Segments(segments, version.signature)
        self._steps = steps
        self._watermark = -math.inf
        self._open: dict[int, dict[str, _Part]] = {}
        self.late = 0

    def fold(
        self,
        predictions: Sequence[PredictionRecord],
        matured: Sequence[Matured],  # noqa: ARG002 - outcomes have no part in an estimate
        state: StateTx,  # noqa: ARG002 - nor has the state
    ) -> Iterable[Window]:
        """Fold new records; the windows that are now complete, oldest first."""
        for (index, name), records in self._admitted(table_of(predictions)):
            part = self._open.setdefault(index, {}).setdefault(name, _Part())
            part.rows += len(records)
            if self._signature.task is Task.REGRESSION:
                self._binned(part, records)
            else:
                self._scored(part, records)
        closing = [index for index in sorted(self._open) if self._over(index)]
        return [self._window(index, self._open.pop(index)) for index in closing]

    def dump(self) -> bytes:
        """All that has been folded and not yet yielded."""
        return msgspec.msgpack.encode(
            _Saved(self._watermark, sorted(self._open.items(), key=lambda one: one[0]), self.late)
        )

    def load(self, blob: bytes) -> None:
        """Take up where ``dump`` left off."""
        saved = msgspec.msgpack.decode(blob, type=_Saved)
        self._watermark, self._open, self.late = saved.watermark, dict(saved.open), saved.late

    def _over(self, index: int) -> bool:
        end = (index + 1) * self._config.window_seconds
        return self._watermark >= end + self._config.lateness_seconds

    def _admitted(self, predictions: RecordTable) -> Iterator[tuple[tuple[int, str], RecordTable]]:
        """The records that come in time, by window and segment."""
        records = predictions.of_model(self._model)
        records = records.where(np.isfinite(records.floats("event_time")))
        reached, self._watermark = watermarks(records, self._watermark)
        own = records.of_version(self._version)
        in_time, late = spans(records, own, reached, self._config)
        self.late += len(late)
        for index, places in in_time:
            found = records.where(places)
            if self._signature.task is Task.REGRESSION:  # its error is estimated from all features
                found = found.where(np.array([not kept for kept in found.cells("withheld")]))
            if not len(found):
                continue
            yield (index, WHOLE), found
            for name, inside in self._segments.places(found).items():
                yield (index, name), found.where(np.array(inside))

    def _scored(self, part: _Part, records: RecordTable) -> None:
        several = self._signature.task is Task.MULTICLASS
        classes = len(self._signature.labels) if several else 2
        if not part.tables:
            part.tables = [{} for _ in range(classes if several else 1)]
        if several:
            scores = np.array(records.cells("outputs"), dtype=np.float64)
            decisions = scores.argmax(axis=1)
        else:
            scores = records.floats("score")[:, None]
            decisions = records.floats("positive") > 0
        for table, column in zip(part.tables, scores.T, strict=True):
            places, counts = np.unique(score_places(column, decisions, classes), return_counts=True)
            for place, count in zip(places.tolist(), counts.tolist(), strict=True):
                table[place] = table.get(place, 0) + count

    def _binned(self, part: _Part, records: RecordTable) -> None:
        features = self._signature.features
        columns = Columns(
            features=features,
            arrays=tuple(_column(feature.kind, records, at) for at, feature in enumerate(features)),
        )
        found = places_of(self._steps, columns, records.floats("score"))
        counts = [np.bincount(p, minlength=s.bins) for p, s in zip(found, self._steps, strict=True)]
        before = part.histograms or [[0] * step.bins for step in self._steps]
        part.histograms = [
            (np.array(old) + new).tolist() for old, new in zip(before, counts, strict=True)
        ]

    def _window(self, index: int, parts: dict[str, _Part]) -> Window:
        found = {name: self._predicted(part) for name, part in sorted(parts.items())}
        whole = found.pop(WHOLE)
        return Window(
            subject=SUBJECT,
            model=self._model,
            version=self._version,
            start=index * self._config.window_seconds,
            end=(index + 1) * self._config.window_seconds,
            rows=whole.predictions,
            content=msgspec.structs.replace(whole, segments=found),
        )

    def _predicted(self, part: _Part) -> Predicted:
        return Predicted(
            task=self._signature.task,
            predictions=part.rows,
            tables=tuple(part.tables),
            histograms=tuple(tuple(counts) for counts in part.histograms),
        )


def _column(kind: FeatureKind, records: RecordTable, position: int) -> Array:
    """RecordTable values as a column; what is no number in a numeric feature is missing."""
    if kind is FeatureKind.CATEGORICAL:
        values = records.scalars(position)
        column = np.empty(len(values), dtype=object)
        column[:] = [None if value is None else str(value) for value in values]
        return column
    numbers = records.numbers(position)
    if numbers is not None:
        return numbers
    values = records.scalars(position)
    return np.array(
        [float(v) if isinstance(v, int | float) else math.nan for v in values], dtype=np.float64
    )
