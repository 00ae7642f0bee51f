"""Flow 1, composed: what one worker holds."""

from __future__ import annotations

import dataclasses
import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field

from msgspec.structs import replace

from trimtab import plugins
from trimtab.act.alerts import open_alerts
from trimtab.config import FeaturesConfig, ModelConfig
from trimtab.errors import NotFound, TrimtabError, Unavailable
from trimtab.features.gather import Gathered as GatheredFeatures
from trimtab.features.guard import Guard
from trimtab.features.resolver import Resolver
from trimtab.features.transforms import TransformingResolver
from trimtab.features.views import FeaturePlan, compile_plan
from trimtab.log_events import Event
from trimtab.models.isolate import Isolation
from trimtab.models.registry import LoadedModel, warm
from trimtab.models.together import Together
from trimtab.outcomes import OutcomeDesk
from trimtab.predict import PredictFlow
from trimtab.protocols import (
    FeatureResolver,
    FeatureStore,
    Gathered,
    JournalWriter,
    LiveArm,
    LiveModel,
    Turn,
)
from trimtab.record.ids import IdIssuer
from trimtab.rollout.router import Router
from trimtab.rollout.split import unit_hash
from trimtab.schema import Checker
from trimtab.telemetry import Metrics
from trimtab.types import Alert, Route, Scalar, Severity, Version
from trimtab.wiring.board import LiveBoard
from trimtab.wiring.crashes import CrashNotes
from trimtab.wiring.deployment import Deployment
from trimtab.wiring.recording import check_withheld, open_writer
from trimtab.wiring.unloaded import UnloadedDesk
from trimtab.wiring.views import applied_views, served_features

logger = logging.getLogger(__name__)

POLL_SECONDS = 0.25
RETRY_SECONDS = 1.0
BEHIND_SECONDS = 0.02


def open_router() -> Router:
    """A router over all rollout strategies that are installed."""
    group = "trimtab.strategies"
    return Router({name: plugins.load(group, name)() for name in plugins.names(group)})


def refused_alert(deployment: Deployment, loaded: LoadedModel, metrics: Metrics) -> None:
    """Count and tell that a compiled form was refused; the original answers, at its own cost."""
    version = loaded.version
    metrics.count(
        "ml_compact_refused_total",
        model=version.model,
        model_version=version.version,
        reason=loaded.refused,
    )
    alert = Alert(
        key=f"compact/{version.model}/{version.version}",
        severity=Severity.TICKET,
        title=f"{version.model} v{version.version} is served by its original artifact",
        body=f"Its compiled form was refused when it was loaded ({loaded.refused}). Answers are the"
        " original's; they take its memory and its time. Register the version again on this machine.",
        model=version.model,
        version=version.version,
        event_time=deployment.clock.now(),
    )
    with deployment.state.transaction() as state:
        open_alerts(state, [alert], channels=deployment.config.alerts.channels, metrics=metrics)


def open_store(deployment: Deployment, name: str) -> FeatureStore:
    """A configured feature store.

    Raises:
        NotFound: none has that name.
    """
    stores = deployment.config.features.stores
    if name not in stores:
        raise NotFound(
            f"There is no feature store {name!r}.",
            code="unknown_store",
            hint=f"Configured: {', '.join(stores) or 'none'}; see [features.stores].",
        )
    create = plugins.load("trimtab.stores", stores[name].kind)
    store: FeatureStore = create(stores[name], deployment.dir, deployment.clock)
    return store


def open_guards(deployment: Deployment, metrics: Metrics) -> dict[str, Guard]:
    """The configured feature stores, each made safe to wait for, by name."""
    config, clock = deployment.config.features, deployment.clock
    return {
        name: Guard(name, open_store(deployment, name), metrics, clock, config)
        for name in config.stores
    }


