"""Whole models against their compiled forms: forests, linear models, and estimators of estimators."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import pandas as pd
import pytest
import xgboost
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import make_column_transformer
from sklearn.ensemble import (
    ExtraTreesClassifier,
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
    RandomForestRegressor,
    StackingClassifier,
    StackingRegressor,
    VotingClassifier,
    VotingRegressor,
)
from sklearn.impute import SimpleImputer
from sklearn.linear_model import (
    ElasticNet,
    HuberRegressor,
    LinearRegression,
    LogisticRegression,
    PoissonRegressor,
    Ridge,
    SGDClassifier,
    TweedieRegressor,
)
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler
from sklearn.svm import LinearSVC
from sklearn.tree import DecisionTreeClassifier

from trimtab.compact.artifact import Draft, read, write
from trimtab.models.formats.lightgbm import LightgbmFormat
from trimtab.models.formats.sklearn_frame import SklearnPredictor
from trimtab.models.formats.xgboost import XgboostFormat
from trimtab.models.guard import Guarded, opened
from trimtab.optimize.compact import compact
from trimtab.schema import columns_from_frame, infer_signature
from trimtab.types import Task

RNG = np.random.default_rng(3)
ROWS = 240
X = pd.DataFrame(
    {
        "a": RNG.normal(size=ROWS),
        "b": RNG.normal(size=ROWS).round(1),
        "n": RNG.integers(-3, 9, ROWS),
        "c": pd.Series(RNG.choice(np.array(["red", "grün", "青", None]), ROWS)),
    }
)
X.loc[::9, "a"] = np.nan
TWO = (X.b + RNG.normal(size=ROWS) > 0).to_numpy().astype(int)
THREE = np.array(["low", "mid", "top"])[np.digitize(X.b + RNG.normal(size=ROWS), [-0.5, 0.5])]
VALUE = (X.b * 3 + X.n + RNG.normal(size=ROWS)).to_numpy()
Make = Callable[[], Any]


def before(*, sparse: float = 0.3, dense: bool = False) -> Any:
    encoder = OrdinalEncoder(
        handle_unknown="use_encoded_value", unknown_value=-1, encoded_missing_value=-2
    )
    words = OneHotEncoder(handle_unknown="ignore", sparse_output=not dense)
    numbers = make_pipeline(SimpleImputer(), StandardScaler())
    return make_column_transformer(
        (words, ["c"]), (numbers, ["a", "b", "n"]), (encoder, ["c"]), sparse_threshold=sparse
    )


def forest(**more: Any) -> Any:
    return RandomForestClassifier(8, max_depth=5, random_state=0, **more)


CLASSIFIERS: Mapping[str, Make] = {
    "logistic": lambda: LogisticRegression(max_iter=500),
    "log_loss": lambda: SGDClassifier(loss="log_loss", random_state=0),
    "forest": forest,
    "tree": lambda: DecisionTreeClassifier(max_depth=4),
    "extra": lambda: ExtraTreesClassifier(6, max_depth=6, random_state=0),
    "sigmoid over a forest": lambda: CalibratedClassifierCV(forest(), cv=3),
    "isotonic over a forest": lambda: CalibratedClassifierCV(forest(), method="isotonic", cv=3),
    "sigmoid over a linear SVM": lambda: CalibratedClassifierCV(LinearSVC(), cv=3),
    "vote": lambda: VotingClassifier(
        [("f", forest()), ("l", LogisticRegression()), ("x", "drop")],
        voting="soft",
        weights=[2, 1, 5],
    ),
    "stack": lambda: StackingClassifier(
        [("f", forest()), ("l", make_pipeline(StandardScaler(), LogisticRegression()))],
        final_estimator=make_pipeline(StandardScaler(), LogisticRegression()),
        cv=3,
    ),
    "stack that passes through": lambda: StackingClassifier(
        [("f", forest()), ("s", LinearSVC())], final_estimator=forest(), cv=3, passthrough=True
    ),
}
CLASSIFIERS = {
    **CLASSIFIERS,
    "gradient boosting": lambda: GradientBoostingClassifier(n_estimators=8),
    "histogram boosting": lambda: HistGradientBoostingClassifier(max_iter=8),
    "LightGBM": lambda: lightgbm.LGBMClassifier(n_estimators=8, verbose=-1, n_jobs=1),
    "XGBoost": lambda: xgboost.XGBClassifier(n_estimators=8, n_jobs=1),
    "isotonic over histogram boosting": lambda: CalibratedClassifierCV(
        HistGradientBoostingClassifier(max_iter=5), method="isotonic", cv=2
    ),
}
REGRESSORS: Mapping[str, Make] = {
    "least squares": LinearRegression,
    "ridge": Ridge,
    "elastic net": ElasticNet,
    "huber": lambda: HuberRegressor(max_iter=2000),
    "forest": lambda: RandomForestRegressor(8, max_depth=5, random_state=0),
    "vote": lambda: VotingRegressor(
        [("f", RandomForestRegressor(5, random_state=0)), ("l", LinearRegression())], weights=[1, 3]
    ),
    "stack": lambda: StackingRegressor(
        [("f", RandomForestRegressor(5, random_state=0)), ("l", Ridge())], cv=3
    ),
}


def attempt(model: Any, y: Any, task: Task, labels: tuple[str, ...] = ()) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit(X, y)
    signature = infer_signature(X, task=task, labels=labels)
    served = Guarded(SklearnPredictor(model, signature), signature, "m")
    return compact(model, signature, served, columns_from_frame(signature, X))


def check(found: Any, tolerance: float = 1e-12 * 40) -> None:
    assert "" == found.reason
    assert ROWS == found.figures.rows
    assert found.figures.max_abs <= tolerance


@pytest.mark.parametrize("dense", [True, False])
@pytest.mark.parametrize("name", CLASSIFIERS)
def test_classifiers_of_two_classes(name: str, dense: bool) -> None:
    model = make_pipeline(before(dense=dense), CLASSIFIERS[name]())
    if name == "stack that passes through" and not dense:
        model = make_pipeline(before(sparse=0.0), CLASSIFIERS[name]())
    if name == "XGBoost":
        model = make_pipeline(before(sparse=0.0), CLASSIFIERS[name]())
    if name == "histogram boosting" and not dense:
        model = make_pipeline(before(sparse=0.0), CLASSIFIERS[name]())
    rounding = 2.0**-22 if name == "XGBoost" else 4e-11
    check(attempt(model, TWO, Task.BINARY, ("0", "1")), rounding)


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_classifiers_of_three_classes(name: str) -> None:
    model = make_pipeline(before(dense=True), CLASSIFIERS[name]())
    y = np.searchsorted(["low", "mid", "top"], THREE) if name == "XGBoost" else THREE
    rounding = 2.0**-22 if name == "XGBoost" else 4e-11
    check(attempt(model, y, Task.MULTICLASS, ("low", "mid", "top")), rounding)


def boosters() -> list[tuple[Any, Any]]:
    """Boosters with categories and gaps, and the format that serves them."""
    frame = X.assign(c=X.c.astype("category"))
    late = lightgbm.LGBMClassifier(n_estimators=8, verbose=-1, n_jobs=1, min_child_samples=5)
    three = lightgbm.LGBMClassifier(n_estimators=4, verbose=-1, n_jobs=1)
    early = xgboost.XGBClassifier(n_estimators=8, n_jobs=1, enable_categorical=True)
    return [
        (late.fit(frame, TWO), LightgbmFormat()),
        (three.fit(frame, THREE), LightgbmFormat()),
        (early.fit(frame, TWO), XgboostFormat()),
    ]


@pytest.mark.parametrize("number", range(3))
def test_boosters_by_themselves(number: int, tmp_path: Path) -> None:
    model, served_as = boosters()[number]
    labels = ("low", "mid", "top") if number == 1 else ("0", "1")
    task = Task.MULTICLASS if number == 1 else Task.BINARY
    signature = infer_signature(X, task=task, labels=labels)
    served_as.save(model, tmp_path / "model")
    served = opened(served_as, tmp_path / "model", signature, "m")
    rows = columns_from_frame(signature, X)
    found = compact(served.original, signature, served, rows, encoding=served.encoding)
    check(found, 2.0**-22 if number == 2 else 4e-11)


@pytest.mark.parametrize("name", REGRESSORS)
def test_regressors(name: str) -> None:
    check(attempt(make_pipeline(before(), REGRESSORS[name]()), VALUE, Task.REGRESSION))


@pytest.mark.parametrize(
    "model", [PoissonRegressor(), TweedieRegressor(power=1.5, link="log"), TweedieRegressor()]
)
def test_generalised_linear_models(model: Any) -> None:
    check(attempt(make_pipeline(before(), model), np.abs(VALUE), Task.REGRESSION))


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        (MLPClassifier(max_iter=20), "MLPClassifier is not among the estimators compiled."),
        (
            CalibratedClassifierCV(MLPClassifier(max_iter=20), cv=2),
            "MLPClassifier is not among the estimators compiled.",
        ),
    ],
)
def test_what_is_not_compiled_says_why(model: Any, reason: str) -> None:
    found = attempt(make_pipeline(before(), model), TWO, Task.BINARY, ("0", "1"))
    assert (None, reason) == (found.artifact, found.reason)


def test_a_model_of_another_release_that_lacks_an_attribute_stays_native() -> None:
    model = make_pipeline(before(), LogisticRegression()).fit(X, TWO)
    signature = infer_signature(X, task=Task.BINARY, labels=("0", "1"))
    served = Guarded(SklearnPredictor(model, signature), signature, "m")
    columns = model[0]
    encoder = columns.named_transformers_["onehotencoder"]
    categories = encoder.categories_
    del encoder.categories_
    found = compact(model, signature, served, columns_from_frame(signature, X))
    encoder.categories_ = categories
    assert found.artifact is None
    assert "cannot be read: AttributeError" in found.reason


NUMBERS = ["a", "b", "n"]
SINGLE = {
    "logistic": (lambda: LogisticRegression(max_iter=500), TWO, Task.BINARY),
    "logistic of three": (lambda: LogisticRegression(max_iter=500), THREE, Task.MULTICLASS),
    "one against the rest": (lambda: SGDClassifier(random_state=0, loss="log_loss"), THREE, Task.MULTICLASS),
    "huber": (lambda: SGDClassifier(random_state=0, loss="modified_huber"), TWO, Task.BINARY),
    "ridge": (Ridge, VALUE, Task.REGRESSION),
    "poisson": (PoissonRegressor, np.abs(VALUE), Task.REGRESSION),
    "forest": (forest, TWO, Task.BINARY),
    "forest of three": (forest, THREE, Task.MULTICLASS),
    "boosting": (lambda: HistGradientBoostingClassifier(max_iter=20), TWO, Task.BINARY),
    "trees of a value": (lambda: RandomForestRegressor(5, random_state=0), VALUE, Task.REGRESSION),
}  # fmt: skip


@pytest.mark.parametrize("texts", [True, False])
@pytest.mark.parametrize("name", SINGLE)
def test_rows_together_answer_as_each_alone_to_the_last_bit(
    name: str, texts: bool, tmp_path: Path
) -> None:
    make, outcome, task = SINGLE[name]
    numbers = make_pipeline(SimpleImputer(), StandardScaler())
    frame = X if texts else X[NUMBERS]
    model = make_pipeline(before(dense=True) if texts else numbers, make()).fit(frame, outcome)
    labels = {Task.BINARY: ("0", "1"), Task.MULTICLASS: ("low", "mid", "top")}.get(task, ())
    signature = infer_signature(frame, task=task, labels=labels)
    served = Guarded(SklearnPredictor(model, signature), signature, "m")
    found = compact(model, signature, served, columns_from_frame(signature, frame))
    assert isinstance(found.artifact, Draft)
    write(found.artifact, tmp_path / "model")
    opened_again = read(tmp_path / "model")
    assert opened_again.one is not None
    assert opened_again.many is not None
    rows = frame.astype(object).where(frame.notna(), None).to_numpy().tolist()
    alone = np.array([opened_again.one(row) for row in rows])
    for count in (1, 2, 3, 16, 17, ROWS):
        together = opened_again.many(rows[:count])
        assert together.tobytes() == alone[:count].tobytes()
    whole = opened_again.many(rows[1:9])  # in which no number is missing
    assert whole.tobytes() == alone[1:9].tobytes()
