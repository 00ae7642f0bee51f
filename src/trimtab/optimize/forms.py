"""A fitted model as its own library runs it: the form that everything else is measured against."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import joblib
import numpy as np

from trimtab.types import FloatArray, ModelFile, Task
from trimtab.unpickling import load

Answer = Callable[[Any], FloatArray]


class NativeForm:
    """A fitted scikit-learn estimator, or a booster of XGBoost or LightGBM.

    Args:
        model: It is not changed.
    """

    def __init__(self, model: Any) -> None:
        self.model = model
        self._answer = answering(model)

    def outputs(self, rows: Any) -> FloatArray:
        """Class probabilities or values, shape ``(rows, k)``."""
        return self._answer(rows)

    def write(self, path: Path) -> ModelFile:
        """Write it with joblib."""
        target = path.with_name(f"{path.name}.joblib")
        joblib.dump(self.model, target)
        return ModelFile(
            path=str(target), opener=f"{__name__}:open_native", imports=libraries(self.model)
        )


def open_native(path: Path) -> Answer:
    """A file that this program has just written, as a function from rows to outputs."""
    return answering(load(path))


def answering(model: Any) -> Answer:
    """A model's own way to answer, on one thread, as rows of probabilities or values."""
    for part in parts(model):
        if getattr(part, "n_jobs", None) is not None:
            part.n_jobs = 1
    if hasattr(model, "predict_proba"):
        return lambda rows: stacked(model.predict_proba(rows))
    if type(model).__module__.startswith("xgboost"):
        return _xgboost(model)
    if type(model).__module__.startswith("lightgbm"):
        return lambda rows: both(stacked(model.predict(rows, num_threads=1)), _is_binary(model))
    if hasattr(model, "score_samples"):
        return lambda rows: stacked(model.score_samples(rows))
    return lambda rows: stacked(model.predict(rows))


def stacked(raw: Any) -> FloatArray:
    """Outputs in two dimensions."""
    values = np.asarray(raw, dtype=np.float64)
    return values if values.ndim == 2 else values.reshape(len(values), -1)


def both(values: FloatArray, binary: bool) -> FloatArray:
    """The probability of one class as that of two."""
    return np.hstack((1.0 - values, values)) if binary and values.shape[1] == 1 else values


def parts(model: Any) -> list[Any]:
    """The model and the estimators inside it that it names."""
    found, waiting = [], [model]
    while waiting:
        part = waiting.pop()
        found.append(part)
        inner = [*getattr(part, "steps", ()), *getattr(part, "transformers_", ())]
        waiting += [step for _, step, *_ in inner if hasattr(step, "get_params")]
        waiting += [getattr(part, name) for name in ("estimator", "final_estimator_")
                    if hasattr(getattr(part, name, None), "fit")]  # fmt: skip
    return found


def libraries(model: Any) -> tuple[str, ...]:
    """The modules that a model's parts come from, imported before its memory is measured."""
    return tuple(sorted({"joblib", *(type(part).__module__ for part in parts(model))}))


def task_of(model: Any) -> Task:
    """What a fitted model answers, as far as it says so itself."""
    classes = getattr(model, "classes_", None)
    if classes is not None and hasattr(model, "predict_proba"):
        return Task.BINARY if len(classes) == 2 else Task.MULTICLASS
    if type(model).__module__.startswith(("xgboost", "lightgbm")) and _is_binary(model):
        return Task.BINARY
    return Task.REGRESSION


def _is_binary(model: Any) -> bool:
    config = model.save_config() if hasattr(model, "save_config") else model.model_to_string(1)
    return any(words in config for words in ('"binary:logistic"', "objective=binary"))


def _xgboost(model: Any) -> Answer:
    binary = _is_binary(model)
    model.set_param({"nthread": min(1, os.cpu_count() or 1)})
    return lambda rows: both(stacked(model.inplace_predict(rows)), binary)
