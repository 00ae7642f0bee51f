from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.ensemble import ExtraTreesRegressor, RandomForestClassifier
from sklearn.feature_selection import SelectKBest
from sklearn.linear_model import LinearRegression, LogisticRegression

from trimtab.errors import Conflict
from trimtab.library.optimized import OptimizedModel


@pytest.fixture(scope="module")
def rows() -> pd.DataFrame:
    values = np.random.default_rng(0).normal(size=(400, 4))
    return pd.DataFrame(values, columns=["a", "b", "c", "d"])


def test_it_returns_itself_and_takes_the_original_columns(rows: pd.DataFrame) -> None:
    y = rows["c"] > 0
    model = OptimizedModel(LogisticRegression(), SelectKBest(k=2))
    assert model.optimize_for_inference(rows, y) is model
    assert ("c",) == tuple(name for name in model.report.kept if name == "c")
    assert (2, 4) == (len(model.report.kept), model.report.columns)
    assert (model.predict(rows) == y).mean() > 0.95
    assert (400, 2) == model.predict_proba(rows).shape


def test_without_a_selector_a_fitted_model_answers_as_before(rows: pd.DataFrame) -> None:
    fitted = LogisticRegression().fit(rows, rows["a"] > 0)
    model = OptimizedModel(fitted).optimize_for_inference(rows, rows["a"] > 0)
    np.testing.assert_array_equal(fitted.predict_proba(rows), model.predict_proba(rows))
    assert 0.0 == model.report.parity.max_abs


def test_probabilities_are_there_if_the_model_has_them() -> None:
    assert not hasattr(OptimizedModel(LinearRegression()), "predict_proba")


def test_nothing_can_be_asked_before_it_is_optimised(rows: pd.DataFrame) -> None:
    model = OptimizedModel(LogisticRegression())
    for ask in (lambda: model.predict(rows), lambda: model.predict_proba, lambda: model.report):
        with pytest.raises(Conflict, match="has not been optimised"):
            ask()


@pytest.mark.parametrize("kind", [RandomForestClassifier, ExtraTreesRegressor])
def test_forests_answer_from_their_compact_form_as_they_would_themselves(
    rows: pd.DataFrame, kind: type
) -> None:
    y = np.where(rows["c"] > 0, "late", "in time") if "Classifier" in kind.__name__ else rows["c"]
    forest = kind(20, random_state=0).fit(rows, y)
    model = OptimizedModel(forest).optimize_for_inference(rows, y)
    np.testing.assert_array_equal(forest.predict(rows), model.predict(rows))
    report = model.report
    assert report.compact_bytes is not None
    assert report.compact_row_us is not None
    assert report.compact_bytes < report.size_bytes[1] / 3
    assert report.compact_row_us < report.row_us[1] / 5
    if hasattr(forest, "predict_proba"):
        np.testing.assert_array_equal(forest.predict_proba(rows), model.predict_proba(rows))


def test_rows_that_a_compact_form_does_not_take_go_to_the_model(rows: pd.DataFrame) -> None:
    forest = RandomForestClassifier(5, random_state=0).fit(rows, rows["c"] > 0)
    model = OptimizedModel(forest).optimize_for_inference(rows, rows["c"] > 0)
    gap = rows[:3].copy()
    gap.iloc[0, 2] = np.nan
    np.testing.assert_array_equal(forest.predict(gap), model.predict(gap))
    np.testing.assert_array_equal(forest.predict_proba(gap), model.predict_proba(gap))
    gap.iloc[0, 2] = np.inf
    with pytest.raises(ValueError, match="infinity"):
        model.predict(gap)


def test_other_models_answer_themselves(rows: pd.DataFrame) -> None:
    model = OptimizedModel(LogisticRegression()).optimize_for_inference(rows, rows["a"] > 0)
    assert model.report.compact_bytes is None
