"""What every process of a deployment shares: state, artifacts, registry, epoch, and the changes."""

from __future__ import annotations

import secrets
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from trimtab import plugins
from trimtab.config import AuthConfig, Config, ModelConfig
from trimtab.errors import InvalidConfig, InvalidPlan, NotFound, Unavailable
from trimtab.features.versions import view_of
from trimtab.models.registry import Registry
from trimtab.models.trust import Trust
from trimtab.protocols import BlobStore, Clock, EpochCell, StateStore, StateTx
from trimtab.rollout import controller, overrides, residence
from trimtab.rollout.change import Change
from trimtab.rollout.host_rollback import Override, settle
from trimtab.rollout.strategies.shadow import Shadow
from trimtab.store.blobs import LocalBlobs
from trimtab.store.engine import WAIT_SECONDS
from trimtab.store.state import open_state
from trimtab.types import Rollout, RolloutPlan, Route, Version
from trimtab.wiring.clock import SystemClock
from trimtab.wiring.host_rollbacks import Overrides, open_overrides


def open_blobs(where: str, folder: Path) -> BlobStore:
    """Artifacts at ``where``, by default in the state's folder, which else has copies of them.

    Raises:
        InvalidConfig: no file system of that scheme is known, or its driver is not installed.
    """
    if "://" not in where:
        return LocalBlobs(Path(where) if where else folder)
    store: BlobStore = plugins.by_path("trimtab.store.remote_blobs:open_blobs")(where, folder)
    return store


def open_trust(auth: AuthConfig) -> Trust:
    """Who vouches for artifacts, as configured.

    Raises:
        InvalidConfig: signers are named, and the extra that checks signatures is not installed.
    """
    allowed = frozenset(auth.allow_code)
    if not auth.signers:
        return Trust(allow_code=allowed, require=auth.require_signature)
    try:
        verify = plugins.by_path("trimtab.models.signing:verify")
    except InvalidConfig as missing:
        raise InvalidConfig(
            "[auth] signers needs the package 'cryptography'.",
            path="auth.signers",
            hint="Install it: pip install 'trimtab[signing]'.",
        ) from missing
    return Trust(allowed, auth.signers, auth.require_signature, verify)


