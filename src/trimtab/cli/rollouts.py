"""deploy, promote, pause, resume, rollback."""

from __future__ import annotations

from collections.abc import Callable

import click
from rich.console import Console

from trimtab.cli import words
from trimtab.cli.plan import plan_flags, read_plan
from trimtab.cli.session import Session, command
from trimtab.rollout.plan import APPROVING_ROLES
from trimtab.types import Rollout, Route
from trimtab.wiring.deployment import Deployment

reason = click.option("--reason", required=True, help="Why; kept in the audit log.")


def show_route(route: Route) -> Callable[[Console], None]:
    """How a route is printed."""

    def show(console: Console) -> None:
        split = ", ".join(
            f"{arm.name} v{arm.version} {words.percent(arm.share)}" for arm in route.arms
        )
        console.print(f"{route.model}: {split}  (epoch {route.epoch})")

    return show


def show_rollout(rollout: Rollout) -> Callable[[Console], None]:
    """How a rollout is printed."""

    def show(console: Console) -> None:
        steps = rollout.plan.steps
        at = words.percent(steps[rollout.step].share) if rollout.step < len(steps) else "100 %"
        console.print(
            f"{rollout.model}: v{rollout.control} → v{rollout.candidate}  "
            f"{rollout.state.value}, step {rollout.step + 1} of {len(steps)} at {at}  "
            f"(rollout {rollout.id})"
        )
        if rollout.reason:
            console.print(f"  {rollout.reason}")

    return show


@command()
@click.argument("model")
@click.argument("version")
@reason
@click.option("--force", multiple=True, help="A refusal, by its name, that is not to count.")
@plan_flags
def deploy(
    session: Session,
    model: str,
    version: str,
    reason: str,
    force: tuple[str, ...],
    **flags: object,
) -> None:
    """Deploy VERSION (a number or alias) of MODEL.

    A model's first deployment gets all of the traffic. A later one ramps up by the plan in
    [models.MODEL.rollout] or of the options, guarded, and is rolled back by itself if it does harm.
    """
    with session.deployment() as deployment:
        name = int(version) if version.isdecimal() else version
        begun = deployment.deploy_or_roll_out(
            model,
            name,
            actor=session.actor,
            reason=reason,
            force=force,
            plan=read_plan(deployment.configured_plan(model), flags),
        )
        session.emit(begun, show_route(begun) if isinstance(begun, Route) else show_rollout(begun))


@command()
@click.argument("model")
@reason
def promote(session: Session, model: str, reason: str) -> None:
    """Give the candidate of MODEL's running rollout all of the traffic."""
    _move(session, lambda d: d.promote(model, actor=session.actor, reason=reason))


@command()
@click.argument("model")
@reason
@click.option(
    "--role",
    type=click.Choice(APPROVING_ROLES),
    default="operator",
    show_default=True,
    help="In which role you confirm; kept in the audit log.",
)
def approve(session: Session, model: str, reason: str, role: str) -> None:
    """Confirm the next step of MODEL's rollout that needs an approval."""
    who = session.actor
    _move(session, lambda d: d.approve(model, role=role, actor=who, reason=reason))


@command()
@click.argument("model")
@reason
def pause(session: Session, model: str, reason: str) -> None:
    """Hold MODEL's running rollout at its present share."""
    _move(session, lambda d: d.pause(model, actor=session.actor, reason=reason))


@command()
@click.argument("model")
@reason
def resume(session: Session, model: str, reason: str) -> None:
    """Let MODEL's held rollout go on."""
    _move(session, lambda d: d.resume(model, actor=session.actor, reason=reason))


@command()
@click.argument("model")
@reason
def rollback(session: Session, model: str, reason: str) -> None:
    """Take MODEL's candidate, or else its newest champion, off the traffic at once."""
    with session.deployment() as deployment:
        route = deployment.roll_back(model, actor=session.actor, reason=reason)
        session.emit(route, show_route(route))


def _move(session: Session, change: Callable[[Deployment], Rollout]) -> None:
    with session.deployment() as deployment:
        rollout = change(deployment)
        session.emit(rollout, show_rollout(rollout))
