"""journal -> window -> compare, for skew: what was served against what the history says of it."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from heapq import nsmallest
from math import isclose
from typing import Any

import msgspec
import pyarrow as pa
from scipy.stats import binom
from xxhash import xxh3_64_intdigest

from trimtab.config import FeaturesConfig
from trimtab.errors import TrimtabError
from trimtab.features.lookup import SLACK_SECONDS, Ask, Known, Lookup
from trimtab.features.values import PlannedFeature
from trimtab.features.views import PlannedView
from trimtab.log_events import Event
from trimtab.protocols import StateTx
from trimtab.types import Comparison, Matured, PredictionRecord, Provenance, Scalar, Window

logger = logging.getLogger(__name__)

FEATURE_SKEW = "feature_skew"
_STORED = frozenset({Provenance.REALTIME.code, Provenance.BATCH.code})
_NAMED = 3


class Sample(msgspec.Struct, frozen=True, array_like=True):
    """What is kept of one prediction: values that came from stores, by feature, with their event times.

    ``order`` is a hash of the prediction's id: the smallest of a window are kept.
    """

    order: int
    entities: dict[str, str]
    values: dict[str, tuple[Scalar, float]]


class _Saved(msgspec.Struct, frozen=True, kw_only=True):
    """All that has been folded and not yet yielded."""

    watermark: float
    open: dict[int, list[Sample]]
    late: int


class SkewWindows:
    """Folds what a version was served from stores into windows of event time.

    Of each window a sample is kept, the same whatever the batches were. A window closes once the
    latest event time is ``skew_delay_seconds`` past its end, when the history should have caught up; a
    record of a window that has closed is dropped and counted in ``late``.

    Args:
        model: The model's name.
        version: The version whose predictions are folded.
        names: The version's features in the order of its records.
        window_seconds: How long a window is.
        config: Delay and sample size.
    """

    def __init__(
        self,
        model: str,
        version: int,
        names: Sequence[str],
        window_seconds: float,
        config: FeaturesConfig,
    ) -> None:
        self._model = model
        self._version = version
        self._names = tuple(names)
        self._length = window_seconds
        self._delay = config.skew_delay_seconds
        self._most = config.skew_samples
        self._watermark = float("-inf")
        self._open: dict[int, list[Sample]] = {}
        self.late = 0

    def fold(
        self,
        predictions: Sequence[PredictionRecord],
        matured: Sequence[Matured],  # noqa: ARG002 - skew needs no outcomes
        state: StateTx,  # noqa: ARG002 - nor the state
    ) -> Iterable[Window]:
        """Fold new records; the windows that are now complete, oldest first."""
        for record in predictions:
            if record.model != self._model:
                continue
            at = int(record.event_time // self._length)
            if (at + 1) * self._length + self._delay <= self._watermark:
                self.late += 1
                continue
            self._watermark = max(self._watermark, record.event_time)
            if record.version == self._version and not record.shadow:
                self._keep(at, record)
        closed = [
            at
            for at in sorted(self._open)
            if (at + 1) * self._length + self._delay <= self._watermark
        ]
        return [self._close(at) for at in closed]

    def dump(self) -> bytes:
        """All that has been folded and not yet yielded."""
        saved = _Saved(watermark=self._watermark, open=self._open, late=self.late)
        return msgspec.msgpack.encode(saved)

    def load(self, blob: bytes) -> None:
        """Take up where ``dump`` left off."""
        saved = msgspec.msgpack.decode(blob, type=_Saved)
        self._watermark, self._open, self.late = saved.watermark, saved.open, saved.late

    def _keep(self, at: int, record: PredictionRecord) -> None:
        stored = {
            name: (value, record.event_time - age)
            for at, (name, value, source, age) in enumerate(
                zip(self._names, record.values, record.sources, record.ages_seconds, strict=True)
            )
            if source in _STORED and age is not None and at not in record.withheld
        }
        if not stored or not record.entities:
            return
        sample = Sample(
            order=xxh3_64_intdigest(record.prediction_id.encode()),
            entities=record.entities,
            values=stored,
        )
        kept = self._open.setdefault(at, [])
        kept.append(sample)
        if len(kept) >= 2 * self._most:
            self._open[at] = self._smallest(kept)

    def _smallest(self, kept: list[Sample]) -> list[Sample]:
        return nsmallest(self._most, kept, key=lambda sample: sample.order)

    def _close(self, at: int) -> Window:
        samples = self._smallest(self._open.pop(at))
        return self.made(at * self._length, (at + 1) * self._length, samples)

    def made(self, start: float, end: float, samples: list[Sample]) -> Window:
        """A complete window."""
        return Window(
            subject=FEATURE_SKEW,
            model=self._model,
            version=self._version,
            start=start,
            end=end,
            rows=len(samples),
            content=samples,
        )


class SkewComparer:
    """Compares each feature that stores served with its view's history, for the same entity and time.

    A value differs if the history has another one, or none, as of the value's own event time; numbers
    that are within ``skew_tolerance_ratio`` of each other are equal. What the history does not reach yet
    is left out. The score is the share that differs, and p the chance of so many if ``skew_floor`` did.

    Args:
        views: The views as the model reads them.
        lookup: Asks a view's history.
        config: Tolerance and floor.
    """

    def __init__(
        self, views: Sequence[PlannedView], lookup: Lookup, config: FeaturesConfig
    ) -> None:
        self._views = tuple(views)
        self._lookup = lookup
        self._tolerance = config.skew_tolerance_ratio
        self._floor = config.skew_floor

    def compare(self, window: Window) -> Sequence[Comparison]:
        """One comparison a feature of which anything could be compared."""
        found: list[Comparison] = []
        for view in self._views:
            asks, served = self._asked(view, window.content)
            if not asks:
                continue
            try:
                known = self._lookup(view, asks)
            except (TrimtabError, pa.ArrowException, OSError) as wrong:
                logger.warning(
                    Event.STORE_FAILED, extra={"view": view.name, "reason": f"history: {wrong}"}
                )
                continue
            found += self._of_view(view, served, known)
        return found

    def _asked(
        self, view: PlannedView, samples: Sequence[Sample]
    ) -> tuple[list[Ask], list[dict[str, Scalar]]]:
        """What to ask, and the values that were served, ask by ask."""
        names = [feature.name for feature in view.features]
        asks, served = [], []
        for sample in samples:
            if not all(key in sample.entities for key in view.keys):
                continue
            entity = tuple(sample.entities[key] for key in view.keys)
            by_time: dict[float, dict[str, Scalar]] = defaultdict(dict)
            for name in names:
                if name in sample.values:
                    value, at = sample.values[name]
                    by_time[at][name] = value
            for at, values in by_time.items():
                asks.append(Ask(entity=entity, at=at + SLACK_SECONDS))
                served.append(values)
        return asks, served

    def _of_view(
        self, view: PlannedView, served: Sequence[dict[str, Scalar]], known: Sequence[Known]
    ) -> list[Comparison]:
        found = []
        for feature in view.features:
            pairs = [
                (values[feature.name], _conformed(feature, one.row))
                for values, one in zip(served, known, strict=True)
                if one.covered and feature.name in values and _knows(one.row, feature.name)
            ]
            if pairs:
                found.append(self._comparison(feature, pairs))
        return found

    def _comparison(
        self, feature: PlannedFeature, pairs: Sequence[tuple[Scalar, Scalar]]
    ) -> Comparison:
        apart = [pair for pair in pairs if not self._same(*pair)]
        share = len(apart) / len(pairs)
        said = [f"{_told(online)} served, {_told(held)} in the history" for online, held in apart]
        examples = "; ".join(list(dict.fromkeys(said))[:_NAMED])
        return Comparison(
            name=feature.name,
            statistic=FEATURE_SKEW,
            score=share,
            noise_floor=0.0,
            floor=self._floor,
            p_value=float(binom.sf(len(apart) - 1, len(pairs), self._floor)),
            words=f"{len(apart)} of {len(pairs)} differ"
            + (f", for example {examples}" if examples else ""),
            reference_value=_mean(held for _, held in pairs),
            current_value=_mean(online for online, _ in pairs),
        )

    def _same(self, online: Scalar, held: Scalar) -> bool:
        if isinstance(online, int | float) and isinstance(held, int | float):
            return isclose(online, held, rel_tol=self._tolerance, abs_tol=0.0)
        return online == held


def _knows(row: Mapping[str, Any] | None, feature: str) -> bool:
    """Whether the file of a row has the feature at all; one from before it was declared has not."""
    return row is None or feature in row


def _conformed(feature: PlannedFeature, row: Mapping[str, Any] | None) -> Scalar:
    if row is None:
        return None
    try:
        return feature.conform(row[feature.name])
    except ValueError:
        return None


def _told(value: Scalar) -> str:
    if value is None:
        return "nothing"
    return f"{value:.6g}" if isinstance(value, float) else repr(value)


def _mean(values: Iterable[Scalar]) -> float | None:
    numbers = [float(value) for value in values if isinstance(value, int | float)]
    return sum(numbers) / len(numbers) if numbers else None
