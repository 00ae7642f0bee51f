"""Runs in chunks, counted and kept: a long simulation may be stopped, and goes on where it was."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from rich.progress import Progress
from scipy.stats import beta

SEED = 20_261_127


@dataclass(frozen=True, slots=True)
class Task:
    """What is simulated: ``chunk(rng, runs, number)`` does so many runs and tells sums over them.

    ``name`` is also what its chance comes from, ``runs`` how many there should be, ``size`` how many a chunk
    has.
    """

    name: str
    runs: int
    chunk: Callable[[np.random.Generator, int, int], Counter[str]]
    size: int = 1_000


@dataclass(slots=True)
class Kept:
    """Sums by task, written to ``path`` after each chunk if there is one."""

    path: Path | None = None
    sums: dict[str, Counter[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.path is not None and self.path.exists():
            found = json.loads(self.path.read_text(encoding="utf-8"))
            self.sums = {name: Counter(sums) for name, sums in found.items()}

    def run(self, tasks: Sequence[Task]) -> None:
        """Bring every task to its number of runs."""
        with Progress(transient=True) as progress:
            for task in tasks:
                done = self.sums.setdefault(task.name, Counter())
                bar = progress.add_task(task.name, total=task.runs, completed=done["runs"])
                while done["runs"] < task.runs:
                    number = int(done["runs"]) // task.size
                    rng = np.random.default_rng([SEED, number, *task.name.encode()])
                    done.update(task.chunk(rng, task.size, number))
                    done["runs"] += task.size
                    progress.update(bar, completed=done["runs"])
                    self._write()

    def _write(self) -> None:
        if self.path is not None:
            new = self.path.with_suffix(".new")
            new.write_text(json.dumps(self.sums, default=float), encoding="utf-8")
            new.replace(self.path)


def upper(count: float, runs: float) -> float:
    """The one-sided 99 % upper bound of a rate (Clopper & Pearson 1934)."""
    return float(beta.ppf(0.99, count + 1, runs - count)) if count < runs else 1.0


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def put(page: Path, name: str, text: str) -> None:
    """Replace what stands between a page's markers of that name."""
    begin, end = f"<!-- measured: {name} -->\n", "<!-- measured: end -->"
    before, found, rest = page.read_text(encoding="utf-8").partition(begin)
    if not found:
        message = f"{page} has no marker {begin!r}"
        raise SystemExit(message)
    _, _, after = rest.partition(end)
    page.write_text(f"{before}{begin}\n{text}\n\n{end}{after}", encoding="utf-8")
