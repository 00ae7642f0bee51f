from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import numpy as np
import pytest

from trimtab.errors import ModelFailure
from trimtab.models.guard import FEW, Guarded
from trimtab.types import Columns, FeatureKind, FeatureSpec, FloatArray, Signature, Task

FEATURES = (FeatureSpec(name="x", kind=FeatureKind.NUMERIC),)
COLUMNS = Columns(features=FEATURES, arrays=(np.array([1.0, 2.0]),))
BINARY = Signature(features=FEATURES, task=Task.BINARY)
REGRESSION = Signature(features=FEATURES, task=Task.REGRESSION)
THREE = Signature(features=FEATURES, task=Task.MULTICLASS, labels=("a", "b", "c"))


class Answers:
    """Answers what it was given."""

    def __init__(self, answer: Any) -> None:
        self._answer = answer

    def predict(self, columns: Columns) -> FloatArray:  # noqa: ARG002
        if isinstance(self._answer, Exception):
            raise self._answer
        answer: FloatArray = self._answer
        return answer


def guarded(answer: object, signature: Signature) -> Guarded:
    return Guarded(Answers(answer), signature, "fraud:3")


@pytest.mark.parametrize(
    ("answer", "signature"),
    [
        (np.array([[0.5, 0.5], [0.0, 1.0]]), BINARY),
        (np.array([[1 + 1e-9, -1e-9], [0.0, 1.0]]), BINARY),
        (np.full((2, 3), 1 / 3), THREE),
        (np.array([[1e9], [-5.0]]), REGRESSION),
    ],
)
def test_a_sound_answer_passes(answer: FloatArray, signature: Signature) -> None:
    assert guarded(answer, signature).predict(COLUMNS) is answer


NONSENSE: list[tuple[Any, Signature]] = [
    (np.zeros((1, 2)), BINARY),
    (np.zeros((3, 2)), BINARY),
    (np.zeros((2, 1)), BINARY),
    (np.zeros(2), BINARY),
    (np.zeros((2, 2)), THREE),
    (np.zeros((2, 2)), REGRESSION),
    (np.zeros((2, 2), dtype=np.float32), BINARY),
    ([[0.5, 0.5], [0.5, 0.5]], BINARY),
    (None, BINARY),
    (np.array([[np.nan, 0.5], [0.5, 0.5]]), BINARY),
    (np.array([[np.inf], [0.5]]), REGRESSION),
    (np.array([[-0.5, 1.5], [0.5, 0.5]]), BINARY),
    (np.array([[0.5, 0.5], [0.5, 1.1]]), BINARY),
]


@pytest.mark.parametrize(("answer", "signature"), NONSENSE)
def test_nonsense_is_a_model_failure(answer: object, signature: Signature) -> None:
    with pytest.raises(ModelFailure) as failed:
        guarded(answer, signature).predict(COLUMNS)
    assert failed.value.code == "model_nonsense"
    assert "fraud:3" in failed.value.message


def test_an_exception_is_a_model_failure_that_names_it() -> None:
    error = ZeroDivisionError("division by zero")
    with pytest.raises(ModelFailure) as failed:
        guarded(error, BINARY).predict(COLUMNS)
    assert failed.value.code == "model_raised"
    assert failed.value.message == "The model fraud:3 raised ZeroDivisionError: division by zero"
    assert failed.value.__cause__ is error


class OneByOne(Answers):
    """The same through the short way for one row."""

    def one(self, values: object) -> Sequence[float]:  # noqa: ARG002 - whatever they are
        return cast("Sequence[float]", self.predict(COLUMNS))  # whatever it is


@pytest.mark.parametrize(
    ("answer", "signature"),
    [
        ([0.25, 0.75], BINARY),
        ((1 + 1e-9, -1e-9), BINARY),
        ([1e9], REGRESSION),
    ],
)
def test_one_row_of_values_answers_plain_numbers(
    answer: Sequence[float], signature: Signature
) -> None:
    one = Guarded(OneByOne(answer), signature, "fraud:3").one
    assert one is not None
    assert one([1.0]) is answer


@pytest.mark.parametrize(
    ("answer", "signature"),
    [
        (np.array([0.5, 0.5]), BINARY),
        ([0.5], BINARY),
        ([0.2, 0.3, 0.5], BINARY),
        (None, BINARY),
        ([[0.5, 0.5]], BINARY),
        ([0.5, np.nan], BINARY),
        ([np.nan, 0.5], BINARY),
        ([-0.1, 1.1], BINARY),
        ([np.inf], REGRESSION),
        (ValueError("boom"), REGRESSION),
    ],
)
def test_one_row_of_values_is_guarded_as_columns_are(answer: object, signature: Signature) -> None:
    one = Guarded(OneByOne(answer), signature, "fraud:3").one
    assert one is not None
    with pytest.raises(ModelFailure):
        one([1.0])


class Several(Answers):
    """The same for the rows of several requests."""

    def many(self, rows: object) -> FloatArray:  # noqa: ARG002
        return self.predict(COLUMNS)


@pytest.mark.parametrize(
    ("answer", "signature"),
    [
        (np.array([[0.5, 0.5], [0.0, 1.0]]), BINARY),
        (np.array([[1 + 1e-9, -1e-9], [0.0, 1.0]]), BINARY),
        (np.array([[1.5e308], [1e308]]), REGRESSION),
        (np.full((FEW + 1, 2), 0.5), BINARY),
    ],
)
def test_rows_of_several_requests_answer_plain_numbers(
    answer: FloatArray, signature: Signature
) -> None:
    many = Guarded(Several(answer), signature, "fraud:3").many
    assert many is not None
    assert answer.tolist() == many([[1.0]] * len(answer))


@pytest.mark.parametrize(("answer", "signature"), NONSENSE)
def test_rows_of_several_requests_are_guarded_as_columns_are(
    answer: object, signature: Signature
) -> None:
    many = Guarded(Several(answer), signature, "fraud:3").many
    assert many is not None
    with pytest.raises(ModelFailure) as failed:
        many([[1.0], [2.0]])
    assert failed.value.code == "model_nonsense"


def test_a_format_without_the_short_way_has_none() -> None:
    assert guarded(None, BINARY).one is None
    assert guarded(None, BINARY).many is None


def test_what_a_model_raises_at_made_up_rows_is_no_news_for_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    model = guarded(ValueError("unknown category"), BINARY)
    with pytest.raises(ModelFailure, match="unknown category"):
        model.tried(COLUMNS)
    with pytest.raises(ModelFailure, match="float64"):
        guarded(None, BINARY).tried(COLUMNS)
    assert caplog.records == []
    with pytest.raises(ModelFailure):
        model.predict(COLUMNS)
    assert ["model_failed"] == [record.getMessage() for record in caplog.records]
