"""The compact form behind a fitted model's own methods: the same answers, or the model's own."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.base import is_classifier

from trimtab.compact import Forest, pack
from trimtab.errors import InvalidPlan
from trimtab.optimize.convert import ensemble_of
from trimtab.optimize.parity import median_us
from trimtab.types import Array, FloatArray

TOLERANCE = 1e-12
_CHECKED_ROWS = 2_000


@dataclass(frozen=True, slots=True)
class Quick:
    """A compact forest that was seen to decide as the model does.

    ``classes`` are its labels, None for a regression. ``row_us`` is the median time of a single row
    in microseconds.
    """

    forest: Forest
    classes: Array | None
    row_us: float

    def outputs(self, X: Any) -> FloatArray | None:
        """Probabilities or values, shape ``(rows, k)``; None for rows that the model is to answer.

        Those are rows with a value that is missing, infinite or no number: the model may refuse them.
        """
        try:
            numbers = np.asarray(X, dtype=np.float64)
        except (TypeError, ValueError):
            return None
        with np.errstate(over="ignore"):
            finite = bool(np.isfinite(numbers.astype(np.float32)).all())
        return self.forest.predict(numbers) if finite and numbers.ndim == 2 else None

    def predict(self, X: Any) -> Any:
        """What the model's ``predict`` answers; None as in :meth:`outputs`."""
        outputs = self.outputs(X)
        if outputs is None:
            return None
        return outputs[:, 0] if self.classes is None else self.classes[outputs.argmax(axis=1)]


def quick(model: Any, X: Any, timer: Callable[[], float] = time.perf_counter) -> Quick | None:
    """The compact form of a fitted ensemble; None where there is none, or it does not answer alike.

    Args:
        model: A fitted estimator.
        X: Rows to compare both on, as the model takes them; 2,000 are used.
        timer: Seconds, for the latency.
    """
    try:
        ensemble = ensemble_of(model)
    except InvalidPlan:
        return None
    if len(ensemble.groups) > 1:
        return None
    found = Quick(Forest(pack(ensemble)), getattr(model, "classes_", None), 0.0)
    some = X[:_CHECKED_ROWS]
    answers, decided = found.outputs(some), found.predict(some)
    if answers is None or not _alike(model, some, answers, decided):
        return None
    return Quick(found.forest, found.classes, median_us(lambda: found.predict(X[:1]), timer))


def _alike(model: Any, X: Any, answers: FloatArray, decided: Any) -> bool:
    if not np.array_equal(np.asarray(model.predict(X)), decided) and is_classifier(model):
        return False
    ask = model.predict_proba if hasattr(model, "predict_proba") else model.predict
    expected = np.asarray(ask(X), dtype=np.float64).reshape(len(answers), -1)
    size = max(1.0, float(np.abs(expected).max()))
    return (
        expected.shape == answers.shape
        and float(np.abs(expected - answers).max()) <= TOLERANCE * size
    )
