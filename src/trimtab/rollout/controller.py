"""Carries changes of traffic out: each in the caller's one transaction, with its audit row and epoch."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from msgspec.structs import replace
from xxhash import xxh3_64_hexdigest

from trimtab.errors import Conflict, InvalidPlan, Refused
from trimtab.protocols import StateTx
from trimtab.rollout import arms, finding, slots
from trimtab.rollout.change import CHALLENGER, CHAMPION, PREVIOUS, Change
from trimtab.rollout.plan import (
    APPROVING_ROLES,
    SIGNATURE_DIFFERS,
    VIEWS_DIFFER,
    check_plan,
    check_signatures,
    check_views,
)
from trimtab.types import Rollout, RolloutPlan, RolloutState, Route


def deploy_first(change: Change, model: str, version: int) -> Route:
    """Give a model's first version 100 % of the traffic.

    Raises:
        NotFound: no such version.
        Conflict: the model is deployed already, or the epoch has moved on.
    """
    finding.version(change.state, model, version)
    if change.state.control.route(model) is not None:
        raise Conflict(
            f"{model!r} is deployed already.",
            code="already_deployed",
            hint="Start a rollout to bring in another version.",
        )
    route = change.to_one(model, version)
    change.name(model, CHAMPION, version)
    change.log("deploy", model, version=version, share=1.0, epoch=route.epoch)
    return route


def start(
    change: Change,
    model: str,
    plan: RolloutPlan,
    candidate: int | Sequence[int],
    *,
    force: Collection[str] = (),
) -> Rollout:
    """Begin to ramp candidates up: the first step takes traffic at once.

    Args:
        change: By whom, why, and in which transaction.
        model: Whose rollout.
        plan: How the candidates meet traffic.
        candidate: The version to bring in, or several for the strategy ``ab``.
        force: Codes of checks to leave out.

    Raises:
        NotFound: the model is not deployed, or there is no such version.
        Conflict: the model has a rollout under way, or the epoch has moved on.
        InvalidPlan: the plan cannot be run, a candidate is the champion or does not fit.
    """
    first, *rivals = [candidate] if isinstance(candidate, int) else candidate
    check_plan(plan, force, candidates=1 + len(rivals))
    route = finding.route(change.state, model)
    versions = [finding.version(change.state, model, number) for number in (first, *rivals)]
    under_way = finding.open_rollout(change.state, model)
    if under_way is not None:
        raise Conflict(
            f"Version {under_way.candidate} of {model!r} is being rolled out already.",
            code="rollout_running",
            hint="Promote it or roll it back first.",
        )
    _check_versions(model, route.champion, (first, *rivals))
    champion = finding.version(change.state, model, route.champion)
    for version in versions:
        if SIGNATURE_DIFFERS not in force:
            check_signatures(champion.signature, version.signature, plan)
        if VIEWS_DIFFER not in force:
            check_views(champion.views, version.views)
    before = change.state.control.rollouts(model)
    name = f"{model}-{len(before) + 1:04d}"
    rollout = Rollout(
        id=name,
        model=model,
        control=route.champion,
        candidate=first,
        plan=plan,
        state=RolloutState.RUNNING,
        step=0,
        salt=xxh3_64_hexdigest(name.encode()),
        # Rollouts are listed by this: a clock that was set back does not change which is the newest.
        started_at=max(change.clock.now(), *(rollout.started_at for rollout in before), 0.0),
        reason=change.reason.strip(),
        rivals=tuple(rivals),
    )
    change.to_both(rollout, slots.all_control())
    change.state.control.put_rollout(rollout)
    change.settle(model, "roll_back")
    change.name(model, CHALLENGER, first)
    change.log_rollout("start", rollout, share=plan.steps[0].share, forced=sorted(force))
    return rollout


def advance(change: Change, model: str) -> Rollout:
    """Go on to the next step: the candidate takes more slots, only from control.

    Raises:
        NotFound: no rollout is under way.
        Conflict: it is held or at its last step, or the epoch has moved on.
    """
    rollout = finding.under_way(change.state, model)
    if rollout.state is RolloutState.HELD:
        raise Conflict(
            f"The rollout {rollout.id} is held: {rollout.reason}",
            code="rollout_held",
            hint="Resume it first.",
        )
    if rollout.step + 1 >= len(rollout.plan.steps):
        raise Conflict(
            f"The rollout {rollout.id} is at its last step.",
            code="last_step",
            hint="Promote the candidate to give it everybody.",
        )
    moved = replace(
        rollout, step=rollout.step + 1, step_since=None, baked=(), reason=change.reason.strip()
    )
    change.to_both(moved, finding.route(change.state, model).slots)
    change.state.control.put_rollout(moved)
    change.log_rollout("ramp", moved, share=moved.plan.steps[moved.step].share)
    return moved


def approve(change: Change, model: str, *, role: str, step: int | None = None) -> Rollout:
    """Confirm the next step that needs it; it begins once it has baked and no harm is established.

    Args:
        change: By whom, why, and in which transaction.
        model: Whose rollout.
        role: The role of who confirms; ``admin`` may confirm for ``operator``.
        step: The step that is meant, from 1 on; None stands for whichever waits.

    Raises:
        NotFound: no rollout is under way.
        Conflict: no step waits for an approval, another one does, or the epoch has moved on.
        Refused: the step names a higher role.
    """
    rollout = finding.under_way(change.state, model)
    waiting = to_approve(rollout)
    if waiting is None or step not in (None, waiting + 1):
        which = "No step" if step is None else f"Not step {step}"
        raise Conflict(
            f"{which} of the rollout {rollout.id} waits for an approval.",
            code="nothing_to_approve",
            hint="Steps that need one name a role in the plan: steps[].approval."
            if waiting is None
            else f"Step {waiting + 1} does.",
        )
    needed = rollout.plan.steps[waiting].approval
    if APPROVING_ROLES.index(needed) > _rank(role):
        raise Refused(
            f"Step {waiting + 1} of {rollout.id} needs the approval of the role {needed!r}; "
            f"yours is {role!r}.",
            code="wrong_role",
            hint=f"Ask somebody with the role {needed}.",
        )
    approved = replace(rollout, approved=(*rollout.approved, waiting))
    change.raise_epoch()
    change.state.control.put_rollout(approved)
    change.log_rollout("approve", approved, approved=waiting, role=role)
    return approved


def promote(change: Change, model: str, *, version: int | None = None) -> Rollout:
    """Make a candidate the champion, with 100 % of the traffic.

    Args:
        change: By whom, why, and in which transaction.
        model: Whose rollout.
        version: Which candidate; None stands for the only one that is left.

    Raises:
        NotFound: no rollout is under way, or it has no such candidate left.
        Conflict: several candidates are left and none is named, or the epoch has moved on.
    """
    rollout = finding.under_way(change.state, model)
    chosen = arms.chosen(rollout, version)
    change.to_one(model, chosen)
    before = arms.candidates(rollout)
    order = (chosen, *(version for version in before if version != chosen))
    lost = tuple(1 + order.index(before[arm - 1]) for arm in rollout.lost)
    named = replace(rollout, candidate=chosen, rivals=order[1:], lost=lost)
    rollout = change.end(named, RolloutState.PROMOTED)
    change.name(model, CHAMPION, rollout.candidate)
    change.name(model, PREVIOUS, rollout.control)
    change.log_rollout("promote", rollout)
    return rollout


def roll_back(change: Change, model: str, *, detail: Mapping[str, Any] | None = None) -> Route:
    """Take the candidate off the traffic; without one, go back to the champion before this one.

    Going back repeatedly walks the promotions back, one at a time. ``detail`` goes to the audit log too.

    Raises:
        NotFound: the model is not deployed.
        Conflict: there is only one version to answer, or the epoch has moved on.
    """
    champion = finding.route(change.state, model).champion
    undone = to_undo(change.state, model)
    if undone is None:
        raise Conflict(
            f"No version of {model!r} was deployed before version {champion}: without it nothing "
            "would answer.",
            code="nothing_to_roll_back_to",
            hint="Register and deploy another version instead.",
        )
    promoted = undone.state is RolloutState.PROMOTED
    route = change.to_one(model, undone.control)
    rollout = change.end(undone, RolloutState.ROLLED_BACK)
    if promoted:
        change.name(model, CHAMPION, rollout.control)
        change.name(model, PREVIOUS, rollout.candidate)
    change.log_rollout("roll_back", rollout, **{"after_promotion": promoted, **(detail or {})})
    return route


def drop(change: Change, model: str, version: int) -> Rollout | Route:
    """Take one of several candidates off the traffic: its keys go back to control, nobody else's move.

    The last candidate is rolled back.

    Raises:
        NotFound: no rollout is under way, or it has no such candidate left.
        Conflict: the epoch has moved on.
    """
    rollout = finding.under_way(change.state, model)
    arms.chosen(rollout, version)
    if len(arms.left(rollout)) == 1:
        return roll_back(change, model)
    arm = 1 + arms.candidates(rollout).index(version)
    fewer = replace(rollout, lost=(*rollout.lost, arm), reason=change.reason.strip())
    change.to_both(fewer, slots.give_back(finding.route(change.state, model).slots, arm))
    change.state.control.put_rollout(fewer)
    change.log_rollout("drop", fewer, version=version)
    return fewer


def pause(change: Change, model: str) -> Rollout:
    """Keep the present share until resumed; guardrails still roll back.

    Raises:
        NotFound: no rollout is under way.
        Conflict: it is held already, or the epoch has moved on.
    """
    return change.turn(finding.under_way(change.state, model), RolloutState.HELD, "pause")


def resume(change: Change, model: str) -> Rollout:
    """Let a held rollout go on. While its guardrail's evidence stands, it will be held again.

    Raises:
        NotFound: no rollout is under way.
        Conflict: it is not held, or the epoch has moved on.
    """
    return change.turn(finding.under_way(change.state, model), RolloutState.RUNNING, "resume")


def to_undo(state: StateTx, model: str) -> Rollout | None:
    """The rollout that a rollback ends: the one under way, else the promotion that brought the champion."""
    route = state.control.route(model)
    if route is None:
        return None
    return finding.open_rollout(state, model) or _promotion_of(state, model, route.champion)


def to_approve(rollout: Rollout) -> int | None:
    """The next step, from 0 on, that somebody still has to confirm."""
    steps = rollout.plan.steps
    ahead = range(rollout.step + 1, len(steps))
    return next((i for i in ahead if steps[i].approval and i not in rollout.approved), None)


def _rank(role: str) -> int:
    return APPROVING_ROLES.index(role) if role in APPROVING_ROLES else -1


def _check_versions(model: str, champion: int, versions: Sequence[int]) -> None:
    for at, version in enumerate(versions):
        if version == champion:
            raise InvalidPlan(
                f"Version {version} of {model!r} is the champion already.",
                code="candidate_is_champion",
                path="candidate" if at == 0 else f"rivals[{at - 1}]",
                hint="Name another version.",
            )
        if version in versions[:at]:
            raise InvalidPlan(
                f"Version {version} of {model!r} is named twice.",
                code="candidate_named_twice",
                path=f"rivals[{at - 1}]",
                hint="Each candidate is a version of its own.",
            )


def _promotion_of(state: StateTx, model: str, champion: int) -> Rollout | None:
    """The promotion that brought the champion, if a rollout did and it was not undone."""
    promoted = [
        rollout
        for rollout in state.control.rollouts(model)
        if rollout.state is RolloutState.PROMOTED and rollout.candidate == champion
    ]
    return max(promoted, key=lambda r: r.id, default=None)
