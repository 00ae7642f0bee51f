"""What a change is about: versions, routes and rollouts, or an error that says what there is."""

from __future__ import annotations

from trimtab.errors import NotFound
from trimtab.protocols import StateTx
from trimtab.rollout.change import OPEN
from trimtab.types import Rollout, Route, Version


def version(state: StateTx, model: str, number: int) -> Version:
    """A registered version.

    Raises:
        NotFound: there is none of that number.
    """
    found = state.registry.version(model, number)
    if found is None:
        known = ", ".join(str(v.version) for v in state.registry.versions(model))
        raise NotFound(
            f"There is no version {number} of {model!r}.",
            code="version_not_found",
            hint=f"Registered: {known}." if known else "Nothing is registered under that name.",
        )
    return found


def route(state: StateTx, model: str) -> Route:
    """How a deployed model's traffic is answered.

    Raises:
        NotFound: it is not deployed.
    """
    found = state.control.route(model)
    if found is None:
        raise NotFound(
            f"{model!r} is not deployed.", code="not_deployed", hint="Deploy a version first."
        )
    return found


def open_rollout(state: StateTx, model: str) -> Rollout | None:
    """The rollout that is under way, if one is."""
    return next((r for r in state.control.rollouts(model) if r.state in OPEN), None)


def under_way(state: StateTx, model: str) -> Rollout:
    """The rollout that is under way.

    Raises:
        NotFound: none is.
    """
    found = open_rollout(state, model)
    if found is None:
        raise NotFound(
            f"No rollout of {model!r} is under way.",
            code="no_rollout",
            hint="Start one, or look at the ended ones.",
        )
    return found
