"""optimize: a smaller and faster form of a model, with a certificate of what that changes."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import click
import msgspec
from rich.console import Console
from rich.progress import BarColumn, TextColumn
from rich.progress import Progress as Shown
from rich.table import Table
from rich.text import Text

from trimtab.cli.certificate import show_certificate
from trimtab.cli.session import Session, command
from trimtab.errors import InvalidInput, NotFound
from trimtab.optimize.budget import Budget, parse_budget
from trimtab.optimize.planner import Plan, Progress, Trial
from trimtab.optimize.supported import NEVER, ways
from trimtab.protocols import ModelForm
from trimtab.report.optimize_page import (
    main_change,
    micros,
    render_optimize,
    size,
    weight,
)
from trimtab.store.columnar import read_frame
from trimtab.types import Record, Task, Version
from trimtab.wiring.deployment import Deployment
from trimtab.wiring.optimizing import (
    Held,
    Source,
    file_source,
    plan_for,
    register_form,
    version_source,
    write_form,
)
from trimtab.wiring.retraining import asked

file = click.Path(path_type=Path, exists=True, dir_okay=False)
new_file = click.Path(path_type=Path, dir_okay=False)
NOT_REACHED_STATUS = 3


class Outcome(Record, frozen=True):
    """What the command did: the plan, and where what was kept is now: a version, or files."""

    plan: Plan
    version: Version | None = None
    files: tuple[str, ...] = ()


@command()
@click.argument("model", required=False)
@click.option("--data", type=file, help="Rows the model was not fitted on.")
@click.option("--supported", is_flag=True, help="List what can be optimised, and how.")
@click.option("--target", help="Column of outcomes in those rows.")
@click.option("--budget", default="", help="What may be lost and what it may cost; see above.")
@click.option("--train", type=file, help="Rows to refit on; else half of --data.")
@click.option("--traffic", is_flag=True, help="Teach students the answers to recorded traffic too.")
@click.option("--segment", "segments", multiple=True, help="A column of groups; repeatable.")
@click.option("--ignore", multiple=True, help="A column that is no feature; repeatable.")
@click.option("--task", type=click.Choice([t.value for t in Task]), default=Task.BINARY.value)
@click.option("--label", "labels", multiple=True, help="A class, in the model's order; repeatable.")
@click.option("--threshold", type=click.FloatRange(0, 1), default=0.5, show_default=True)
@click.option("--out", type=new_file, help="Write the optimised model there.")
@click.option("--html", type=new_file, help="Write a page.")
@click.option(
    "--seconds", type=click.FloatRange(1), default=120.0, show_default=True,
    help="Try no further form after so long; the certificate takes up to a minute more.",
)  # fmt: skip
@click.option("--seed", default=0, show_default=True, help="Of the division of rows.")
@click.option(
    "--trust", is_flag=True, help="Allow this file to run code when it is loaded (pickle)."
)
def optimize(
    session: Session,
    model: str | None,
    data: Path | None,
    supported: bool,
    target: str | None,
    budget: str,
    train: Path | None,
    traffic: bool,
    segments: tuple[str, ...],
    ignore: tuple[str, ...],
    task: str,
    labels: tuple[str, ...],
    threshold: float,
    out: Path | None,
    html: Path | None,
    seconds: float,
    seed: int,
    trust: bool,
) -> int:
    """Make MODEL (a file, NAME or NAME:VERSION) smaller and faster.

    Without --budget only lossless steps are tried. With one, such as
    "auc<=0.002,max_abs<=0.01,rss<=500MB,p99<=1ms", the cheapest form that keeps to it on held-out
    rows is kept: of a version as the next one, of a file in --out.

    Exit status: 0 kept or nothing costs less, 3 budget not reached, 2 bad input.
    """
    if supported:
        session.emit({"ways": ways(), "never": NEVER}, _show_supported)
        return 0
    if model is None or data is None:
        raise click.UsageError("Name a MODEL, and rows with --data; or ask with --supported.")
    limits = parse_budget(budget)
    held = Held(
        frame=read_frame(data),
        target=target,
        train=None if train is None else read_frame(train),
        segments=segments,
        ignore=ignore,
        seed=seed,
    )
    if target is not None and target not in held.frame.column_names:
        raise InvalidInput(
            f"There is no column {target!r} of outcomes in {data.name}.",
            code="outcome_column_missing",
            path="target",
            hint=f"The columns are {', '.join(held.frame.column_names)}.",
        )
    if traffic and Path(model).is_file():
        raise InvalidInput(
            "A file has no recorded traffic.",
            code="no_traffic",
            path="traffic",
            hint="Name a registered model, or leave --traffic out.",
        )
    if Path(model).is_file():
        source = file_source(
            Path(model), held, task=Task(task), labels=labels, threshold=threshold, trust=trust
        )
        outcome = _optimize_file(session, source, held, limits, out, seconds)
    else:
        outcome = _optimize_version(session, model, held, limits, out, seconds, traffic=traffic)
    if html is not None:
        html.write_text(render_optimize(outcome.plan, model, data.name), encoding="utf-8")
    session.emit(outcome, lambda console: show_outcome(console, outcome, html))
    return 0 if outcome.plan.reached else NOT_REACHED_STATUS


def _show_supported(console: Console) -> None:
    for way in ways():
        console.print(f"[bold]{way.way}[/]  equal: {way.equal}; {way.when}")
        console.print(f"  {', '.join(way.takes)}", markup=False)
    console.print("[bold]not taken[/]  answers as its own library runs it, and says why")
    for what in NEVER:
        console.print(f"  {what}", markup=False)


def _optimize_file(
    session: Session, source: Source, held: Held, limits: Budget, out: Path | None, seconds: float
) -> Outcome:
    with _shown(session) as told:
        plan, form = plan_for(source, held, limits, now=time.time(), progress=told, seconds=seconds)
    if form is None or out is None:
        return Outcome(plan=plan)
    return _written(plan, source, held, form, out)


def _optimize_version(
    session: Session,
    model: str,
    held: Held,
    limits: Budget,
    out: Path | None,
    seconds: float,
    *,
    traffic: bool,
) -> Outcome:
    name, _, reference = model.partition(":")
    with session.deployment() as deployment:
        if name not in deployment.registry.models():
            known = ", ".join(deployment.registry.models()) or "none"
            raise NotFound(
                f"{model!r} is neither a file nor a registered model.",
                code="unknown_model",
                path="model",
                hint=f"Registered: {known}.",
            )
        parent = deployment.version(name, reference or _newest(deployment, name))
        source = version_source(deployment, name, str(parent.version))
        if traffic:
            held = msgspec.structs.replace(held, traffic=asked(deployment, parent))
        with _shown(session) as told:
            now = deployment.clock.now()
            plan, form = plan_for(source, held, limits, now=now, progress=told, seconds=seconds)
        if form is None:
            return Outcome(plan=plan)
        if out is not None:
            return _written(plan, source, held, form, out)
        version = register_form(deployment, parent, source, held, form, plan, author=session.actor)
        return Outcome(plan=plan, version=version)


def _written(plan: Plan, source: Source, held: Held, form: ModelForm, out: Path) -> Outcome:
    files = write_form(source, held, form, out, plan.certificate)
    return Outcome(plan=plan, files=tuple(map(str, files)))


def _newest(deployment: Deployment, model: str) -> str:
    """The champion if there is one, else the newest version."""
    if any(alias.alias == "champion" for alias in deployment.registry.aliases(model)):
        return "champion"
    return str(deployment.registry.list(model)[-1].version)


@contextmanager
def _shown(session: Session) -> Iterator[Progress]:
    """A bar with the time left and what is next; plain lines elsewhere."""
    console = session.console
    if not console.is_terminal:
        yield lambda at: console.print(
            f"{at.measured} measured{_left(at.left_seconds)}, next: {at.next}", markup=False
        )
        return
    columns = (
        TextColumn("optimising"), BarColumn(bar_width=24),
        TextColumn("{task.fields[measured]} measured{task.fields[left]}"),
        TextColumn("{task.description}", style="dim"),
    )  # fmt: skip
    with Shown(*columns, console=console, transient=True) as shown:
        task = shown.add_task("", total=1.0, measured=0, left="")
        yield lambda at: shown.update(
            task, completed=at.share, description=at.next, measured=at.measured,
            left=_left(at.left_seconds),
        )  # fmt: skip


def _left(seconds: float | None) -> str:
    """How long it will take, in words; nothing while that is not known."""
    if seconds is None:
        return ""
    return f", about {timedelta(seconds=round(seconds))} left"


def show_outcome(console: Console, outcome: Outcome, html: Path | None) -> None:
    """How a plan is printed."""
    plan = outcome.plan
    console.print(trials_table(plan))
    console.print(
        Text(f"o original   * kept   budget: {plan.budget or 'nothing may be lost'}", style="dim")
    )
    console.print()
    colour = "green" if plan.reached else "yellow"
    if plan.certificate is None:
        said = "left as it is" if plan.reached else "budget not reached, nothing changed"
        console.print(f"[bold {colour}]{said}[/]")
        console.print(plan.words, markup=False)
    else:
        show_certificate(console, plan.certificate)
        if why := plan.words.partition(" is kept. ")[2]:
            console.print(why, markup=False)
    if outcome.version is not None:
        made = outcome.version
        console.print(f"registered [bold]{made.model} v{made.version}[/bold] ({made.format})")
        console.print(f"next: trimtab deploy {made.model} {made.version}", markup=False)
    for written in outcome.files:
        console.print(f"wrote {written}")
    if not outcome.files and plan.certificate is not None and outcome.version is None:
        console.print("nothing written: name a file with --out to keep it")
    if html is not None:
        console.print(f"wrote {html}")


def trials_table(plan: Plan) -> Table:
    """All that was tried, the original and what was kept first."""
    first = main_change(plan.trials[0])
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("")
    table.add_column("form", overflow="fold", max_width=44)
    for name in ("memory", "disk", "row", "rows/s"):
        table.add_column(name, justify="right", no_wrap=True)
    if first is not None:
        table.add_column(f"{first.metric} loss", justify="right", no_wrap=True)
    table.add_column("max Δ", justify="right", no_wrap=True)
    table.add_column("")
    ranked = sorted(
        plan.trials, key=lambda t: (bool(t.steps), not t.chosen, bool(t.unmet), weight(t.costs))
    )
    for trial in ranked:
        table.add_row(*_cells(trial, with_metric=first is not None), style=_style(trial))
    return table


def _cells(trial: Trial, *, with_metric: bool) -> list[str]:
    mark = "*" if trial.chosen else ("" if trial.steps else "o")
    change = main_change(trial)
    state = (
        "kept"
        if trial.chosen
        else ("beyond" if trial.unmet else "lossless" if trial.lossless else "inside")
    )
    costs = trial.costs
    cells = [mark, trial.name, size(costs.rss_bytes), size(costs.disk_bytes), micros(costs.p50_us),
             f"{costs.rows_per_s:,.0f}"]  # fmt: skip
    if with_metric:
        cells.append("–" if change is None else f"{change.loss:+.4f}")
    return [*cells, f"{trial.agreed.max_abs:.2g}", state if trial.steps else ""]


def _style(trial: Trial) -> str:
    if trial.chosen:
        return "bold green"
    return "dim" if trial.unmet and trial.steps else ""
