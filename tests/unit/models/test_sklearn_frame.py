from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.svm import LinearSVC

from trimtab.errors import InvalidInput
from trimtab.models.formats.sklearn_frame import SklearnPredictor
from trimtab.schema import columns_from_frame, infer_signature
from trimtab.types import Signature, Task

NUMBERS = pd.DataFrame({"a": [0.0, 1.0, 2.0, 3.0], "b": [1.0, 0.0, 1.0, 0.0]})
CLASSES = np.array([0, 0, 1, 1])


class Witness(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """Remembers the frame that it is asked about."""

    def fit(self, X: pd.DataFrame, y: Any) -> Witness:
        self.feature_names_in_ = np.array(X.columns, dtype=object)
        self.n_features_in_ = X.shape[1]
        self.classes_ = np.unique(y)
        return self

    def predict_proba(self, X: pd.DataFrame) -> Any:
        self.seen = X
        return np.full((len(X), 2), 0.5)


def signature_of(frame: pd.DataFrame, labels: tuple[str, ...] = ()) -> Signature:
    return infer_signature(frame, task=Task.BINARY, labels=labels)


def test_columns_come_back_with_the_types_they_were_fitted_on() -> None:
    frame = pd.DataFrame(
        {
            "number": [0.5, np.nan],
            "count": [1, 2],
            "flag": [True, False],
            "word": pd.Series(["u", np.nan]),
        }
    )
    model = Witness().fit(frame, [0, 1])
    signature = signature_of(frame)
    SklearnPredictor(model, signature).predict(columns_from_frame(signature, frame))
    pd.testing.assert_frame_equal(model.seen, frame)


def test_columns_come_in_the_models_order() -> None:
    model = Witness().fit(NUMBERS[["b", "a"]], CLASSES)
    signature = signature_of(NUMBERS)
    SklearnPredictor(model, signature).predict(columns_from_frame(signature, NUMBERS))
    pd.testing.assert_frame_equal(model.seen, NUMBERS[["b", "a"]])


@pytest.mark.parametrize("missing", [None, np.nan])
def test_a_missing_category_is_the_one_that_was_learned(missing: object) -> None:
    frame = pd.DataFrame({"word": pd.Series(["u", missing, "u", missing], dtype=object)})
    model = make_pipeline(OneHotEncoder(), LogisticRegression()).fit(frame, [0, 1, 0, 1])
    signature = signature_of(frame)
    actual = SklearnPredictor(model, signature).predict(columns_from_frame(signature, frame))
    np.testing.assert_array_equal(actual, model.predict_proba(frame))


def test_a_model_fitted_on_an_array_gets_an_array() -> None:
    model = LogisticRegression().fit(NUMBERS.to_numpy(), CLASSES)
    signature = signature_of(NUMBERS)
    actual = SklearnPredictor(model, signature).predict(columns_from_frame(signature, NUMBERS))
    np.testing.assert_array_equal(actual, model.predict_proba(NUMBERS.to_numpy()))


def test_a_regression_is_one_column() -> None:
    model = LinearRegression().fit(NUMBERS, [0.0, 1.0, 2.0, 3.0])
    signature = infer_signature(NUMBERS, task=Task.REGRESSION)
    actual = SklearnPredictor(model, signature).predict(columns_from_frame(signature, NUMBERS))
    np.testing.assert_array_equal(actual[:, 0], model.predict(NUMBERS))


def test_jobs_are_set_to_one_inside_a_pipeline_too() -> None:
    forest = RandomForestClassifier(2, n_jobs=2).fit(NUMBERS, CLASSES)
    pipeline = make_pipeline(StandardScaler(), forest).fit(NUMBERS, CLASSES)
    SklearnPredictor(pipeline, signature_of(NUMBERS))
    assert forest.n_jobs == 1


@pytest.mark.parametrize(
    ("classes", "labels", "fits"),
    [
        ([0, 0, 1, 1], (), True),
        ([0, 0, 1, 1], ("early", "late"), True),
        ([False, False, True, True], ("early", "late"), True),
        (["early", "early", "late", "late"], ("early", "late"), True),
        (["early", "early", "late", "late"], ("late", "early"), False),
        (["a", "a", "b", "b"], ("early", "late"), False),
        ([1, 1, 2, 2], ("early", "late"), False),
        ([0, 1, 2, 2], (), False),
    ],
)
def test_classes_must_be_the_labels_in_their_order(
    classes: list[Any], labels: tuple[str, ...], fits: bool
) -> None:
    model = LogisticRegression().fit(NUMBERS, classes)
    if fits:
        SklearnPredictor(model, signature_of(NUMBERS, labels))
        return
    with pytest.raises(InvalidInput) as refused:
        SklearnPredictor(model, signature_of(NUMBERS, labels))
    assert refused.value.code == "labels_mismatch"


@pytest.mark.parametrize(
    "columns", [["a"], ["a", "b", "c"], ["a", "c"]], ids=["fewer", "more", "other"]
)
def test_features_must_be_the_signatures(columns: list[str]) -> None:
    frame = NUMBERS.assign(c=NUMBERS.a)[columns]
    for fitted in (frame, frame.to_numpy()):
        model = LogisticRegression().fit(fitted, CLASSES)
        if not isinstance(fitted, pd.DataFrame) and len(columns) == 2:
            continue  # an array has no names, so two columns are as good as two others
        with pytest.raises(InvalidInput) as refused:
            SklearnPredictor(model, signature_of(NUMBERS))
        assert refused.value.code == "signature_mismatch"


def test_a_classifier_without_probabilities_is_refused_with_a_way_out() -> None:
    with pytest.raises(InvalidInput) as refused:
        SklearnPredictor(LinearSVC().fit(NUMBERS, CLASSES), signature_of(NUMBERS))
    assert refused.value.code == "no_probabilities"
    assert "CalibratedClassifierCV" in refused.value.hint


def test_wrong_columns_are_told_by_name_and_not_all_columns() -> None:
    model = LogisticRegression().fit(NUMBERS, CLASSES)
    wrong = NUMBERS.rename(columns={"b": "c"})
    with pytest.raises(InvalidInput) as refused:
        SklearnPredictor(model, signature_of(wrong))
    assert "The model takes the features 'b' and does not know 'c'." == refused.value.message
    wide = pd.DataFrame({f"x{place}": [0.0, 1.0, 2.0, 3.0] for place in range(9)})
    model = LogisticRegression().fit(wide, CLASSES)
    with pytest.raises(InvalidInput, match="'x4' and 4 more and does not know 'y0'"):
        SklearnPredictor(model, signature_of(wide.rename(columns=lambda name: f"y{name[1:]}")))