@dataclass(slots=True)
class ModelBuilder:
    """Makes live models from routes; versions once loaded stay warm.

    Args:
        deployment: Where versions come from.
        stores: Guarded feature stores by name.
        metrics: For the resolvers.
        router: Checks routes before they take traffic.
        crashes: Which candidates end processes; None where that is nobody's business.
        turn: Features that requests of one turn lack are read together; None reads for each request.
    """

    deployment: Deployment
    stores: Mapping[str, Guard]
    metrics: Metrics
    router: Router
    crashes: CrashNotes | None = None
    turn: Turn | None = None
    _warm: dict[tuple[str, int], LoadedModel] = field(default_factory=dict)
    _together: dict[tuple[str, int], Together] = field(default_factory=dict)

    def build(self, route: Route) -> LiveModel:
        """Load a route's arms; the champion must load, a candidate may fail.

        Raises:
            TrimtabError: the champion cannot be loaded.
        """
        self.router.check(route)
        check_withheld(self.deployment, route.model)
        champion_model = self._load(route.model, route.champion)
        version = champion_model.version
        views = applied_views(self.deployment, version.views)
        plan = self.plan(version)
        champion = self._arm(champion_model, version, plan)
        others = tuple(self._candidate(route, arm.version, version, plan) for arm in route.arms[1:])
        features = self._features(route.model)
        settings = self.deployment.config.models.get(route.model, ModelConfig())
        resolver = self._resolver(plan, version)
        return LiveModel(
            route=route,
            arms=(champion, *others),
            champion=champion,
            resolver=resolver,
            deadline_ms=settings.deadline_ms,
            feature_deadline_ms=features.deadline_ms,
            whole=getattr(resolver, "whole", None),
            each=getattr(resolver, "each", None),
            views=views,
        )

    def _features(self, model: str) -> FeaturesConfig:
        """The settings of features, with the deadline that this model has."""
        features = self.deployment.config.features
        own = self.deployment.config.models.get(model, ModelConfig()).features_deadline_ms
        return features if own is None else replace(features, deadline_ms=own)

    def rebuild(self, live: LiveModel, route: Route) -> LiveModel | None:
        """A live model under another route of the same champion whose arms and views it has; else None."""
        loaded = {arm.version: arm for arm in live.arms if arm is not None}
        wanted = [arm.version for arm in route.arms]
        if route.champion != live.champion.version or any(v not in loaded for v in wanted):
            return None
        views = self._load(route.model, route.champion).version.views
        if views and applied_views(self.deployment, views) != live.views:
            return None  # other definitions are served now: its resolver is made anew
        self.router.check(route)
        arms = tuple(loaded[version] for version in wanted)
        return dataclasses.replace(live, route=route, arms=arms)

    def release(self, model: str) -> None:
        """Let go of a model's versions; requests in flight finish on what they hold."""
        for key in [key for key in tuple(self._warm) if key[0] == model]:
            del self._warm[key]
            self._together.pop(key, None)

    def plan(self, version: Version) -> FeaturePlan:
        """The feature views of a version, matched to its signature."""
        return compile_plan(served_features(self.deployment), version.signature, version.views)

    def _resolver(self, plan: FeaturePlan, version: Version) -> FeatureResolver:
        """A plan's resolver, with its transforms behind it if there are any."""
        clock, signature, config = (
            self.deployment.clock, version.signature, self._features(version.model),
        )  # fmt: skip
        alone = Resolver(
            plan, plan.stored(signature), self.stores, self.metrics, clock, config, version.model
        )
        stored: FeatureResolver = alone
        if self.turn is not None and plan.views:
            stored = GatheredFeatures(alone, self.turn, clock)
        if not plan.transforms:
            return stored
        return TransformingResolver(stored, plan, signature, self.metrics, clock, config)

    def _load(self, model: str, number: int) -> LoadedModel:
        key = (model, number)
        if key not in self._warm:
            version = self.deployment.version(model, number)
            began = self.deployment.clock.monotonic()
            loaded = self.deployment.registry.load(version)
            warm(loaded)
            self.metrics.gauge(
                "ml_model_load_seconds",
                self.deployment.clock.monotonic() - began,
                model=model,
                model_version=number,
            )
            if loaded.refused:
                refused_alert(self.deployment, loaded, self.metrics)
            self._warm[key] = loaded
        return self._warm[key]

    def _candidate(
        self, route: Route, number: int, champion: Version, plan: FeaturePlan
    ) -> LiveArm | None:
        crashes = self.crashes
        if crashes is not None and crashes.blocked(route.model, number):
            return None
        try:
            with nullcontext() if crashes is None else crashes.loading(route, number):
                loaded = self._load(route.model, number)
            return self._arm(loaded, champion, plan)
        except TrimtabError as error:
            logger.error(  # noqa: TRY400 - the error says all; a trace adds nothing
                Event.CANDIDATE_FAILED,
                extra={"model": route.model, "version": number, "reason": str(error)},
            )
            return None

    def _arm(self, loaded: LoadedModel, champion: Version, plan: FeaturePlan) -> LiveArm:
        version = loaded.version
        order = {name: i for i, name in enumerate(champion.signature.names)}
        missing = [name for name in version.signature.names if name not in order]
        if missing:
            raise NotFound(
                f"Version {version.version} needs {', '.join(missing)}, which the champion lacks.",
                code="incompatible_signature",
            )
        checker = Checker(
            version.signature,
            provided=plan.provided,
            entities=plan.entities,
            unknown=self.deployment.config.serve.unknown_features,
            inputs=plan.inputs,
        )
        one = getattr(loaded.predictor, "one", None)
        return LiveArm(
            version=version.version,
            digest=version.digest,
            signature=version.signature,
            predictor=loaded.predictor,
            checker=checker,
            pick=tuple(order[name] for name in version.signature.names),
            one=one,
            together=self._gathered(loaded, checker) if one is None else None,
            many=getattr(loaded.predictor, "many", None),
            read=checker.read,
        )

    def _gathered(self, loaded: LoadedModel, checker: Checker) -> Gathered | None:
        """What scores single rows of several requests together, if the setting allows it."""
        model, number = loaded.version.model, loaded.version.version
        settings = self.deployment.config.models.get(model, ModelConfig())
        if settings.batch_rows == 1:
            return None

        def score(rows: Sequence[Sequence[Scalar]]) -> Sequence[Sequence[float]]:
            outputs: list[list[float]] = loaded.predictor.predict(checker.columns(rows)).tolist()
            return outputs

        found = self._together.setdefault(
            (model, number),
            Together(
                score,
                most_rows=settings.batch_rows,
                most_seconds=settings.batch_wait_ms / 1e3,
                monotonic=self.deployment.clock.monotonic,
                observe=self.metrics.observer("ml_batch_rows", model=model),
            ),
        )
        return found.score


