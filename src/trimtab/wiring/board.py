"""What is live in one worker: models loaded ahead, switched by epoch."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping, Sequence

from trimtab.errors import NotFound, TrimtabError
from trimtab.protocols import EpochCell, LiveModel, StateStore
from trimtab.rollout.epoch import EPOCH_BITS, epoch_of, generation_of
from trimtab.rollout.host_rollback import Override, over
from trimtab.rollout.residence import resident
from trimtab.telemetry import Event, Metrics
from trimtab.types import Route
from trimtab.wiring.host_rollbacks import Overrides

logger = logging.getLogger(__name__)


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
        build: Makes a route's live model, loading versions that are not loaded yet.
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
        self._wait_for_state = wait_for_state
        self._tried = -1
        self._models: dict[str, LiveModel] = {}
        self._past: dict[tuple[str, int], LiveModel] = {}
        self._epoch = -1
        self._generation = 0
        self._mark = -1
        self._refreshing = threading.Lock()

    @property
    def epoch(self) -> int:
        """The epoch that is served; -1 before the first refresh."""
        return self._epoch

    def knows(self, model: str) -> bool:
        """Whether a version of that model answers here."""
        return model in self._models

    def models(self) -> tuple[LiveModel, ...]:
        """All that is live, by name."""
        return tuple(self._models[name] for name in sorted(self._models))

    def live(self, model: str) -> LiveModel:
        """The model as it answers now.

        Raises:
            NotFound: no such model, or no version of it is deployed.
        """
        mark = self._cell.read()
        if mark > self._mark and not self._switched(mark):
            self._stale()
        found = self._models.get(model)
        if found is None:
            raise NotFound(
                f"No model {model!r} is deployed.",
                code="unknown_model",
                hint=f"Deployed: {', '.join(sorted(self._models)) or 'none'}. "
                "`trimtab deploy` deploys one.",
            )
        return found

    def _switched(self, mark: int) -> bool:
        """Switch to what is loaded already, once a mark; whether that was all there was to do."""
        if self._rebuild is None or mark <= self._tried or not self._refreshing.acquire(False):
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
            models, complete = self._rebuilt(over(routes, pending))
            self._show(models, found if complete else None)
        except TrimtabError as error:
            logger.warning(Event.ROUTES_FAILED, extra={"reason": str(error)})
            return False
        finally:
            self._refreshing.release()
        return done and complete

    def _overridden(self, generation: int) -> bool:
        """Switch to what this host has rolled back by itself, without the state."""
        if generation == self._generation:
            return True
        routes = over([live.route for live in self._models.values()], self._pending())
        models, complete = self._rebuilt(routes)
        self._show(models, None)
        if complete:
            self._seen(self._epoch, generation)
        return complete

    def _pending(self) -> Mapping[str, Override]:
        return {} if self._overrides is None else self._overrides.pending()

    def _rebuilt(self, routes: Sequence[Route]) -> tuple[dict[str, LiveModel], bool]:
        """The models under these routes, as far as what they need is loaded; whether that is all."""
        models, complete = self._kept(routes), True
        for route in routes:
            known = models.get(route.model)
            if known is not None and known.route == route:
                continue
            made = None
            for loaded in (known, self._past.get((route.model, route.champion))):
                if made is None and loaded is not None and self._rebuild is not None:
                    made = self._rebuild(loaded, route)
            complete = complete and made is not None
            if made is not None:
                models[route.model] = made
        return models, complete

    def refresh(self) -> bool:
        """Re-read the truth; load what is new, then switch. Blocking; one at a time.

        Returns:
            Whether every route is as the state wants it. A model whose new champion cannot be loaded
            keeps its old one, and is tried again at the next refresh.
        """
        before = self._epoch
        with self._refreshing:
            complete = self._refreshed()
        if self._overrides is not None and self._epoch != before:
            with self._state.reading() as state:
                self._overrides.keep(state)
        return complete

    def _refreshed(self) -> bool:
        # What the host has done by itself is read before the state: who settles it does so the other
        # way round, so that it is in one of the two.
        generation = generation_of(self._cell.read())
        self._overridden(generation)
        pending = self._pending()
        with self._state.reading() as state:
            epoch = state.control.epoch()
            if (epoch, generation) == (self._epoch, self._generation):
                return True
            routes = over(resident(state), pending)
        models, complete = self._kept(routes), True
        for route in routes:
            known = models.get(route.model)
            if known is not None and known.route == route:
                continue
            try:
                models[route.model] = self._build(route)
            except TrimtabError as error:
                complete = False
                logger.error(  # noqa: TRY400 - the error says all; a trace adds nothing
                    Event.ROUTES_FAILED, extra={"model": route.model, "reason": str(error)}
                )
        self._show(models, epoch if complete else None)
        if complete:
            self._seen(epoch, generation)
        self._cell.publish(epoch)
        return complete

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
