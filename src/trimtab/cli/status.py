"""status, events."""

from __future__ import annotations

from collections.abc import Iterator

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from trimtab.cli import words
from trimtab.cli.session import FAILED_STATUS, Session, command
from trimtab.report.performance import MetricFinding, metric_findings
from trimtab.report.stories import RolloutStory, rollout_stories
from trimtab.rollout import audit
from trimtab.rollout.readings import evidence_words
from trimtab.types import Comparison, Verdict
from trimtab.wiring.overview import WATCHED, Health, ModelOverview, faults, overview

COLOURS = {Health.HEALTHY: "green", Health.WATCH: "yellow", Health.ACT: "red"}
SHOWN_METRICS = 3
SHOWN_NAMES = 3
DAY = 86_400.0


@command()
@click.argument("model", required=False)
def status(session: Session, model: str | None) -> None:
    """How every model (or MODEL) is, in plain words."""
    with session.deployment() as deployment, deployment.state.reading() as state:
        names = [model] if model else list(state.registry.models())
        wrong = faults(deployment)
        found = [overview(state, name, verdict_limit=200, faults=wrong) for name in names]

    def show(console: Console) -> None:
        if not found:
            console.print("No models yet. `trimtab register NAME FILE …` adds one.")
        for one in found:
            show_overview(console, one)

    session.emit(
        [
            {
                "model": one.model,
                "health": one.health,
                "because": one.because,
                "route": one.route and {"epoch": one.route.epoch, "arms": one.route.arms},
                "rollout": one.running,
                "guardrails": [g.reading for g in story.guardrails] if story else [],
                "at_stake": story.at_stake if story else "",
                "verdicts": [v for v in map(one.latest, WATCHED) if v is not None],
            }
            for one, story in ((one, _story(one)) for one in found)
        ],
        show,
    )


def show_overview(console: Console, one: ModelOverview) -> None:
    """How a model's state is printed."""
    colour = COLOURS[one.health]
    console.print(f"[bold]{one.model}[/bold]  [{colour}]{one.health.value}[/{colour}]")
    for reason in one.because:
        console.print(f"  {reason}", markup=False)
    facts = Table.grid(padding=(0, 2))
    if one.route is not None:
        split = ", ".join(
            f"{arm.name} v{arm.version} {words.percent(arm.share)}" for arm in one.route.arms
        )
        facts.add_row("  traffic", split)
    story = _story(one)
    if story is not None:
        for name, told in _rollout(story):
            facts.add_row(f"  {name}", told)
    for subject in WATCHED:
        verdict = one.latest(subject)
        if verdict is not None:
            facts.add_row(f"  {subject.replace('_', ' ')}", _verdict(verdict))
    for found in metric_findings(one)[:SHOWN_METRICS]:
        facts.add_row(f"  {found.words}", _metric(found))
    for view in one.versions:
        facts.add_row(
            f"  v{view.version.version}",
            f"{view.predictions:,} predictions, {view.outcomes:,} outcomes"
            + (f"  ({', '.join(view.aliases)})" if view.aliases else ""),
        )
    console.print(facts)


def _verdict(verdict: Verdict) -> str:
    """What came of the newest window, and the first few names that stand out in it."""
    end = words.day if verdict.end - verdict.start >= DAY else words.moment
    names = escape(", ".join(verdict.flagged[:SHOWN_NAMES]))
    more = f" and {len(verdict.flagged) - SHOWN_NAMES} more" * (len(verdict.flagged) > SHOWN_NAMES)
    return (
        f"{verdict.state.value.replace('_', ' ')}, score {verdict.score:.2f}, "
        f"window to {end(verdict.end)}, {verdict.rows:,} rows"
        + (f": {names}{more}" if names else "")
    )


def _story(one: ModelOverview) -> RolloutStory | None:
    """The rollout on its way, if there is one."""
    return next((s for s in rollout_stories(one) if s.rollout == one.running), None)


def _rollout(story: RolloutStory) -> Iterator[tuple[str, str]]:
    """Where the rollout stands and why, what it has cost by estimate, and what it can still cost."""
    running, steps = story.rollout, story.rollout.plan.steps
    yield (
        "rollout",
        (
            f"v{running.control} → {_candidates(story)} {running.state.value}, step "
            f"{running.step + 1}/{len(steps)} at {words.percent(steps[running.step].share)}"
        ),
    )
    if running.reason:
        yield "because", running.reason
    for guardrail in story.guardrails:
        reading = guardrail.reading
        lost = f"estimated loss so far {guardrail.cost}, " if guardrail.cost else ""
        yield (
            f"v{guardrail.version} {guardrail.name}" if len(story.versions) > 1 else guardrail.name,
            (
                f"{lost}evidence {evidence_words(reading.e_value)} of {evidence_words(reading.limit)}, events "
                f"{reading.events[1]:,} of {reading.units[1]:,} units against {reading.events[0]:,} of "
                f"{reading.units[0]:,}"
            ),
        )
    if story.at_stake:
        yield "at stake", story.at_stake


def _candidates(story: RolloutStory) -> str:
    """The versions on their way; one that was taken off stands in parentheses."""
    return ", ".join(f"(v{v})" if v in story.off else f"v{v}" for v in story.versions)


def _metric(found: MetricFinding) -> str:
    """A metric in words: what was measured, then what is estimated, each with its interval."""
    said = []
    if found.comparison is not None:
        said.append(f"measured {_value(found.comparison)}")
        if found.comparison.reference_value is not None:
            said.append(f"held-out {found.comparison.reference_value:.3f}")
    if found.estimate is not None:
        guess = f"estimated {_value(found.estimate)}"
        if found.error is not None:
            guess += f", such estimates were off by {found.error.mean_absolute:.3f}"
        said.append(guess)
    return "; ".join(said)


def _value(found: Comparison) -> str:
    low, high = found.interval or (None, None)
    between = "" if low is None or high is None else f" ({low:.3f} to {high:.3f})"
    return f"{found.current_value or 0.0:.3f}{between}"


@command()
@click.argument("model", required=False)
@click.option("--limit", default=50, show_default=True, help="How many of the newest to show.")
@click.option("--verify", is_flag=True, help="Check the whole chain of hashes.")
def events(session: Session, model: str | None, limit: int, verify: bool) -> int:
    """Show who changed what, when and why."""
    with session.deployment() as deployment, deployment.state.reading() as state:
        shown = state.audit.entries(model, limit=limit)
        broken = audit.verify(state.audit.entries(limit=2**62)) if verify else None

    def show(console: Console) -> None:
        table = Table("seq", "when (UTC)", "who", "what", "model", "why", box=None)
        for entry in shown:
            table.add_row(
                str(entry.seq),
                words.moment(entry.at),
                entry.actor,
                entry.action,
                entry.model,
                entry.reason,
            )
        console.print(table)
        if verify:
            console.print(
                "The chain is whole."
                if broken is None
                else f"[red]The chain is broken at entry {broken}.[/red]"
            )

    session.emit({"events": shown, "broken_at": broken} if verify else shown, show)
    return FAILED_STATUS if broken is not None else 0
