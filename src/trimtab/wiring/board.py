"""What is live in one worker: models loaded ahead, switched by epoch."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence

from trimtab.errors import NotFound, TrimtabError, Unavailable
from trimtab.log_events import Event
from trimtab.protocols import EpochCell, LiveModel, StateStore
from trimtab.rollout.epoch import EPOCH_BITS, epoch_of, generation_of
from trimtab.rollout.host_rollback import Override, over
from trimtab.rollout.residence import resident
from trimtab.telemetry import Metrics
from trimtab.types import Route
from trimtab.wiring.host_rollbacks import Overrides

logger = logging.getLogger(__name__)

Failed = Callable[[Route, TrimtabError, int | None], None]
"""Takes a route whose champion cannot be loaded, why, and the version that answers in its place."""
Loaded = Callable[[Iterable[str]], None]
"""Takes models that are as they should be."""


def _nobody(*_: object) -> None:
    """Hears of it."""


class LiveBoard:
    """The models that answer now, and those kept warm.

    A request compares one integer: the host's epoch cell with the epoch that this board shows. When
    they differ, and the new routes need nothing that is not loaded, as after a ramp or a rollback,
    the request itself switches the board before it is routed. Else ``stale`` is called and it goes on
    with what is loaded. The board changes in one assignment, so requests in flight finish on what they
    began with.

    Args:
        state: Where routes are read; the truth.
        cell: The host's epoch; a hint.
        build: Makes a route's live model, loading versions that are not loaded yet; called by one thread at
            a time, while others may call ``rebuild``.
        stale: Called when the cell is ahead; must not block.
        metrics: For the epoch gauge.
        rebuild: Makes a route's live model of one whose arms it needs, None if it needs others; None
            leaves every switch to ``refresh``.
        release: Called with the name of a model that is out of service, to free its memory.
        overrides: What this host has rolled back by itself; None if it never does.
        wait_for_state: Whether a request may read the state, which must take less than a millisecond
            then. What the host has rolled back by itself is switched without it.
    """

    def __init__(
        self,
        state: StateStore,
        cell: EpochCell,
        build: Callable[[Route], LiveModel],
        stale: Callable[[], None],
        metrics: Metrics,
        rebuild: Callable[[LiveModel, Route], LiveModel | None] | None = None,
        release: Callable[[str], None] | None = None,
        overrides: Overrides | None = None,
        *,
        wait_for_state: bool = True,
    ) -> None:
        self._state = state
        self._cell = cell
        self._build = build
        self._stale = stale
        self._metrics = metrics
        self._rebuild = rebuild
        self._release = release
        self._overrides = overrides
        self._failed: Failed = _nobody
        self._loaded: Loaded = _nobody
        self._wait_for_state = wait_for_state
        self._failures: dict[str, str] = {}
        self._tried = -1
        self._models: dict[str, LiveModel] = {}
        self._past: dict[tuple[str, int], LiveModel] = {}
        self._epoch = -1
        self._generation = 0
        self._mark = -1
        self._switching = threading.Lock()
        self._loading = threading.Lock()

    def tell(self, failed: Failed, loaded: Loaded) -> None:
        """Say from now on what cannot be loaded, once a reason, and what can be again."""
        self._failed, self._loaded = failed, loaded

    @property
    def epoch(self) -> int:
        """The epoch that is served; -1 before the first refresh."""
        return self._epoch

    def knows(self, model: str) -> bool:
        """Whether a version of that model answers here, or should."""
        return model in self._models or model in self._failures

    def models(self) -> tuple[LiveModel, ...]:
        """All that is live, by name."""
        return tuple(self._models[name] for name in sorted(self._models))

    def live(self, model: str) -> LiveModel:
        """The model as it answers now.

        Raises:
            NotFound: no such model, or no version of it is deployed.
            Unavailable: ``model_not_loaded``: it is deployed, and cannot be loaded.
        """
        mark = self._cell.read()
        if mark > self._mark and not self._switched(mark):
            self._stale()
        found = self._models.get(model)
        if found is None:
            raise self._absent(model)
        return found

    def _absent(self, model: str) -> TrimtabError:
        """Why a model does not answer."""
        if model in self._failures:
            return Unavailable(
                f"The model {model!r} is deployed, but cannot be loaded.",
                code="model_not_loaded",
                hint="It is tried again every second. `trimtab status` and the server's log say why.",
            )
        return NotFound(
            f"No model {model!r} is deployed.",
            code="unknown_model",
            hint=f"Deployed: {', '.join(sorted(self._models)) or 'none'}. "
            "`trimtab deploy` deploys one.",
        )

    def _switched(self, mark: int) -> bool:
        """Switch to what is loaded already, once a mark; whether that was all there was to do."""
        if self._rebuild is None or mark <= self._tried or not self._switching.acquire(False):
            return False
        try:
            self._tried = mark
            done = self._overridden(generation_of(mark))
            if epoch_of(mark) <= self._epoch or not self._wait_for_state:
                return done and epoch_of(mark) <= self._epoch
            pending = self._pending()
            with self._state.reading() as state:
                found = state.control.epoch()
                routes = resident(state)
            models, behind = self._made(over(routes, pending))
            self._show(models, None if behind else found)
        except TrimtabError as error:
            logger.warning(Event.ROUTES_FAILED, extra={"reason": str(error)})
            return False
        finally:
            self._switching.release()
        return done and not behind

    def _overridden(self, generation: int) -> bool:
        """Switch to what this host has rolled back by itself, without the state."""
        if generation == self._generation:
            return True
        routes = over([live.route for live in self._models.values()], self._pending())
        models, behind = self._made(routes)
        self._show(models, None)
        if not behind:
            self._seen(self._epoch, generation)
        return not behind

    def _pending(self) -> Mapping[str, Override]:
        return {} if self._overrides is None else self._overrides.pending()

    def _made(
        self, routes: Sequence[Route], built: Mapping[str, LiveModel] = {}
    ) -> tuple[dict[str, LiveModel], list[Route]]:
        """The models under these routes, as far as what they need is loaded; the routes that need more.

        Args:
            routes: What is wanted.
            built: What has been loaded and not shown yet, by model.
        """
        models, behind = self._kept(routes), []
        for route in routes:
            known, fresh = models.get(route.model), built.get(route.model)
            if known is not None and known.route == route:
                continue
            made = fresh if fresh is not None and fresh.route == route else None
            for loaded in (known, fresh, self._past.get((route.model, route.champion))):
                if made is None and loaded is not None and self._rebuild is not None:
                    made = self._rebuild(loaded, route)
            if made is None:
                behind.append(route)
            else:
                models[route.model] = made
        return models, behind

    def switch(self) -> bool:
        """Re-read the truth, and switch to what is loaded of it. Waits for the state and never for a load.

        Returns:
            Whether that is all: nothing has to be loaded.

        Raises:
            Unavailable: the state cannot be read.
        """
        if self._behind({}):
            return False
        self._recovered(())
        return True

    def refresh(self) -> bool:
        """Re-read the truth, load what is new, then switch. Blocking; one at a time.

        While it loads, requests and ``switch`` go on switching to what is loaded: a rollback waits for no
        load.

        Returns:
            Whether every route is as the state wants it. A model whose new champion cannot be loaded
            keeps its old one, and is tried again at the next refresh.

        Raises:
            Unavailable: the state cannot be read.
        """
        built: dict[str, LiveModel] = {}
        failed: list[Route] = []
        with self._loading:
            while behind := self._behind(built):
                wanted = [route for route in behind if route not in failed]
                if not wanted:
                    break
                for route in wanted:
                    try:
                        built[route.model] = self._build(route)
                    except TrimtabError as error:
                        failed.append(route)
                        self._note(route, error)
        self._recovered(route.model for route in behind)
        return not behind

    def _note(self, route: Route, error: TrimtabError) -> None:
        """Tell why a champion cannot be loaded, if that is new."""
        reason = f"{route.champion}: {error}"
        if self._failures.get(route.model) != reason:
            self._failures[route.model] = reason
            answers = self._models.get(route.model)
            self._failed(route, error, None if answers is None else answers.route.champion)

    def _recovered(self, behind: Iterable[str]) -> None:
        """Tell of models that could not be loaded, and are no longer among those."""
        gone = self._failures.keys() - set(behind)
        self._failures = {name: why for name, why in self._failures.items() if name not in gone}
        if gone:
            self._loaded(gone)

    def _behind(self, built: Mapping[str, LiveModel]) -> list[Route]:
        """Switch to what is loaded, or was built and is still wanted; the routes that need more."""
        before = self._epoch
        with self._switching:
            # What the host has done by itself is read before the state: who settles it does so the other
            # way round, so that it is in one of the two.
            generation = generation_of(self._cell.read())
            self._overridden(generation)
            if (self._state.epoch(), generation) == (self._epoch, self._generation):
                return []
            pending = self._pending()
            with self._state.reading() as state:
                epoch = state.control.epoch()
                routes = over(resident(state), pending)
            models, behind = self._made(routes, built)
            self._show(models, None if behind else epoch)
            if not behind:
                self._seen(epoch, generation)
        self._cell.publish(epoch)
        if self._overrides is not None and self._epoch != before:
            with self._state.reading() as state:
                self._overrides.keep(state)
        return behind

    def _kept(self, routes: Sequence[Route]) -> dict[str, LiveModel]:
        """The models that answer now and still have a route in service."""
        names = {route.model for route in routes}
        gone = self._models.keys() - names
        if self._release is not None:
            for name in gone:
                self._release(name)
                self._past = {key: live for key, live in self._past.items() if key[0] != name}
        return {name: live for name, live in self._models.items() if name in names}

    def _seen(self, epoch: int, generation: int) -> None:
        self._generation = generation
        self._mark = -1 if epoch < 0 else epoch + (generation << EPOCH_BITS)

    def _show(self, models: dict[str, LiveModel], epoch: int | None) -> None:
        """Answer with these from now on; ``epoch`` is None if a route is not as it should be yet."""
        for name, live in self._models.items():
            if name in models and live.route.champion != models[name].route.champion:
                self._past[name, live.route.champion] = live
        self._models = models
        if epoch is not None:
            self._epoch = epoch
            self._seen(epoch, self._generation)
            self._metrics.gauge("ml_control_epoch", epoch)
            logger.info(Event.ROUTES_RELOADED, extra={"epoch": epoch})
