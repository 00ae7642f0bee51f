from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.ensemble import (
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.linear_model import LinearRegression
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor, ExtraTreeClassifier

from trimtab.compact import Forest, decision_paths, pack
from trimtab.compact.kernel import COMPILED
from trimtab.errors import InvalidPlan
from trimtab.optimize.convert import ensemble_of

KERNELS = [True, False] if COMPILED else [False]
rng = np.random.default_rng(5)
X = rng.normal(size=(400, 4)).round(1)
NUMBER = X[:, 0] + X[:, 1] * X[:, 2] + rng.normal(size=400)
CLASS = np.digitize(NUMBER, [-0.5, 0.5])


def outputs(model: Any, rows: Any) -> Any:
    """What the model answers, as one matrix."""
    if not hasattr(model, "predict_proba"):
        return model.predict(rows).reshape(len(rows), -1)
    answer = model.predict_proba(rows)
    return np.concatenate(answer, axis=1) if isinstance(answer, list) else answer


def ends(model: Any, rows: Any) -> Any:
    return model.apply(rows).reshape(len(rows), -1)


MODELS = [
    RandomForestClassifier(12, random_state=0).fit(X, CLASS),
    RandomForestClassifier(12, random_state=0, class_weight="balanced").fit(X, CLASS == 1),
    RandomForestClassifier(5, random_state=0).fit(X, np.column_stack([CLASS, CLASS == 1])),
    RandomForestClassifier(3, random_state=0).fit(X, np.zeros(400)),
    RandomForestRegressor(12, random_state=0).fit(X, NUMBER),
    RandomForestRegressor(5, random_state=0).fit(X, np.column_stack([NUMBER, CLASS])),
    RandomForestRegressor(5, criterion="absolute_error", max_depth=4).fit(X, NUMBER),
    ExtraTreesClassifier(12, random_state=0).fit(X, CLASS),
    ExtraTreesRegressor(12, random_state=0).fit(X, NUMBER),
    DecisionTreeClassifier(random_state=0).fit(X, CLASS),
    DecisionTreeRegressor(random_state=0).fit(X, NUMBER),
    ExtraTreeClassifier(random_state=0).fit(X, CLASS),
]


@pytest.mark.parametrize("compiled", KERNELS)
@pytest.mark.parametrize("model", MODELS, ids=lambda model: type(model).__name__)
def test_paths_and_outputs_are_equal_to_the_last_bit(model: Any, compiled: bool) -> None:
    ensemble = ensemble_of(model)
    forest = Forest(pack(ensemble), compiled=compiled)
    rows = np.concatenate([X, rng.normal(size=(200, 4))])
    expected = np.stack(
        [
            decision_paths(tree)[leaf]
            for tree, leaf in zip(ensemble.trees, ends(model, rows).T, strict=True)
        ],
        axis=1,
    )
    assert (expected == forest.paths(rows)).all()
    assert outputs(model, rows).tobytes() == forest.predict(rows).tobytes()
    assert sum(forest.groups) == forest.columns


@pytest.mark.parametrize("compiled", KERNELS)
def test_missing_values_go_where_the_library_sends_them(compiled: bool) -> None:
    holes = np.where(rng.random(X.shape) < 0.2, np.nan, X)
    model = RandomForestClassifier(20, random_state=0).fit(holes, CLASS)
    forest = Forest(pack(ensemble_of(model)), compiled=compiled)
    rows = np.where(rng.random((500, 4)) < 0.3, np.nan, rng.normal(size=(500, 4)))
    assert model.predict_proba(rows).tobytes() == forest.predict(rows).tobytes()


@pytest.mark.parametrize("compiled", KERNELS)
@pytest.mark.parametrize("kind", [np.int64, np.float32, np.int8, np.bool_, np.uint16])
def test_columns_of_every_type_are_read_as_the_library_reads_them(
    kind: Any, compiled: bool
) -> None:
    wide = rng.integers(-(2**62), 2**62, (600, 3))
    data = wide if kind is np.int64 else wide.astype(kind)
    model = ExtraTreesClassifier(15, random_state=0).fit(data, wide[:, 0] > 0)
    forest = Forest(pack(ensemble_of(model)), compiled=compiled)
    assert model.predict_proba(data).tobytes() == forest.predict(data).tobytes()


def test_other_models_are_refused_by_name() -> None:
    with pytest.raises(InvalidPlan, match=r"LinearRegression cannot be made compact.*RandomForest"):
        ensemble_of(LinearRegression())
