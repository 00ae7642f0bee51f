"""score."""

from __future__ import annotations

import time
from pathlib import Path

import click
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
)

from trimtab.batch.job import run_job
from trimtab.batch.plan import BatchPlan
from trimtab.cli.session import Session, command


@command()
@click.argument("model")
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), required=True)
@click.option("--version", default="champion", show_default=True, help="A number or alias.")
@click.option("--key", default="", help="Column of routing keys, copied to the output.")
@click.option("--time", "time_column", default="", help="Column of event times.")
@click.option("--keep", multiple=True, help="A column to copy to the output; repeatable.")
@click.option("--chunk-rows", type=click.IntRange(1), default=10_000, show_default=True)
@click.option("--force", is_flag=True, help="Do away with another job's output in --out.")
def score(
    session: Session,
    model: str,
    file: Path,
    out: Path,
    version: str,
    key: str,
    time_column: str,
    keep: tuple[str, ...],
    chunk_rows: int,
    force: bool,
) -> None:
    """Score FILE (Parquet, CSV or JSON lines) with MODEL into Parquet parts in --out.

    Through the same path as online predictions. Run it again after a failure: finished parts are
    kept.
    """
    began = time.monotonic()
    with session.deployment() as deployment:
        found = deployment.version(model, int(version) if version.isdecimal() else version)
        plan = BatchPlan(
            input=str(file),
            output=str(out),
            model=model,
            version=found.version,
            alias="" if version.isdecimal() else version,
            chunk_rows=chunk_rows,
            key=key,
            event_time=time_column,
            passthrough=keep,
        )
        columns = (
            TextColumn("scoring"),
            BarColumn(bar_width=30),
            MofNCompleteColumn(),
            TextColumn("rows, left"),
            TimeRemainingColumn(compact=True),
        )
        quiet = not session.console.is_terminal
        with Progress(*columns, console=session.console, transient=True, disable=quiet) as shown:
            task = shown.add_task("")
            manifest = run_job(
                deployment,
                plan,
                force=force,
                progress=lambda done, total: shown.update(task, completed=done, total=total),
            )
    seconds = time.monotonic() - began

    count = len(manifest.parts)

    def show(console: Console) -> None:
        console.print(
            f"{manifest.rows:,} rows scored by {model} v{found.version} in {seconds:.1f} s "
            f"({manifest.rows / seconds:,.0f} rows/s): {count} part{'' if count == 1 else 's'} in {out}"
        )

    session.emit(manifest, show)
