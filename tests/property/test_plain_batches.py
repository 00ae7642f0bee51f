"""Record batches that are taken as a whole hold what the checks by value make of each of their rows."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trimtab.errors import TrimtabError
from trimtab.protocols import LiveModel
from trimtab.schema import Checker
from trimtab.schema.values import MAX_TEXT
from trimtab.serve.arrow import arrow_request
from trimtab.serve.arrow_plain import plain_rows
from trimtab.types import FeatureKind, FeatureSpec, Signature, Task

SPECS = (
    FeatureSpec(name="amount", kind=FeatureKind.NUMERIC),
    FeatureSpec(name="country", kind=FeatureKind.CATEGORICAL, nullable=True),
    FeatureSpec(name="ratio", kind=FeatureKind.NUMERIC, nullable=True),
)
SIGNATURE = Signature(features=SPECS, task=Task.REGRESSION)
TEXTS = st.text(max_size=5)
FLOATS = st.floats(allow_nan=True, allow_infinity=True)


def live(arms: int = 1, *, plain: bool = True) -> LiveModel:
    made = SimpleNamespace(
        plain=plain,
        route=SimpleNamespace(arms=(None,) * arms),
        champion=SimpleNamespace(signature=SIGNATURE),
    )
    return cast("LiveModel", made)


@st.composite
def columns(draw: st.DrawFn) -> Any:
    """Columns of a few rows, mostly as the model knows them."""
    rows = draw(st.integers(0, 4))

    def some(values: st.SearchStrategy[Any], odd: Any, kind: Any = None) -> Any:
        found = draw(st.lists(values, min_size=rows, max_size=rows))
        if rows and draw(st.integers(0, 5)) == 0:
            found[draw(st.integers(0, rows - 1))] = odd
        return pa.array(found, kind)

    country = some(TEXTS, draw(st.sampled_from([None, "x" * (MAX_TEXT + 1)])), pa.string())
    given = {
        "ratio": some(st.floats(-1e3, 1e3, width=32), None, pa.float32()),
        "amount": some(
            FLOATS if draw(st.integers(0, 5)) == 0 else st.floats(-9, 9), None, pa.float64()
        ),
        "country": country.dictionary_encode() if draw(st.booleans()) else country,
    }
    more = draw(st.integers(0, 9))
    if more == 0:
        given["unknown"] = pa.nulls(rows)
    elif more == 1:
        given.pop(draw(st.sampled_from(sorted(given))))
    elif more == 2:
        given["amount"] = pa.array(range(rows))
    elif more == 3:
        given["trimtab.prediction_id"] = pa.array([f"p{at}" for at in range(rows)])
    elif more < 6:
        odd = draw(st.sampled_from([None, "", "k" * 513]))
        given["trimtab.key"] = some(st.text(min_size=1, max_size=5), odd, pa.string())
    return pa.record_batch(given)


@settings(deadline=None, max_examples=300)
@given(columns())
def test_what_is_taken_as_a_whole_is_what_the_checks_by_value_make_of_it(batch: Any) -> None:
    found = plain_rows([batch, batch], live(), 7.0)
    if not found:
        return
    checker, asked = Checker(SIGNATURE), arrow_request([batch, batch], 10)
    expected = [(checker.check(row, "")[0], row.key) for row in asked.rows]
    assert repr([(list(row.values), row.key) for row in found]) == repr(expected)
    assert {row.began for row in found} == {7.0}


@settings(deadline=None, max_examples=300)
@given(columns())
def test_what_the_checks_by_value_refuse_is_never_taken_as_a_whole(batch: Any) -> None:
    try:
        for row in arrow_request([batch], 10).rows:
            Checker(SIGNATURE).check(row, "")
    except TrimtabError:
        assert not plain_rows([batch], live(), 0.0)


USUAL = pa.record_batch({"ratio": [1.0], "amount": [2.0], "country": ["nl"]})


def test_usual_batches_are_taken_as_a_whole() -> None:
    found = plain_rows([USUAL], live(), 0.0)
    assert found is not None
    assert [row.values for row in found] == [(2.0, "nl", 1.0)]


@pytest.mark.parametrize("model", [live(2), live(plain=False)])
def test_a_model_that_has_more_to_do_is_asked_row_by_row(model: LiveModel) -> None:
    assert plain_rows([USUAL], model, 0.0) is None


def test_a_number_that_is_none_is_left_to_the_checks_by_value() -> None:
    batch = pa.record_batch({"ratio": np.array([np.nan]), "amount": [2.0], "country": ["nl"]})
    assert plain_rows([batch], live(), 0.0) is None
