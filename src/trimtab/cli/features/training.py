"""features training-frame."""

from __future__ import annotations

import time
from pathlib import Path

import click
from rich.console import Console

from trimtab.cli.progress import counted
from trimtab.cli.session import Session, command
from trimtab.errors import InvalidInput
from trimtab.wiring.training import CHUNK_ROWS, TrainingOptions, write_training_frame


@command("training-frame")
@click.argument("events", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option(
    "--out", type=click.Path(path_type=Path, dir_okay=False), required=True, help="Parquet file."
)
@click.option("--view", "views", multiple=True, help="A view; repeatable. All unless named.")
@click.option("--time", "time_column", default="event_time", show_default=True)
@click.option("--no-defaults", is_flag=True, help="Leave empty what serving would default.")
@click.option(
    "--times", is_flag=True, help="Add VIEW.event_time, when the values taken were known."
)
@click.option("--chunk-rows", type=click.IntRange(1), default=CHUNK_ROWS, show_default=True)
def training_frame(
    session: Session,
    events: Path,
    out: Path,
    views: tuple[str, ...],
    time_column: str,
    no_defaults: bool,
    times: bool,
    chunk_rows: int,
) -> None:
    """Add to EVENTS what each view knew at the time of each event, and nothing that came later.

    EVENTS (Parquet, CSV or JSON lines) has a column for each key of the views and one of times. All
    of its columns are kept, in order. Freshness limits, ranges and transforms are those of serving.
    """
    if out.suffix.lower() not in {".parquet", ".pq"}:
        raise InvalidInput(
            f"{str(out)!r} is no name for a Parquet file.",
            code="unknown_format",
            path="--out",
            hint="Let it end in .parquet.",
        )
    began = time.monotonic()
    asked = TrainingOptions(
        views=views,
        time_column=time_column,
        defaults=not no_defaults,
        times=times,
        chunk_rows=chunk_rows,
    )
    with session.deployment() as deployment, counted(session.console, "joining") as progress:
        made = write_training_frame(deployment, events, out, asked, progress)
    seconds = time.monotonic() - began

    def show(console: Console) -> None:
        console.print(
            f"{made.rows:,} rows × {len(made.columns)} columns in {seconds:.1f} s "
            f"({made.rows / seconds:,.0f} rows/s): wrote {out}"
        )

    session.emit(made, show)
