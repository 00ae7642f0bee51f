"""Flow 2, composed: what the watcher holds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from dataclasses import replace as replaced
from functools import partial

from msgspec.structs import replace

from trimtab import plugins
from trimtab.act.alerts import Deliverer, open_alerts
from trimtab.act.drift_actor import DriftActor
from trimtab.config import WatchConfig
from trimtab.drift.comparison import (
    DATA_DRIFT,
    PREDICTION_DRIFT,
    FeatureComparer,
    ScoreComparer,
)
from trimtab.drift.profile import ReferenceProfile
from trimtab.drift.segments import load_segments
from trimtab.features.fallbacks import FEATURE_FALLBACK
from trimtab.features.skew import FEATURE_SKEW
from trimtab.judge import DriftJudge
from trimtab.protocols import AlertChannel, Comparer, Judge, StateTx, Windower
from trimtab.quality import DATA_QUALITY, QualityComparer
from trimtab.record.reader import SegmentReader
from trimtab.rollout.arms import candidates, left
from trimtab.rollout.bandit import BanditParts, BanditWindows
from trimtab.rollout.guardrails import GuardrailComparer, GuardrailWindows
from trimtab.rollout.handing import Gathered, HandOver, Inbox
from trimtab.rollout.judge import RolloutActor, RolloutJudge
from trimtab.rollout.strategies.bandit import Bandit
from trimtab.rollout.strategies.shadow import Shadow
from trimtab.telemetry import Metrics
from trimtab.types import Rollout, RolloutState, Verdict, Version
from trimtab.watch import Subject, Tick, WatchFlow
from trimtab.windows import FeatureWindows, Segment, SharedWindows, WindowJudge
from trimtab.wiring.deployment import Deployment
from trimtab.wiring.fallbacks import fallback_subjects
from trimtab.wiring.performance import (
    ESTIMATED_PERFORMANCE,
    PERFORMANCE,
    FactsKeeper,
    performance_subjects,
    shared_performance,
    show_performance,
)
from trimtab.wiring.references import SEGMENTS_DIGEST, references_of, sketcher_of
from trimtab.wiring.replicas import SharedActor, SharedJudges, check_shared, own_key
from trimtab.wiring.skew import skew_subjects

SCORES = {
    DATA_DRIFT: "ml_data_drift_score",
    DATA_QUALITY: "ml_data_quality_score",
    FEATURE_FALLBACK: "ml_feature_fallback_ratio",
    PREDICTION_DRIFT: "ml_prediction_drift_score",
}
FEATURE_SCORES = {DATA_DRIFT: "ml_feature_drift_score", FEATURE_SKEW: "ml_feature_skew_ratio"}
WATCHED_ALIASES = frozenset({"champion", "challenger", "previous"})


def _always(_: StateTx) -> bool:
    return True


@dataclass(slots=True)
class SubjectBook:
    """What is to be watched: every version in use, and every running rollout.

    The same objects are given again as long as a thing is watched. ``leads`` says within the transaction
    whether this watcher may act on rollouts; where machines share the watching, one of them does.
    """

    deployment: Deployment
    leads: Callable[[StateTx], bool] = _always
    _subjects: dict[str, Subject] = field(default_factory=dict)
    _inbox: Inbox = field(default_factory=Inbox)
    _led: bool = True

    def waits(self, state: StateTx) -> bool:
        """Whether other machines have handed over something that this one has to count."""
        shared = bool(self.deployment.config.watch.replica)
        return shared and state.watch.has_handed() and self.leads(state)

    def __call__(self, state: StateTx) -> Sequence[Subject]:
        """The subjects of now, in a fixed order."""
        leads = self.leads(state)
        if self.deployment.config.watch.replica:
            self._follow(state, leads=leads)
        wanted: dict[str, Subject] = {}
        for model in state.registry.models():
            for version in self._watched(state, model):
                for subject in self._of_version(version):
                    wanted[subject.key] = subject
        # Last: from their first act on, nobody else changes routes until the tick has ended.
        for rollout in state.control.rollouts():
            if rollout.state in (RolloutState.RUNNING, RolloutState.HELD):
                for subject in self._of_open(rollout) if leads else self._elsewhere(rollout):
                    wanted[subject.key] = subject
        self._subjects = wanted
        return tuple(wanted.values())

    def _follow(self, state: StateTx, *, leads: bool) -> None:
        """Take what was handed over, or begin to hand over: then all goes on from what was saved."""
        if leads is not self._led:
            self._led, self._subjects = leads, {}
        if leads:
            self._inbox.fill(state)

    def _watched(self, state: StateTx, model: str) -> Sequence[Version]:
        route = state.control.route(model)
        numbers = {arm.version for arm in route.arms} if route else set()
        numbers |= {
            alias.version
            for alias in state.registry.aliases(model)
            if alias.alias in WATCHED_ALIASES
        }
        # A candidate's outcomes go on arriving after it was rolled back.
        for rollout in state.control.rollouts(model)[-1:]:
            numbers.update(candidates(rollout))
        found = (state.registry.version(model, number) for number in sorted(numbers))
        return [version for version in found if version is not None]

    def _of_version(self, version: Version) -> Sequence[Subject]:
        prefix = f"{version.model}/{version.version}"
        known = [s for key, s in self._subjects.items() if key.startswith(f"{prefix}/")]
        return known or self._make(version, prefix)

    def _make(self, version: Version, prefix: str) -> Sequence[Subject]:
        config = self.deployment.config.watch
        subjects: list[Subject] = []
        if version.profile_digest is not None:
            blob = self.deployment.blobs.fetch(version.profile_digest).read_bytes()
            profile = ReferenceProfile.load(blob)
            subjects += self._of_profile(version, profile, prefix, config)
            subjects += self._of_segments(version, prefix)
        measured = performance_subjects(self.deployment, version, DriftActor(config))
        if config.replica:
            measured = shared_performance(
                measured, version, config, self._inbox if self._led else None
            )
        subjects += measured
        alone = [
            *skew_subjects(self.deployment, version, DriftActor(config)),
            *fallback_subjects(self.deployment, version),
        ]
        subjects += [replaced(one, key=own_key(config, one.key)) for one in alone]
        return subjects

    def _of_profile(
        self,
        version: Version,
        profile: ReferenceProfile,
        prefix: str,
        config: WatchConfig,
        segment: Segment | None = None,
    ) -> Sequence[Subject]:
        """What is read from one window's sketches: all share it, so that it is folded once."""
        statistics = [plugins.load("trimtab.statistics", s)() for s in config.statistics]
        actor = DriftActor(config)
        suffix = "" if segment is None else f"/{segment.name}"
        comparers: tuple[tuple[str, Comparer], ...] = (
            (DATA_DRIFT, FeatureComparer(profile, statistics)),
            (PREDICTION_DRIFT, ScoreComparer(profile, statistics)),
            (DATA_QUALITY, QualityComparer(references_of(profile), profile.repeated)),
        )
        judges: dict[str, Judge] = {
            f"{prefix}/{subject}{suffix}": WindowJudge(DriftJudge(subject, config))
            for subject, _ in comparers
        }
        of = (DATA_DRIFT, version.model, version.version, sketcher_of(profile), config, segment)
        windower = (
            SharedWindows(
                *of, key=f"{prefix}/{DATA_DRIFT}{suffix}", restore=SharedJudges(judges).restore
            )
            if config.replica
            else FeatureWindows(*of)
        )
        return [
            Subject(
                key=own_key(config, key),
                windower=windower,
                comparer=comparer,
                judge=judge,
                actor=SharedActor(actor, judge, key) if config.replica else actor,
            )
            for (key, judge), (_, comparer) in zip(judges.items(), comparers, strict=True)
        ]

    def _of_segments(self, version: Version, prefix: str) -> Sequence[Subject]:
        """Each segment apart; alarms need so much more evidence that all together keep the run length."""
        digest = version.lineage.get(SEGMENTS_DIGEST)
        if digest is None:
            return []
        segments = load_segments(self.deployment.blobs.fetch(digest).read_bytes())
        config = self.deployment.config.watch
        config = replace(config, run_length_windows=config.run_length_windows * len(segments))
        subjects: list[Subject] = []
        for one in segments:
            segment = Segment(feature=one.feature, position=one.position, value=one.value)
            subjects += self._of_profile(version, one.load(), prefix, config, segment)
        return subjects

    def _of_open(self, rollout: Rollout) -> Sequence[Subject]:
        found = [self._of_rollout(rollout, arm) for arm in left(rollout)]
        bandit = rollout.plan.strategy == Bandit.name
        return [self._of_bandit(rollout), *found] if bandit else found

    def _of_bandit(self, rollout: Rollout) -> Subject:
        key = f"{rollout.model}/bandit/{rollout.id}"
        parts = BanditParts(self.deployment.clock)
        return self._subjects.get(key) or Subject(
            key, self._gathered(BanditWindows(rollout), rollout), parts, parts, parts
        )

    def _of_rollout(self, rollout: Rollout, arm: int) -> Subject:
        key = f"{rollout.model}/rollout/{rollout.id}{'' if arm == 1 else f'/{arm}'}"
        windower = self._gathered(GuardrailWindows(rollout, arm), rollout)
        return self._subjects.get(key) or self._guarded(rollout, key, windower)

    def _elsewhere(self, rollout: Rollout) -> Sequence[Subject]:
        """Of a rollout that another machine judges."""
        key = own_key(self.deployment.config.watch, f"{rollout.model}/handed/{rollout.id}")
        return [
            self._subjects.get(key) or self._guarded(rollout, key, HandOver.of_rollout(rollout))
        ]

    def _gathered(self, windower: Windower, rollout: Rollout) -> Windower:
        shared = bool(self.deployment.config.watch.replica)
        return Gathered(windower, rollout.id, self._inbox) if shared else windower

    def _guarded(self, rollout: Rollout, key: str, windower: Windower) -> Subject:
        return Subject(
            key=key,
            windower=windower,
            comparer=GuardrailComparer(rollout.plan),
            judge=RolloutJudge(rollout.plan),
            actor=RolloutActor(self.deployment.clock),
            shadows=True,
        )


