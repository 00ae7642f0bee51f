"""register, list, show, diff."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from trimtab.cli import words
from trimtab.cli.session import Session, command
from trimtab.cli.signing import signing
from trimtab.errors import InvalidInput
from trimtab.models.difference import differences, metrics_of
from trimtab.models.trust import Sealer
from trimtab.store.columnar import read_frame
from trimtab.types import Task, Version
from trimtab.wiring.overview import AliasMove, alias_history, overview
from trimtab.wiring.registration import Training, numbers
from trimtab.wiring.registration import register as register_version
from trimtab.wiring.views import providing

file = click.Path(path_type=Path, exists=True, dir_okay=False)


@command()
@click.argument("model")
@click.argument("artifact", type=click.Path(path_type=Path, exists=True))
@click.option("--reference", type=file, required=True, help="Rows the model was trained on.")
@click.option("--holdout", type=file, help="Rows it was not trained on, with outcomes.")
@click.option("--outcome", help="Column of outcomes in those files.")
@click.option("--time", "time_column", help="Column of event times, Unix seconds.")
@click.option("--request", help="Column that tells which rows were ranked together.")
@click.option("--ignore", multiple=True, help="A column that is no feature; repeatable.")
@click.option("--task", type=click.Choice([t.value for t in Task]), default=Task.BINARY.value)
@click.option("--label", "labels", multiple=True, help="A class, in the model's order; repeatable.")
@click.option("--threshold", type=click.FloatRange(0, 1), default=0.5, show_default=True)
@click.option("--unit", "units", multiple=True, help="feature=unit; repeatable.")
@click.option("--view", "views", multiple=True, help="A feature view it reads; repeatable.")
@click.option("--description", default="", help="What is new in this version.")
@click.option(
    "--trust", is_flag=True, help="Allow this artifact to run code when it is loaded (pickle)."
)
@click.option(
    "--key", "key_path", type=click.Path(path_type=Path), help="Sign it with this private key."
)
@click.option("--signature", type=file, help="Its signature, as `trimtab sign` wrote it.")
def register(
    session: Session,
    model: str,
    artifact: Path,
    reference: Path,
    holdout: Path | None,
    outcome: str | None,
    time_column: str | None,
    request: str | None,
    ignore: tuple[str, ...],
    task: str,
    labels: tuple[str, ...],
    threshold: float,
    units: tuple[str, ...],
    views: tuple[str, ...],
    description: str,
    trust: bool,
    key_path: Path | None,
    signature: Path | None,
) -> None:
    """Register ARTIFACT (a model file, or a model folder of MLflow) as the next version of MODEL."""
    training = Training(
        reference=read_frame(reference),
        holdout=None if holdout is None else read_frame(holdout),
        outcome=outcome,
        time=time_column,
        request=request,
        ignore=ignore,
        task=Task(task),
        labels=labels,
        threshold=threshold,
        units=dict(_pair(unit) for unit in units),
    )
    session.note(words.few_rows(training.reference.num_rows))
    with session.deployment() as deployment:
        before = numbers(deployment, model)
        version = register_version(
            deployment,
            model,
            artifact,
            training,
            views=views,
            author=session.actor,
            description=description,
            lineage={"reference": reference.name},
            trust=trust,
            sealer=_sealer(key_path, signature),
            memory=True,
        )
        unread = () if views else providing(deployment, version.signature)
    if unread:
        session.note(
            f"this version reads no feature view; with --view {' --view '.join(unread)} requests may"
            " leave out what views provide."
        )
    if version.version in before:
        session.note(f"this is {model} v{version.version} already: nothing was changed.")
    session.emit(version, lambda console: show_version(console, version))


def _sealer(key_path: Path | None, signature: Path | None) -> Sealer | None:
    if key_path is not None and signature is not None:
        raise InvalidInput("Give --key or --signature, not both.", code="two_signatures")
    if key_path is not None:
        made: Sealer = signing("read_key")(key_path)
        return made
    return None if signature is None else signing("read_signature")(signature)


@command("list")
def list_models(session: Session) -> None:
    """List models, their versions, aliases and traffic."""
    with session.deployment() as deployment, deployment.state.reading() as state:
        found = [overview(state, name, verdict_limit=1) for name in state.registry.models()]

    def show(console: Console) -> None:
        if not found:
            console.print("No models yet. `trimtab register NAME FILE …` adds one.")
            return
        table = Table("model", "version", "aliases", "registered", "size", "predictions", box=None)
        for model in found:
            for view in model.versions:
                version = view.version
                table.add_row(
                    model.model,
                    str(version.version),
                    ", ".join(view.aliases),
                    words.moment(version.created_at),
                    words.size(version.size_bytes),
                    f"{view.predictions:,}",
                )
        console.print(table)

    session.emit([view.version for model in found for view in model.versions], show)


@command()
@click.argument("model")
@click.argument("version", default="champion")
@click.option("--history", is_flag=True, help="Who moved MODEL's aliases, when and why, instead.")
def show(session: Session, model: str, version: str, history: bool) -> None:
    """Show VERSION (a number or alias; champion unless named) of MODEL."""
    with session.deployment() as deployment:
        if history:
            with deployment.state.reading() as state:
                moves = alias_history(state, model)
            session.emit(moves, lambda console: show_history(console, moves))
            return
        found = deployment.version(model, int(version) if version.isdecimal() else version)
    session.emit(found, lambda console: show_version(console, found))


@command()
@click.argument("model")
@click.argument("before")
@click.argument("after")
def diff(session: Session, model: str, before: str, after: str) -> None:
    """Show how version AFTER of MODEL differs from BEFORE (numbers or aliases)."""
    with session.deployment() as deployment:
        one, other = (
            deployment.version(model, int(name) if name.isdecimal() else name)
            for name in (before, after)
        )
    told = differences(one, other)

    def display(console: Console) -> None:
        if not told:
            console.print(f"{model} v{one.version} and v{other.version} do not differ.")
            return
        table = Table("", f"v{one.version}", f"v{other.version}", box=None)
        for found in told:
            table.add_row(found.what, found.before or "–", found.after or "–")
        console.print(table)

    session.emit(told, display)


def show_history(console: Console, moves: Sequence[AliasMove]) -> None:
    """How the moves of aliases are printed."""
    table = Table("when (UTC)", "alias", "version", "who", "why", box=None)
    for move in moves:
        named = "–" if move.version is None else f"v{move.version}"
        table.add_row(words.moment(move.at), move.alias, named, move.actor, move.reason)
    console.print(table)


def show_version(console: Console, version: Version) -> None:
    """How a version is printed."""
    console.print(f"[bold]{version.model} v{version.version}[/bold]  {version.description}")
    rows = {
        "digest": version.digest,
        "format": f"{version.format}, {words.size(version.size_bytes)}",
        "registered": f"{words.moment(version.created_at)} UTC by {version.author}",
        "task": f"{version.signature.task.value}, threshold {version.signature.threshold:g}",
        "views": ", ".join(version.views) or "none",
        "trusted by": version.trusted_by or "nobody (not needed, or not allowed to run code)",
        "signed by": "nobody" if version.seal is None else version.seal.signer,
        "compiled": compiled(version),
        **{name: fact for name, fact in version.lineage.items() if name != "not_compiled"},
        **{f"held-out {name}": told for name, told in metrics_of(version).items()},
    }
    facts = Table.grid(padding=(0, 2))
    for name, value in rows.items():
        facts.add_row(name, value)
    console.print(facts)
    of_form = None if version.compact is None else version.compact.certificate
    for certificate in filter(None, (version.certificate, of_form)):
        from trimtab.cli.certificate import show_certificate

        show_certificate(console, certificate)
    table = Table("feature", "kind", "may be missing", "unit", box=None)
    for spec in version.signature.features:
        table.add_row(spec.name, spec.kind.value, "yes" if spec.nullable else "no", spec.unit or "")
    console.print(table)


def compiled(version: Version) -> str:
    """What is known of a version's compiled form, or why it has none."""
    form = version.compact
    if form is None:
        return f"no: {version.lineage.get('not_compiled', 'not tried for this format')}"
    before, after = form.row_us
    alike = "bit for bit" if form.equal == form.rows else f"to {form.max_abs:.1g}"
    return (
        f"{words.size(form.size_bytes)}; a row in {after:,.0f} µs, the original's {before:,.0f} µs;"
        f" equal {alike} on {form.rows:,} rows"
    )


def _pair(text: str) -> tuple[str, str]:
    name, separator, value = text.partition("=")
    if not separator:
        raise click.BadParameter(f"{text!r} is not of the form feature=unit.")
    return name, value
