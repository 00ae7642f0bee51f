"""A fitted model made compact without a change, or the reason why it stays as it is."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from trimtab.compact.artifact import (
    CompactModel,
    Draft,
    Fronted,
    matrix_features,
    probe_of,
    read,
    write,
)
from trimtab.compact.nodes import Node
from trimtab.errors import TrimtabError
from trimtab.optimize.convert.builder import Builder
from trimtab.optimize.convert.estimators import Encoding, compiled, compiled_last
from trimtab.optimize.convert.symbols import Unsupported
from trimtab.protocols import Predictor
from trimtab.types import Array, Columns, FeatureKind, FloatArray, Record, Signature, Task

ROWS = 2_000
"""How many rows of the reference both forms answer before one may stand in for the other."""

PROBES = 48
"""How many of them are kept in the artifact, to be answered again where it is loaded."""

TOLERANCE = 1e-12
"""The largest difference of outputs, times their size where that is over 1: a few roundings."""

TIMED_ROWS = 15
_LIBRARIES = ("scikit-learn", "numpy", "xgboost", "lightgbm")


class Compacted(Record, frozen=True):
    """A compact model that answers as the original does.

    Both answered ``rows`` rows, ``equal`` of them alike bit for bit; ``max_abs`` is the largest
    difference. ``row_us`` are medians of single rows in microseconds, of the original and of this one.
    """

    rows: int
    equal: int
    max_abs: float
    row_us: tuple[float, float]


Answers = Callable[[Columns], FloatArray]
"""A model's answers to rows."""
Before = Callable[[Columns], Any]
"""The matrix, dense or sparse, that the last step of a pipeline is given."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """What came of compiling: an artifact and its figures, or neither and the reason.

    Where an artifact is there, ``reason`` says which steps stay native, empty if none does.
    """

    artifact: Draft | Fronted | None
    figures: Compacted | None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class _Behind:
    """Native steps, and a compact model on their matrix."""

    before: Before
    small: CompactModel

    def predict(self, columns: Columns) -> FloatArray:
        return self.small.predict(_as_columns(self.before(columns)))


def compact(
    model: Any,
    signature: Signature,
    original: Predictor,
    reference: Columns,
    *,
    encoding: Encoding | None = None,
    before_last: Before | None = None,
    tried: Answers | None = None,
    timer: Callable[[], float] = time.perf_counter,
) -> Attempt:
    """Compile a fitted model, and compare both forms on the reference's rows and on made-up ones.

    The made-up rows have a gap in every nullable feature in turn, and categories that nobody has
    seen. A row that the original refuses, the compact form must refuse as well. Where only steps
    before the last one of a pipeline cannot be compiled, they stay native in front of it.

    Args:
        model: The fitted model.
        signature: What it takes and answers.
        original: The model as it is served now.
        reference: Rows that it was trained on, at least one.
        encoding: How a booster by itself is given its columns; None for anything else.
        before_last: What runs the steps before the last; None if none may stay native.
        tried: Asks the original about made-up rows, which it may refuse; ``original`` unless given.
        timer: Seconds, for latencies.
    """
    native = ""
    made = _readable(lambda: compiled(model, signature, encoding))
    if isinstance(made, str):
        native = made
        made = _readable(lambda: compiled_last(model, signature))
        if before_last is None or isinstance(made, str):
            return Attempt(None, None, native)
    node, builder = made
    rows = _tested(reference)
    given = _as_columns(before_last(rows)) if native and before_last else rows
    expected = original.predict(rows)
    tolerance = max(TOLERANCE, builder.tolerance) * max(1.0, float(np.abs(expected).max()))
    draft = Draft(
        features=given.features,
        outputs=1 if signature.task is Task.REGRESSION else len(signature.labels) or 2,
        programs=tuple(builder.programs),
        node=node,
        probe=probe_of(_take(given, slice(0, PROBES)), expected[:PROBES], tolerance),
        packed=tuple(builder.packed),
        made_with=tuple(_versions()),
    )
    try:
        with TemporaryDirectory(prefix="trimtab-") as folder:
            write(draft, Path(folder) / "model")
            opened = read(Path(folder) / "model")
        small = _Behind(before_last, opened) if native and before_last else opened
        alike = partial(_alike, small.predict, tried or original.predict, tolerance)
        figures = _compared(small, original, rows, expected, tolerance, alike, timer)
    except TrimtabError as wrong:
        return Attempt(None, None, f"its compiled form cannot be used: {wrong.message}")
    if isinstance(figures, str):
        return Attempt(None, None, figures)
    return Attempt(Fronted(model[:-1], draft) if native else draft, figures, native)


def _readable(read_model: Callable[[], tuple[Node, Builder]]) -> tuple[Node, Builder] | str:
    """The parts of a model, or why it cannot be read: one of another release may lack attributes."""
    try:
        return read_model()
    except Unsupported as why:
        return f"{why}."
    except (AttributeError, LookupError, TypeError, ValueError) as strange:
        return f"it cannot be read: {type(strange).__name__}: {str(strange)[:200]}"


def _compared(
    small: Predictor,
    original: Predictor,
    rows: Columns,
    expected: FloatArray,
    tolerance: float,
    alike: Callable[[Columns], bool],
    timer: Callable[[], float],
) -> Compacted | str:
    """Figures of both forms, or how they differ."""
    answer = small.predict(rows)
    apart = float(np.abs(answer - expected).max())
    if not apart <= tolerance:
        return f"its compiled form answers up to {apart:.3g} apart from the original."
    edges = _edges(rows)
    for i in range(edges.rows):
        if not alike(_take(edges, slice(i, i + 1))):
            return "its compiled form treats gaps or new categories otherwise."
    single = [_take(rows, slice(i, i + 1)) for i in range(min(TIMED_ROWS, rows.rows))]
    return Compacted(
        rows=rows.rows,
        equal=int((answer == expected).all(axis=1).sum()),
        max_abs=apart,
        row_us=(_row_us(original, single, timer), _row_us(small, single, timer)),
    )


def _as_columns(matrix: Any) -> Columns:
    dense = matrix.toarray() if hasattr(matrix, "toarray") else matrix
    arrays = tuple(np.asarray(dense, dtype=np.float64).T)
    return Columns(features=matrix_features(len(arrays)), arrays=arrays)


def _alike(small: Answers, original: Answers, tolerance: float, edge: Columns) -> bool:
    try:
        expected = original(edge)
    except TrimtabError:
        expected = None
    try:
        answer = small(edge)
    except TrimtabError:
        answer = None
    if expected is None or answer is None:
        return expected is None and answer is None
    return bool(np.abs(answer - expected).max() <= tolerance)


def _tested(reference: Columns) -> Columns:
    """Rows evenly over the whole reference."""
    places = np.linspace(0, reference.rows - 1, min(ROWS, reference.rows)).astype(np.intp)
    return _take(reference, np.unique(places))


def _edges(rows: Columns) -> Columns:
    """Copies of the first rows, each with a gap or a strange value in one feature."""
    copies: list[list[Any]] = []
    first = [array[0] for array in rows.arrays]
    for place, spec in enumerate(rows.features):
        strange: list[Any] = []
        if spec.kind is FeatureKind.CATEGORICAL:
            strange = ["\x00 nobody has seen this", *([None] if spec.nullable else [])]
        elif spec.nullable:
            strange = [np.nan]
        copies += [[*first[:place], value, *first[place + 1 :]] for value in strange]
    copies = copies or [first]
    arrays: list[Array] = []
    for array, values in zip(rows.arrays, zip(*copies, strict=True), strict=True):
        column: Array = np.empty(len(copies), dtype=array.dtype)
        column[:] = values
        arrays.append(column)
    return Columns(features=rows.features, arrays=tuple(arrays))


def _take(columns: Columns, rows: Any) -> Columns:
    return Columns(features=columns.features, arrays=tuple(array[rows] for array in columns.arrays))


def _row_us(model: Predictor, rows: list[Columns], timer: Callable[[], float]) -> float:
    times = []
    for row in rows:
        started = timer()
        model.predict(row)
        times.append(timer() - started)
    return statistics.median(times) * 1e6


def _versions() -> list[tuple[str, str]]:
    found = []
    for name in _LIBRARIES:
        try:
            found.append((name, version(name)))
        except PackageNotFoundError:
            continue
    return found
