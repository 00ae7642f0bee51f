"""What a person may do about a model's rollout now, and what each of it would do, in words."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from trimtab.report.words import percent
from trimtab.rollout.arms import candidates, left, share_now
from trimtab.rollout.controller import to_approve
from trimtab.types import Record, Rollout, RolloutState


class Offer(Record, frozen=True):
    """One change: its ``name`` under ``/api/v1``, what its button says, and what it does.

    ``versions`` are those of which one may be named, ``needed`` whether one has to be. ``step`` is the one
    that is approved. ``command`` is the same on the command line. ``grave`` takes users off a version.
    """

    name: str
    label: str
    does: str
    rollout: str
    command: str
    versions: tuple[int, ...] = ()
    needed: bool = False
    step: int | None = None
    grave: bool = False


def offers(rollout: Rollout | None) -> tuple[Offer, ...]:
    """What may be done about the rollout that a rollback would end; nothing if there is none."""
    if rollout is None:
        return ()
    names = ["rollback"]
    if rollout.state in (RolloutState.RUNNING, RolloutState.HELD):
        names.append("pause" if rollout.state is RolloutState.RUNNING else "resume")
        if to_approve(rollout) is not None:
            names.append("approve")
        names.append("promote")
    return tuple(_OFFERS[name](rollout) for name in names)


def _rollback(rollout: Rollout) -> Offer:
    back = f"version {rollout.control} answers everybody"
    if rollout.state is RolloutState.PROMOTED:
        does = (
            f"Version {rollout.candidate} is taken off the traffic of every worker at once, and {back}, "
            "as before its promotion."
        )
    else:
        does = f"{_named(rollout)} off the traffic of every worker at once, and {back}."
    alive = _alive(rollout)
    return Offer(
        name="rollback",
        label="Roll back",
        does=does,
        rollout=rollout.id,
        command=f'trimtab rollback {rollout.model} --reason "…"',
        versions=alive if len(alive) > 1 else (),
        grave=True,
    )


def _pause(rollout: Rollout) -> Offer:
    return Offer(
        name="pause",
        label="Hold",
        does=f"The rollout stays at {percent(share_now(rollout))} until somebody resumes it. Its "
        "guardrails go on watching, and still roll back.",
        rollout=rollout.id,
        command=f'trimtab pause {rollout.model} --reason "…"',
    )


def _resume(rollout: Rollout) -> Offer:
    return Offer(
        name="resume",
        label="Resume",
        does=f"The rollout goes on by its plan, from step {rollout.step + 1} of "
        f"{len(rollout.plan.steps)}. It was held because: {rollout.reason}",
        rollout=rollout.id,
        command=f'trimtab resume {rollout.model} --reason "…"',
    )


def _approve(rollout: Rollout) -> Offer:
    at = to_approve(rollout) or 0
    step = rollout.plan.steps[at]
    return Offer(
        name="approve",
        label=f"Approve step {at + 1}",
        does=f"Step {at + 1} of {len(rollout.plan.steps)}, {percent(step.share)} of the traffic, may "
        "begin once the one before has baked without established harm. It takes a token with the role "
        f"{step.approval}.",
        rollout=rollout.id,
        command=f'trimtab approve {rollout.model} --role {step.approval} --reason "…"',
        step=at + 1,
    )


def _promote(rollout: Rollout) -> Offer:
    alive = _alive(rollout)
    several = len(alive) > 1
    which = "The version that you choose" if several else f"Version {alive[0]}"
    return Offer(
        name="promote",
        label="Promote",
        does=f"{which} becomes the champion and answers everybody at once, whatever its guardrails and "
        "steps still wait for.",
        rollout=rollout.id,
        command=f'trimtab promote {rollout.model}{" --version N" * several} --reason "…"',
        versions=alive if several else (),
        needed=several,
    )


_OFFERS: Mapping[str, Callable[[Rollout], Offer]] = {
    "rollback": _rollback,
    "pause": _pause,
    "resume": _resume,
    "approve": _approve,
    "promote": _promote,
}

OFFERED = frozenset(_OFFERS)


def _alive(rollout: Rollout) -> tuple[int, ...]:
    numbers = candidates(rollout)
    return tuple(numbers[arm - 1] for arm in left(rollout))


def _named(rollout: Rollout) -> str:
    alive = _alive(rollout)
    if len(alive) == 1:
        return f"Version {alive[0]} is taken"
    return f"Versions {', '.join(map(str, alive[:-1]))} and {alive[-1]} are taken"
