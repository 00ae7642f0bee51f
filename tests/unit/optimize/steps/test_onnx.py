"""Models that are no trees in ONNX Runtime, and what the gate keeps out."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.svm import SVR

from trimtab.optimize.forms import NativeForm
from trimtab.optimize.steps.int8 import open_onnx
from trimtab.optimize.steps.onnx import OnnxRuntime
from trimtab.types import Ground, Rows, Task

RANDOM = np.random.default_rng(5)
X = RANDOM.normal(size=(300, 4))
Y = X[:, 0] * X[:, 1] + RANDOM.normal(size=300)


def offered(model: Any, task: Task, **settings: float) -> list[tuple[str, Any]]:
    rows = Rows(X=X)
    ground = Ground(task=task, fit=rows, choose=rows, certify=rows)
    return list(OnnxRuntime(**settings).offers(NativeForm(model), ground))


@pytest.mark.parametrize(
    "model",
    [
        SVR(),
        make_pipeline(StandardScaler(), SVR()),
        MLPRegressor(hidden_layer_sizes=(8,), solver="lbfgs", max_iter=30, random_state=0),
    ],
)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_values_are_the_models_own_within_the_gate(model: Any, tmp_path: Any) -> None:
    ((words, form),) = offered(model.fit(X, Y), Task.REGRESSION)
    assert words == "ONNX Runtime"
    own = model.predict(X)
    np.testing.assert_allclose(form.outputs(X)[:, 0], own, rtol=0, atol=1e-4)
    again = open_onnx(tmp_path / form.write(tmp_path / "model").path)
    assert again(X).tobytes() == form.outputs(X).tobytes()


@pytest.mark.parametrize("model", [LogisticRegression(), KNeighborsClassifier(3)])
def test_probabilities_come_in_the_models_shape(model: Any) -> None:
    ((_, form),) = offered(model.fit(X, Y > 0), Task.BINARY)
    assert (300, 2) == form.outputs(X).shape


def test_what_differs_by_more_than_the_gate_is_not_offered() -> None:
    assert [] == offered(SVR().fit(X, Y), Task.REGRESSION, gate=1e-12)


def test_trees_and_what_cannot_be_converted_are_left_to_others() -> None:
    forest = RandomForestClassifier(3, random_state=0).fit(X, Y > 0)
    assert [] == offered(forest, Task.BINARY)
    curved = make_pipeline(FunctionTransformer(np.cbrt), SVR()).fit(X, Y)
    assert [] == offered(curved, Task.REGRESSION)
