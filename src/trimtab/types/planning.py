"""What a plan of optimisation is made on, and the files that it measures."""

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

    The last two were not used in fitting the model; no row is in two of the three. ``traffic`` are rows
    that were asked of the model in service; their outcomes are not used.
    """

    task: Task
    fit: Rows
    choose: Rows
    certify: Rows
    threshold: float = 0.5
    seed: int = 0
    traffic: Rows | None = None


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
