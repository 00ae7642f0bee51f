"""How many stored values came from a fallback: journal -> window -> compare -> judge -> act."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from trimtab.config import FeaturesConfig
from trimtab.features.views import FeaturePlan
from trimtab.protocols import StateTx
from trimtab.types import (
    Alert,
    Comparison,
    Matured,
    PredictionRecord,
    Provenance,
    Record,
    Severity,
    State,
    Verdict,
    Window,
)

FEATURE_FALLBACK = "feature_fallback"

_LOST = Provenance.DEFAULT.code + Provenance.MISSING.code
_NAMED = 3


class Ratio(Record, frozen=True):
    """One feature in one window: its values that no request brought, and those of a fallback."""

    feature: str
    values: int
    fallbacks: int


class _Saved(msgspec.Struct):
    watermark: float
    open: dict[int, dict[str, int]]


class FallbackWindows:
    """Counts sources in windows of event time; one is complete when a record of a later one comes.

    A value from a view's batch store is a fallback where the view has a realtime store; a default or
    nothing always is. Rows that come for a window that is over are left out.

    Args:
        model: Whose predictions.
        version: Of it.
        names: The features in the order of the records.
        plan: Its views.
        seconds: How long a window is.
    """

    def __init__(
        self, model: str, version: int, names: Sequence[str], plan: FeaturePlan, seconds: float
    ) -> None:
        self._model = model
        self._version = version
        places = {name: at for at, name in enumerate(names)}
        self._fallbacks = {
            feature.name: (
                places[feature.name],
                _LOST + (Provenance.BATCH.code if view.realtime else ""),
            )
            for view in plan.views
            for feature in view.features
            if feature.name in places
        }
        self._seconds = seconds
        self._watermark = -math.inf
        self._open: dict[int, dict[str, int]] = {}

    def fold(
        self, predictions: Sequence[PredictionRecord], matured: Sequence[Matured], state: StateTx
    ) -> Iterable[Window]:
        """Fold new records; the windows that are now complete, oldest first."""
        del matured, state
        complete = []
        for record in predictions:
            if record.model != self._model or record.version != self._version:
                continue
            index = math.floor(record.event_time / self._seconds)
            if record.event_time > self._watermark:
                self._watermark = record.event_time
                complete += [
                    self._window(i, self._open.pop(i)) for i in sorted(self._open) if i < index
                ]
            if index * self._seconds > self._watermark - self._seconds:
                counts = self._open.setdefault(index, {})
                counts[record.sources] = counts.get(record.sources, 0) + 1
        return complete

    def dump(self) -> bytes:
        """All that has been folded and not yet yielded."""
        return msgspec.msgpack.encode(_Saved(self._watermark, self._open))

    def load(self, blob: bytes) -> None:
        """Take up where ``dump`` left off."""
        saved = msgspec.msgpack.decode(blob, type=_Saved)
        self._watermark, self._open = saved.watermark, saved.open

    def _window(self, index: int, counts: Mapping[str, int]) -> Window:
        ratios = []
        for name, (place, codes) in self._fallbacks.items():
            by_code: Counter[str] = Counter()
            for sources, rows in counts.items():
                by_code[sources[place]] += rows
            stored = by_code.total() - by_code[Provenance.REQUEST.code]
            ratios.append(
                Ratio(feature=name, values=stored, fallbacks=sum(by_code[c] for c in codes))
            )
        return Window(
            subject=FEATURE_FALLBACK,
            model=self._model,
            version=self._version,
            start=index * self._seconds,
            end=(index + 1) * self._seconds,
            rows=sum(counts.values()),
            content=tuple(ratios),
        )


class FallbackComparer:
    """One comparison a feature that stores were asked for often enough.

    Args:
        config: ``fallback_ratio`` and ``fallback_min_values``.
    """

    def __init__(self, config: FeaturesConfig) -> None:
        self._config = config

    def compare(self, window: Window) -> Sequence[Comparison]:
        """The share of each feature's values that came from a fallback."""
        ratios: Sequence[Ratio] = window.content
        return [
            Comparison(
                name=ratio.feature,
                statistic="fallback_ratio",
                score=ratio.fallbacks / ratio.values,
                noise_floor=0.0,
                floor=self._config.fallback_ratio,
                p_value=None,
                words=f"{ratio.fallbacks / ratio.values:.1%} of {ratio.values:,} values were fallbacks",
                reference_value=0.0,
                current_value=ratio.fallbacks / ratio.values,
            )
            for ratio in ratios
            if ratio.values >= self._config.fallback_min_values
        ]


class FallbackJudge:
    """A feature is flagged where more of its values than the floor came from a fallback."""

    def __init__(self) -> None:
        self._since: float | None = None

    def judge(self, window: Window, comparisons: Sequence[Comparison]) -> Verdict:
        """What the window means; it alarms once an excursion."""
        flagged = sorted(
            (c for c in comparisons if c.score > c.floor), key=lambda c: (-c.score, c.name)
        )
        first = bool(flagged) and self._since is None
        if flagged and self._since is None:
            self._since = window.start
        since = self._since
        if comparisons and not flagged:
            self._since = since = None
        return Verdict(
            subject=FEATURE_FALLBACK,
            model=window.model,
            version=window.version,
            start=window.start,
            end=window.end,
            rows=window.rows,
            state=_state(comparisons, flagged),
            score=max((c.score for c in comparisons), default=0.0),
            evidence=0.0,
            alarm_at=0.0,
            alarmed=first,
            since=since,
            comparisons=tuple(comparisons),
            flagged=tuple(c.name for c in flagged),
            words=_words(comparisons, flagged),
        )

    def dump(self) -> bytes:
        """Since when there is an excursion."""
        return msgspec.msgpack.encode(self._since)

    def load(self, blob: bytes) -> None:
        """Take up where ``dump`` left off."""
        self._since = msgspec.msgpack.decode(blob, type=float | None)


class FallbackActor:
    """Opens one alert an excursion, and closes it when values come from their stores again."""

    def act(self, window: Window, verdict: Verdict, state: StateTx) -> Sequence[Alert]:
        """The alert that this verdict opens."""
        key = f"{verdict.model}/{verdict.version}/{FEATURE_FALLBACK}"
        if verdict.state is State.STEADY:
            state.alerts.close(key, window.end)
        if not verdict.alarmed:
            return ()
        return (
            Alert(
                key=key,
                severity=Severity.TICKET,
                title=f"{verdict.model}: features come from fallbacks",
                body=f"Version {verdict.version} of {verdict.model}: {verdict.words}",
                model=verdict.model,
                version=verdict.version,
                event_time=verdict.end,
                runbook=FEATURE_FALLBACK,
            ),
        )


def _state(comparisons: Sequence[Comparison], flagged: Sequence[Comparison]) -> State:
    if flagged:
        return State.DRIFTED
    return State.STEADY if comparisons else State.NOT_ENOUGH_DATA


def _words(comparisons: Sequence[Comparison], flagged: Sequence[Comparison]) -> str:
    if not comparisons:
        return "Not enough data: too few values were asked of stores."
    if not flagged:
        return "Features come from their stores."
    said = "; ".join(f"{c.name}: {c.words}" for c in flagged[:_NAMED])
    more = f"; and {len(flagged) - _NAMED} more" if len(flagged) > _NAMED else ""
    return f"{said}{more}."
