"""deploy, promote, pause, resume, rollback."""

from __future__ import annotations

from collections.abc import Callable

import click
from rich.console import Console

from trimtab.cli import words
from trimtab.cli.plan import plan_flags, read_plan
from trimtab.cli.session import Session, command
from trimtab.rollout.host_rollback import Override
from trimtab.rollout.plan import APPROVING_ROLES
from trimtab.types import Rollout, RolloutState, Route
from trimtab.wiring.deployment import Deployment
from trimtab.wiring.rollback import roll_back

reason = click.option("--reason", required=True, help="Why; kept in the audit log.")


def show_route(route: Route) -> Callable[[Console], None]:
    """How a route is printed."""

    def show(console: Console) -> None:
        split = ", ".join(
            f"{arm.name} v{arm.version} {words.percent(arm.share)}" for arm in route.arms
        )
        console.print(f"{route.model}: {split}  (epoch {route.epoch})")

    return show


def _of(rollout: Rollout) -> str:
    """The candidates; one that was taken off stands in parentheses."""
    versions = enumerate((rollout.candidate, *rollout.rivals), start=1)
    return ", ".join(f"(v{v})" if arm in rollout.lost else f"v{v}" for arm, v in versions)


def show_rollout(rollout: Rollout) -> Callable[[Console], None]:
    """How a rollout is printed."""

    def show(console: Console) -> None:
        steps = rollout.plan.steps
        at = words.percent(steps[rollout.step].share) if rollout.step < len(steps) else "100 %"
        where = f"step {rollout.step + 1} of {len(steps)} at {at}"
        if rollout.state is RolloutState.PROMOTED:
            where = f"v{rollout.candidate} answers everybody"
        console.print(
            f"{rollout.model}: v{rollout.control} → {_of(rollout)}  {rollout.state.value}, {where}  "
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
@click.option(
    "--and",
    "rivals",
    multiple=True,
    metavar="VERSION",
    help='A further candidate at the same time, where the plan says strategy = "ab".',
)
@plan_flags
def deploy(
    session: Session,
    model: str,
    version: str,
    reason: str,
    force: tuple[str, ...],
    rivals: tuple[str, ...],
    **flags: object,
) -> None:
    """Deploy VERSION (a number or alias) of MODEL.

    A model's first deployment gets all of the traffic. A later one ramps up by the plan in
    [models.MODEL.rollout] or of the options, guarded, and is rolled back by itself if it does harm.
    """
    with session.deployment() as deployment:
        begun = deployment.deploy_or_roll_out(
            model,
            named(version),
            actor=session.actor,
            reason=reason,
            force=force,
            plan=read_plan(deployment.configured_plan(model), flags),
            rivals=[named(rival) for rival in rivals],
        )
        session.emit(begun, show_route(begun) if isinstance(begun, Route) else show_rollout(begun))


@command()
@click.argument("model")
@reason
@click.option("--version", "chosen", help="Which candidate, where several are left.")
def promote(session: Session, model: str, reason: str, chosen: str | None) -> None:
    """Give the candidate of MODEL's running rollout all of the traffic."""
    name = None if chosen is None else named(chosen)
    _move(session, lambda d: d.promote(model, actor=session.actor, reason=reason, version=name))


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
@click.option("--version", "chosen", help="Only this one of several candidates.")
def rollback(session: Session, model: str, reason: str, chosen: str | None) -> None:
    """Take MODEL's candidate, or else its newest champion, off the traffic at once.

    If the state database does not answer within 2 s, this host rolls back by itself: its workers switch,
    and the database takes it in when it answers again.
    """
    if chosen is not None:
        with session.deployment() as deployment:
            ended = deployment.drop(model, named(chosen), actor=session.actor, reason=reason)
            session.emit(
                ended, show_route(ended) if isinstance(ended, Route) else show_rollout(ended)
            )
        return
    done = roll_back(session.config(), model, actor=session.actor, reason=reason)
    if isinstance(done, Override):
        session.emit({"local": True, "override": done}, _show_override(done))
    else:
        session.emit(done, show_route(done))


def _show_override(done: Override) -> Callable[[Console], None]:
    def show(console: Console) -> None:
        undo = done.undo
        console.print(
            f"{undo.model}: version {', '.join(map(str, undo.off))} is off the traffic of this host, "
            f"version {undo.to} answers  (rollout {undo.rollout})"
        )
        console.print(
            "  The state database does not answer. It takes this in when it does; other hosts go on "
            "until then."
        )

    return show


def named(version: str) -> str | int:
    """A version's number, or its alias."""
    return int(version) if version.isdecimal() else version


def _move(session: Session, change: Callable[[Deployment], Rollout]) -> None:
    with session.deployment() as deployment:
        rollout = change(deployment)
        session.emit(rollout, show_rollout(rollout))
