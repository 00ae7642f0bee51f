"""What is said of performance: measured where outcomes are known, estimated where they are not.

An estimate never takes the place of a measurement: it has a column, a line and a word of its own.
"""

from __future__ import annotations

from collections.abc import Sequence

from trimtab.report.charts import Line, Point
from trimtab.report.words import plain
from trimtab.types import Comparison, Record, State, Verdict
from trimtab.wiring.overview import ModelOverview

PERFORMANCE, ESTIMATED, CONCEPT = "performance", "estimated_performance", "concept_drift"

METRIC_WORDS = {
    "f1": "F1 score",
    "roc_auc": "ROC AUC",
    "pr_auc": "PR AUC",
    "brier": "Brier score",
    "mae": "mean absolute error",
    "rmse": "root mean squared error",
    "mape": "mean absolute percentage error",
    "mrr": "mean reciprocal rank",
}


class EstimationError(Record, frozen=True):
    """How far estimates were from what was measured later, over ``windows`` that have both.

    ``mean_absolute`` is the mean distance; ``inside`` counts measured values within the estimate's
    interval.
    """

    windows: int
    mean_absolute: float
    inside: int


class MetricFinding(Record, frozen=True):
    """One performance metric of the champion: over all windows, and of other versions.

    ``comparison`` is the newest measured one, None before the first; ``estimate`` the newest estimated one
    with the end of its window; ``error`` how good such estimates have been so far.
    """

    name: str
    words: str
    comparison: Comparison | None
    estimate: Comparison | None
    estimated_until: float | None
    error: EstimationError | None
    worse: bool
    lines: tuple[Line, ...]


class SegmentFinding(Record, frozen=True):
    """One metric of one segment in the newest measured window, with its newest estimate."""

    segment: str
    words: str
    comparison: Comparison
    estimate: Comparison | None
    worse: bool


def metric_findings(overview: ModelOverview) -> tuple[MetricFinding, ...]:
    """The champion's metrics, in the order they are watched; those only estimated so far are last."""
    measured, estimated = overview.latest(PERFORMANCE), overview.latest(ESTIMATED)
    newest = {found.name: found for found in _whole(measured)}
    guessed = {found.name: found for found in _whole(estimated)}
    flagged = measured.flagged if measured else ()
    return tuple(
        MetricFinding(
            name=name,
            words=metric_words(name),
            comparison=newest.get(name),
            estimate=guessed.get(name),
            estimated_until=estimated.end if estimated and name in guessed else None,
            error=estimation_error(overview, name),
            worse=name in flagged,
            lines=metric_lines(overview, name),
        )
        for name in dict.fromkeys([*newest, *guessed])
    )


def segment_findings(overview: ModelOverview) -> tuple[SegmentFinding, ...]:
    """The segments of the newest measured window: those that got worse first, then by name."""
    measured, estimated = overview.latest(PERFORMANCE), overview.latest(ESTIMATED)
    if measured is None:
        return ()
    guessed = {found.name: found for found in (estimated.comparisons if estimated else ())}
    findings = [
        SegmentFinding(
            segment=found.segment,
            words=metric_words(found.name.removesuffix(f", {found.segment}")),
            comparison=found,
            estimate=guessed.get(found.name),
            worse=found.name in measured.flagged,
        )
        for found in measured.comparisons
        if found.segment and found.current_value is not None
    ]
    worse = {found.segment for found in findings if found.worse}
    return tuple(sorted(findings, key=lambda one: (one.segment not in worse, one.segment)))


def metric_words(name: str) -> str:
    """A metric's name for people; ``ndcg_at_5`` is an ``NDCG at 5``."""
    family, at, k = name.partition("_at_")
    said = {"ndcg": "NDCG"}.get(family) or METRIC_WORDS.get(family, plain(family))
    return f"{said} at {k}" if at else said


def estimation_error(overview: ModelOverview, name: str) -> EstimationError | None:
    """How good the champion's estimates of a metric were, None before any outcome could tell."""
    guessed = {
        verdict.start: found
        for verdict in _history(overview, ESTIMATED, overview.champion)
        for found in verdict.comparisons
        if found.name == name
    }
    apart: list[float] = []
    inside = 0
    for verdict in _history(overview, PERFORMANCE, overview.champion):
        for found in verdict.comparisons:
            guess = guessed.get(verdict.start)
            if found.name != name or guess is None or guess.interval is None:
                continue
            if found.current_value is not None and guess.current_value is not None:
                apart.append(abs(guess.current_value - found.current_value))
                inside += guess.interval[0] <= found.current_value <= guess.interval[1]
    if not apart:
        return None
    return EstimationError(windows=len(apart), mean_absolute=sum(apart) / len(apart), inside=inside)


def metric_lines(overview: ModelOverview, metric: str) -> tuple[Line, ...]:
    """A metric over windows: one line a version, the champion's estimate, and the champion's last."""
    champion = overview.champion
    found = {v.version for v in overview.verdicts if v.subject == PERFORMANCE}
    lines = [
        Line(
            name=f"v{version}",
            points=_points(_history(overview, PERFORMANCE, version), metric),
            muted=version != champion,
        )
        for version in sorted(found, key=lambda version: (version == champion, version))
    ]
    guess = _points(_history(overview, ESTIMATED, champion), metric)
    if guess:
        place = len(lines) - 1 if champion in found else len(lines)
        lines.insert(place, Line(name="estimated", points=guess, estimated=True))
    return tuple(lines)


def _whole(verdict: Verdict | None) -> list[Comparison]:
    if verdict is None:
        return []
    return [c for c in verdict.comparisons if c.current_value is not None and not c.segment]


def _points(history: Sequence[Verdict], metric: str) -> tuple[Point, ...]:
    points = []
    for verdict in history:
        for found in verdict.comparisons:
            if found.name == metric and found.current_value is not None:
                low, high = found.interval or (None, None)
                middle = (verdict.start + verdict.end) / 2.0
                points.append(Point(at=middle, value=found.current_value, low=low, high=high))
    return tuple(points)


def _history(overview: ModelOverview, subject: str, version: int | None) -> list[Verdict]:
    return [
        v
        for v in overview.verdicts
        if v.subject == subject and v.version == version and v.state is not State.NOT_ENOUGH_DATA
    ]