@dataclass(slots=True)
class Serving:
    """One worker's flow, its board, and the threads that follow the epoch and load what it asks for."""

    flow: PredictFlow
    outcomes: OutcomeDesk
    board: LiveBoard
    journal: JournalWriter
    stores: Mapping[str, Guard]
    unloaded: UnloadedDesk
    _stale: threading.Event
    _listen: Callable[[Callable[[], None]], Callable[[], None]]
    _stopping: threading.Event = field(default_factory=threading.Event)
    _wanting: threading.Event = field(default_factory=threading.Event)
    _unlisten: Callable[[], None] | None = None

    @classmethod
    def open(
        cls,
        deployment: Deployment,
        metrics: Metrics,
        journal: JournalWriter | None = None,
        turn: Turn | None = None,
    ) -> Serving:
        """Compose; nothing is loaded before ``start``. Of requests of one ``turn`` the journal is written once."""
        config = deployment.config
        clock = deployment.clock
        stale = threading.Event()
        guards = open_guards(deployment, metrics)
        router = open_router()
        crashes = CrashNotes(deployment.run_dir)
        unloaded = UnloadedDesk(deployment, metrics)
        builder = ModelBuilder(deployment, guards, metrics, router, crashes, turn)
        board = LiveBoard(
            deployment.state,
            deployment.epoch,
            builder.build,
            stale.set,
            metrics,
            builder.rebuild,
            builder.release,
            deployment.host_rollbacks,
            # A state in SQLite is on this host, so a request may wait for a read of it.
            wait_for_state=not config.state.url.startswith("postgres"),
        )
        board.tell(unloaded.tell, unloaded.loaded)
        writer = journal or open_writer(deployment, metrics, turn)
        issuer = IdIssuer(deployment.id_seed(), clock)
        flow = PredictFlow(
            board=board,
            assign=router.assign,
            unit=unit_hash,
            isolate=Isolation().run,
            journal=writer,
            new_id=issuer.new,
            clock=clock,
            metrics=metrics,
            max_future_seconds=config.serve.max_future_seconds,
            crashes=crashes,
        )
        desk = OutcomeDesk(deployment.state, issuer.issued, clock, metrics)
        return cls(flow, desk, board, writer, guards, unloaded, stale, deployment.state.listen)

    def start(self) -> None:
        """Load what is deployed, then follow the epoch until ``close``. Blocking."""
        if self.board.refresh():
            self.unloaded.loaded(live.route.model for live in self.board.models())
        for name, work in (("epoch-follower", self._follow), ("model-loader", self._load)):
            threading.Thread(target=work, daemon=True, name=name).start()
        self._unlisten = self._listen(self._stale.set)

    def ready(self) -> bool:
        """Whether the routes have been loaded and the worker is not draining."""
        return self.board.epoch >= 0 and not self._stopping.is_set()

    async def close(self) -> None:
        """Stop following, flush the journal, release the stores."""
        self._stopping.set()
        if self._unlisten is not None:
            self._unlisten()
        self._stale.set()
        self._wanting.set()
        self.journal.close()
        for store in self.stores.values():
            await store.close()

    def _follow(self) -> None:
        """Switch at a hint, and at the latest after the poll time: the hint may be lost."""
        while not self._stopping.is_set():
            self._stale.wait(POLL_SECONDS)
            self._stale.clear()
            if self._stopping.is_set():
                return
            try:
                complete = self.board.switch()
            except Unavailable as error:
                logger.warning(Event.ROUTES_FAILED, extra={"reason": str(error)})
                self._stopping.wait(RETRY_SECONDS)
                continue
            if (
                not complete
            ):  # every request says so until it is loaded, and a rollback may come before
                self._wanting.set()
                self._stopping.wait(BEHIND_SECONDS)

    def _load(self) -> None:
        """Load what the follower found to be wanted."""
        while not self._stopping.is_set():
            self._wanting.wait()
            self._wanting.clear()
            if self._stopping.is_set():
                return
            try:
                complete = self.board.refresh()
            except Unavailable as error:
                logger.warning(Event.ROUTES_FAILED, extra={"reason": str(error)})
                complete = False
            if not complete:
                self._stopping.wait(RETRY_SECONDS)
