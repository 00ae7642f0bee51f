"""What is live in one worker: models loaded ahead, switched by epoch."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence

from trimtab.errors import NotFound, TrimtabError
from trimtab.protocols import EpochCell, LiveModel, StateStore
from trimtab.rollout.residence import resident
from trimtab.telemetry import Event, Metrics
from trimtab.types import Route

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
        rebuild: Makes a route's live model of one whose arms it needs, None if it needs others. Only
            for a state that can be read in less than a millisecond, since requests wait for it; None
            leaves every switch to ``refresh``.
        release: Called with the name of a model that is out of service, to free its memory.
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
    ) -> None:
        self._state = state
        self._cell = cell
        self._build = build
        self._stale = stale
        self._metrics = metrics
        self._rebuild = rebuild
        self._release = release
        self._tried = -1
        self._models: dict[str, LiveModel] = {}
        self._epoch = -1
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
        epoch = self._cell.read()
        if epoch > self._epoch and not self._switched(epoch):
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

    def _switched(self, epoch: int) -> bool:
        """Switch to what is loaded already, once an epoch; whether that was all there was to do."""
        if self._rebuild is None or epoch <= self._tried or not self._refreshing.acquire(False):
            return False
        try:
            self._tried = epoch
            with self._state.reading() as state:
                found = state.control.epoch()
                routes = resident(state)
            models, complete = self._kept(routes), True
            for route in routes:
                known = models.get(route.model)
                if known is not None and known.route == route:
                    continue
                made = None if known is None else self._rebuild(known, route)
                complete = complete and made is not None
                if made is not None:
                    models[route.model] = made
            self._show(models, found if complete else None)
        except TrimtabError as error:
            logger.warning(Event.ROUTES_FAILED, extra={"reason": str(error)})
            return False
        finally:
            self._refreshing.release()
        return complete

    def refresh(self) -> bool:
        """Re-read the truth; load what is new, then switch. Blocking; one at a time.

        Returns:
            Whether every route is as the state wants it. A model whose new champion cannot be loaded
            keeps its old one, and is tried again at the next refresh.
        """
        with self._refreshing:
            with self._state.reading() as state:
                epoch = state.control.epoch()
                routes = resident(state)
            if epoch == self._epoch:
                return True
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
            self._cell.publish(epoch)
            return complete

    def _kept(self, routes: Sequence[Route]) -> dict[str, LiveModel]:
        """The models that answer now and still have a route in service."""
        names = {route.model for route in routes}
        gone = self._models.keys() - names
        if self._release is not None:
            for name in gone:
                self._release(name)
        return {name: live for name, live in self._models.items() if name in names}

    def _show(self, models: dict[str, LiveModel], epoch: int | None) -> None:
        """Answer with these from now on; ``epoch`` is None if a route is not as it should be yet."""
        self._models = models
        if epoch is not None:
            self._epoch = epoch
            self._metrics.gauge("ml_control_epoch", epoch)
            logger.info(Event.ROUTES_RELOADED, extra={"epoch": epoch})
