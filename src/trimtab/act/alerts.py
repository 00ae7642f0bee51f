"""Alerts: opened once, queued in the same transaction, delivered at least once."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import random
from collections.abc import Callable, Mapping, Sequence

from trimtab.config import ChannelConfig
from trimtab.protocols import AlertChannel, Clock, StateStore, StateTx
from trimtab.telemetry import Event, Metrics
from trimtab.types import Alert, Severity

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
        reached = [
            name
            for name, channel in channels.items()
            if _RANK[alert.severity] >= _RANK[Severity(channel.min_severity)]
        ]
        if state.alerts.open(alert, reached):
            metrics.count("ml_alerts_total", model=alert.model, severity=alert.severity)
            logger.warning(
                Event.ALERT_OPENED,
                extra={"key": alert.key, "severity": alert.severity, "title": alert.title},
            )


def alert_id(alert: Alert) -> str:
    """32 hex digits, the same at every attempt to deliver this alert."""
    return hashlib.sha256(f"{alert.key}@{alert.event_time!r}".encode()).hexdigest()[:32]


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
        clock: What is due.
        metrics: Counts failures.
        jitter: In [0, 1), spreads retries.
    """

    def __init__(
        self,
        state: StateStore,
        channels: Mapping[str, AlertChannel],
        clock: Clock,
        metrics: Metrics,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._state = state
        self._channels = channels
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
        with self._state.reading() as state:
            due = state.alerts.due(self._clock.now(), BATCH)
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
