"""Rolling back whatever the state does: in the database, or else on this host."""

from __future__ import annotations

from trimtab.config import Config
from trimtab.errors import Unavailable
from trimtab.protocols import Clock
from trimtab.rollout.host_rollback import Override
from trimtab.types import Route
from trimtab.wiring.clock import SystemClock
from trimtab.wiring.deployment import Deployment
from trimtab.wiring.host_rollbacks import open_overrides

WAIT_SECONDS = 2.0
"""How long a rollback waits for the state before this host acts by itself."""


def roll_back(
    config: Config, model: str, *, actor: str, reason: str, clock: Clock | None = None
) -> Route | Override:
    """Take the candidate, or else the newest champion, off the traffic at once.

    Returns:
        The route that the database has now; or, if it could not be written, what this host has done. It
        is written to the database as soon as that answers.

    Raises:
        Conflict: there is nothing to go back to.
        InvalidInput: no actor or no reason.
        Unavailable: neither the database nor the disk can be written.
    """
    clock = clock or SystemClock()
    try:
        deployment = Deployment.open(config, clock, WAIT_SECONDS)
    except Unavailable:
        return open_overrides(config).take_off(model, actor=actor, reason=reason, clock=clock)
    try:
        return deployment.roll_back(model, actor=actor, reason=reason)
    except Unavailable:
        return deployment.host_rollbacks.take_off(model, actor=actor, reason=reason, clock=clock)
    finally:
        deployment.close()
