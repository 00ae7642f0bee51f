"""What a step of optimisation changed, measured before and after on the same held-out rows."""

from __future__ import annotations

import pickle
import statistics
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from trimtab.types import Array, FloatArray, Record


class Parity(Record, frozen=True):
    """How far two models agree on ``rows`` held-out rows; ``flips`` are changed decisions."""

    rows: int
    max_abs: float
    mean_abs: float
    flips: int


class Report(Record, frozen=True):
    """A step's figures, each ``(before, after)``, of the same run on the same held-out rows.

    ``size_bytes`` is the pickled size; ``row_us`` the median time of a single row in microseconds;
    ``kept`` the columns that the optimised model reads; ``notes`` what was adjusted, in words.
    ``compact_bytes`` and ``compact_row_us`` are size and median time of the compact form that answers
    in the end, None where the model answers itself.
    """

    metric: str
    value: tuple[float, float]
    size_bytes: tuple[int, int]
    row_us: tuple[float, float]
    parity: Parity
    kept: tuple[str, ...]
    columns: int
    notes: tuple[str, ...] = ()
    compact_bytes: int | None = None
    compact_row_us: float | None = None


@dataclass(frozen=True, slots=True)
class Figures:
    """One model measured: ``value`` is its ``metric``.

    ``outputs`` are class probabilities of shape ``(rows, classes)``, or of shape ``(rows,)`` values or,
    from a classifier without probabilities, places of classes. ``decisions`` have shape ``(rows,)``.
    """

    metric: str
    value: float
    size_bytes: int
    row_us: float
    outputs: FloatArray
    decisions: Array


def parity(before: Figures, after: Figures) -> Parity:
    """How far outputs and decisions of two models agree."""
    apart = np.abs(before.outputs - after.outputs)
    return Parity(
        rows=len(before.decisions),
        max_abs=float(apart.max()),
        mean_abs=float(apart.mean()),
        flips=int((before.decisions != after.decisions).sum()),
    )


def pickled_bytes(model: object) -> int:
    """The size of the model's pickle."""
    return len(pickle.dumps(model, protocol=pickle.HIGHEST_PROTOCOL))


def median_us(call: Callable[[], object], timer: Callable[[], float], repeats: int = 25) -> float:
    """The median time of a call in microseconds, after one that does not count."""
    call()
    times = []
    for _ in range(repeats):
        started = timer()
        call()
        times.append(timer() - started)
    return statistics.median(times) * 1e6
