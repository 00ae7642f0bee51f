"""A progress bar on a terminal: done, rate, time left; nothing elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn


@contextmanager
def counted(console: Console, what: str) -> Iterator[Callable[[int, int | None], None]]:
    """Shows rows done of rows in all while the block runs; called with both, None if not known."""
    if not console.is_terminal:
        yield lambda _done, _total: None
        return
    columns = (
        TextColumn(what),
        BarColumn(bar_width=30),  # what gives way on a narrow terminal
        TextColumn("{task.fields[count]}"),
        TextColumn("{task.fields[rate]}", justify="right"),
        TimeRemainingColumn(compact=True),
        TextColumn("left"),
    )
    with Progress(*columns, console=console, transient=True) as shown:
        task = shown.add_task("", total=None, count="", rate="")

        def update(done: int, total: int | None) -> None:
            speed = shown.tasks[0].speed
            shown.update(
                task,
                completed=done,
                total=total,
                count=f"{done:>{len(f'{total:,}')},} of {total:,}",
                rate="" if speed is None else f"{speed:,.0f} rows/s",
            )

        yield update
