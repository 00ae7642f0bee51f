"""Alerts, and the audit log."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from trimtab.types.record import Record


class Severity(StrEnum):
    """Who is woken: ``page`` now, ``ticket`` tomorrow, ``info`` nobody."""

    PAGE = "page"
    TICKET = "ticket"
    INFO = "info"


class AuditEntry(Record, frozen=True):
    """One line of the hash-chained audit log; ``at`` is wall time."""

    seq: int
    at: float
    actor: str
    action: str
    model: str
    detail: dict[str, Any]
    reason: str
    previous: str
    hash: str


EVERY_CHANNEL = "*"
"""Stands in the queue for all channels that an alert reaches once it is delivered."""


class Alert(Record, frozen=True):
    """A message to people. While one with the same ``key`` is open, repeats are counted, not sent.

    ``change`` is the line of the audit log that it tells of, if it tells of a change of traffic.
    """

    key: str
    severity: Severity
    title: str
    body: str
    model: str
    version: int | None
    event_time: float
    runbook: str = ""
    change: AuditEntry | None = None
