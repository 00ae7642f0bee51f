"""Feature selection with a refit, and the traps around it."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.ensemble import RandomForestClassifier
from sklearn.feature_selection import RFE, SelectFromModel, SelectKBest, f_classif, f_regression
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import train_test_split
from sklearn.svm import LinearSVC

from trimtab.errors import InvalidPlan
from trimtab.optimize.select import select_features
from trimtab.types import FloatArray

NAMES = [f"f{i}" for i in range(8)]


def rows(count: int = 400, seed: int = 0) -> tuple[FloatArray, FloatArray]:
    """Eight features, of which the third and the sixth matter."""
    random = np.random.default_rng(seed)
    X = random.normal(size=(count, 8))
    chance = 1 / (1 + np.exp(-2 * X[:, 2] + 2 * X[:, 5]))
    return X, (random.random(count) < chance).astype(np.int64)


def frame() -> tuple[pd.DataFrame, pd.Series]:
    X, y = rows()
    return pd.DataFrame(X, columns=NAMES), pd.Series(y)


def fake_timer() -> Any:
    return itertools.count().__next__


def test_the_model_is_fitted_anew_on_what_was_selected() -> None:
    X, y = rows()
    best = SelectKBest(f_classif, k=2)
    found = select_features(LogisticRegression(), best, X, y)
    expected = LogisticRegression().fit(X[:, [2, 5]], y)
    assert (found.places, found.kept) == ((2, 5), ("2", "5"))
    np.testing.assert_array_equal(found.predict_proba(X), expected.predict_proba(X[:, [2, 5]]))
    np.testing.assert_array_equal(found.predict(X), expected.predict(X[:, [2, 5]]))


def test_a_fitted_model_would_refuse_the_selected_columns_which_is_why_it_is_refitted() -> None:
    X, y = rows()
    fitted = LogisticRegression().fit(X, y)
    with pytest.raises(ValueError, match="expecting 8 features"):
        fitted.predict(X[:, [2, 5]])
    assert select_features(fitted, SelectKBest(k=2), X, y).model.n_features_in_ == 2


def test_neither_model_nor_selector_is_changed() -> None:
    X, y = rows()
    model, selector = LogisticRegression().fit(X, y), SelectKBest(k=100)
    before = model.coef_.copy()
    select_features(model, selector, X, y)
    np.testing.assert_array_equal(model.coef_, before)
    assert (selector.k, hasattr(selector, "scores_")) == (100, False)


def test_a_selector_that_asks_for_more_features_than_there_are_keeps_all() -> None:
    X, y = rows()
    found = select_features(LogisticRegression(), SelectKBest(k=100), X, y)
    assert found.places == tuple(range(8))
    assert found.report.notes == ("k=100 is more than the 8 columns: all are kept.",)


def test_a_selector_may_be_fitted_already_and_of_another_kind() -> None:
    X, y = rows()
    fitted = RFE(LogisticRegression(), n_features_to_select=2).fit(X, y)
    assert select_features(LogisticRegression(), fitted, X, y).places == (2, 5)
    by_model = SelectFromModel(LogisticRegression(), threshold=0.5)
    assert select_features(LogisticRegression(), by_model, X, y).places == (2, 5)


def test_frames_keep_their_names_and_their_columns_may_come_in_any_order() -> None:
    X, y = frame()
    found = select_features(LogisticRegression(), SelectKBest(k=2), X, y)
    assert found.kept == ("f2", "f5")
    shuffled = X[list(reversed(NAMES))]
    np.testing.assert_array_equal(found.predict_proba(shuffled), found.predict_proba(X))


def test_the_report_compares_both_on_rows_that_neither_was_fitted_on() -> None:
    X, y = rows()
    report = select_features(
        LogisticRegression(), SelectKBest(k=2), X, y, seed=7, timer=fake_timer()
    ).report
    X_fit, X_held, y_fit, y_held = train_test_split(
        X, y, test_size=0.25, random_state=7, stratify=y
    )
    whole = LogisticRegression().fit(X_fit, y_fit).predict_proba(X_held)
    less = LogisticRegression().fit(X_fit[:, [2, 5]], y_fit).predict_proba(X_held[:, [2, 5]])
    assert report.metric == "roc_auc"
    assert report.value == (
        roc_auc_score(y_held, whole[:, 1]),
        roc_auc_score(y_held, less[:, 1]),
    )
    assert report.parity.rows == 100
    assert report.parity.max_abs == np.abs(whole - less).max()
    assert report.parity.mean_abs == np.abs(whole - less).mean()
    assert report.parity.flips == int(((whole[:, 1] > 0.5) != (less[:, 1] > 0.5)).sum())
    assert report.size_bytes[1] < report.size_bytes[0]
    assert report.row_us == (1e6, 1e6)
    assert (report.kept, report.columns) == (("2", "5"), 8)


def test_regressions_are_judged_by_their_error() -> None:
    X, _ = rows()
    y = 3 * X[:, 2] + np.random.default_rng(1).normal(size=len(X))
    report = select_features(LinearRegression(), SelectKBest(f_regression, k=1), X, y).report
    assert (report.metric, report.kept, report.parity.rows) == ("rmse", ("2",), 100)
    assert report.value[1] == pytest.approx(1.0, abs=0.2)


def test_several_classes_and_classifiers_without_probabilities_are_judged_by_accuracy() -> None:
    X, y = rows()
    three = np.where(X[:, 0] > 1, "c", np.where(y, "b", "a"))
    report = select_features(RandomForestClassifier(10), SelectKBest(k=3), X, three).report
    assert report.metric == "accuracy"
    report = select_features(LinearSVC(), SelectKBest(k=2), X, y).report
    assert report.metric == "accuracy"
    assert report.parity.max_abs == float(report.parity.flips > 0)


def test_without_a_selector_a_fitted_model_stays_as_it_is() -> None:
    X, y = rows()
    fitted = LogisticRegression().fit(X, y)
    found = select_features(fitted, None, X, y)
    assert found.model is fitted
    assert (found.report.parity.max_abs, found.report.parity.flips) == (0.0, 0)
    assert found.report.notes == (
        "No selector was given: every feature is kept.",
        "The model may have been fitted on the rows that were measured.",
    )


def test_without_a_selector_an_unfitted_model_is_fitted() -> None:
    X, y = rows()
    found = select_features(LogisticRegression(), None, X, y)
    np.testing.assert_array_equal(found.predict(X), LogisticRegression().fit(X, y).predict(X))


@pytest.mark.parametrize("shape", [(5, 7), (5, 9), (8,), (0, 2)])
def test_rows_with_other_columns_than_the_original_ones_are_refused(shape: tuple[int, ...]) -> None:
    X, y = rows()
    found = select_features(LogisticRegression(), SelectKBest(k=2), X, y)
    with pytest.raises(InvalidPlan) as caught:
        found.predict(np.zeros(shape))
    assert caught.value.code == "wrong_columns"


def test_a_frame_without_a_kept_column_is_refused() -> None:
    X, y = frame()
    found = select_features(LogisticRegression(), SelectKBest(k=2), X, y)
    with pytest.raises(InvalidPlan, match="f5 are missing"):
        found.predict(X.rename(columns={"f5": "other"}))


@pytest.mark.parametrize(
    ("model", "selector", "code"),
    [
        (object(), SelectKBest(k=2), "not_an_estimator"),
        (object(), None, "not_an_estimator"),
        (LogisticRegression(), object(), "not_an_estimator"),
        (
            LogisticRegression(),
            SelectFromModel(LogisticRegression(), threshold=1e9),
            "nothing_selected",
        ),
    ],
)
@pytest.mark.filterwarnings("ignore:No features were selected")
def test_what_cannot_be_optimised_is_refused(model: Any, selector: Any, code: str) -> None:
    X, y = rows()
    with pytest.raises(InvalidPlan) as caught:
        select_features(model, selector, X, y)
    assert caught.value.code == code


def test_text_that_a_selector_cannot_read_is_refused_with_the_librarys_reason() -> None:
    X, y = frame()
    with pytest.raises(InvalidPlan, match="could not convert") as caught:
        select_features(LogisticRegression(), SelectKBest(k=2), X.assign(f0="JFK"), y)
    assert caught.value.code == "cannot_fit"


@pytest.mark.parametrize("count", [0, 7])
def test_too_few_rows_are_refused(count: int) -> None:
    X, y = rows()
    with pytest.raises(InvalidPlan) as caught:
        select_features(LogisticRegression(), SelectKBest(k=2), X[:count], y[:count])
    assert caught.value.code == "wrong_shape"


def test_a_clone_is_what_is_fitted() -> None:
    X, y = rows()
    model = RandomForestClassifier(5, random_state=3)
    found = select_features(model, SelectKBest(k=2), X, y)
    expected = clone(model).fit(X[:, [2, 5]], y)
    np.testing.assert_array_equal(found.predict_proba(X), expected.predict_proba(X[:, [2, 5]]))
    assert not hasattr(model, "estimators_")
