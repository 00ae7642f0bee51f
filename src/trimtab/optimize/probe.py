"""Run in a process of its own: opens one form of a model, and says what that costs.

``python -m trimtab.optimize.probe ORDER`` reads an order (see :class:`Order`) from a file. It says
``imported`` once its libraries are there, loads when it reads a line, says what it measured as one
line of JSON, and after a further line how its shared pages are divided by then.

``python -m trimtab.optimize.probe`` without an order reads paths of orders, line by line, and obeys each
in a fork of its own: libraries are imported once for all of them. An order for several ``workers`` is
obeyed by as many forks together, and answered by their mean proportional size alone.
"""

from __future__ import annotations

import os
import socket
import statistics
import sys
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from trimtab.compact import Forest
from trimtab.types import Record

FAILED = "failed"
"""What is said in place of a reading where a fork ended otherwise; why stands in its last words."""

_ROLLUP = Path("/proc/self/smaps_rollup")
_WARM = 5
_BATCHES = 50


class Order(Record, frozen=True):
    """What is to be measured.

    ``opener`` is ``module:function``: a path in, a function of rows out. ``imports`` are loaded
    before memory is first read, so that a library does not count as part of a model. Timing stops
    after ``rows_single`` rows or ``seconds``, whichever comes first.
    """

    opener: str
    path: str
    rows: str
    imports: tuple[str, ...] = ()
    rows_single: int = 200
    seconds: float = 1.0
    workers: int = 1


class Reading(Record, frozen=True):
    """What one process measured; memory in bytes beyond what was there before loading."""

    rss_bytes: int | None
    load_ms: float
    single_us: tuple[float, ...]
    rows_per_s: float


def memory() -> tuple[int, int] | None:
    """Resident and proportional set size of this process in bytes, where the system tells."""
    if not _ROLLUP.exists():
        return None
    found = {line.split(":")[0]: line.split()[1] for line in _ROLLUP.read_text().splitlines()[1:]}
    return int(found["Rss"]) * 1024, int(found["Pss"]) * 1024


def open_rows(path: Path) -> Any:
    """Rows as they were put down by the parent: a matrix, or a frame."""
    if path.suffix == ".npy":
        return np.load(path)
    from joblib import load

    return load(path)


def open_forest(path: Path) -> Callable[[Any], Any]:
    """A compact file as a function from rows to outputs; no other library is needed."""
    return Forest.open(path).predict


def cut(rows: Any, start: int, stop: int) -> Any:
    """Some of the rows, in their own kind."""
    return rows.iloc[start:stop] if hasattr(rows, "iloc") else rows[start:stop]


def resolve(name: str) -> Callable[[Path], Callable[[Any], Any]]:
    """The function that ``module:function`` names."""
    module, _, function = name.partition(":")
    found: Callable[[Path], Callable[[Any], Any]] = getattr(import_module(module), function)
    return found


def timed(answer: Callable[[Any], Any], rows: Any, order: Order) -> tuple[list[float], float]:
    """Microseconds of single rows, and the median rows per second of whole batches."""
    singles = [cut(rows, at % len(rows), at % len(rows) + 1) for at in range(order.rows_single)]
    for one in singles[:_WARM]:
        answer(one)
    spent: list[float] = []
    until = time.perf_counter() + order.seconds
    for one in singles:
        began = time.perf_counter()
        answer(one)
        ended = time.perf_counter()
        spent.append((ended - began) * 1e6)
        if ended > until:
            break
    rates: list[float] = []
    until = time.perf_counter() + order.seconds
    while not rates or (time.perf_counter() < until and len(rates) < _BATCHES):
        began = time.perf_counter()
        answer(rows)
        rates.append(len(rows) / (time.perf_counter() - began))
    return spent, statistics.median(rates)


def main() -> None:
    """Obey the order that stands in the file named on the command line, or orders as they come."""
    if len(sys.argv) > 1:
        obey(msgspec.json.decode(Path(sys.argv[1]).read_bytes(), type=Order))
        return
    for line in iter(sys.stdin.readline, ""):
        order = msgspec.json.decode(Path(line.strip()).read_bytes(), type=Order)
        resolve(order.opener)
        for name in order.imports:
            import_module(name)
        if order.workers > 1:
            sys.stdout.write(f"{shared(order)}\n")
            sys.stdout.flush()
            continue
        child = os.fork()
        if not child:
            obey(order)
            os._exit(0)
        # Said before the next order comes, or the fork might read that with its own last line.
        sys.stdout.write(f"{FAILED if os.waitpid(child, 0)[1] else 'done'}\n")
        sys.stdout.flush()


def obey(order: Order) -> None:
    """Open a form and measure it."""
    opener = resolve(order.opener)
    for name in order.imports:
        import_module(name)
    rows = open_rows(Path(order.rows))
    _say("imported")
    before = memory()
    began = time.perf_counter()
    answer = opener(Path(order.path))
    answer(cut(rows, 0, 1))
    load_ms = (time.perf_counter() - began) * 1e3
    answer(rows)
    loaded = memory()
    single, rate = timed(answer, rows, order)
    reading = Reading(
        rss_bytes=None if before is None or loaded is None else max(loaded[0] - before[0], 0),
        load_ms=load_ms,
        single_us=tuple(single),
        rows_per_s=rate,
    )
    _say(msgspec.json.encode(reading).decode())
    divided = memory()
    _say(str(0 if before is None or divided is None else divided[1] - before[1]))


def shared(order: Order) -> str:
    """The mean proportional size that a form adds to each of several forks that have it open at once."""
    links = []
    for _ in range(order.workers):
        ours, theirs = socket.socketpair()
        if not os.fork():
            ours.close()
            _partake(order, theirs)
            os._exit(0)
        theirs.close()
        links.append(ours)
    heard = [b""] * len(links)
    for _ in range(_MEETINGS):
        heard = [link.recv(64) for link in links]
        for link in links:
            link.sendall(b".")
    for link in links:
        link.close()
    ends = [os.wait()[1] for _ in links]
    if any(ends) or not all(heard):
        return FAILED
    return str(round(statistics.mean(map(int, heard))))


_MEETINGS = 4
"""How often forks wait for each other: started, memory read, form open, memory read again."""


def _partake(order: Order, link: socket.socket) -> None:
    def meet(words: int = 0) -> None:
        link.sendall(str(words).encode())
        link.recv(1)

    rows = open_rows(Path(order.rows))
    meet()
    before = memory()
    meet()
    answer = resolve(order.opener)(Path(order.path))
    answer(rows)
    meet()
    after = memory()
    meet(0 if before is None or after is None else after[1] - before[1])


def _say(words: str) -> None:
    """One line to the parent, then wait for its next."""
    sys.stdout.write(f"{words}\n")
    sys.stdout.flush()
    sys.stdin.readline()


if __name__ == "__main__":
    main()
