"""What an optimised model promises: its certificate, and what that was measured from."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from trimtab.types.models import Task
from trimtab.types.record import Array, Record


class Rows(Record, frozen=True):
    """Rows to fit, choose or certify with: a matrix or a pandas frame.

    ``outcomes`` has shape ``(rows,)``: places of classes, or values; None where nothing is known.
    ``segments`` name the segment of each row, by the column that makes them.
    """

    X: Any
    outcomes: Array | None = None
    segments: Mapping[str, Array] = {}

    def __len__(self) -> int:
        return len(self.X)


class Ground(Record, frozen=True):
    """What a plan is made on: rows to refit on, rows to choose on, and rows to certify on.

    The last two were not used in fitting the model; no row is in two of the three.
    """

    task: Task
    fit: Rows
    choose: Rows
    certify: Rows
    threshold: float = 0.5
    seed: int = 0


class ModelFile(Record, frozen=True):
    """One form of a model as a file or folder.

    ``opener`` is ``module:function``, from a path to a function from rows to outputs; ``imports`` are
    the libraries that this takes.
    """

    path: str
    opener: str
    imports: tuple[str, ...] = ()

    @property
    def disk_bytes(self) -> int:
        """Bytes of the file, or of all files of the folder."""
        path = Path(self.path)
        files = path.rglob("*") if path.is_dir() else [path]
        return sum(each.stat().st_size for each in files if each.is_file())


class MetricChange(Record, frozen=True):
    """One metric before and after, on the same rows.

    ``loss`` grows with harm: ``before - after`` where more is better, else ``after - before``.
    ``low`` and ``high`` are its 95 % interval, ``method`` how that was found.
    """

    metric: str
    before: float
    after: float
    loss: float
    low: float
    high: float
    method: str


class SegmentChange(Record, frozen=True):
    """A metric's change on the rows whose ``column`` has ``value``.

    ``change`` is None where the segment has too few rows to be judged; ``budget`` is the most that
    it may lose, None where no metric has a budget.
    """

    column: str
    value: str
    rows: int
    change: MetricChange | None
    budget: float | None
    within: bool


class Footprint(Record, frozen=True):
    """What one form of a model costs, measured in processes of its own.

    ``rss_bytes`` is what loading it and answering adds to a process, ``pss_bytes`` the same for each
    of ``workers`` processes that have it open at once, shared pages divided among them; both are None
    where the system does not tell. Latencies are of single rows, throughput is of one thread.
    """

    disk_bytes: int
    rss_bytes: int | None
    pss_bytes: int | None
    workers: int
    load_ms: float
    p50_us: float
    p99_us: float
    rows_per_s: float


class Certificate(Record, frozen=True):
    """How an optimised model differs from the one it was made of, on rows that neither was fitted on.

    ``max_abs`` and ``mean_abs`` are differences of outputs: probabilities, or values of a regression.
    ``flips`` counts rows whose decision changed: at ``threshold`` for a binary classifier, of the
    most probable class for several, none for a regression. ``path_differences`` counts rows that
    took another way through any tree; None where trees were changed on purpose. ``budget`` is as it
    was stated, empty for lossless steps. ``original`` is the digest of what was optimised.
    """

    plan: str
    steps: tuple[str, ...]
    lossless: bool
    budget: str
    original: str
    rows: int
    max_abs: float
    mean_abs: float
    threshold: float | None
    flips: int
    path_differences: int | None
    metrics: tuple[MetricChange, ...]
    segments: tuple[SegmentChange, ...]
    before: Footprint
    after: Footprint
    machine: str
    made_at: float
    notes: tuple[str, ...] = ()
