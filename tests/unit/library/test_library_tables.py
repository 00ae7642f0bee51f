from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from trimtab.errors import InvalidInput, InvalidRow
from trimtab.library.tables import model_input, row_of, seconds_of, table_of

COLUMNS = {"a": [1, 2], "b": ["x", None]}


class Fitted:
    """What scikit-learn's estimators know of the data they were fitted on."""

    def __init__(self, names: list[str] | None, width: int) -> None:
        if names is not None:
            self.feature_names_in_ = np.array(names)
        self.n_features_in_ = width


@pytest.mark.parametrize(
    "data",
    [
        COLUMNS,
        {"a": np.array([1, 2]), "b": pd.Series(["x", None])},
        [{"a": 1, "b": "x"}, {"a": 2}],
        [{"a": 1, "b": "x"}, {"b": float("nan"), "a": 2}],
        [[1, "x"], [2, None]],
        [(1, "x"), (2, None)],
        np.array([[1, "x"], [2, None]], dtype=object),
    ],
)
def test_every_form_of_rows_is_the_same_table(data: Any) -> None:
    assert pa.table(COLUMNS).to_pydict() == table_of(data, ["a", "b"]).to_pydict()


@pytest.mark.parametrize("frame", [pd.DataFrame(COLUMNS), pl.DataFrame(COLUMNS), pa.table(COLUMNS)])
def test_a_frame_is_left_as_it_is(frame: Any) -> None:
    assert table_of(frame) is frame


def test_the_columns_of_an_array_are_numbered() -> None:
    assert ["x0", "x1", "x2"] == table_of(np.zeros((2, 3))).column_names


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (3, "not_a_table"),
        ("rows.csv", "not_a_table"),
        (np.zeros((2, 2, 2)), "not_a_table"),
        ([{"a": 1}, [1]], "not_a_table"),
        ([[1], [1, 2]], "wrong_width"),
        (np.zeros((2, 3)), "wrong_width"),
        ({"a": [1, "x"], "b": [1, 2]}, "mixed_types"),
        ({"a": [1, 2], "b": [1]}, "ragged_columns"),
    ],
)
def test_what_is_no_table_is_refused_by_name(data: Any, code: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        table_of(data, ["a", "b"])
    assert code == refused.value.code


@pytest.mark.parametrize(
    "row",
    [
        {"a": 1, "b": "x"},
        pd.Series({"a": 1, "b": "x"}),
        pd.Series([1, "x"]),
        pl.Series([1, "x"], dtype=pl.Object),
        [1, "x"],
        (1, "x"),
        np.array([1, "x"], dtype=object),
    ],
)
def test_one_row_is_known_as_one(row: Any) -> None:
    assert {"a": 1, "b": "x"} == row_of(row, ["a", "b"])


@pytest.mark.parametrize("rows", [COLUMNS, [[1, 2]], [{"a": 1}], np.zeros((1, 2)), [], 3])
def test_several_rows_are_no_row(rows: Any) -> None:
    assert row_of(rows, ["a", "b"]) is None


def test_a_row_of_another_width_is_refused() -> None:
    with pytest.raises(InvalidRow, match="3 values, and 2 features"):
        row_of([1, 2, 3], ["a", "b"])


def test_a_model_fitted_on_a_frame_gets_its_columns_in_its_order() -> None:
    found = model_input(Fitted(["b", "a"], 2), {"a": 1, "z": 9, "b": 2.5})
    pd.testing.assert_frame_equal(pd.DataFrame({"b": [2.5], "a": [1]}), found)


def test_a_model_fitted_on_an_array_gets_one() -> None:
    found = model_input(Fitted(None, 2), [3, 4])
    np.testing.assert_array_equal([[3, 4]], found)


def test_a_model_that_says_nothing_of_its_features_gets_what_it_was_given() -> None:
    row = {"a": 1}
    assert model_input(object(), row) is row


def test_a_feature_that_the_model_needs_is_named() -> None:
    with pytest.raises(InvalidRow, match="'b' is missing") as refused:
        model_input(Fitted(["a", "b"], 2), {"a": 1})
    assert "features.b" == refused.value.path


@pytest.mark.parametrize(
    "times",
    [
        [0, 86_400],
        np.array(["1970-01-01", "1970-01-02"], dtype="datetime64[D]"),
        pd.to_datetime(pd.Series(["1970-01-01", "1970-01-02"])),
        pd.to_datetime(pd.Series(["1970-01-01T01:00", "1970-01-02T01:00"])).dt.tz_localize("CET"),
    ],
)
def test_times_are_numbers_or_datetimes(times: Any) -> None:
    np.testing.assert_array_equal([0.0, 86_400.0], seconds_of(times))


def test_a_time_that_is_unknown_stays_so() -> None:
    assert np.isnan(seconds_of(pd.to_datetime(pd.Series(["1970-01-01", None])))[1])


@pytest.mark.parametrize("times", [["noon"], [[0, 1]], 3, [True]])
def test_times_of_another_kind_are_refused(times: Any) -> None:
    with pytest.raises(InvalidInput) as refused:
        seconds_of(times)
    assert "invalid_times" == refused.value.code
