"""Flow 2, composed: what the watcher holds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial

from trimtab import plugins
from trimtab.act.alerts import Deliverer, open_alerts
from trimtab.act.drift_actor import DriftActor
from trimtab.drift.comparison import (
    DATA_DRIFT,
    PREDICTION_DRIFT,
    FeatureComparer,
    ScoreComparer,
)
from trimtab.drift.profile import ReferenceProfile
from trimtab.judge import DriftJudge
from trimtab.protocols import AlertChannel, StateTx
from trimtab.record.reader import SegmentReader
from trimtab.rollout.guardrails import GuardrailComparer, GuardrailWindows
from trimtab.rollout.judge import RolloutActor, RolloutJudge
from trimtab.telemetry import Metrics
from trimtab.types import Rollout, RolloutState, Verdict, Version
from trimtab.watch import Subject, Tick, WatchFlow
from trimtab.windows import FeatureWindows
from trimtab.wiring.deployment import Deployment
from trimtab.wiring.performance import FactsKeeper, performance_subjects

WATCHED_ALIASES = frozenset({"champion", "challenger", "previous"})


@dataclass(slots=True)
class SubjectBook:
    """What is to be watched: every version in use, and every running rollout.

    The same objects are given again as long as a thing is watched.
    """

    deployment: Deployment
    _subjects: dict[str, Subject] = field(default_factory=dict)

    def __call__(self, state: StateTx) -> Sequence[Subject]:
        """The subjects of now, in a fixed order."""
        wanted: dict[str, Subject] = {}
        for model in state.registry.models():
            for version in self._watched(state, model):
                for subject in self._of_version(version):
                    wanted[subject.key] = subject
            for rollout in state.control.rollouts(model):
                if rollout.state in (RolloutState.RUNNING, RolloutState.HELD):
                    subject = self._of_rollout(rollout)
                    wanted[subject.key] = subject
        self._subjects = wanted
        return tuple(wanted.values())

    def _watched(self, state: StateTx, model: str) -> Sequence[Version]:
        route = state.control.route(model)
        numbers = {arm.version for arm in route.arms} if route else set()
        numbers |= {
            alias.version
            for alias in state.registry.aliases(model)
            if alias.alias in WATCHED_ALIASES
        }
        # A candidate's outcomes go on arriving after it was rolled back.
        numbers |= {rollout.candidate for rollout in state.control.rollouts(model)[-1:]}
        found = (state.registry.version(model, number) for number in sorted(numbers))
        return [version for version in found if version is not None]

    def _of_version(self, version: Version) -> Sequence[Subject]:
        prefix = f"{version.model}/{version.version}"
        known = [s for key, s in self._subjects.items() if key.startswith(f"{prefix}/")]
        return known or self._make(version, prefix)

    def _make(self, version: Version, prefix: str) -> Sequence[Subject]:
        config = self.deployment.config.watch
        actor = DriftActor(config)
        subjects: list[Subject] = []
        if version.profile_digest is not None:
            blob = self.deployment.blobs.fetch(version.profile_digest).read_bytes()
            profile = ReferenceProfile.load(blob)
            statistics = [plugins.load("trimtab.statistics", s)() for s in config.statistics]
            for subject, sketcher, comparer in (
                (DATA_DRIFT, profile.feature_sketcher(), FeatureComparer(profile, statistics)),
                (PREDICTION_DRIFT, profile.score_sketcher(), ScoreComparer(profile, statistics)),
            ):
                subjects.append(
                    Subject(
                        key=f"{prefix}/{subject}",
                        windower=FeatureWindows(
                            subject, version.model, version.version, sketcher, config
                        ),
                        comparer=comparer,
                        judge=DriftJudge(subject, config),
                        actor=actor,
                    )
                )
        subjects += performance_subjects(self.deployment, version, actor)
        return subjects

    def _of_rollout(self, rollout: Rollout) -> Subject:
        key = f"{rollout.model}/rollout/{rollout.id}"
        return self._subjects.get(key) or Subject(
            key=key,
            windower=GuardrailWindows(rollout),
            comparer=GuardrailComparer(rollout.plan),
            judge=RolloutJudge(rollout.plan),
            actor=RolloutActor(self.deployment.clock),
        )


def open_channels(deployment: Deployment) -> dict[str, AlertChannel]:
    """The configured alert channels, by name."""
    return {
        name: plugins.load("trimtab.channels", channel.kind)(name, channel)
        for name, channel in deployment.config.alerts.channels.items()
    }


@dataclass(slots=True)
class Watching:
    """The watcher's flow, its deliveries and its gauges."""

    deployment: Deployment
    flow: WatchFlow
    deliverer: Deliverer
    metrics: Metrics

    @classmethod
    def open(cls, deployment: Deployment, metrics: Metrics) -> Watching:
        """Compose the flow; saved state is loaded at the first tick."""
        channels = deployment.config.alerts.channels
        flow = WatchFlow(
            state=deployment.state,
            journal=SegmentReader(deployment.journal_dir, metrics),
            subjects=SubjectBook(deployment),
            notify=partial(open_alerts, channels=channels, metrics=metrics),
            batch_rows=deployment.config.watch.batch_rows,
            facts=FactsKeeper(deployment),
        )
        deliverer = Deliverer(
            deployment.state, open_channels(deployment), deployment.clock, metrics
        )
        return cls(deployment, flow, deliverer, metrics)

    def tick(self) -> Tick:
        """One step of flow 2; then workers are told of a new epoch, and gauges are set."""
        tick = self.flow.tick()
        with self.deployment.state.reading() as state:
            epoch = state.control.epoch()
            routes = state.control.routes()
        self.deployment.epoch.publish(epoch)
        self.metrics.gauge("ml_control_epoch", epoch)
        self.metrics.gauge("ml_watch_lag_records", tick.records)
        for verdict in tick.verdicts:
            self._show(verdict)
        for route in routes:
            for arm in route.arms:
                self.metrics.gauge("ml_rollout_share", arm.share, model=route.model, arm=arm.name)
        return tick

    def _show(self, verdict: Verdict) -> None:
        labels = {"model": verdict.model, "model_version": verdict.version}
        if verdict.subject == "guardrail":
            for reading in verdict.comparisons:
                self.metrics.gauge(
                    "ml_guardrail_evidence",
                    reading.current_value or 0.0,
                    model=verdict.model,
                    guardrail=reading.name,
                )
            return
        self.metrics.gauge("ml_drift_evidence", verdict.evidence, subject=verdict.subject, **labels)
        if verdict.subject == "data_drift":
            self.metrics.gauge("ml_data_drift_score", verdict.score, **labels)
            for found in verdict.comparisons:
                self.metrics.gauge(
                    "ml_feature_drift_score", found.score, feature=found.name, **labels
                )
        elif verdict.subject == "prediction_drift":
            self.metrics.gauge("ml_prediction_drift_score", verdict.score, **labels)
        elif verdict.subject == "performance":
            for found in verdict.comparisons if not verdict.revision else ():
                if found.name == "accuracy" and found.current_value is not None:
                    self.metrics.gauge("ml_model_accuracy", found.current_value, **labels)