def open_channels(deployment: Deployment) -> dict[str, AlertChannel]:
    """The configured alert channels, by name."""
    return {
        name: plugins.load("trimtab.channels", channel.kind)(name, channel)
        for name, channel in deployment.config.alerts.channels.items()
    }


@dataclass(slots=True)
class Watching:
    """The watcher's flow, its deliveries and its gauges; and whether some route wants a shadow."""

    deployment: Deployment
    flow: WatchFlow
    reader: SegmentReader
    deliverer: Deliverer
    metrics: Metrics
    shadowed: bool = False

    @classmethod
    def open(
        cls,
        deployment: Deployment,
        metrics: Metrics,
        leads: Callable[[StateTx], bool] = _always,
    ) -> Watching:
        """Compose the flow; saved state is loaded at the first tick.

        Raises:
            InvalidConfig: windows of several machines are to be merged and cannot be.
        """
        check_shared(deployment.config.watch)
        channels = deployment.config.alerts.channels
        book = SubjectBook(deployment, leads)
        reader = SegmentReader(deployment.journal_dir, metrics)
        flow = WatchFlow(
            state=deployment.state,
            journal=reader,
            subjects=book,
            waits=book.waits,
            notify=partial(open_alerts, channels=channels, metrics=metrics),
            batch_rows=deployment.config.watch.batch_rows,
            facts=FactsKeeper(deployment),
        )
        deliverer = Deliverer(
            deployment.state, open_channels(deployment), channels, deployment.clock, metrics
        )
        return cls(deployment, flow, reader, deliverer, metrics)

    def tick(self, rows: int | None = None) -> Tick:
        """One step of flow 2; then workers are told of a new epoch, and gauges are set."""
        self.deployment.settle()
        tick = self.flow.tick(rows)
        with self.deployment.state.reading() as state:
            offsets = state.watch.offsets()
            epoch = state.control.epoch()
            routes = state.control.routes()
        self.shadowed = any(route.strategy == Shadow.name for route in routes)
        self.deployment.epoch.publish(epoch)
        self.metrics.gauge("ml_control_epoch", epoch)
        self.metrics.gauge("ml_watch_lag_records", self.reader.unread(offsets))
        if tick.repeats:
            self.metrics.count("ml_watch_repeats_total", tick.repeats)
        for verdict in tick.verdicts:
            self._show(verdict)
        for route in routes:
            for arm in route.arms:
                self.metrics.gauge("ml_rollout_share", arm.share, model=route.model, arm=arm.name)
        return tick

    def _show(self, verdict: Verdict) -> None:
        labels = {"model": verdict.model, "model_version": verdict.version}
        if verdict.subject == "guardrail":
            self._show_guardrails(verdict)
            return
        if verdict.revision:
            return
        if verdict.segment:
            subject = verdict.subject.partition("/")[0]
            self.metrics.gauge(
                "ml_segment_score",
                verdict.score,
                subject=subject,
                segment=verdict.segment,
                **labels,
            )
            return
        self.metrics.gauge("ml_drift_evidence", verdict.evidence, subject=verdict.subject, **labels)
        if verdict.subject in SCORES:
            self.metrics.gauge(SCORES[verdict.subject], verdict.score, **labels)
        if verdict.subject in FEATURE_SCORES:
            name = FEATURE_SCORES[verdict.subject]
            for found in verdict.comparisons:
                self.metrics.gauge(name, found.score, feature=found.name, **labels)
        if verdict.subject in (PERFORMANCE, ESTIMATED_PERFORMANCE):
            show_performance(self.metrics, verdict)

    def _show_guardrails(self, verdict: Verdict) -> None:
        for reading in verdict.comparisons:
            self.metrics.gauge(
                "ml_guardrail_evidence",
                reading.current_value or 0.0,
                model=verdict.model,
                model_version=verdict.version,
                guardrail=reading.name,
            )
