"""Alerts: opened once, queued in the same transaction, delivered at least once."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import random
from collections.abc import Callable, Mapping, Sequence

from trimtab.config import ChannelConfig
from trimtab.log_events import Event
from trimtab.protocols import AlertChannel, Clock, StateStore, StateTx
from trimtab.telemetry import Metrics
from trimtab.types import EVERY_CHANNEL, Alert, Severity

logger = logging.getLogger(__name__)

FIRST_RETRY_SECONDS = 1.0
LAST_RETRY_SECONDS = 900.0
SEND_SECONDS = 30.0
BATCH = 100

_RANK = {Severity.INFO: 0, Severity.TICKET: 1, Severity.PAGE: 2}


def open_alerts(
    state: StateTx,
    alerts: Sequence[Alert],
    *,
    channels: Mapping[str, ChannelConfig],
    metrics: Metrics,
) -> None:
    """Open alerts and queue each new one for the channels that its severity reaches.

    While an alert with the same key is open, a repeat is counted and not sent.
    """
    for alert in alerts:
        if state.alerts.open(alert, reached(alert, channels)):
            _count(alert, metrics)


def reached(alert: Alert, channels: Mapping[str, ChannelConfig]) -> list[str]:
    """The names of the channels that an alert is for."""
    return [name for name, channel in channels.items() if _reaches(alert, channel)]


def _reaches(alert: Alert, channel: ChannelConfig) -> bool:
    if alert.change is not None and channel.changes == "all":
        return True
    if alert.change is not None and channel.changes == "none" and alert.severity is Severity.INFO:
        return False
    return _RANK[alert.severity] >= _RANK[Severity(channel.min_severity)]


def _count(alert: Alert, metrics: Metrics) -> None:
    metrics.count("ml_alerts_total", model=alert.model, severity=alert.severity)
    logger.warning(
        Event.ALERT_OPENED,
        extra={"key": alert.key, "severity": alert.severity, "title": alert.title},
    )


def alert_id(alert: Alert) -> str:
    """32 hex digits, the same at every attempt to deliver this alert."""
    what = alert.key if alert.change is None else f"{alert.key}#{alert.change.seq}"
    return hashlib.sha256(f"{what}@{alert.event_time!r}".encode()).hexdigest()[:32]


def retry_seconds(attempts: int, jitter: float) -> float:
    """How long to wait after a failed attempt: doubling, bounded, never all at one moment.

    Args:
        attempts: Failed attempts before this one, at least 0.
        jitter: In [0, 1].

    >>> [retry_seconds(n, 1.0) for n in (0, 1, 2, 50)]
    [1.0, 2.0, 4.0, 900.0]
    """
    longest = min(LAST_RETRY_SECONDS, FIRST_RETRY_SECONDS * 2.0 ** min(attempts, 30))
    return longest * (1.0 + jitter) / 2.0


class Deliverer:
    """Delivers queued alerts; what fails stays queued and is tried again.

    Args:
        state: Where the queue is.
        channels: The configured channels by name.
        settings: Their configuration: which of them what is queued for every channel reaches.
        clock: What is due.
        metrics: Counts failures.
        jitter: In [0, 1), spreads retries.
    """

    def __init__(
        self,
        state: StateStore,
        channels: Mapping[str, AlertChannel],
        settings: Mapping[str, ChannelConfig],
        clock: Clock,
        metrics: Metrics,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._state = state
        self._channels = channels
        self._settings = settings
        self._clock = clock
        self._metrics = metrics
        self._jitter = jitter

    async def deliver_due(self) -> int:
        """Try all that is due, at once; how many were delivered.

        A process that dies after a send and before the commit sends again: receivers tell repeats
        by the alert's id.

        Raises:
            Unavailable: the queue cannot be read or written.
        """
        due = self._due()
        if any(name == EVERY_CHANNEL for _, name, _, _ in due):
            self._spread(due)
            due = self._due()
        if not due:
            return 0
        errors = await asyncio.gather(*(self._try(name, alert) for _, name, alert, _ in due))
        now = self._clock.now()
        with self._state.transaction() as state:
            for (delivery, _, _, attempts), error in zip(due, errors, strict=True):
                if error:
                    wait = retry_seconds(attempts, self._jitter())
                    state.alerts.retry(delivery, now + wait, error)
                else:
                    state.alerts.delivered(delivery, now)
        return errors.count("")

    def _due(self) -> Sequence[tuple[int, str, Alert, int]]:
        with self._state.reading() as state:
            return state.alerts.due(self._clock.now(), BATCH)

    def _spread(self, due: Sequence[tuple[int, str, Alert, int]]) -> None:
        """Queue what is for every channel for each that it reaches, in one transaction."""
        every = [(delivery, alert) for delivery, name, alert, _ in due if name == EVERY_CHANNEL]
        with self._state.transaction() as state:
            for delivery, alert in every:
                channels = reached(alert, self._settings)
                state.alerts.spread(delivery, channels, self._clock.now())
        for _, alert in every:
            _count(alert, self._metrics)

    async def _try(self, name: str, alert: Alert) -> str:
        """What went wrong, or nothing. A channel that is no longer configured gets nothing."""
        channel = self._channels.get(name)
        if channel is None:
            self._failed(name, alert, "the channel is no longer configured; dropped")
            return ""
        try:
            async with asyncio.timeout(SEND_SECONDS):
                await channel.send(alert)
        except Exception as error:  # noqa: BLE001 - a channel is a plugin and may raise anything
            reason = f"{type(error).__name__}: {error}"
            self._failed(name, alert, reason)
            return reason
        return ""

    def _failed(self, name: str, alert: Alert, reason: str) -> None:
        self._metrics.count("ml_alert_failures_total", channel=name)
        logger.warning(
            Event.ALERT_FAILED, extra={"channel": name, "key": alert.key, "reason": reason}
        )
