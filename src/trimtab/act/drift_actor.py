"""What a drift verdict asks for: an alert when it alarms, a retraining alert when it must be acted on.

Both are opened once an excursion, and closed when the subject is steady again.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from trimtab.config import WatchConfig
from trimtab.protocols import StateTx
from trimtab.types import Alert, Severity, State, Verdict, Window

_WORDS = {
    "data_drift": "data drift",
    "data_quality": "faults in the data",
    "prediction_drift": "prediction drift",
    "performance": "performance drift",
    "feature_skew": "feature skew",
    "estimated_performance": "estimated performance drift",
    "concept_drift": "concept drift",
}
_RETRAIN = frozenset({"performance", "concept_drift"})


class DriftActor:
    """Turns verdicts on data drift, prediction drift and performance into alerts.

    Performance that has alarmed calls for retraining, and so does concept drift; so does data drift that
    has alarmed once its score is ``retrain_threshold``; prediction drift and estimated performance alone
    do not. A version that has no traffic any more alerts nobody, and its alerts are closed.

    Args:
        config: ``retrain_threshold``.
    """

    def __init__(self, config: WatchConfig) -> None:
        self._retrain_threshold = config.retrain_threshold

    def act(self, window: Window, verdict: Verdict, state: StateTx) -> Sequence[Alert]:
        """The alerts that this verdict opens; a steady one closes them. A revision does neither."""
        if verdict.revision:
            return ()
        drift, retrain = _keys(verdict)
        if verdict.state is State.STEADY or not _answers(verdict, state):
            for key in (drift, retrain):
                state.alerts.close(key, window.end)
            return ()
        if verdict.state is not State.DRIFTED or not verdict.alarmed:
            return ()
        alerts = []
        if verdict.subject not in _RETRAIN:
            alerts.append(_alert(drift, "", verdict, runbook=_kind(verdict)))
        if self._must_retrain(verdict):
            alerts.append(_alert(retrain, "Retrain ", verdict, runbook="retrain"))
        return alerts

    def _must_retrain(self, verdict: Verdict) -> bool:
        if verdict.subject == "data_drift":
            return verdict.score >= self._retrain_threshold
        return verdict.subject in _RETRAIN


def _answers(verdict: Verdict, state: StateTx) -> bool:
    """Whether the version has a share of its model's traffic."""
    route = state.control.route(verdict.model)
    return route is not None and any(arm.version == verdict.version for arm in route.arms)


def _keys(verdict: Verdict) -> tuple[str, str]:
    key = f"{verdict.model}/{verdict.version}/{verdict.subject}"
    return key, f"{key}/retrain"


def _alert(key: str, verb: str, verdict: Verdict, runbook: str) -> Alert:
    since = verdict.start if verdict.since is None else verdict.since
    kind = _WORDS.get(_kind(verdict), _kind(verdict))
    if verdict.segment:
        kind = f"{kind} in {verdict.segment}"
    return Alert(
        key=key,
        severity=Severity.TICKET,
        title=f"{verb}{verdict.model}: {kind} since {_day(since)}",
        body=_body(verdict),
        model=verdict.model,
        version=verdict.version,
        event_time=verdict.end,
        runbook=runbook,
    )


def _kind(verdict: Verdict) -> str:
    """The subject, without the segment that it is about."""
    return verdict.subject.partition("/")[0]


def _body(verdict: Verdict) -> str:
    """Plain sentences: which window, and what differs in it, strongest first."""
    by_name = {comparison.name: comparison for comparison in verdict.comparisons}
    span = f"from {_moment(verdict.start)} to {_moment(verdict.end)} UTC"
    lines = [f"Version {verdict.version} of {verdict.model}, {verdict.rows:,} rows {span}."]
    if not verdict.flagged:
        lines.append(verdict.words)
    for name in verdict.flagged:
        said = by_name[name].words or f"differs by {by_name[name].score:.2f}"
        lines.append(f"- {name}: {said}")
    return "\n".join(lines)


def _day(event_time: float) -> str:
    return datetime.fromtimestamp(event_time, UTC).date().isoformat()


def _moment(event_time: float) -> str:
    return datetime.fromtimestamp(event_time, UTC).strftime("%Y-%m-%d %H:%M")
