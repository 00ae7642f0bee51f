from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
from sklearn.ensemble import (
    ExtraTreesRegressor,
    GradientBoostingClassifier,
    RandomForestClassifier,
)
from sklearn.tree import DecisionTreeClassifier

from trimtab.compact import pack
from trimtab.errors import InvalidPlan
from trimtab.optimize.convert import ensemble_of
from trimtab.optimize.convert.streaming import compact_file

rng = np.random.default_rng(11)
X = rng.normal(size=(3000, 4))
CLASS = np.digitize(X[:, 0] + rng.normal(size=3000), [-1, 1])
MODELS = [
    RandomForestClassifier(6, random_state=0).fit(X, CLASS),
    RandomForestClassifier(3, random_state=0).fit(X, np.column_stack([CLASS, CLASS == 1])),
    ExtraTreesRegressor(4, random_state=0).fit(X, X[:, :2]),
    DecisionTreeClassifier(random_state=0).fit(X, CLASS),
]


def plain_pickle(model: Any, path: Path) -> None:
    path.write_bytes(pickle.dumps(model))


@pytest.mark.parametrize("save", [joblib.dump, plain_pickle])
@pytest.mark.parametrize("model", MODELS, ids=lambda model: type(model).__name__)
def test_a_forest_read_tree_by_tree_is_the_forest_read_at_once(
    model: Any, save: Any, tmp_path: Path
) -> None:
    path = tmp_path / "model"
    save(model, path)
    assert pack(ensemble_of(model)) == compact_file(path)


def test_a_compressed_file_is_refused_with_what_to_do(tmp_path: Path) -> None:
    joblib.dump(MODELS[0], tmp_path / "model", compress=3)
    with pytest.raises(InvalidPlan, match="compressed"):
        compact_file(tmp_path / "model")


def test_other_models_and_forests_inside_others_are_refused(tmp_path: Path) -> None:
    boosting = GradientBoostingClassifier(n_estimators=2).fit(X[:100], CLASS[:100])
    joblib.dump(boosting, tmp_path / "boosting")
    with pytest.raises(InvalidPlan, match="cannot be made compact"):
        compact_file(tmp_path / "boosting")
    joblib.dump([MODELS[0]], tmp_path / "list")
    with pytest.raises(InvalidPlan, match="cannot be made compact"):
        compact_file(tmp_path / "list")


def test_a_forest_with_a_tree_taken_out_of_order_is_refused(tmp_path: Path) -> None:
    model = RandomForestClassifier(3, random_state=0).fit(X, CLASS)
    model.estimators_ = [model.estimators_[0], model.estimators_[0], model.estimators_[1]]
    joblib.dump(model, tmp_path / "model")
    with pytest.raises(InvalidPlan, match="another order"):
        compact_file(tmp_path / "model")
