"""Alerts in the process's own log."""

from __future__ import annotations

import logging

from trimtab.config import ChannelConfig
from trimtab.types import Alert, Severity

logger = logging.getLogger(__name__)

_LEVELS = {
    Severity.INFO: logging.INFO,
    Severity.TICKET: logging.WARNING,
    Severity.PAGE: logging.ERROR,
}


class LogChannel:
    """One log line an alert, at the level of its severity."""

    def __init__(self, name: str) -> None:
        self.name = name

    async def send(self, alert: Alert) -> None:
        """Log the title, with the rest as fields."""
        logger.log(
            _LEVELS[alert.severity],
            alert.title,
            extra={"key": alert.key, "body": alert.body, "model": alert.model},
        )


def create(name: str, config: ChannelConfig) -> LogChannel:
    """A channel without settings."""
    del config
    return LogChannel(name)
