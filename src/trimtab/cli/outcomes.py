"""outcomes push, outcomes status."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import click
from rich.console import Console
from rich.progress import track

from trimtab.cli.session import Session, command
from trimtab.outcomes import OutcomeDesk
from trimtab.record.ids import IdIssuer
from trimtab.store.columnar import read_frame
from trimtab.telemetry import Metrics

BATCH_ROWS = 1_000


@click.group()
def outcomes() -> None:
    """Send outcomes from a file; see how many arrived."""


@command()
@click.argument("model")
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--time", "time_column", help="Column of event times, Unix seconds.")
def push(session: Session, model: str, file: Path, time_column: str | None) -> None:
    """Record the outcomes in FILE: columns prediction_id and value. Idempotent."""
    columns = ["prediction_id", "value", *([time_column] if time_column else [])]
    rows = read_frame(file, columns).to_pylist()
    receipts: Counter[str] = Counter()
    with session.deployment() as deployment:
        issuer = IdIssuer(deployment.id_seed(), deployment.clock)
        desk = OutcomeDesk(deployment.state, issuer.issued, deployment.clock, Metrics())
        starts = range(0, len(rows), BATCH_ROWS)
        shown = track(
            starts, "outcomes", console=session.console, disable=not session.console.is_terminal
        )
        for start in shown:
            batch = rows[start : start + BATCH_ROWS]
            found = desk.receive(
                model,
                [
                    (r["prediction_id"], r["value"], r[time_column] if time_column else None)
                    for r in batch
                ],
            )
            receipts.update(receipt.status for receipt in found)

    def show(console: Console) -> None:
        said = ", ".join(f"{count:,} {status}" for status, count in sorted(receipts.items()))
        console.print(f"{len(rows):,} outcomes: {said or 'none'}")

    session.emit(dict(receipts), show)


@command()
@click.argument("model")
def status(session: Session, model: str) -> None:
    """How many predictions of MODEL have their outcome, by version."""
    with session.deployment() as deployment, deployment.state.reading() as state:
        counts = state.outcomes.counts(model)

    def show(console: Console) -> None:
        for version, (predicted, joined) in sorted(counts.items()):
            share = joined / predicted if predicted else 0.0
            console.print(f"v{version}: {joined:,} of {predicted:,} predictions ({share:.1%})")
        if not counts:
            console.print(f"No predictions of {model!r} have been read yet.")

    session.emit({str(v): {"predictions": p, "outcomes": j} for v, (p, j) in counts.items()}, show)


for subcommand in (push, status):
    outcomes.add_command(subcommand)
