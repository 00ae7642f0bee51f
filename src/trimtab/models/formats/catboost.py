"""CatBoost models as their own binary files."""

from __future__ import annotations

from pathlib import Path

import catboost
import numpy as np

from trimtab.errors import InvalidInput
from trimtab.models.formats.matrix import outputs
from trimtab.types import Array, Columns, FeatureKind, FeatureSpec, FloatArray, Signature, Task

_GENERATED = [str(place) for place in range(10_000)]
_AS_CATEGORY = (FeatureKind.CATEGORICAL, FeatureKind.INTEGER)


class CatboostFormat:
    """``CatBoost.save_model`` in CatBoost's binary form (``.cbm``)."""

    name = "catboost"
    runs_code = False

    def sniff(self, path: Path) -> bool:
        """Whether it begins as CatBoost's files do."""
        with path.open("rb") as file:
            return file.read(4) == b"CBM1"

    def load(self, path: Path, signature: Signature) -> CatboostPredictor:
        """Load a file."""
        return CatboostPredictor(catboost.CatBoost().load_model(blob=path.read_bytes()), signature)

    def accepts(self, model: object) -> bool:
        """Whether it is a model of CatBoost's."""
        return isinstance(model, catboost.CatBoost)

    def save(self, model: object, path: Path) -> None:
        """Write a fitted model."""
        if isinstance(model, catboost.CatBoost):
            model.save_model(str(path), format="cbm")


class CatboostPredictor:
    """A CatBoost model as a :class:`~trimtab.protocols.Predictor`.

    Raises:
        InvalidInput: it takes other features than the signature names, or a category that may be
            missing, which CatBoost refuses row by row.
    """

    def __init__(self, model: catboost.CatBoost, signature: Signature) -> None:
        self._model = model
        self._task = signature.task
        self._places = _places(list(model.feature_names_), signature)
        self._categories = frozenset(model.get_cat_feature_indices())
        self._kind = "RawFormulaVal" if signature.task is Task.REGRESSION else "Probability"
        if model.get_text_feature_indices() or model.get_embedding_feature_indices():
            raise InvalidInput(
                "The model takes texts or embeddings, which a signature cannot name.",
                hint="Train it on numbers and categories.",
                code="signature_mismatch",
            )
        for own, place in enumerate(self._places):
            _check_kind(signature.features[place], category=own in self._categories)

    def predict(self, columns: Columns) -> FloatArray:
        """Score rows; shape ``(rows, k)``."""
        raw = self._model.predict(self._matrix(columns), prediction_type=self._kind, thread_count=1)
        return outputs(np.asarray(raw), self._task)

    def _matrix(self, columns: Columns) -> Array:
        if not self._categories:
            return np.column_stack([columns.arrays[place] for place in self._places])
        rows = np.empty((columns.rows, len(self._places)), dtype=object)
        for own, place in enumerate(self._places):
            array = columns.arrays[place]
            if own in self._categories and array.dtype != object:
                array = array.astype(np.int64)
            rows[:, own] = array
        return rows


def _places(names: list[str], signature: Signature) -> list[int]:
    """Where the model's features stand in the signature; generated names (``0``) go by position."""
    own = list(signature.names)
    if names == _GENERATED[: len(own)]:
        return list(range(len(own)))
    if sorted(names) != sorted(own):
        raise InvalidInput(
            f"The model takes {names}, but the signature names {own}.",
            hint="Infer the signature from the frame that the model was trained on.",
            code="signature_mismatch",
        )
    return [own.index(name) for name in names]


def _check_kind(spec: FeatureSpec, *, category: bool) -> None:
    if category and spec.kind in _AS_CATEGORY and spec.nullable:
        raise InvalidInput(
            f"{spec.name!r} may be missing, but CatBoost takes no missing category.",
            hint="Fill missing categories with a word of their own before training.",
            code="signature_mismatch",
            path=spec.name,
        )
    if (spec.kind not in _AS_CATEGORY) if category else (spec.kind is FeatureKind.CATEGORICAL):
        learned = "a category" if category else "a number"
        raise InvalidInput(
            f"The model learned {spec.name!r} as {learned}, but the signature says {spec.kind}.",
            hint="Infer the signature from the frame that the model was trained on.",
            code="signature_mismatch",
            path=spec.name,
        )
