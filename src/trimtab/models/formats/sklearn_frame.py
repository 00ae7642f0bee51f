"""Predicting with a fitted scikit-learn estimator, whatever file it came from."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from trimtab.errors import InvalidInput
from trimtab.types import Array, Columns, FeatureKind, FeatureSpec, FloatArray, Signature, Task

_TEXT: Any = pd.Series(["a"]).dtype
"""What this pandas makes of strings: ``object`` before 3, ``str`` since."""


class SklearnInput:
    """What a fitted estimator is given: a frame if it was fitted on one, else a matrix.

    The frame has the columns' names and types. The estimator's jobs are set to one, since threads cost
    more than a request's rows.

    Args:
        model: The fitted estimator or pipeline.
        signature: What it takes.

    Raises:
        InvalidInput: it takes other features.
    """

    def __init__(self, model: Any, signature: Signature) -> None:
        for part in _parts(model):
            if getattr(part, "n_jobs", None) is not None:
                part.n_jobs = 1
        self._places = _places(model, signature)
        self._named = hasattr(model, "feature_names_in_")
        self._nones = _learned_none(model)

    def of(self, columns: Columns) -> Any:
        """Columns as the model takes them."""
        return self._frame(columns) if self._named else self._matrix(columns)

    def _frame(self, columns: Columns) -> pd.DataFrame:
        return pd.DataFrame(
            {
                columns.features[place].name: typed(
                    columns.features[place], columns.arrays[place], nones=self._nones
                )
                for place in self._places
            },
            copy=False,
        )

    def _matrix(self, columns: Columns) -> Array:
        return np.column_stack([columns.arrays[place] for place in self._places])


class SklearnPredictor:
    """A fitted estimator as a :class:`~trimtab.protocols.Predictor`.

    Args:
        model: The fitted estimator or pipeline.
        signature: What it takes and answers.

    Raises:
        InvalidInput: features, classes or abilities do not match the signature.
    """

    def __init__(self, model: Any, signature: Signature) -> None:
        self.original = model
        self._input = SklearnInput(model, signature)
        if signature.task is Task.REGRESSION:
            self._call = model.predict
            return
        if not hasattr(model, "predict_proba"):
            raise InvalidInput(
                f"{type(model).__name__} answers no probabilities.",
                hint="Wrap it in sklearn.calibration.CalibratedClassifierCV.",
                code="no_probabilities",
            )
        _check_classes(model, signature)
        self._call = model.predict_proba

    def rows(self, columns: Columns) -> Any:
        """Columns as the estimator takes them: a frame with its names, or a matrix."""
        return self._input.of(columns)

    def predict(self, columns: Columns) -> FloatArray:
        """Score rows; shape ``(rows, k)``."""
        raw = self._call(self._input.of(columns))
        values = np.asarray(raw, dtype=np.float64)
        return values if values.ndim == 2 else values[:, None]

    def before_last(self, columns: Columns) -> Any:
        """The matrix, dense or sparse, that a pipeline's last step is given."""
        return self.original[:-1].transform(self._input.of(columns))


def typed(spec: FeatureSpec, array: Array, *, nones: bool = False) -> Any:
    """A feature's values as a column of a frame.

    Args:
        spec: The feature.
        array: Its values.
        nones: Whether the missing category is None, and not NaN.
    """
    if spec.kind is FeatureKind.CATEGORICAL:
        if nones:
            return pd.Series(array, dtype=object)
        if str(_TEXT) == "object":
            return pd.Series([np.nan if v is None else v for v in array], dtype=object)
        return pd.Series(array, dtype=_TEXT)
    # A nullable column has one type whether or not a value is missing in this very batch.
    if spec.kind is FeatureKind.NUMERIC or spec.nullable or np.isnan(array).any():
        return array
    return array.astype(np.int64 if spec.kind is FeatureKind.INTEGER else np.bool_)


_MOST_NAMED = 5


def _places(model: Any, signature: Signature) -> list[int]:
    """Where the model's features stand in the signature, in the model's order."""
    own = list(signature.names)
    names = [str(name) for name in getattr(model, "feature_names_in_", own)]
    expected = getattr(model, "n_features_in_", len(own))
    if sorted(names) != sorted(own) or expected != len(own):
        raise InvalidInput(
            _told_apart(names, own)
            if len(names) == expected
            else f"The model takes {expected} features, but the signature names {own}.",
            hint="Infer the signature from the frame that the model was fitted on.",
            code="signature_mismatch",
        )
    return [own.index(name) for name in names]


def _told_apart(names: list[str], own: list[str]) -> str:
    """Which features only the model has, and which only the signature; the first few of each."""
    lacking = [name for name in names if name not in own]
    strange = [name for name in own if name not in names]
    told = [
        f"{whose} {', '.join(map(repr, some[:_MOST_NAMED]))}"
        + (f" and {len(some) - _MOST_NAMED} more" if len(some) > _MOST_NAMED else "")
        for whose, some in (
            ("takes the features", lacking),
            ("does not know", strange),
        )
        if some
    ]
    return f"The model {' and '.join(told)}." if told else "A feature is named twice."


def _check_classes(model: Any, signature: Signature) -> None:
    classes = [str(name) for name in getattr(model, "classes_", signature.labels)]
    numbered = [[str(n) for n in range(len(classes))], ["False", "True"]]
    binary = signature.task is Task.BINARY
    fits = len(classes) == (2 if binary else len(signature.labels))
    if signature.labels and classes not in numbered:
        fits = fits and classes == list(signature.labels)
    if not fits:
        raise InvalidInput(
            f"The model's classes are {classes}, but the signature's labels"
            f" are {list(signature.labels)}.",
            hint="Give the labels in the order of the model's classes_.",
            code="labels_mismatch",
        )


def _parts(model: Any) -> Iterator[Any]:
    """The model and the estimators inside it, as far as scikit-learn's own containers go."""
    yield model
    inner = [step for _, step, *_ in getattr(model, "steps", ())]
    inner += [step for _, step, *_ in getattr(model, "transformers_", ())]
    for part in inner:
        if hasattr(part, "get_params"):
            yield from _parts(part)


def _learned_none(model: Any) -> bool:
    """Whether an encoder learned None, and not NaN, as the missing category."""
    for part in _parts(model):
        learned = getattr(part, "categories_", None)
        if isinstance(learned, list) and any(
            value is None for values in learned if values.dtype == object for value in values
        ):
            return True
    return False
