"""A compact model behind scikit-learn steps that could not be compiled, which joblib brings along."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import Any

import joblib
import numpy as np
from sklearn.base import BaseEstimator

from trimtab.compact.artifact import ALIGN, CompactModel, Fronted, read, write
from trimtab.errors import Refused
from trimtab.models.formats.compact import refuse_other_answers
from trimtab.models.formats.sklearn_frame import SklearnInput
from trimtab.types import Columns, FloatArray, Signature

MAGIC = b"\x93TRIMTJ1"


class CompactJoblibFormat:
    """``joblib.dump`` of the native steps, and from a multiple of 4,096 bytes on the artifact."""

    name = "compact_joblib"
    runs_code = True

    def sniff(self, path: Path) -> bool:
        """Whether it begins as such a file does."""
        with path.open("rb") as file:
            return file.read(len(MAGIC)) == MAGIC

    def load(self, path: Path, signature: Signature) -> FrontedPredictor:
        """Load a file; whatever code is in its native steps runs now.

        Raises:
            Refused: it was cut or changed, or answers its probe rows otherwise than the original did.
        """
        with path.open("rb") as file:
            head = file.read(len(MAGIC) + 8)
            length = int.from_bytes(head[len(MAGIC) :], "little")
            data = file.read(length)
        if not head.startswith(MAGIC) or len(data) < length:
            raise Refused("The file is cut off.", code="artifact_malformed")
        model = read(path, _begin(length))
        refuse_other_answers(model)
        return FrontedPredictor(joblib.load(BytesIO(data)), model, signature)

    def accepts(self, model: object) -> bool:
        """Whether it is such a model that has not been written yet."""
        return isinstance(model, Fronted) and isinstance(model.front, BaseEstimator)

    def save(self, model: object, path: Path) -> None:
        """Write native steps and artifact."""
        if not isinstance(model, Fronted):
            return
        front = BytesIO()
        joblib.dump(model.front, front)
        data = front.getvalue()
        write(model.draft, path)
        artifact = path.read_bytes()
        with path.open("wb") as file:
            file.write(MAGIC + len(data).to_bytes(8, "little") + data)
            file.seek(_begin(len(data)))
            file.write(artifact)


class FrontedPredictor:
    """Native steps and what stands behind them; a :class:`~trimtab.protocols.Predictor`."""

    def __init__(self, front: Any, model: CompactModel, signature: Signature) -> None:
        self._front = front
        self._input = SklearnInput(front, signature)
        self._model = model
        self.forests = model.forests

    def predict(self, columns: Columns) -> FloatArray:
        """Score rows; shape ``(rows, k)``."""
        matrix = self._front.transform(self._input.of(columns))
        if hasattr(matrix, "toarray"):
            matrix = matrix.toarray()
        arrays = tuple(np.asarray(matrix, dtype=np.float64).T)
        return self._model.predict(Columns(features=self._model.manifest.features, arrays=arrays))


def _begin(length: int) -> int:
    return -(-(len(MAGIC) + 8 + length) // ALIGN) * ALIGN
