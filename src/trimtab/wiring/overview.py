"""What people ask of a deployment, read once and shown by the command line, HTTP, pages and reports."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum

import msgspec

from trimtab.errors import NotFound
from trimtab.metric_files import told_by_the_living
from trimtab.protocols import StateTx
from trimtab.types import (
    Alert,
    Alias,
    AuditEntry,
    Record,
    Rollout,
    RolloutState,
    Route,
    Severity,
    State,
    Verdict,
    Version,
)
from trimtab.wiring.deployment import Deployment

_ALL = 1_000_000
WATCHED = (
    "data_drift",
    "data_quality",
    "prediction_drift",
    "performance",
    "estimated_performance",
    "concept_drift",
    "feature_skew",
    "feature_fallback",
)
SUBJECTS = (*WATCHED, "guardrail")


class Health(StrEnum):
    """The plain verdict for people."""

    HEALTHY = "healthy"
    WATCH = "watch"
    ACT = "act"


class AlertView(Record, frozen=True):
    """An alert, how often it repeated, and when it was closed (event time), None while open."""

    alert: Alert
    repeats: int
    closed_at: float | None


class VersionView(Record, frozen=True):
    """A version, the aliases it bears, and how many predictions and joined outcomes it has."""

    version: Version
    aliases: tuple[str, ...]
    predictions: int
    outcomes: int


class ModelOverview(Record, frozen=True):
    """All that is shown of one model. ``verdicts`` are the newest ones, oldest first."""

    model: str
    health: Health
    because: tuple[str, ...]
    route: Route | None
    versions: tuple[VersionView, ...]
    rollouts: tuple[Rollout, ...]
    verdicts: tuple[Verdict, ...]
    alerts: tuple[AlertView, ...]
    events: tuple[AuditEntry, ...]

    @property
    def champion(self) -> int | None:
        """The version that answers, None before the first deployment."""
        return self.route.champion if self.route else None

    @property
    def running(self) -> Rollout | None:
        """The rollout on its way, if there is one."""
        open_states = (RolloutState.RUNNING, RolloutState.HELD)
        return next((r for r in reversed(self.rollouts) if r.state in open_states), None)

    def latest(self, subject: str, version: int | None = None) -> Verdict | None:
        """The newest verdict on a subject; of the champion if no version is named."""
        wanted = self.champion if version is None else version
        return next(
            (v for v in reversed(self.verdicts) if v.subject == subject and v.version == wanted),
            None,
        )


def faults(deployment: Deployment) -> tuple[str, ...]:
    """What is wrong on this machine with all models alike, in plain words."""
    metrics = deployment.run_dir / "metrics"
    if not told_by_the_living("ml_journal_failing", metrics):
        return ()
    refused = deployment.config.journal.on_full == "refuse"
    then = "predictions are refused" if refused else "answers are given and not recorded"
    return (
        f"The journal in {deployment.journal_dir} cannot be written: {then}. Is its disk full?",
    )


def overview(
    state: StateTx, model: str, *, verdict_limit: int = 500, faults: Sequence[str] = ()
) -> ModelOverview:
    """Read all that is shown of a model.

    Args:
        state: What is known.
        model: Its name.
        verdict_limit: How many of the newest verdicts on each subject.
        faults: What is wrong besides, as :func:`faults` says it.

    Raises:
        NotFound: the registry has no such model.
    """
    versions = state.registry.versions(model)
    if not versions:
        raise _unknown(state, model)
    aliases = state.registry.aliases(model)
    counts = state.outcomes.counts(model)
    route = state.control.route(model)
    verdicts = _verdicts(state, model, verdict_limit)
    alerts = tuple(
        AlertView(alert=a, repeats=n, closed_at=c) for a, n, c in state.alerts.alerts(model)
    )
    rollouts = tuple(state.control.rollouts(model))
    health, because = _health(route, rollouts, verdicts, alerts, faults)
    return ModelOverview(
        model=model,
        health=health,
        because=because,
        route=None if route is None else without_slots(route),
        versions=tuple(_version(v, aliases, counts) for v in versions),
        rollouts=rollouts,
        verdicts=verdicts,
        alerts=alerts,
        events=tuple(state.audit.entries(model)),
    )


class AliasMove(Record, frozen=True):
    """An alias that was moved, or taken away (``version`` None); ``at`` is wall time."""

    at: float
    alias: str
    version: int | None
    actor: str
    reason: str


def alias_history(state: StateTx, model: str) -> tuple[AliasMove, ...]:
    """Every move of a model's aliases, oldest first, from the audit log.

    Raises:
        NotFound: the registry has no such model.
    """
    if not state.registry.versions(model):
        raise _unknown(state, model)
    return tuple(
        AliasMove(at=e.at, alias=alias, version=version, actor=e.actor, reason=e.reason)
        for e in state.audit.entries(model, limit=_ALL)
        for alias, version in e.detail.get("aliases", {}).items()
    )


def _unknown(state: StateTx, model: str) -> NotFound:
    known = ", ".join(state.registry.models()) or "none"
    return NotFound(
        f"There is no model {model!r}.",
        code="unknown_model",
        hint=f"Registered: {known}. `trimtab register` adds one.",
    )


def without_slots(route: Route) -> Route:
    """A route to be shown: its 10,000 slots say nothing that its shares do not."""
    return msgspec.structs.replace(route, slots=b"")


def _verdicts(state: StateTx, model: str, limit: int) -> tuple[Verdict, ...]:
    """The newest verdicts of each subject: a rollout has one a tick, drift one a window."""
    found = [v for s in SUBJECTS for v in state.watch.verdicts(model, s, limit=limit)]
    return tuple(sorted(found, key=lambda v: (v.end, v.subject, v.version)))


def _version(
    version: Version, aliases: Sequence[Alias], counts: Mapping[int, tuple[int, int]]
) -> VersionView:
    predictions, outcomes = counts.get(version.version, (0, 0))
    names = tuple(a.alias for a in aliases if a.version == version.version)
    return VersionView(version=version, aliases=names, predictions=predictions, outcomes=outcomes)


def _health(
    route: Route | None,
    rollouts: Sequence[Rollout],
    verdicts: Sequence[Verdict],
    alerts: Sequence[AlertView],
    faults: Sequence[str],
) -> tuple[Health, tuple[str, ...]]:
    """The worst of: faults, open alerts, the champion's newest verdicts, a held rollout."""
    acts = [*faults]
    acts += [
        a.alert.title for a in alerts if a.closed_at is None and a.alert.severity != Severity.INFO
    ]
    if acts:
        return Health.ACT, tuple(acts)
    newest: dict[str, Verdict] = {
        v.subject: v for v in verdicts if route is not None and v.version == route.champion
    }
    notes = [v.words for v in newest.values() if v.state in (State.WATCH, State.DRIFTED)]
    notes += [f"Rollout held: {r.reason}" for r in rollouts if r.state is RolloutState.HELD]
    if route is None:
        notes.append("No version is deployed yet.")
    return (Health.WATCH, tuple(notes)) if notes else (Health.HEALTHY, ())
