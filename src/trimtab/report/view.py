"""A model's overview laid out for a page: findings, figures, and what to keep in mind."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from trimtab.config import ModelConfig, WatchConfig
from trimtab.performance.estimated import WARNING
from trimtab.report import charts
from trimtab.report.charts import Limit, Line, Mark, Point
from trimtab.report.findings import (
    DATA_DRIFT,
    DATA_QUALITY,
    FEATURE_FALLBACK,
    FEATURE_SKEW,
    PREDICTION_DRIFT,
    FeatureFinding,
    SubjectFinding,
    champion_line,
    feature_findings,
    score_lines,
    subject_finding,
)
from trimtab.report.performance import (
    CONCEPT,
    ESTIMATED,
    MetricFinding,
    SegmentFinding,
    metric_findings,
    segment_findings,
)
from trimtab.report.stories import RolloutStory, last_rollback, rollout_marks, rollout_stories
from trimtab.report.words import number, percent, score, upfirst, when
from trimtab.types import AuditEntry, Record, RolloutState, Severity, State
from trimtab.wiring.overview import AlertView, Health, ModelOverview, VersionView

_CHARTED_METRICS = 2
_TABLE_ROWS = 14


class Figure(Record, frozen=True):
    """A chart, what it says, and its newest values as a table of ``rows`` under ``head``."""

    title: str
    caption: str
    svg: Markup
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    left_out: int


class ModelView(Record, frozen=True):
    """All that a page about one model says, in the order in which it is said."""

    overview: ModelOverview
    headline: str
    reasons: tuple[str, ...]
    champion: VersionView | None
    shares: tuple[tuple[str, float], ...]
    live_since: AuditEntry | None
    predictions: int
    outcomes: int
    data_drift: SubjectFinding | None
    data_quality: SubjectFinding | None
    prediction_drift: SubjectFinding | None
    feature_fallback: SubjectFinding | None
    feature_skew: SubjectFinding | None
    features: tuple[FeatureFinding, ...]
    metrics: tuple[MetricFinding, ...]
    estimates: tuple[MetricFinding, ...]
    segments: tuple[SegmentFinding, ...]
    estimated: SubjectFinding | None
    concept: SubjectFinding | None
    drift_figures: tuple[Figure, ...]
    metric_figures: tuple[Figure, ...]
    stories: tuple[RolloutStory, ...]
    rollback: RolloutStory | None
    alerts: tuple[AlertView, ...]
    open_alerts: int
    caveats: tuple[str, ...]


def model_view(overview: ModelOverview, config: ModelConfig, watch: WatchConfig) -> ModelView:
    """Lay an overview out."""
    champion = next((v for v in overview.versions if v.version.version == overview.champion), None)
    arms = overview.route.arms if overview.route else ()
    stories = rollout_stories(overview)
    findings = metric_findings(overview)
    metrics = tuple(found for found in findings if found.comparison is not None)
    estimates = tuple(found for found in findings if found.estimate is not None)
    marks = rollout_marks(stories)
    return ModelView(
        overview=overview,
        headline=_headline(overview),
        reasons=overview.because,
        champion=champion,
        shares=tuple((f"v{arm.version}", arm.share) for arm in arms),
        live_since=_live_since(overview),
        predictions=sum(v.predictions for v in overview.versions),
        outcomes=sum(v.outcomes for v in overview.versions),
        data_drift=subject_finding(overview, DATA_DRIFT),
        data_quality=subject_finding(overview, DATA_QUALITY),
        prediction_drift=subject_finding(overview, PREDICTION_DRIFT),
        feature_fallback=subject_finding(overview, FEATURE_FALLBACK),
        feature_skew=subject_finding(overview, FEATURE_SKEW),
        features=feature_findings(overview, watch),
        metrics=metrics,
        estimates=estimates,
        segments=segment_findings(overview),
        estimated=subject_finding(overview, ESTIMATED),
        concept=subject_finding(overview, CONCEPT),
        drift_figures=_drift_figures(overview, watch, marks),
        metric_figures=tuple(
            _metric_figure(m, config, marks) for m in _charted(metrics or estimates)
        ),
        stories=stories,
        rollback=last_rollback(stories),
        alerts=tuple(reversed(overview.alerts)),
        open_alerts=sum(_calls(a) for a in overview.alerts),
        caveats=_caveats(overview, champion, config, metrics),
    )


def _calls(view: AlertView) -> bool:
    """Whether somebody is waited for."""
    return view.closed_at is None and view.alert.severity is not Severity.INFO


def _headline(overview: ModelOverview) -> str:
    if overview.route is None:
        return "No version is deployed yet."
    calls = sum(map(_calls, overview.alerts))
    return {
        Health.HEALTHY: "Nothing that is watched is outside its limits.",
        Health.WATCH: "Something has changed; nobody has to act yet.",
        Health.ACT: f"{calls} open alert{' calls' if calls == 1 else 's call'} for action.",
    }[overview.health]


def _live_since(overview: ModelOverview) -> AuditEntry | None:
    """The newest entry that made the champion what it is."""
    made = (entry for entry in reversed(overview.events) if _new_champion(entry) is not None)
    return next((entry for entry in made if _new_champion(entry) == overview.champion), None)


def _new_champion(entry: AuditEntry) -> int | None:
    """The version that an audit entry made champion, None if it made none."""
    match entry.action, entry.detail:
        case "deploy", {"version": int(version)}:
            return version
        case "promote", {"candidate": int(version)}:
            return version
        case "roll_back", {"control": int(version), "after_promotion": True}:
            return version
        case _:
            return None


def _drift_figures(
    overview: ModelOverview, watch: WatchConfig, marks: Sequence[Mark]
) -> tuple[Figure, ...]:
    said = {
        DATA_DRIFT: ("Data drift", "How far the inputs are from the reference; 0 is no drift."),
        PREDICTION_DRIFT: (
            "Prediction drift",
            "How far the scores are from those on the reference.",
        ),
    }
    figures = []
    for subject, (title, caption) in said.items():
        lines = score_lines(overview, subject)
        points = champion_line(lines)
        svg = charts.line_chart(
            lines,
            title=f"{title} score over time",
            description=_last_words(lines),
            limit=Limit(value=watch.drift_threshold, words=f"threshold {watch.drift_threshold:g}"),
            marks=marks,
            from_zero=True,
        )
        if svg:
            rows = tuple((when(p.at), score(p.value)) for p in reversed(points[-_TABLE_ROWS:]))
            left_out = max(0, len(points) - _TABLE_ROWS)
            figures.append(
                Figure(
                    title=title,
                    caption=caption,
                    svg=svg,
                    head=("Window", "Score"),
                    rows=rows,
                    left_out=left_out,
                )
            )
    return tuple(figures)


def _charted(metrics: Sequence[MetricFinding]) -> Sequence[MetricFinding]:
    """What is drawn: how well scores rank and how true they are come first, where there are scores."""
    first = [found for found in metrics if found.name in ("roc_auc", "brier")]
    return (first or list(metrics))[:_CHARTED_METRICS]


def _metric_figure(found: MetricFinding, config: ModelConfig, marks: Sequence[Mark]) -> Figure:
    newest = found.comparison or found.estimate
    held_out = newest.reference_value if newest is not None else None
    measured = champion_line(found.lines)
    guesses = {p.at: p for line in found.lines if line.estimated for p in line.points}
    moments = sorted({p.at for p in measured} | set(guesses), reverse=True)
    known = {p.at: p for p in measured}
    label = upfirst(found.words)
    return Figure(
        title=label,
        caption=_metric_caption(config, measured=bool(measured), estimated=bool(guesses)),
        svg=charts.line_chart(
            found.lines,
            title=f"{label} over time",
            description=_last_words(found.lines),
            limit=Limit(value=held_out, words="held-out") if held_out is not None else None,
            marks=marks,
        ),
        head=(
            "Window",
            *(("Measured", "95 % interval") if known else ()),
            *(("Estimated",) if guesses else ()),
        ),
        rows=tuple(
            (
                when(at),
                *(_measured_cells(known.get(at)) if known else ()),
                *((_estimate_cell(guesses.get(at)),) if guesses else ()),
            )
            for at in moments[:_TABLE_ROWS]
        ),
        left_out=max(0, len(moments) - _TABLE_ROWS),
    )


def _metric_caption(config: ModelConfig, *, measured: bool, estimated: bool) -> str:
    said = []
    if measured:
        said.append(f"Measured once the {config.outcome} is known")
    if estimated:
        said.append("broken: estimated without it" if measured else "Estimated without outcomes")
    return "; ".join(said) + ", with 95 % intervals."


def _measured_cells(point: Point | None) -> tuple[str, str]:
    return ("–", "–") if point is None else (score(point.value), interval(point.low, point.high))


def _estimate_cell(point: Point | None) -> str:
    return "–" if point is None else f"{score(point.value)} ({interval(point.low, point.high)})"


def interval(low: float | None, high: float | None) -> str:
    """An interval in words; a dash where none is known."""
    return "–" if low is None or high is None else f"{score(low)} to {score(high)}"


def _last_words(lines: Sequence[Line]) -> str:
    points = champion_line(lines)
    if not points:
        return "The champion has no window yet."
    last = points[-1]
    return (
        f"{len(points)} windows of the champion; the latest, {when(last.at)}: {score(last.value)}."
    )


def _caveats(
    overview: ModelOverview,
    champion: VersionView | None,
    config: ModelConfig,
    metrics: Sequence[MetricFinding],
) -> tuple[str, ...]:
    said = [
        "A drift score says how far inputs or scores moved. Only outcomes say whether that hurts.",
    ]
    if champion is not None and champion.predictions:
        part = percent(min(champion.outcomes / champion.predictions, 1.0))
        said.append(
            f"The {config.outcome} is known for {number(champion.outcomes)} of the champion's "
            f"{number(champion.predictions)} predictions ({part}). Performance covers those only."
        )
    if champion is not None and not champion.version.profile_digest:
        said.append(
            f"Version {champion.version.version} has no reference profile, so drift is not watched."
        )
    if not metrics:
        said.append("No window has enough known outcomes yet, so no performance has been measured.")
    if any(verdict.subject == ESTIMATED for verdict in overview.verdicts):
        said.append(f"Estimates of performance are no measurements. {WARNING}")
    if any(verdict.state is State.NOT_ENOUGH_DATA for verdict in overview.verdicts):
        said.append("Windows with too few rows are not judged, and not drawn.")
    if any(r.state is RolloutState.ROLLED_BACK for r in overview.rollouts):
        said.append(
            "The cost of a rollout is an estimate: the candidate's events beyond what control's rate "
            "would have given, times the configured cost of one."
        )
    return tuple(said)
