"""Every log event's name, once."""

from __future__ import annotations

import logging
from enum import StrEnum

logger = logging.getLogger(__name__)


class Event(StrEnum):
    """Log event names."""

    SERVER_READY = "server_ready"
    SERVER_STOPPING = "server_stopping"
    WORKER_STARTED = "worker_started"
    WORKER_DIED = "worker_died"
    WORKER_RECYCLED = "worker_recycled"
    WATCHER_STARTED = "watcher_started"
    TRAFFIC_NOT_COUNTED = "traffic_not_counted"
    TICK_FAILED = "tick_failed"
    SAVED_STATE_UNREADABLE = "saved_state_unreadable"
    ROUTES_RELOADED = "routes_reloaded"
    ROUTES_FAILED = "routes_failed"
    PUSH_LOST = "push_lost"
    CANDIDATE_FAILED = "candidate_failed"
    MODEL_FAILED = "model_failed"
    COMPACT_REFUSED = "compact_refused"
    JOURNAL_DROPPED = "journal_dropped"
    JOURNAL_DAMAGED = "journal_damaged"
    JOURNAL_COMPACTED = "journal_compacted"
    JOURNAL_REMOVED = "journal_removed"
    JOURNAL_UPKEEP_FAILED = "journal_upkeep_failed"
    STORE_FAILED = "store_failed"
    BREAKER_OPENED = "breaker_opened"
    BREAKER_CLOSED = "breaker_closed"
    ALERT_OPENED = "alert_opened"
    ALERT_FAILED = "alert_failed"
    REQUEST_FAILED = "request_failed"
    PROCESS_FAILED = "process_failed"
    ROLLOUT_MOVED = "rollout_moved"
    OVERRIDDEN = "overridden"
    OVERRIDE_DAMAGED = "override_damaged"


def tell_unreadable(key: str, what: str, why: Exception) -> None:
    """Log that something which was saved, by another build perhaps, cannot be read and begins anew."""
    logger.error(
        Event.SAVED_STATE_UNREADABLE,
        extra={"key": key, "what": what, "reason": f"{why}. It begins anew."},
    )
