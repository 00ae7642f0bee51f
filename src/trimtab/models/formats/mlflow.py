"""MLflow model folders: their own native file where one stands in them, else the whole folder.

Source: MLflow's description of its model format, https://mlflow.org/docs/latest/ml/model/.
"""

from __future__ import annotations

import tarfile
from contextlib import ExitStack
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp
from typing import Any
from weakref import finalize

import numpy as np
import pandas as pd
import yaml

from trimtab.errors import InvalidInput, ModelFailure
from trimtab.models.formats.matrix import outputs
from trimtab.models.formats.sklearn_frame import SklearnPredictor, typed
from trimtab.protocols import Predictor
from trimtab.types import Columns, FloatArray, Signature, Task

_HEAD = "MLmodel"
_FILE_KEYS = {
    "sklearn": "pickled_model",
    "lightgbm": "data",
    "xgboost": "data",
    "catboost": "data",
    "onnx": "data",
}
"""The key of a flavour that names its file."""


class MlflowFormat:
    """A folder that ``mlflow.<flavour>.save_model`` or ``log_model`` wrote, as a plain tar file.

    Entries stand in the order of their names and without times, so the same folder is the same digest.
    """

    name = "mlflow"
    runs_code = True

    def sniff(self, path: Path) -> bool:
        """Whether it is a tar file that begins with an ``MLmodel``."""
        with path.open("rb") as file:
            head = file.read(512)
        return head.startswith(_HEAD.encode() + b"\0") and head[257:262] == b"ustar"

    def load(self, path: Path, signature: Signature) -> Predictor:
        """Unpack and load a folder; whatever code is in it runs now.

        Raises:
            ModelFailure: the file is cut off, or a package that the model needs is missing.
        """
        with ExitStack() as unless_loaded:
            folder = Path(mkdtemp(prefix="trimtab-mlflow-"))
            unless_loaded.callback(rmtree, folder)
            predictor = _predictor(_unpacked(path, folder), signature)
            # A pyfunc may read its files for as long as it lives.
            finalize(predictor, unless_loaded.pop_all().close)
        return predictor

    def accepts(self, model: object) -> bool:
        """Whether it is the path of such a folder."""
        return isinstance(model, Path) and (model / _HEAD).is_file()

    def save(self, model: object, path: Path) -> None:
        """Pack a folder."""
        if not isinstance(model, Path):
            return
        files = sorted(file for file in model.rglob("*") if file.is_file())
        files.sort(key=lambda file: file != model / _HEAD)
        with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as packed:
            for file in files:
                entry = tarfile.TarInfo(file.relative_to(model).as_posix())
                entry.size = file.stat().st_size
                with file.open("rb") as content:
                    packed.addfile(entry, content)

    def within(self, folder: Path) -> Path | None:
        """The native file of a folder's flavour; None if it has none that is served by itself.

        Raises:
            InvalidInput: its ``MLmodel`` does not read as one, or names a file that is not there.
        """
        if not self.accepts(folder):
            return None
        for flavour, key in _FILE_KEYS.items():
            told = _flavours(folder).get(flavour)
            if not isinstance(told, dict) or key not in told:
                continue
            if flavour != "sklearn" and told.get("serialization_format"):
                return None  # its scikit-learn face, in a file that only MLflow reads
            file = folder / str(told[key])
            if folder.resolve() not in file.resolve().parents or not file.is_file():
                raise _malformed(folder, f"names {told[key]!r}, which is no file in the folder")
            return file
        return None


class PyfuncPredictor:
    """A ``python_function`` as a :class:`~trimtab.protocols.Predictor`.

    It is given a frame with the signature's names, and answers probabilities (of the second class, or of
    each) or values, as an array, a series or a frame.

    Args:
        model: What ``mlflow.pyfunc.load_model`` gave.
        signature: What it takes and answers.
    """

    def __init__(self, model: Any, signature: Signature) -> None:
        self._model = model
        self._task = signature.task

    def predict(self, columns: Columns) -> FloatArray:
        """Score rows; shape ``(rows, k)``."""
        named = zip(columns.features, columns.arrays, strict=True)
        frame = pd.DataFrame({spec.name: typed(spec, array) for spec, array in named}, copy=False)
        raw = np.asarray(self._model.predict(frame))
        if self._task is not Task.REGRESSION and raw.dtype.kind != "f":
            raise ModelFailure(
                f"The MLflow model answers classes ({raw.dtype}) where probabilities are wanted.",
                hint="Log a pyfunc whose predict returns predict_proba.",
                code="no_probabilities",
            )
        return outputs(raw, self._task)


def _unpacked(path: Path, folder: Path) -> Any:
    import mlflow.pyfunc

    try:
        with tarfile.open(path) as packed:
            packed.extractall(folder, filter="data")
        return mlflow.pyfunc.load_model(str(folder), suppress_warnings=True)
    except (tarfile.TarError, EOFError, ImportError) as error:
        raise ModelFailure(
            f"The MLflow model does not load: {error}",
            hint="Its requirements.txt names the packages that it needs.",
            code="model_unreadable",
        ) from error


def _predictor(loaded: Any, signature: Signature) -> Predictor:
    inner = _estimator(loaded)
    return (
        PyfuncPredictor(loaded, signature) if inner is None else SklearnPredictor(inner, signature)
    )


def _estimator(loaded: Any) -> Any | None:
    """The scikit-learn face of a loaded model, which tells probabilities; None if it has none."""
    try:
        raw = loaded.get_raw_model()
    except NotImplementedError:
        return None
    return raw if hasattr(raw, "predict_proba") else None


def _flavours(folder: Path) -> dict[str, object]:
    try:
        told = yaml.safe_load((folder / _HEAD).read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise _malformed(folder, "is not YAML") from error
    flavours = told.get("flavors") if isinstance(told, dict) else None
    if not isinstance(flavours, dict):
        raise _malformed(folder, "names no flavors")
    return flavours


def _malformed(folder: Path, why: str) -> InvalidInput:
    return InvalidInput(
        f"The MLmodel in {folder.name!r} {why}.",
        hint="Save the model again with MLflow.",
        code="artifact_malformed",
        path=str(folder),
    )
