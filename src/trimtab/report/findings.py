"""What the pages and the report say of a model, taken from its overview; nothing is computed anew.

What was measured and what was estimated stand apart, and an estimate bears the word: a rollout's cost
here, performance without outcomes in ``performance.py``.
"""

from __future__ import annotations

from collections.abc import Sequence

from trimtab.config import WatchConfig
from trimtab.report.charts import Line, Point
from trimtab.types import Comparison, Record, State, Verdict
from trimtab.wiring.overview import ModelOverview

DATA_DRIFT, PREDICTION_DRIFT = "data_drift", "prediction_drift"
DATA_QUALITY = "data_quality"
FEATURE_SKEW, FEATURE_FALLBACK = "feature_skew", "feature_fallback"
GUARDRAIL = "guardrail"
HEALTHY, WATCH, ACT = "healthy", "watch", "act"
RUNNING, UNKNOWN = "running", "unknown"


class SubjectFinding(Record, frozen=True):
    """The newest verdict on one subject of the champion; ``tone`` colours ``state``."""

    verdict: Verdict
    tone: str
    state: str


class FeatureFinding(Record, frozen=True):
    """One feature's newest comparison, how it came there, and since when it is flagged."""

    comparison: Comparison
    tone: str
    state: str
    since: float | None
    trend: tuple[Point, ...]


def subject_finding(overview: ModelOverview, subject: str) -> SubjectFinding | None:
    """The newest verdict on a subject of the champion, None before the first window."""
    verdict = overview.latest(subject)
    if verdict is None:
        return None
    tones = {
        State.NOT_ENOUGH_DATA: (UNKNOWN, "not enough data"),
        State.STEADY: (HEALTHY, "steady"),
        State.WATCH: (WATCH, "watch"),
        State.DRIFTED: (ACT if verdict.alarmed else WATCH, "drifted"),
    }
    tone, state = tones[verdict.state]
    return SubjectFinding(verdict=verdict, tone=tone, state=state)


def feature_findings(overview: ModelOverview, watch: WatchConfig) -> tuple[FeatureFinding, ...]:
    """The champion's features in the newest window: flagged ones first, then by score."""
    history = _history(overview, DATA_DRIFT, overview.champion)
    if not history:
        return ()
    newest = history[-1]
    trends: dict[str, list[Point]] = {}
    for verdict in history:
        for found in verdict.comparisons:
            trends.setdefault(found.name, []).append(Point(at=_middle(verdict), value=found.score))
    findings = [
        FeatureFinding(
            comparison=found,
            tone=tone,
            state={HEALTHY: "steady", WATCH: "drifted", ACT: "drifted far"}[tone],
            since=_flagged_since(history, found.name),
            trend=tuple(trends[found.name]),
        )
        for found in newest.comparisons
        for tone in [_feature_tone(newest, found, watch)]
    ]
    return tuple(sorted(findings, key=lambda f: (f.tone == HEALTHY, -f.comparison.score)))


def score_lines(overview: ModelOverview, subject: str) -> tuple[Line, ...]:
    """A subject's score over its windows, one line a version, the champion's last."""
    return tuple(
        Line(
            name=f"v{version}",
            points=tuple(
                Point(at=_middle(verdict), value=verdict.score)
                for verdict in _history(overview, subject, version)
            ),
            muted=version != overview.champion,
        )
        for version in _versions(overview, subject)
    )


def champion_line(lines: Sequence[Line]) -> tuple[Point, ...]:
    """The points of the champion's own line: not muted, and not estimated."""
    return next((line.points for line in lines if not line.muted and not line.estimated), ())


def _versions(overview: ModelOverview, subject: str) -> list[int]:
    found = {v.version for v in overview.verdicts if v.subject == subject}
    return sorted(found, key=lambda version: (version == overview.champion, version))


def _history(overview: ModelOverview, subject: str, version: int | None) -> list[Verdict]:
    return [
        v
        for v in overview.verdicts
        if v.subject == subject and v.version == version and v.state is not State.NOT_ENOUGH_DATA
    ]


def _feature_tone(verdict: Verdict, found: Comparison, watch: WatchConfig) -> str:
    if found.name not in verdict.flagged:
        return HEALTHY
    return ACT if found.score >= watch.retrain_threshold else WATCH


def _flagged_since(history: Sequence[Verdict], name: str) -> float | None:
    """The start of the first window of the unbroken run of flags that reaches the newest one."""
    since = None
    for verdict in reversed(history):
        if name not in verdict.flagged:
            break
        since = verdict.start
    return since


def _middle(verdict: Verdict) -> float:
    return (verdict.start + verdict.end) / 2.0
