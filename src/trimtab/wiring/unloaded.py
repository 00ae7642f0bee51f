"""Deployed versions that cannot be loaded: people are told once, and again when it is over."""

from __future__ import annotations

import logging
from collections.abc import Iterable

from trimtab.act.alerts import open_alerts
from trimtab.errors import TrimtabError
from trimtab.log_events import Event
from trimtab.telemetry import Metrics
from trimtab.types import Alert, Route, Severity
from trimtab.wiring.deployment import Deployment

logger = logging.getLogger(__name__)


class UnloadedDesk:
    """Opens and closes a model's alert.

    Args:
        deployment: Where alerts are kept.
        metrics: Counts them.
    """

    def __init__(self, deployment: Deployment, metrics: Metrics) -> None:
        self._deployment = deployment
        self._metrics = metrics

    def tell(self, route: Route, error: TrimtabError, answers: int | None) -> None:
        """A champion could not be loaded.

        Args:
            route: Of the model.
            error: Why.
            answers: The version that answers in its place, None if nobody does.
        """
        logger.error(Event.ROUTES_FAILED, extra={"model": route.model, "reason": str(error)})
        place = "nobody answers" if answers is None else f"v{answers} answers in its place"
        alert = Alert(
            key=_key(route.model),
            severity=Severity.PAGE if answers is None else Severity.TICKET,
            title=f"{route.model} v{route.champion} cannot be loaded: {place}",
            body=f"{error} It is tried again every second.",
            model=route.model,
            version=route.champion,
            event_time=self._deployment.clock.now(),
        )
        channels = self._deployment.config.alerts.channels
        try:
            with self._deployment.state.transaction() as state:
                open_alerts(state, [alert], channels=channels, metrics=self._metrics)
        except TrimtabError as lost:
            logger.warning(Event.ALERT_FAILED, extra={"key": alert.key, "reason": str(lost)})

    def loaded(self, models: Iterable[str]) -> None:
        """These models are as they should be, whatever was told of them before, by whichever process."""
        names = set(models)
        try:
            with self._deployment.state.reading() as state:
                told = {
                    alert.key
                    for name in names
                    for alert, _, closed in state.alerts.alerts(name)
                    if closed is None and alert.key == _key(name)
                }
            if told:
                with self._deployment.state.transaction() as state:
                    for key in told:
                        state.alerts.close(key, self._deployment.clock.now())
        except TrimtabError as lost:
            logger.warning(Event.ALERT_FAILED, extra={"key": "loading", "reason": str(lost)})


def _key(model: str) -> str:
    return f"{model}/loading"
