"""Every change of traffic as a message to people and programs, queued with its audit row.

It waits in the queue of alerts for whatever channels are configured when it is delivered. What a
guardrail brought about by itself stays open until it is settled; all else is told and done.
"""

from __future__ import annotations

from collections.abc import Mapping

from trimtab.protocols import AlertTx
from trimtab.rollout.audit import SYSTEM
from trimtab.types import EVERY_CHANNEL, Alert, AuditEntry, Severity

_TITLES: Mapping[str, str] = {
    "deploy": "Version {candidate} of {model} is deployed",
    "start": "Version {candidate} of {model} begins its rollout",
    "ramp": "Version {candidate} of {model} goes on to step {step}",
    "approve": "A step of the rollout of version {candidate} of {model} was approved",
    "pause": "The rollout of version {candidate} of {model} is held",
    "resume": "The rollout of version {candidate} of {model} goes on",
    "promote": "Version {candidate} of {model} is the new champion",
    "roll_back": "Version {candidate} of {model} was rolled back",
    "override": "A key of {model} is sent to version {candidate}",
    "override_end": "A key of {model} is back in the split",
    "shift": "The bandit of {model} has moved its shares",
    "drop": "Version {candidate} of {model} was taken off the rollout",
    "load": "{model} is in service again",
    "unload": "{model} is out of service",
}
_STANDING: Mapping[str, str] = {"pause": "hold", "roll_back": "roll_back"}


def alert_key(model: str, what: str) -> str:
    """The key of an alert about a model's rollout, for example ``flights/rollout/roll_back``."""
    return f"{model}/rollout/{what}"


def tell(alerts: AlertTx, entry: AuditEntry, event_time: float) -> None:
    """Queue a change for every channel that it reaches.

    Args:
        alerts: The queue, within the transaction of the change.
        entry: The change's line of the audit log.
        event_time: When, on the clock of what it was decided on.
    """
    standing = _STANDING.get(entry.action) if entry.actor == SYSTEM else None
    candidate = entry.detail.get("version", entry.detail.get("candidate"))
    title = _TITLES[entry.action].format(
        candidate=candidate, model=entry.model, step=entry.detail.get("step", 0) + 1
    )
    alert = Alert(
        key=alert_key(entry.model, standing) if standing else f"{entry.model}/change/{entry.seq}",
        severity=Severity.TICKET if standing else Severity.INFO,
        title=f"{title}{'' if entry.actor == SYSTEM else f' by {entry.actor}'}.",
        body=entry.reason,
        model=entry.model,
        version=candidate,
        event_time=event_time,
        runbook="guardrail" if standing else "",
        change=entry,
    )
    alerts.close(alert.key, event_time)
    alerts.open(alert, [EVERY_CHANNEL])
    if not standing:
        alerts.close(alert.key, event_time)
