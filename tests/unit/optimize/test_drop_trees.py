"""Trees are really taken out of a fitted ensemble."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest
from sklearn.ensemble import (
    ExtraTreesRegressor,
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression

from trimtab.errors import InvalidPlan
from trimtab.optimize.trees import drop_trees

RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(200, 4))
Y = (X[:, 0] + RANDOM.normal(size=200) > 0).astype(np.int64)


def test_setting_n_estimators_on_a_fitted_forest_changes_nothing() -> None:
    forest = RandomForestClassifier(20, random_state=0).fit(X, Y)
    before, size = forest.predict_proba(X), len(pickle.dumps(forest))
    forest.n_estimators = 5
    np.testing.assert_array_equal(forest.predict_proba(X), before)
    assert len(pickle.dumps(forest)) == pytest.approx(size, abs=16)
    assert len(pickle.dumps(drop_trees(forest, 5))) < size / 3


@pytest.mark.parametrize(
    "kind", [RandomForestClassifier, RandomForestRegressor, ExtraTreesRegressor]
)
def test_a_forest_with_fewer_trees_is_the_mean_of_those(kind: Any) -> None:
    forest = kind(20, random_state=0).fit(X, Y)
    fewer = drop_trees(forest, 5)
    ask = "predict_proba" if hasattr(forest, "predict_proba") else "predict"
    expected = np.mean([getattr(tree, ask)(X) for tree in forest.estimators_[:5]], axis=0)
    np.testing.assert_allclose(getattr(fewer, ask)(X), expected, rtol=0, atol=1e-15)
    assert (len(fewer.estimators_), fewer.n_estimators) == (5, 5)
    assert (len(forest.estimators_), forest.n_estimators) == (20, 20)


@pytest.mark.parametrize("kind", [GradientBoostingClassifier, GradientBoostingRegressor])
def test_boosting_with_fewer_stages_is_its_own_earlier_self(kind: Any) -> None:
    boosted = kind(n_estimators=20, random_state=0).fit(X, Y)
    fewer = drop_trees(boosted, 7)
    expected = list(boosted.staged_predict(X))[6]
    np.testing.assert_array_equal(fewer.predict(X), expected)
    np.testing.assert_array_equal(boosted.predict(X), list(boosted.staged_predict(X))[19])


def test_out_of_bag_figures_of_the_whole_forest_are_left_out() -> None:
    forest = RandomForestClassifier(60, oob_score=True, random_state=0).fit(X, Y)
    assert not hasattr(drop_trees(forest, 5), "oob_score_")
    assert hasattr(forest, "oob_score_")


@pytest.mark.parametrize("keep", [0, -1, 21])
def test_the_number_of_trees_has_bounds(keep: int) -> None:
    forest = RandomForestClassifier(20, random_state=0).fit(X, Y)
    with pytest.raises(InvalidPlan) as caught:
        drop_trees(forest, keep)
    assert caught.value.code == "trees_out_of_bounds"


def test_other_models_have_no_trees() -> None:
    with pytest.raises(InvalidPlan) as caught:
        drop_trees(LogisticRegression().fit(X, Y), 1)
    assert caught.value.code == "not_an_ensemble"


def test_an_unfitted_forest_has_none_yet() -> None:
    with pytest.raises(NotFittedError):
        drop_trees(RandomForestClassifier(20), 5)
