"""Law 11: scikit-learn's forests, packed, take the same decisions and sum the same, to the last bit.

Every estimator with classes, numbers and several outputs, with and without missing values, of columns
of every width; rows have values exactly at thresholds and next to them as float32, both zeros, denormals,
and integers beyond 2^53.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.ensemble import (
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.tree import (
    DecisionTreeClassifier,
    DecisionTreeRegressor,
    ExtraTreeClassifier,
    ExtraTreeRegressor,
)

from trimtab.compact import Forest, decision_paths, pack
from trimtab.compact.kernel import COMPILED
from trimtab.optimize.convert import ensemble_of

ROWS, FEATURES = 160, 4
ODD = [0.0, -0.0, 5e-324, -1e-310, 1e-45, 1e-38, 1e30, -1e30, 2.0**24 + 1, 2.0**53 + 2, 0.5, 77.0]
WIDE = [0, 1, -1, 2**24 + 1, 2**53 + 1, 2**53 - 1, -(2**53) - 1, 2**62 + 2**38, 2**63 - 1, -(2**63)]
CLASSIFIERS = [
    DecisionTreeClassifier, ExtraTreeClassifier, RandomForestClassifier, ExtraTreesClassifier,
]  # fmt: skip
REGRESSORS = [
    DecisionTreeRegressor, ExtraTreeRegressor, RandomForestRegressor, ExtraTreesRegressor,
]  # fmt: skip


def trained_on(rng: Any, kind: Any, *, missing: bool) -> Any:
    if kind is np.int64:
        return rng.integers(-(2**62), 2**62, (ROWS, FEATURES))
    X = rng.normal(size=(ROWS, FEATURES)).round(1).astype(kind)
    return np.where(rng.random(X.shape) < 0.15, np.nan, X).astype(kind) if missing else X


def asked_of(rng: Any, X: Any, thresholds: Any, kind: Any, *, missing: bool) -> Any:
    """Rows as in training, and all that is odd."""
    if kind is np.int64:
        pool: Any = np.array(WIDE, np.int64)
        near = np.clip(thresholds, -(2.0**62), 2.0**62).astype(np.int64)
        pool = np.concatenate([pool, near, near + 1, near - 1])
    else:
        next_up = np.nextafter(thresholds.astype(np.float32), np.float32(np.inf))
        pool = np.concatenate([ODD, thresholds, np.nextafter(thresholds, np.inf), next_up])
        pool = np.concatenate([pool, np.full(8, np.nan)]) if missing else pool
    with np.errstate(under="ignore"):
        drawn = rng.choice(pool, X.shape).astype(kind)
    return np.concatenate([X, np.where(rng.random(X.shape) < 0.4, X, drawn)])


def answers(model: Any, rows: Any) -> Any:
    if not hasattr(model, "predict_proba"):
        return model.predict(rows).reshape(len(rows), -1)
    told = model.predict_proba(rows)
    return np.concatenate(told, axis=1) if isinstance(told, list) else told


@settings(max_examples=3, deadline=None)
@given(seed=st.integers(0, 2**32))
@pytest.mark.parametrize(
    ("kind", "missing"),
    [(np.float64, False), (np.float64, True), (np.float32, True), (np.int64, False)],
)
@pytest.mark.parametrize("outputs", [1, 2])
@pytest.mark.parametrize("estimator", [*CLASSIFIERS, *REGRESSORS], ids=lambda each: each.__name__)
def test_a_forest_packed_is_the_forest(
    estimator: Any, outputs: int, kind: Any, missing: bool, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    X = trained_on(rng, kind, missing=missing)
    number = np.nan_to_num(X[:, 0].astype(float)) + rng.normal(size=ROWS) * np.nanstd(
        X[:, 1].astype(float)
    )
    outcome = (
        number if estimator in REGRESSORS else np.digitize(number, np.quantile(number, [0.3, 0.6]))
    )
    if outputs == 2:
        outcome = np.column_stack([outcome, outcome[::-1]])
    settings_ = (
        {"n_estimators": 5}
        if "Forest" in estimator.__name__ or "Trees" in estimator.__name__
        else {}
    )
    model = estimator(random_state=seed % 2**31, **settings_).fit(X, outcome)
    ensemble = ensemble_of(model)
    found = np.concatenate([tree.threshold[tree.left >= 0] for tree in ensemble.trees])
    rows = asked_of(rng, X, found[np.isfinite(found)], kind, missing=missing)
    leaves = model.apply(rows).reshape(len(rows), -1)
    taken = [
        decision_paths(tree)[leaf] for tree, leaf in zip(ensemble.trees, leaves.T, strict=True)
    ]
    data = pack(ensemble)
    for compiled in [True, False] if COMPILED else [False]:
        forest = Forest(data, compiled=compiled)
        assert (np.stack(taken, 1) == forest.paths(rows)).all()
        assert answers(model, rows).tobytes() == forest.predict(rows).tobytes()
        alone = np.array([forest.one(row) for row in np.asarray(rows, np.float64)])
        assert alone.tobytes() == forest.predict(np.asarray(rows, np.float64)).tobytes()
