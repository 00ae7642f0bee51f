"""XGBoost boosters as JSON or UBJSON."""

from __future__ import annotations

from pathlib import Path

import xgboost

from trimtab.models.formats.matrix import Matrix, outputs
from trimtab.types import Columns, FloatArray, Signature

_HEADS = (b'{"learner"', b"{L\x00\x00\x00\x00\x00\x00\x00\x07learner")


class XgboostFormat:
    """``Booster.save_model``, with the categories that XGBoost keeps in the file."""

    name = "xgboost"
    runs_code = False

    def sniff(self, path: Path) -> bool:
        """Whether it begins as XGBoost's JSON or UBJSON does."""
        with path.open("rb") as file:
            return file.read(32).startswith(_HEADS)

    def load(self, path: Path, signature: Signature) -> XgboostPredictor:
        """Load a file."""
        booster = xgboost.Booster({"nthread": 1})
        booster.load_model(bytearray(path.read_bytes()))
        return XgboostPredictor(booster, signature)

    def accepts(self, model: object) -> bool:
        """Whether it is a booster or XGBoost's scikit-learn face of one."""
        return isinstance(model, xgboost.Booster | xgboost.XGBModel)

    def save(self, model: object, path: Path) -> None:
        """Write a booster."""
        booster = model.get_booster() if isinstance(model, xgboost.XGBModel) else model
        if isinstance(booster, xgboost.Booster):
            path.write_bytes(booster.save_raw("ubj"))


class XgboostPredictor:
    """A booster as a :class:`~trimtab.protocols.Predictor`."""

    def __init__(self, booster: xgboost.Booster, signature: Signature) -> None:
        names = booster.feature_names or [f"f{n}" for n in range(booster.num_features())]
        self.original = booster
        self._task = signature.task
        self.matrix = Matrix(signature, names, _categories(booster))

    def rows(self, columns: Columns) -> FloatArray:
        """Columns as the booster takes them."""
        return self.matrix.of(columns)

    def predict(self, columns: Columns) -> FloatArray:
        """Score rows; shape ``(rows, k)``."""
        return outputs(self.original.inplace_predict(self.rows(columns)), self._task)


def _categories(booster: xgboost.Booster) -> dict[str, list[str]]:
    if "c" not in (booster.feature_types or ()):
        return {}
    learned = booster.get_categories(export_to_arrow=True).to_arrow()
    return {name: values.to_pylist() for name, values in learned if values is not None}
