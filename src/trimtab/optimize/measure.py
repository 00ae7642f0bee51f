"""Sizes and latencies of several forms of a model: fresh processes, turn by turn, one run."""

from __future__ import annotations

import os
import platform
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

import msgspec
import numpy as np

from trimtab.errors import ModelFailure
from trimtab.optimize.probe import FAILED, Order, Reading, timed
from trimtab.types import Footprint, ModelFile

_MEMORY = Path("/proc/meminfo")
WORKERS = 4
ROWS = 2_000
_ONE_THREAD = (
    "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)  # fmt: skip


def machine() -> str:
    """Where something was measured: system, processor, how many cores, Python."""
    return (
        f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores,"
        f" Python {platform.python_version()}"
    )


def footprints(
    files: Sequence[ModelFile],
    rows: Any,
    *,
    rounds: int = 3,
    workers: int = WORKERS,
    seconds: float = 1.0,
    progress: Callable[[], None] = lambda: None,
) -> list[Footprint]:
    """Measure forms of one model side by side.

    In each round every form is opened in a fresh process, one after the other, and asked for single
    rows and for batches, with one thread. Memory and loading time are the medians of the rounds,
    latencies the quantiles of all rounds' rows. Then ``workers`` forks of one have the form open at once,
    unless that would take more than half of the memory that is free.

    Args:
        files: At least one.
        rows: Held-out rows: a matrix or a pandas frame; at most 2,000 are used.
        rounds: At least 1.
        workers: How many processes share the form for the proportional set size; 1 leaves it out.
        seconds: The most that one kind of timing takes in a round.
        progress: Called after each process.

    Raises:
        ModelFailure: a form cannot be opened or cannot answer; the process's last words are named.
    """
    with tempfile.TemporaryDirectory(prefix="trimtab-measure-") as directory:
        folder = Path(directory)
        orders = _orders(files, rows, folder, seconds)
        readings: list[list[Reading]] = [[] for _ in files]
        for _ in range(rounds):
            for place, order in enumerate(orders):
                readings[place] += _run(order, 1)[0]
                progress()
        shared = _shared(_orders(files, rows, folder, 0.0, workers), readings, workers)
    return [
        _footprint(file.disk_bytes, found, divided, workers)
        for file, found, divided in zip(files, readings, shared, strict=True)
    ]


def here(
    answer: Callable[[Any], Any], rows: Any, *, disk_bytes: int, load_ms: float, seconds: float
) -> Footprint:
    """What a form costs in this process, which says nothing of its memory.

    Args:
        answer: From rows to outputs.
        rows: At most 2,000 are used.
        disk_bytes: Of its file.
        load_ms: What opening it took.
        seconds: The most that one kind of timing takes.
    """
    order = Order(opener="", path="", rows="", seconds=seconds)
    single, rate = timed(answer, rows[:ROWS], order)
    reading = Reading(rss_bytes=None, load_ms=load_ms, single_us=tuple(single), rows_per_s=rate)
    return _footprint(disk_bytes, [reading], None, 1)


def _orders(
    files: Sequence[ModelFile], rows: Any, folder: Path, seconds: float, workers: int = 1
) -> list[Path]:
    some = rows.iloc[:ROWS] if hasattr(rows, "iloc") else rows[:ROWS]
    written = folder / ("rows.npy" if isinstance(rows, np.ndarray) else "rows.joblib")
    if written.suffix == ".npy":
        np.save(written, some)
    else:
        from joblib import dump

        dump(some, written)
    orders = []
    for place, file in enumerate(files):
        order = Order(
            opener=file.opener,
            path=str(Path(file.path).resolve()),
            rows=str(written),
            imports=file.imports,
            seconds=seconds,
            workers=workers,
        )
        orders.append(folder / f"order-{place}-{seconds:g}.json")
        orders[-1].write_bytes(msgspec.json.encode(order))
    return orders


class Warm:
    """Measures one form after the other in forks of one process, which imports libraries once.

    Much faster where many forms are tried, and a little less exact: memory that importing has left free is
    used again. What a certificate says is measured in fresh processes. Where a system cannot fork,
    all is.
    """

    def __init__(self) -> None:
        self._child: _Child | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the process."""
        if self._child is not None:
            self._child.__exit__()
            self._child = None

    def footprints(self, files: Sequence[ModelFile], rows: Any, **settings: Any) -> list[Footprint]:
        """One round of each form; with several ``workers``, their proportional sizes as well.

        Raises:
            ModelFailure: as :func:`footprints`.
        """
        if not hasattr(os, "fork"):
            return footprints(files, rows, **settings)
        with tempfile.TemporaryDirectory(prefix="trimtab-measure-") as directory:
            folder, workers = Path(directory), settings.get("workers", 1)
            orders = _orders(files, rows, folder, settings.get("seconds", 1.0))
            readings = [self._reading(order) for order in orders]
            together = _orders(files, rows, folder, 0.0, workers)
            return [
                _footprint(file.disk_bytes, [own], self.shared(order, [own], workers), workers)
                for file, order, own in zip(files, together, readings, strict=True)
            ]

    def shared(self, order: Path, found: Sequence[Reading], workers: int) -> int | None:
        """The mean proportional size of a form in ``workers`` forks that have it open together."""
        told = found[0].rss_bytes is not None
        if workers == 1 or not told or not _fits(found, workers):
            return None
        return int(self._asked(str(order))[0])

    def _reading(self, order: Path) -> Reading:
        _, reading, _, _ = self._asked(str(order), "", "", "")
        return msgspec.json.decode(reading, type=Reading)

    def _asked(self, *lines: str) -> list[str]:
        """What the process says after each line."""
        if self._child is None:
            self._child = _Child()
        child, heard = self._child, []
        try:
            for line in lines:
                child.go_on(line)
                heard.append(child.hear())
        except (ModelFailure, OSError):
            self.close()
            raise
        return heard


def _shared(
    orders: Sequence[Path], readings: Sequence[Sequence[Reading]], workers: int
) -> list[int | None]:
    """Proportional sizes in forks of one process, which share their libraries but no form."""
    if not hasattr(os, "fork"):
        return [
            _run(order, workers)[1] if workers > 1 and _fits(found, workers) else None
            for order, found in zip(orders, readings, strict=True)
        ]
    with Warm() as warm:
        return [
            warm.shared(order, found, workers)
            for order, found in zip(orders, readings, strict=True)
        ]


def _run(order: Path, workers: int) -> tuple[list[Reading], int | None]:
    """Readings of processes that have a form open together, and their mean proportional size."""
    with ExitStack() as stack:
        children = [stack.enter_context(_Child(order)) for _ in range(workers)]
        for child in children:
            child.hear()
        for child in children:
            child.go_on()
        readings = [msgspec.json.decode(child.hear(), type=Reading) for child in children]
        for child in children:
            child.go_on()
        sizes = [int(child.hear()) for child in children]
        for child in children:
            child.go_on()
    told = readings[0].rss_bytes is not None
    return readings, round(statistics.mean(sizes)) if told else None


class _Child:
    """A measuring process and the lines it says."""

    def __init__(self, *order: Path) -> None:
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the process
        self._process = subprocess.Popen(  # noqa: S603 - our own module, our own order
            [sys.executable, "-m", "trimtab.optimize.probe", *map(str, order)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            env={**os.environ, **dict.fromkeys(_ONE_THREAD, "1")},
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()
        self._process.wait()
        self._errors.close()

    def hear(self) -> str:
        line = self._process.stdout.readline() if self._process.stdout else ""
        if line and line.strip() != FAILED:
            return line.strip()
        if not line:
            self._process.wait()
        self._errors.seek(0)
        words = self._errors.read().decode(errors="replace").strip().splitlines()
        raise ModelFailure(
            f"A form of the model could not be measured: {words[-1] if words else 'no reason given'}",
            code="not_measurable",
            hint="Open it by hand with the same Python to see the whole error.",
        )

    def go_on(self, words: str = "") -> None:
        if self._process.stdin is not None:
            self._process.stdin.write(f"{words}\n")
            self._process.stdin.flush()


def _fits(readings: Sequence[Reading], workers: int) -> bool:
    """Whether so many processes take at most half of the memory that is free."""
    needed = max(reading.rss_bytes or 0 for reading in readings) * workers
    if not _MEMORY.exists():
        return True
    free = next(
        line for line in _MEMORY.read_text().splitlines() if line.startswith("MemAvailable")
    )
    return needed <= int(free.split()[1]) * 1024 / 2


def _footprint(
    disk_bytes: int, readings: Sequence[Reading], divided: int | None, workers: int
) -> Footprint:
    single = np.concatenate([np.asarray(reading.single_us) for reading in readings])
    resident = [each.rss_bytes for each in readings if each.rss_bytes is not None]
    return Footprint(
        disk_bytes=disk_bytes,
        rss_bytes=round(statistics.median(resident)) if resident else None,
        pss_bytes=divided,
        workers=workers,
        load_ms=statistics.median(each.load_ms for each in readings),
        p50_us=float(np.quantile(single, 0.5)),
        p99_us=float(np.quantile(single, 0.99)),
        rows_per_s=statistics.median(each.rows_per_s for each in readings),
    )
