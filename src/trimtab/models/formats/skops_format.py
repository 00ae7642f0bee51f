"""scikit-learn models as skops files: no code in them, and only reviewed types are built."""

from __future__ import annotations

import zipfile
from pathlib import Path

import skops.io
from sklearn.base import BaseEstimator
from skops.io.exceptions import UnsupportedTypeException

from trimtab.errors import Refused
from trimtab.models.formats.sklearn_frame import SklearnPredictor
from trimtab.types import Signature

REVIEWED = (
    # Compiled containers of plain arrays; their state is checked for type and shape, not for sense.
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
    "sklearn.metrics._dist_metrics.EuclideanDistance64",
    "sklearn.neighbors._kd_tree.KDTree",
    "sklearn.tree._tree.Tree",
    # Plain Python objects whose construction sets attributes and does nothing else.
    "numpy.dtype",
    "sklearn._loss.loss.HalfTweedieLossIdentity",
    "sklearn.calibration._CalibratedClassifier",
    "sklearn.calibration._SigmoidCalibration",
    "sklearn.neural_network._stochastic_optimizers.AdamOptimizer",
    # Functions that only compute on arrays. A partial names its function, which is reviewed too.
    "functools.partial",
    "sklearn.feature_selection._univariate_selection.f_classif",
    "sklearn.utils.validation.check_array",
)
"""Types beyond skops' own list that a file may name; each was read, as said beside it."""


class SkopsFormat:
    """``skops.io.dump`` of a fitted estimator."""

    name = "skops"
    runs_code = False

    def sniff(self, path: Path) -> bool:
        """Whether it is a zip archive with a skops schema."""
        try:
            with zipfile.ZipFile(path) as archive:
                return "schema.json" in archive.namelist()
        except (zipfile.BadZipFile, OSError):
            return False

    def load(self, path: Path, signature: Signature) -> SklearnPredictor:
        """Load a file.

        Raises:
            Refused: it names a type that nobody has reviewed.
        """
        strange = sorted(set(skops.io.get_untrusted_types(file=path)) - set(REVIEWED))
        if strange:
            raise Refused(
                f"The file names types that are not reviewed: {', '.join(strange)}.",
                hint="Build the model from scikit-learn's own parts, or register it as joblib and"
                " allow it by name.",
                code="untrusted_types",
            )
        return SklearnPredictor(skops.io.load(path, trusted=list(REVIEWED)), signature)

    def accepts(self, model: object) -> bool:
        """Whether it is an estimator of which every type is known or reviewed."""
        if not isinstance(model, BaseEstimator):
            return False
        try:
            data = skops.io.dumps(model)
        except UnsupportedTypeException:
            return False
        return set(skops.io.get_untrusted_types(data=data)) <= set(REVIEWED)

    def save(self, model: object, path: Path) -> None:
        """Write a fitted estimator."""
        path.write_bytes(skops.io.dumps(model))
