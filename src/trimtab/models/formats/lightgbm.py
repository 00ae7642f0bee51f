"""LightGBM boosters as their own text files."""

from __future__ import annotations

from pathlib import Path

import lightgbm
import numpy as np

from trimtab.errors import InvalidInput, ModelFailure
from trimtab.models.formats.matrix import Matrix, outputs
from trimtab.types import Columns, FeatureKind, FloatArray, Signature


class LightgbmFormat:
    """``Booster.save_model``, with the categories that LightGBM keeps in the file."""

    name = "lightgbm"
    runs_code = False

    def sniff(self, path: Path) -> bool:
        """Whether it begins as LightGBM's text does."""
        with path.open("rb") as file:
            return file.read(13) == b"tree\nversion="

    def load(self, path: Path, signature: Signature) -> LightgbmPredictor:
        """Load a file.

        Raises:
            ModelFailure: the file ends before its trees do, which LightGBM itself reads past.
        """
        text = path.read_text(encoding="utf-8")
        if "\nend of trees" not in text:
            raise ModelFailure(
                f"The file {path.name!r} ends before its trees do.",
                hint="Write the model again.",
                code="model_unreadable",
            )
        return LightgbmPredictor(lightgbm.Booster(model_str=text), signature)

    def accepts(self, model: object) -> bool:
        """Whether it is a booster or LightGBM's scikit-learn face of one."""
        return isinstance(model, lightgbm.Booster | lightgbm.LGBMModel)

    def save(self, model: object, path: Path) -> None:
        """Write a booster."""
        booster = model.booster_ if isinstance(model, lightgbm.LGBMModel) else model
        if isinstance(booster, lightgbm.Booster):
            booster.save_model(path)


class LightgbmPredictor:
    """A booster as a :class:`~trimtab.protocols.Predictor`."""

    def __init__(self, booster: lightgbm.Booster, signature: Signature) -> None:
        learned = booster.pandas_categorical or []
        named = [s.name for s in signature.features if s.kind is FeatureKind.CATEGORICAL]
        if len(learned) != len(named):
            raise InvalidInput(
                f"The model has {len(learned)} categorical features, the signature {named}.",
                hint="Infer the signature from the frame that the model was trained on.",
                code="signature_mismatch",
            )
        self.original = booster
        self._task = signature.task
        self.matrix = Matrix(
            signature, booster.feature_name(), dict(zip(named, learned, strict=True))
        )

    def rows(self, columns: Columns) -> FloatArray:
        """Columns as the booster takes them."""
        return self.matrix.of(columns)

    def predict(self, columns: Columns) -> FloatArray:
        """Score rows; shape ``(rows, k)``."""
        raw = self.original.predict(self.rows(columns), num_threads=1)
        return outputs(np.asarray(raw), self._task)
