"""Weights of 8 bits answer nearly what the weights of 64 did."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler

from trimtab.optimize.forms import NativeForm
from trimtab.optimize.steps.int8 import Int8, open_onnx
from trimtab.types import Ground, Rows, Task

RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(400, 6)) * [1, 10, 100, 1, 1, 1]
Y = (X[:, 0] + X[:, 1] / 10 > 0).astype(np.int64)
GROUND = Ground(task=Task.BINARY, fit=Rows(X=X), choose=Rows(X=X), certify=Rows(X=X))


@pytest.mark.parametrize(
    ("model", "target", "most"),
    [
        (make_pipeline(StandardScaler(), LogisticRegression()), Y, 0.03),
        (make_pipeline(StandardScaler(), LogisticRegression()), Y + (X[:, 3] > 1), 0.06),
        (make_pipeline(StandardScaler(), LinearRegression()), X[:, 0], 0.05),
        (make_pipeline(StandardScaler(), MLPClassifier((16, 8), max_iter=800, random_state=0)), Y, 0.12),
        (make_pipeline(StandardScaler(), MLPRegressor(hidden_layer_sizes=(16,), max_iter=2000, random_state=0)), X[:, 0], 0.2),
    ],
)  # fmt: skip
def test_answers_stay_close(model: Any, target: Any, most: float, tmp_path: Path) -> None:
    native = NativeForm(model.fit(X, target))
    ((words, form),) = Int8().offers(native, GROUND)
    assert words == "weights of 8 bits"
    apart = np.abs(form.outputs(X) - native.outputs(X))
    assert 0.0 < apart.max() < most
    file = form.write(tmp_path / "model")
    np.testing.assert_array_equal(open_onnx(Path(file.path))(X), form.outputs(X))


def test_a_large_perceptron_becomes_small(tmp_path: Path) -> None:
    model = MLPClassifier((256, 256), max_iter=30, early_stopping=True).fit(X[:, [0, 3]], Y)
    ((_, form),) = Int8().offers(NativeForm(model), GROUND)
    small = form.write(tmp_path / "small").disk_bytes
    assert small < NativeForm(model).write(tmp_path / "large").disk_bytes / 8


@pytest.mark.parametrize(
    "model",
    [
        RandomForestClassifier(2, random_state=0).fit(X, Y),
        make_pipeline(MinMaxScaler(), LogisticRegression()).fit(X, Y),
    ],
)
def test_other_models_are_left_alone(model: Any) -> None:
    assert [] == list(Int8().offers(NativeForm(model), GROUND))
