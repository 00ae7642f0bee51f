"""Law 11: every supported library's models, converted, take the same decisions and sum the same.

Rows have missing values, unknown categories, infinities where the library takes them, and values
exactly at thresholds (features are rounded, so that thresholds repeat).
"""

from __future__ import annotations

from typing import Any

import lightgbm
import numpy as np
import pytest
import xgboost
from hypothesis import example, given, settings
from hypothesis import strategies as st
from sklearn.ensemble import (
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    IsolationForest,
)

from trimtab.compact import Forest, Link, TreeEnsemble, decision_paths, pack
from trimtab.compact.kernel import COMPILED
from trimtab.errors import InvalidPlan
from trimtab.optimize.convert import ensemble_of

ROWS, FEATURES, CATEGORICAL = 240, 5, [3, 4]
few = settings(max_examples=4, deadline=None)
seeds = st.integers(0, 2**32)


class Data:
    """Features with ties, two categorical ones, and outcomes of every kind."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.X = self.rng.normal(size=(ROWS, FEATURES)).round(1)
        self.X[:, 3] = self.rng.integers(0, 40, ROWS)
        self.X[:, 4] = self.rng.integers(0, 5, ROWS) * 3
        noise = self.rng.normal(size=ROWS) * 0.3
        self.number = self.X[:, 0] + self.X[:, 1] * self.X[:, 2] + np.sin(7 * self.X[:, 3]) + noise
        self.three = np.digitize(self.number, [-0.5, 0.5])
        self.two = (self.number > 0).astype(int)
        self.positive = np.exp(self.number / 3)

    def with_holes(self) -> Any:
        return np.where(self.rng.random(self.X.shape) < 0.15, np.nan, self.X)

    def rows(self, thresholds: Any, *, finite: bool) -> Any:
        """Rows to answer: as in training, and all that is odd."""
        odd = [-0.0, 5e-324, 1e-35, 1e-38, 1e30, -1e30, -0.5, 2.5, -3.0, 77.0, 2.0**53 + 2]
        if not finite:
            odd += [np.nan, np.nan, np.inf, -np.inf, 1e12]
        pool = np.concatenate([odd, thresholds, np.nextafter(thresholds, np.inf)])
        mixed = np.where(
            self.rng.random((ROWS, FEATURES)) < 0.5,
            self.X,
            self.rng.choice(pool, (ROWS, FEATURES)),
        )
        return np.concatenate([self.X, mixed])


def thresholds_of(ensemble: TreeEnsemble) -> Any:
    found = np.concatenate([tree.threshold[tree.left >= 0] for tree in ensemble.trees])
    return found[np.isfinite(found)]


def forests(model: Any) -> tuple[TreeEnsemble, list[Forest]]:
    """The packed model, walked in C and in NumPy."""
    ensemble = ensemble_of(model)
    data = pack(ensemble)
    kernels = [True, False] if COMPILED else [False]
    return ensemble, [Forest(data, compiled=compiled) for compiled in kernels]


def columns(answer: Any, rows: Any) -> Any:
    return np.asarray(answer).reshape(len(rows), -1)


@few
@given(seed=seeds)
@pytest.mark.parametrize(
    ("make", "outcome"),
    [
        (lambda: GradientBoostingClassifier(n_estimators=8), "two"),
        (lambda: GradientBoostingClassifier(n_estimators=8, loss="exponential"), "two"),
        (lambda: GradientBoostingClassifier(n_estimators=5), "three"),
        (lambda: GradientBoostingRegressor(n_estimators=8, loss="huber"), "number"),
        (lambda: GradientBoostingRegressor(n_estimators=8, init="zero", subsample=0.5), "number"),
    ],
)
def test_scikit_learn_boosting_is_equal_to_the_last_bit(make: Any, outcome: str, seed: int) -> None:
    data = Data(seed)
    model = make().fit(data.X, getattr(data, outcome))
    ensemble, packed = forests(model)
    rows = data.rows(thresholds_of(ensemble), finite=True)
    answer = model.predict_proba(rows) if hasattr(model, "predict_proba") else model.predict(rows)
    leaves = model.apply(rows).reshape(len(rows), -1).astype(int)
    taken = [
        decision_paths(tree)[leaf] for tree, leaf in zip(ensemble.trees, leaves.T, strict=True)
    ]
    for forest in packed:
        assert (np.stack(taken, 1) == forest.paths(rows)).all()
        assert columns(answer, rows).tobytes() == forest.predict(rows).tobytes()


@few
@given(seed=seeds)
@pytest.mark.parametrize("max_features", [1.0, 0.5])
@pytest.mark.parametrize("training_rows", [ROWS, 1, 2, 3])
def test_isolation_forest_is_equal_to_the_last_bit(
    max_features: float, training_rows: int, seed: int
) -> None:
    data = Data(seed)
    model = IsolationForest(n_estimators=10, max_features=max_features, random_state=0)
    model.fit(data.X[:training_rows])
    ensemble, packed = forests(model)
    rows = data.rows(thresholds_of(ensemble), finite=True)
    for forest in packed:
        assert model.score_samples(rows).tobytes() == forest.predict(rows).tobytes()


@few
@given(seed=seeds)
@pytest.mark.parametrize("categorical", [None, CATEGORICAL])
@pytest.mark.parametrize(
    ("make", "outcome"),
    [
        (HistGradientBoostingClassifier, "two"),
        (HistGradientBoostingClassifier, "three"),
        (HistGradientBoostingRegressor, "number"),
        (lambda **given: HistGradientBoostingRegressor(loss="poisson", **given), "positive"),
    ],
)
# scikit-learn's own check adds an infinity to its opposite.
@pytest.mark.filterwarnings("ignore:invalid value encountered in reduce:RuntimeWarning")
def test_histogram_boosting_is_equal_to_the_last_bit(
    make: Any, outcome: str, categorical: Any, seed: int
) -> None:
    data = Data(seed)
    model = make(max_iter=6, categorical_features=categorical)
    model.fit(data.with_holes(), getattr(data, outcome))
    ensemble, packed = forests(model)
    rows = data.rows(thresholds_of(ensemble), finite=False)
    if categorical:  # scikit-learn's encoder takes no infinity
        rows = np.where(np.isinf(rows), np.nan, rows)
    answer = model.predict_proba(rows) if hasattr(model, "predict_proba") else model.predict(rows)
    for forest in packed:
        assert columns(answer, rows).tobytes() == forest.predict(rows).tobytes()


OBJECTIVES = {
    "binary": "two",
    "multiclass": "three",
    "multiclassova": "three",
    "cross_entropy": "two",
    "regression": "number",
    "regression_l1": "number",
    "poisson": "positive",
}


@few
@given(seed=seeds)
@pytest.mark.parametrize(
    "missing", [{}, {"zero_as_missing": True}, {"use_missing": False}], ids=str
)
@pytest.mark.parametrize("boosting", ["gbdt", "dart", "rf"])
@pytest.mark.parametrize("objective", OBJECTIVES)
def test_lightgbm_is_equal_to_the_last_bit(
    objective: str, boosting: str, missing: dict[str, bool], seed: int
) -> None:
    data = Data(seed)
    outcome = getattr(data, OBJECTIVES[objective])
    parameters = {
        "objective": objective,
        "boosting": boosting,
        "num_threads": 1,
        "verbosity": -1,
        "num_class": 3 if "multi" in objective else 1,
        "min_data_in_leaf": 3,
        "min_data_per_group": 3,
        "bagging_freq": 1,
        "bagging_fraction": 0.7,
        "sigmoid": 0.7,
    }
    categorical: Any = CATEGORICAL if seed % 2 else "auto"
    training = lightgbm.Dataset(data.with_holes(), outcome, categorical_feature=categorical)
    booster = lightgbm.train(parameters | missing, training, 6)
    ensemble, packed = forests(booster)
    rows = data.rows(thresholds_of(ensemble), finite=False)
    whole = np.nan_to_num(rows, posinf=9.0, neginf=-9.0).clip(-(2**40), 2**40).astype(np.int64)
    ends = columns(booster.predict(rows, pred_leaf=True), rows)
    values = [
        tree.value[leaf + (tree.nodes - 1) // 2, 0]
        for tree, leaf in zip(ensemble.trees, ends.T, strict=True)
    ]
    own = ensemble.leaves(rows)
    for place, tree in enumerate(ensemble.trees):
        assert (values[place] == tree.value[own[:, place], 0]).all()
        assert (ends[:, place] + (tree.nodes - 1) // 2 == own[:, place]).all()
    for forest in packed:
        assert columns(booster.predict(rows), rows).tobytes() == forest.predict(rows).tobytes()
        assert columns(booster.predict(whole), rows).tobytes() == forest.predict(whole).tobytes()


def test_lightgbm_classes_answer_as_they_do_and_stop_where_they_stopped() -> None:
    data = Data(1)
    model = lightgbm.LGBMClassifier(n_estimators=60, num_leaves=31, verbosity=-1, n_jobs=1)
    model.fit(
        data.X[:120],
        data.two[:120],
        eval_X=(data.X[120:],),
        eval_y=(data.two[120:],),
        callbacks=[lightgbm.early_stopping(3, verbose=False)],
    )
    ensemble, packed = forests(model)
    assert model.best_iteration_ == len(ensemble.trees)
    for forest in packed:
        expected = np.asarray(model.predict_proba(data.X))
        assert expected.tobytes() == forest.predict(data.X).tobytes()


XGB_OBJECTIVES = {
    "binary:logistic": "two",
    "multi:softprob": "three",
    "reg:squarederror": "number",
    "reg:absoluteerror": "number",
    "count:poisson": "positive",
    "reg:tweedie": "positive",
}


@settings(max_examples=6, deadline=None)
@given(seed=seeds, booster=st.sampled_from(["gbtree", "dart"]))
@example(
    seed=2854, booster="gbtree"
)  # a base score whose logarithm the C library rounds the other way
@pytest.mark.parametrize("objective", XGB_OBJECTIVES)
def test_xgboost_sums_to_the_last_bit_and_answers_within_its_rounding(
    objective: str, booster: str, seed: int
) -> None:
    data = Data(seed)
    parameters = {
        "objective": objective,
        "booster": booster,
        "max_depth": 4,
        "nthread": 1,
        **({"rate_drop": 0.3} if booster == "dart" else {}),
        **({"num_class": 3} if objective.startswith("multi") else {}),
        "num_parallel_tree": 1 + seed % 2,
    }
    types = ["q", "q", "q", "c", "c"] if seed % 3 else None

    def matrix(rows: Any, outcome: Any = None) -> Any:
        return xgboost.DMatrix(
            rows, outcome, feature_types=types, enable_categorical=types is not None, nthread=1
        )

    trained = xgboost.train(
        parameters, matrix(data.with_holes(), getattr(data, XGB_OBJECTIVES[objective])), 6
    )
    ensemble, packed = forests(trained)
    rows = data.rows(thresholds_of(ensemble), finite=False)
    rows = np.where(np.isinf(rows), 1e30, rows)
    ends = trained.predict(matrix(rows), pred_leaf=True).reshape(len(rows), -1).astype(int)
    taken = [decision_paths(tree)[leaf] for tree, leaf in zip(ensemble.trees, ends.T, strict=True)]
    sums = columns(trained.predict(matrix(rows), output_margin=True), rows)
    answer = columns(trained.predict(matrix(rows)), rows)
    for forest in packed:
        assert (np.stack(taken, 1) == forest.paths(rows)).all()
        assert sums.tobytes() == forest.raw(rows).astype(np.float32).tobytes()
        got = forest.predict(rows).astype(np.float32)
        # One unit in the last place of the exponential is up to two of what is made of it.
        assert (np.abs(got - answer) <= 2 * np.spacing(np.maximum(np.abs(answer), 1e-37))).all()
        assert forest.link is not Link.NONE or sums.tobytes() == answer.tobytes()


def wide_integers(ensemble: TreeEnsemble, rng: Any, kind: Any) -> Any:
    """Integers beyond 2^53: at thresholds, next to them, at the ends of the type, and any."""
    least, most = int(np.iinfo(kind).min), int(np.iinfo(kind).max)
    near = [int(each) + step for each in thresholds_of(ensemble) for step in (-(2**38), -1, 0, 1)]
    odd = [least, least + 1, most, most - 1, 0, 1, 2**53 + 1, 2**53 - 1, 2**24 + 1, 2**62 + 2**38]
    pool = [min(max(each, least), most) for each in [*near, *odd]]
    drawn = np.array(pool, kind)[rng.integers(0, len(pool), (ROWS, 3))]
    return np.concatenate([drawn, rng.integers(least, most, (ROWS, 3), dtype=kind)])


@few
@given(seed=seeds)
@pytest.mark.parametrize("kind", [np.int64, np.uint64])
@pytest.mark.parametrize("library", ["lightgbm", "xgboost"])
def test_boosters_decide_on_integers_beyond_2_to_the_53_as_they_do(
    library: str, kind: Any, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    known = rng.integers(0, 2**63, (ROWS, 3), dtype=np.uint64).astype(kind)
    outcome = (known[:, 0] > known[:, 1]).astype(int)
    model: Any
    if library == "lightgbm":
        settings_ = {"objective": "binary", "verbosity": -1, "num_threads": 1}
        model = lightgbm.train(
            settings_ | {"min_data_in_leaf": 2}, lightgbm.Dataset(known, outcome), 8
        )
    else:
        model = xgboost.train(
            {"objective": "binary:logistic", "nthread": 1}, xgboost.DMatrix(known, outcome), 8
        )
    ensemble, packed = forests(model)
    rows = wide_integers(ensemble, rng, kind)
    assert int(rows.max()) > 2**53
    for forest in packed:
        if library == "lightgbm":
            ends = columns(model.predict(rows, pred_leaf=True), rows)
            own = [e + (t.nodes - 1) // 2 for e, t in zip(ends.T, ensemble.trees, strict=True)]
            assert columns(model.predict(rows), rows).tobytes() == forest.predict(rows).tobytes()
        else:
            given_rows = xgboost.DMatrix(rows, nthread=1)
            own = list(
                model.predict(given_rows, pred_leaf=True).reshape(len(rows), -1).astype(int).T
            )
            sums = columns(model.predict(given_rows, output_margin=True), rows)
            assert sums.tobytes() == forest.raw(rows).astype(np.float32).tobytes()
        taken = [decision_paths(t)[leaf] for t, leaf in zip(ensemble.trees, own, strict=True)]
        assert (np.stack(taken, 1) == forest.paths(rows)).all()


def test_xgboost_classes_answer_as_they_do_and_stop_where_they_stopped() -> None:
    data = Data(2)
    model = xgboost.XGBClassifier(n_estimators=60, early_stopping_rounds=3, n_jobs=1)
    model.fit(
        data.X[:120], data.two[:120], eval_set=[(data.X[120:], data.two[120:])], verbose=False
    )
    ensemble, packed = forests(model)
    assert model.best_iteration + 1 == len(ensemble.trees)
    for forest in packed:
        got = forest.predict(data.X).astype(np.float32)
        assert np.abs(model.predict_proba(data.X) - got).max() <= 2**-23


def test_what_is_not_supported_is_refused_with_its_reason() -> None:
    data = Data(3)
    linear = xgboost.train({"booster": "gblinear"}, xgboost.DMatrix(data.X, data.number), 2)
    with pytest.raises(InvalidPlan, match="boosts gblinear"):
        ensemble_of(linear)
    texts = np.array([["a"], ["b"]], object)[data.two]
    with pytest.raises(InvalidPlan, match="texts as categories"):
        ensemble_of(
            HistGradientBoostingClassifier(max_iter=2, categorical_features=[0]).fit(
                texts, data.two
            )
        )
    started = GradientBoostingClassifier(
        n_estimators=2, init=HistGradientBoostingClassifier(max_iter=2)
    )
    with pytest.raises(InvalidPlan, match="starts from the predictions of another model"):
        ensemble_of(started.fit(data.X, data.two))
    leaves = lightgbm.train(
        {"linear_tree": True, "verbosity": -1}, lightgbm.Dataset(data.X, data.number), 2
    )
    with pytest.raises(InvalidPlan, match="linear models in its leaves"):
        ensemble_of(leaves)
