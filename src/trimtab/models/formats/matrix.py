"""Columns as the one float matrix that tree boosters take."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import numpy as np

from trimtab.errors import InvalidInput
from trimtab.types import Array, Columns, FeatureKind, FloatArray, Signature, Task

_GENERATED = re.compile(r"(Column_|f)\d+")


class Matrix:
    """Encodes columns in a model's own feature order, categories as their codes.

    A category that the model never saw becomes NaN, as the boosters' own frame reading has it.

    Args:
        signature: Order and kinds of the columns.
        names: The model's feature names; generated ones (``Column_0``, ``f0``) go by position.
        categories: The categories of each categorical feature, in the order of their codes.

    Raises:
        InvalidInput: the model's features and the signature's do not match.
    """

    def __init__(
        self, signature: Signature, names: Sequence[str], categories: Mapping[str, Sequence[str]]
    ) -> None:
        own = [spec.name for spec in signature.features]
        if len(names) == len(own) and all(map(_GENERATED.fullmatch, names)):
            names = own
        # LightGBM writes spaces as underscores.
        places = {name.replace(" ", "_"): place for place, name in enumerate(own)}
        order = [places.get(name.replace(" ", "_")) for name in names]
        self.order = [place for place in order if place is not None]
        if len(self.order) < len(names) or len(set(self.order)) < len(own):
            raise InvalidInput(
                f"The model takes {list(names)}, but the signature names {own}.",
                hint="Infer the signature from the frame that the model was trained on.",
                code="signature_mismatch",
            )
        self.codes: dict[int, dict[str | None, float]] = {}
        for place, spec in enumerate(signature.features):
            if spec.kind is FeatureKind.CATEGORICAL:
                if spec.name not in categories:
                    raise InvalidInput(
                        f"The model keeps no categories for {spec.name!r}.",
                        hint="Train it on a category column, or put an encoder before it in a"
                        " scikit-learn pipeline.",
                        code="signature_mismatch",
                        path=spec.name,
                    )
                known = categories[spec.name]
                self.codes[place] = {name: float(code) for code, name in enumerate(known)}

    def of(self, columns: Columns) -> FloatArray:
        """The matrix, shape ``(rows, features)``."""
        matrix = np.empty((columns.rows, len(self.order)))
        for target, place in enumerate(self.order):
            matrix[:, target] = self._numbers(place, columns.arrays[place])
        return matrix

    def _numbers(self, place: int, array: Array) -> Array:
        codes = self.codes.get(place)
        if codes is None:
            return array
        return np.array([codes.get(name, np.nan) for name in array], dtype=np.float64)


def outputs(raw: Array, task: Task) -> FloatArray:
    """A model's raw answer as ``(rows, k)``; the probability of one class becomes that of two."""
    values = np.asarray(raw, dtype=np.float64)
    if values.ndim == 1:
        values = values[:, None]
    if task is Task.BINARY and values.shape[1] == 1:
        return np.hstack((1.0 - values, values))
    return values
