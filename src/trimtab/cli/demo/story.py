"""What the demo tells: chapters, facts and progress, rich on a terminal and plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from rich.console import Console
from rich.padding import Padding
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from trimtab.cli import words

PLAIN_EVERY_SECONDS = 5.0


@dataclass(slots=True)
class Tracker:
    """Progress of one stretch of work; on no terminal, a line every few seconds."""

    story: Story
    total: int
    unit: str
    progress: Progress | None
    done: int = 0
    _said: float = field(default_factory=time.monotonic)

    def advance(self, amount: int, note: str) -> None:
        """Count work done; ``note`` says where it stands."""
        self.done += amount
        if self.progress is not None:
            self.progress.update(self.progress.task_ids[0], advance=amount, description=note)
        elif time.monotonic() - self._said >= PLAIN_EVERY_SECONDS:
            self._said = time.monotonic()
            self.story.console.print(f"    {note}  {self.done:,} of {self.total:,} {self.unit}")


@dataclass(slots=True)
class Story:
    """The narrator.

    Args:
        console: Where it is told.
    """

    console: Console
    began: float = field(default_factory=time.monotonic)
    _chapter: int = 0

    @classmethod
    def on_stdout(cls) -> Story:
        """A narrator on standard output."""
        return cls(Console(highlight=False, soft_wrap=not sys.stdout.isatty()))

    def chapter(self, title: str) -> None:
        """Begin a numbered chapter."""
        self._chapter += 1
        stamp = f"{time.monotonic() - self.began:5.0f} s"
        self.console.print()
        self.console.print(
            Text.assemble((f"{self._chapter}. {title}", "bold"), (f"  {stamp}", "dim"))
        )

    def say(self, line: str) -> None:
        """A sentence of the narrative."""
        if self.console.is_terminal:
            self.console.print(Padding(Text(line), (0, 0, 0, 3), expand=False))
        else:
            self.console.print(f"   {line}", markup=False)

    def event(self, when: float, line: str, style: str = "cyan") -> None:
        """Something that happened at an event time."""
        self.console.print(Text.assemble((f"   {words.moment(when)}  ", "dim"), (line, style)))

    @contextmanager
    def tracking(self, total: int, unit: str) -> Iterator[Tracker]:
        """Show progress over ``total`` units of work."""
        if not self.console.is_terminal:
            yield Tracker(self, total, unit, None)
            return
        columns = (
            TextColumn("  "),
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(bar_width=30),
            MofNCompleteColumn(),
            TextColumn(unit),
            TextColumn("[dim]left"),
            TimeRemainingColumn(compact=True),
        )
        with Progress(*columns, console=self.console, transient=True) as progress:
            progress.add_task("", total=total)
            yield Tracker(self, total, unit, progress)
