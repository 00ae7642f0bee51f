"""scikit-learn models as joblib or pickle files, which can run any code when they are opened."""

from __future__ import annotations

import zlib
from pathlib import Path

import joblib
from sklearn.base import BaseEstimator

from trimtab.models.formats.sklearn_frame import SklearnPredictor
from trimtab.types import Signature
from trimtab.unpickling import load

_PICKLE = tuple(bytes((0x80, protocol)) for protocol in range(2, 6))
_ZLIB_OR_GZIP = 47


class JoblibFormat:
    """``joblib.dump`` of a fitted estimator."""

    name = "joblib"
    runs_code = True

    def sniff(self, path: Path) -> bool:
        """Whether the file begins as a pickle does, plain or compressed by zlib or gzip."""
        with path.open("rb") as file:
            head = file.read(1024)
        if not head.startswith(_PICKLE):
            try:
                head = zlib.decompressobj(_ZLIB_OR_GZIP).decompress(head, 2)
            except zlib.error:
                return False
        return head.startswith(_PICKLE)

    def load(self, path: Path, signature: Signature) -> SklearnPredictor:
        """Load a file; whatever code is in it runs now."""
        return SklearnPredictor(load(path), signature)

    def accepts(self, model: object) -> bool:
        """Whether it is a scikit-learn estimator."""
        return isinstance(model, BaseEstimator)

    def save(self, model: object, path: Path) -> None:
        """Write a fitted estimator."""
        joblib.dump(model, path)
