"""The laws of a model format."""

from __future__ import annotations

import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from trimtab.protocols import ModelFormat, Predictor
from trimtab.types import Columns, FloatArray, Signature, Task


def check_model_format(
    file_format: ModelFormat,
    model: object,
    signature: Signature,
    columns: Columns,
    directory: Path,
    *,
    expected: FloatArray | None = None,
    tolerance: float = 1e-9,
) -> None:
    """Check the laws of a model format with one real model.

    A file that was written is recognised and answers as the model did, a batch equals its rows one by
    one, threads do not disturb each other, inputs stay as they were, and foreign files are not taken
    for the format's own nor run.

    Args:
        file_format: The format to check.
        model: A small fitted model that it accepts.
        signature: The model's.
        columns: At least two rows for it, with missing values where the signature allows them.
        directory: An empty folder.
        expected: What the model answers for ``columns``, shape ``(rows, k)``.
        tolerance: The largest difference that the format's arithmetic may make.

    Raises:
        AssertionError: a law is broken.
    """
    path = directory / "model"
    _require(file_format.accepts(model), "accepts(model) is false")
    _require(not file_format.accepts(object()), "accepts(object()) is true")
    file_format.save(model, path)
    _require(file_format.sniff(path), "sniff does not know the file that save wrote")
    _check_foreign(file_format, directory)
    before = [array.copy() for array in columns.arrays]
    predictor = file_format.load(path, signature)
    answer = predictor.predict(columns)
    width = 1 if signature.task is Task.REGRESSION else len(signature.labels) or 2
    _require(answer.shape == (columns.rows, width), f"the answer's shape is {answer.shape}")
    _require(answer.dtype == np.float64, f"the answer's type is {answer.dtype}")
    _require(bool(np.isfinite(answer).all()), "the answer is not finite")
    if expected is not None:
        _require(_near(answer, expected, tolerance), "the loaded model answers differently")
    single = np.vstack([predictor.predict(_row(columns, row)) for row in range(columns.rows)])
    _require(_near(single, answer, tolerance), "a batch differs from its rows one by one")
    _check_one(predictor, columns)
    _require(_near(_in_threads(predictor, columns), answer, 0.0), "threads disturb each other")
    for old, new in zip(before, columns.arrays, strict=True):
        _require(all(map(_same, old, new)), "predict changed its input")


def _check_foreign(file_format: ModelFormat, directory: Path) -> None:
    """Files that are not the format's own, one of them a pickle that would run code."""
    mark = directory / "ran"
    command = f"open({str(mark)!r}, 'w').close()"
    foreign = {
        "empty": b"",
        "text": b"hello, world, this is no model\n",
        "noise": bytes(range(256)) * 8,
        "pickle": b"\x80\x02cbuiltins\nexec\nX"
        + len(command).to_bytes(4, "little")
        + command.encode()
        + b"\x85R.",
    }
    for name, data in foreign.items():
        path = directory / name
        path.write_bytes(data)
        known = file_format.sniff(path)
        _require(not mark.exists(), "sniff ran code")
        if name != "pickle" or not file_format.runs_code:
            _require(not known, f"sniff takes {name} for its own")


def _row(columns: Columns, row: int) -> Columns:
    arrays = tuple(array[row : row + 1] for array in columns.arrays)
    return Columns(features=columns.features, arrays=arrays)


def _check_one(predictor: Predictor, columns: Columns) -> None:
    """Where a format has a short way for one row of values, it answers the numbers that ``predict`` does."""
    one = getattr(predictor, "one", None)
    if one is None:
        return
    for row in range(columns.rows):
        values = [None if v != v else v for v in _values(columns, row)]  # noqa: PLR0124 - NaN
        alike = list(one(values)) == predictor.predict(_row(columns, row))[0].tolist()
        _require(alike, "one row of values differs from one row of columns")


def _values(columns: Columns, row: int) -> list[object]:
    return [array[row : row + 1].tolist()[0] for array in columns.arrays]


def _in_threads(predictor: Predictor, columns: Columns, threads: int = 4) -> FloatArray:
    """The answer that is farthest from the first over many that were made at once."""
    gate = threading.Barrier(threads)
    turns = 3

    def turn(_: int) -> list[FloatArray]:
        gate.wait()
        return [predictor.predict(columns) for _ in range(turns)]

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-4)
    try:
        with ThreadPoolExecutor(threads) as pool:
            answers = [answer for part in pool.map(turn, range(threads)) for answer in part]
    finally:
        sys.setswitchinterval(interval)
    return max(answers, key=lambda answer: float(np.abs(answer - answers[0]).max()))


def _same(old: object, new: object) -> bool:
    return old is new or old == new or (old != old and new != new)  # noqa: PLR0124 - NaN


def _near(left: FloatArray, right: FloatArray, tolerance: float) -> bool:
    return left.shape == right.shape and bool(np.all(np.abs(left - right) <= tolerance))


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise AssertionError(message)