@dataclass(frozen=True, slots=True)
class Deployment:
    """One deployment's state, opened."""

    config: Config
    dir: Path
    state: StateStore
    blobs: BlobStore
    registry: Registry
    epoch: EpochCell
    host_rollbacks: Overrides
    clock: Clock

    @classmethod
    def open(
        cls, config: Config, clock: Clock | None = None, wait_seconds: float = WAIT_SECONDS
    ) -> Deployment:
        """Open the state directory and database, creating what is not there yet.

        Raises:
            Unavailable: the database or the directory cannot be used within ``wait_seconds``.
        """
        clock = clock or SystemClock()
        folder = Path(config.state.dir).resolve()
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as refused:
            raise Unavailable(
                f"The state directory {folder} cannot be made: {refused.strerror}.",
                code="state_unusable",
                hint="Choose another with --state or dir of [state], or make it writable.",
            ) from refused
        state = open_state(config.state.url or f"sqlite:///{folder / 'state.db'}", wait_seconds)
        blobs = open_blobs(config.state.artifacts, folder / "blobs")
        on_host = open_overrides(config)
        return cls(
            config=config,
            dir=folder,
            state=state,
            blobs=blobs,
            registry=Registry(
                state,
                blobs,
                trust=open_trust(config.auth),
                clock=clock,
                compact=config.optimize.compact,
            ),
            epoch=on_host.cell,
            host_rollbacks=on_host,
            clock=clock,
        )

    def close(self) -> None:
        """Release connections."""
        self.state.close()

    @property
    def journal_dir(self) -> Path:
        """Where journal segments stand."""
        return self.dir / "journal"

    @property
    def run_dir(self) -> Path:
        """Where a running server keeps its configuration, metrics and address."""
        return self.dir / "run"

    def id_seed(self) -> int:
        """The secret seed of this deployment's prediction ids, made once."""
        with self.state.transaction() as state:
            kept = state.setting("id_seed")
            if kept is None:
                kept = str(secrets.randbits(63))
                state.save_setting("id_seed", kept)
        return int(kept)

    @contextmanager
    def changing(self) -> Iterator[StateTx]:
        """A transaction that may raise the epoch; once it is durable, workers are told.

        What this host has rolled back by itself is written first: nobody acts on less than that.
        """
        self.settle()
        with self.state.transaction() as state:
            yield state
            epoch = state.control.epoch()
        self.epoch.publish(epoch)
        with self.state.reading() as state:
            self.host_rollbacks.keep(state)

    def settle(self) -> tuple[Override, ...]:
        """Write to the database what this host has rolled back by itself; what that was.

        Raises:
            Unavailable: the database still cannot be written.
        """
        pending = tuple(self.host_rollbacks.pending().values())
        if not pending:
            return ()
        with self.state.transaction() as state:
            for override in pending:
                settle(state, override, self.clock)
            epoch = state.control.epoch()
        self.epoch.publish(epoch)
        for override in pending:
            self.host_rollbacks.drop(override)
        return pending

    @contextmanager
    def _change(self, actor: str, reason: str) -> Iterator[Change]:
        with self.changing() as state:
            yield Change(state, actor, reason, self.clock)

    def deploy(self, model: str, version: int, *, actor: str, reason: str) -> Route:
        """Give a model's first version all of the traffic.

        Raises:
            NotFound: no such version.
            Conflict: the model has a champion already; start a rollout instead.
        """
        with self._change(actor, reason) as change:
            return controller.deploy_first(change, model, version)

    def configured_plan(self, model: str) -> RolloutPlan | None:
        """The plan that the configuration has for a model."""
        configured = self.config.models.get(model)
        return None if configured is None else configured.rollout

    def plan_for(self, model: str) -> RolloutPlan:
        """The model's configured rollout plan.

        Raises:
            InvalidPlan: none is configured.
        """
        plan = self.configured_plan(model)
        if plan is None:
            raise InvalidPlan(
                f"No rollout plan is configured for {model!r}.",
                hint=f"Add [models.{model}.rollout] to the configuration, or give a plan.",
                path=f"models.{model}.rollout",
            )
        return plan

    def withheld(self, model: str) -> frozenset[str]:
        """The features and keys of a model whose values the journal never gets, by the views that are served."""
        if not self.config.journal.withhold:
            return self.config.withheld(model)
        with self.state.reading() as state:
            applied = {one.view: view_of(one.body) for one in state.features.views()}
        return self.config.withheld(model, applied)

    def _withheld_of_rows(self, model: str) -> Sequence[str]:
        """What is withheld of a model by its name, or because it takes what views call sensitive."""
        named = self.config.models.get(model, ModelConfig()).withhold
        with self.state.reading() as state:
            taken = {name for one in state.registry.versions(model) for name in one.signature.names}
        return sorted(self.withheld(model) & taken.union(named))

    def start_rollout(
        self,
        model: str,
        candidate: int | Sequence[int],
        plan: RolloutPlan,
        *,
        actor: str,
        reason: str,
        force: Collection[str] = (),
    ) -> Rollout:
        """Begin to ramp a candidate up, or several; ``force`` names refusals that are not to count.

        Raises:
            InvalidPlan: the plan cannot be run.
            Conflict: another rollout of the model is under way.
        """
        if plan.strategy == Shadow.name and (withheld := self._withheld_of_rows(model)):
            raise InvalidPlan(
                f"A shadow answers from the journal, which is not given {withheld[0]!r}.",
                code="withheld_feature",
                hint="Roll out by a canary, or do not withhold it.",
            )
        with self._change(actor, reason) as change:
            return controller.start(change, model, plan, candidate, force=force)

    def deploy_or_roll_out(
        self,
        model: str,
        version: str | int,
        *,
        actor: str,
        reason: str,
        force: Collection[str] = (),
        plan: RolloutPlan | None = None,
        rivals: Sequence[str | int] = (),
    ) -> Route | Rollout:
        """Deploy at once if nothing is deployed yet, else start a rollout by ``plan``.

        None stands for the configured plan; ``rivals`` are further candidates.

        Raises:
            InvalidPlan: there are rivals, and nothing to compare them with.
        """
        number, *others = (self.version(model, name).version for name in (version, *rivals))
        with self.state.reading() as state:
            deployed = state.control.route(model) is not None
        if deployed:
            plan = plan or self.plan_for(model)
            return self.start_rollout(
                model, [number, *others], plan, actor=actor, reason=reason, force=force
            )
        if others:
            raise InvalidPlan(
                f"{model!r} has no champion yet to compare candidates with.",
                code="not_deployed",
                hint="Deploy the first version alone.",
            )
        return self.deploy(model, number, actor=actor, reason=reason)

    def promote(
        self, model: str, *, actor: str, reason: str, version: str | int | None = None
    ) -> Rollout:
        """Give a candidate of the running rollout all of the traffic; the only one if none is named.

        Raises:
            Conflict: several are left, and none is named.
        """
        number = None if version is None else self.version(model, version).version
        with self._change(actor, reason) as change:
            return controller.promote(change, model, version=number)

    def drop(self, model: str, version: str | int, *, actor: str, reason: str) -> Rollout | Route:
        """Take one candidate off the traffic; the others stay where they are."""
        number = self.version(model, version).version
        with self._change(actor, reason) as change:
            return controller.drop(change, model, number)

    def override(
        self, model: str, key: str, version: str | int | None, *, actor: str, reason: str
    ) -> Route:
        """Send a key to a version that is live; None lets the split decide again.

        Raises:
            NotFound: the version does not answer, or the key has no override.
        """
        if version is None:
            with self._change(actor, reason) as change:
                return overrides.clear_override(change, model, key)
        number = self.version(model, version).version
        with self._change(actor, reason) as change:
            return overrides.set_override(change, model, key, number)

    def overrides(self, model: str) -> dict[str, int]:
        """The units of a model that have an override, and their versions."""
        with self.state.reading() as state:
            route = state.control.route(model)
        return dict((route and route.overrides) or {})

    def approve(
        self, model: str, *, role: str, actor: str, reason: str, step: int | None = None
    ) -> Rollout:
        """Confirm the next step that needs an approval; ``step``, from 1 on, says which one is meant.

        Raises:
            Conflict: no step waits for one, or another one does.
            Refused: the step names a higher role.
        """
        with self._change(actor, reason) as change:
            return controller.approve(change, model, role=role, step=step)

    def pause(self, model: str, *, actor: str, reason: str) -> Rollout:
        """Hold the running rollout at its present share."""
        with self._change(actor, reason) as change:
            return controller.pause(change, model)

    def resume(self, model: str, *, actor: str, reason: str) -> Rollout:
        """Let a held rollout go on."""
        with self._change(actor, reason) as change:
            return controller.resume(change, model)

    def roll_back(self, model: str, *, actor: str, reason: str) -> Route:
        """Take the candidate, or else the newest champion, off the traffic at once.

        If this host had done so by itself already, that is written and nothing else happens.

        Raises:
            Conflict: there is nothing to go back to.
            Unavailable: the database cannot be written; `wiring.rollback` goes on from there.
        """
        if any(override.undo.model == model for override in self.settle()):
            with self.state.reading() as state:
                route = state.control.route(model)
            if route is not None:
                return route
        with self._change(actor, reason) as change:
            return controller.roll_back(change, model)

    def load(self, model: str, *, actor: str, reason: str) -> None:
        """Bring a deployed model that was unloaded back into service."""
        with self._change(actor, reason) as change:
            residence.load(change, model)

    def unload(self, model: str, *, actor: str, reason: str) -> None:
        """Take a deployed model out of service; its route is kept.

        Raises:
            Conflict: it has a rollout under way.
        """
        with self._change(actor, reason) as change:
            residence.unload(change, model)

    def version(self, model: str, name: str | int) -> Version:
        """A version by number or alias.

        Raises:
            NotFound: no such version or alias.
        """
        found = self.registry.get(model, name)
        if found is None:
            raise NotFound(f"There is no version {name!r} of {model!r}.")
        return found
