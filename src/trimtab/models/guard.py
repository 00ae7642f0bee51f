"""A loaded model behind a guard: whatever it does, callers see an answer or a ModelFailure."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from trimtab.errors import InvalidPlan, ModelFailure, TrimtabError
from trimtab.log_events import Event
from trimtab.protocols import ModelFormat, Predictor
from trimtab.types import Certificate, Columns, FloatArray, Scalar, Signature, Task

log = logging.getLogger(__name__)
R = TypeVar("R")

TOLERANCE = 1e-6
"""How far rounding may carry a probability out of [0, 1]."""
MOST = 1 + TOLERANCE
FEW = 64
"""So few rows are looked at sooner one by one than as an array."""


class Guarded:
    """A predictor whose answers are checked; a :class:`~trimtab.protocols.Predictor`.

    Args:
        predictor: The format's own.
        signature: What it must answer.
        model: Its name, for messages.
    """

    def __init__(self, predictor: Predictor, signature: Signature, model: str) -> None:
        self._predictor = predictor
        self._model = model
        self._probabilities = signature.task is not Task.REGRESSION
        self._width = (len(signature.labels) or 2) if self._probabilities else 1
        self.load_ms = 0.0
        """Milliseconds that opening the artifact took."""

    @property
    def original(self) -> object:
        """The fitted model of its own library, where the format keeps one; None elsewhere."""
        return getattr(self._predictor, "original", None)

    @property
    def certificate(self) -> Certificate | None:
        """How the model differs from the one that it was made of, where its file says so."""
        return getattr(self._predictor, "certificate", None)

    @property
    def forests(self) -> Sequence[Any]:
        """The compact forests inside, where the format has such."""
        return getattr(self._predictor, "forests", ())

    def before_last(self, columns: Columns) -> Any:
        """The matrix that the last step of a pipeline is given, where the model is one.

        Raises:
            ModelFailure: a step before the last one raised.
        """
        taken: Any = self._predictor
        return self._asked(taken.before_last, columns, told=False)

    @property
    def encoding(self) -> tuple[list[int], dict[int, dict[str | None, float]]] | None:
        """Order and codes of the columns that a booster is given; None for any other model."""
        matrix = getattr(self._predictor, "matrix", None)
        return None if matrix is None else (matrix.order, matrix.codes)

    def rows(self, columns: Columns) -> Any:
        """Columns as the original takes them.

        Raises:
            InvalidPlan: the format does not keep the original.
        """
        taken = getattr(self._predictor, "rows", None)
        if taken is None:
            raise InvalidPlan(
                f"The model {self._model} cannot be optimised: its format does not show it.",
                code="not_optimizable",
                hint="Possible: scikit-learn (joblib, skops), XGBoost and LightGBM. It goes on"
                " being served as it is.",
            )
        return taken(columns)

    def predict(self, columns: Columns) -> FloatArray:
        """Score rows.

        Returns:
            Shape ``(rows, k)``, finite; probabilities lie in [0, 1].

        Raises:
            ModelFailure: the model raised, or answered something else.
        """
        values = self._asked(self._predictor.predict, columns)
        wrong = self._wrong(values, columns.rows)
        if wrong:
            raise self._nonsense(wrong)
        return values

    def tried(self, columns: Columns) -> FloatArray:
        """As :meth:`predict`, of made-up rows: what the model raises at them is no news for the log."""
        values = self._asked(self._predictor.predict, columns, told=False)
        wrong = self._wrong(values, columns.rows)
        if wrong:
            raise _nonsense(wrong, self._model)
        return values

    @property
    def one(self) -> Callable[[Sequence[Scalar]], Sequence[float]] | None:
        """Scores one row of values, as :meth:`predict` would; None where the format has no short way."""
        take = getattr(self._predictor, "one", None)
        if take is None:
            return None

        def score(values: Sequence[Scalar]) -> Sequence[float]:
            outputs = self._asked(take, values)
            if not (isinstance(outputs, (list, tuple)) and len(outputs) == self._width):
                raise self._nonsense(f"{outputs!r:.80} where {self._width} numbers were due")
            if not self._sound(outputs) and (wrong := self._wrong(np.array([outputs]), 1)):
                raise self._nonsense(wrong)
            return outputs

        return score

    @property
    def many(self) -> Callable[[Sequence[Sequence[Scalar]]], Sequence[Sequence[float]]] | None:
        """Scores rows of values, each as :attr:`one` would to the last bit; None where the format has no such way."""
        take = getattr(self._predictor, "many", None)
        if take is None:
            return None

        def score(rows: Sequence[Sequence[Scalar]]) -> Sequence[Sequence[float]]:
            array: Any = self._asked(take, rows)
            shape = (len(rows), self._width)
            fits = isinstance(array, np.ndarray) and array.shape == shape
            fits = fits and array.dtype == np.float64
            outputs: list[list[float]] = array.tolist() if fits else []
            sound = fits and len(rows) <= FEW and self._sound([*chain.from_iterable(outputs)])
            if not sound and (wrong := self._wrong(array, len(rows))):
                raise self._nonsense(wrong)
            return outputs

        return score

    def _sound(self, outputs: Sequence[float]) -> bool:
        finite = math.isfinite(sum(outputs))
        within = not self._probabilities or -TOLERANCE <= min(outputs) <= max(outputs) <= MOST
        return finite and within

    def _asked(self, call: Callable[[Any], R], what: Any, *, told: bool = True) -> R:
        try:
            return call(what)
        except Exception as error:
            raise _failure("raised", self._model, error, told=told) from error

    def _nonsense(self, wrong: str) -> ModelFailure:
        log.warning(Event.MODEL_FAILED, extra={"model": self._model, "error": wrong})
        return _nonsense(wrong, self._model)

    def _wrong(self, values: object, rows: int) -> str:
        if not isinstance(values, np.ndarray) or values.dtype != np.float64:
            return f"{type(values).__name__} where a float64 array was due"
        if values.shape != (rows, self._width):
            return f"an array of shape {values.shape} where {(rows, self._width)} was due"
        if not np.isfinite(values).all():
            return "values that are not finite"
        if self._probabilities and rows:
            low, high = values.min(), values.max()
            if low < -TOLERANCE or high > 1 + TOLERANCE:
                return f"probabilities between {low:g} and {high:g}"
        return ""


def opened(kind: ModelFormat, path: Path, signature: Signature, model: str) -> Guarded:
    """Open an artifact whose digest and trust the caller has checked.

    Raises:
        TrimtabError: the format's own refusal.
        ModelFailure: whatever else went wrong.
    """
    started = time.perf_counter()
    try:
        guarded = Guarded(kind.load(path, signature), signature, model)
    except TrimtabError:
        raise
    except Exception as error:
        raise _failure("cannot be opened:", model, error) from error
    guarded.load_ms = (time.perf_counter() - started) * 1e3
    return guarded


def _nonsense(wrong: str, model: str) -> ModelFailure:
    return ModelFailure(f"The model {model} answered {wrong}.", code="model_nonsense")


def _failure(what: str, model: str, error: Exception, *, told: bool = True) -> ModelFailure:
    if told:
        log.warning(Event.MODEL_FAILED, extra={"model": model}, exc_info=error)
    return ModelFailure(
        f"The model {model} {what} {type(error).__name__}: {str(error)[:200]}",
        hint="The log has the traceback." if told else "",
        code="model_raised" if what == "raised" else "model_unreadable",
    )
