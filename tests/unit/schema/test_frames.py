from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from trimtab.errors import InvalidInput, InvalidRow
from trimtab.schema import columns_from_frame, infer_signature
from trimtab.types import FeatureKind, FeatureSpec, Signature, Task

DATA: dict[str, list[Any]] = {
    "distance": [1.5, None, 3.0],
    "seats": [3, 4, 5],
    "holiday": [True, False, True],
    "carrier": ["AA", None, "UA"],
}
SPECS = (
    FeatureSpec(name="distance", kind=FeatureKind.NUMERIC, nullable=True, unit="mile"),
    FeatureSpec(name="seats", kind=FeatureKind.INTEGER),
    FeatureSpec(name="holiday", kind=FeatureKind.BOOLEAN),
    FeatureSpec(name="carrier", kind=FeatureKind.CATEGORICAL, nullable=True),
)


@pytest.mark.parametrize("make", [pd.DataFrame, pa.table])
def test_a_signature_is_read_from_any_frame(make: Callable[[Any], object]) -> None:
    actual = infer_signature(
        make(DATA),
        task=Task.BINARY,
        labels=("no", "yes"),
        threshold=0.3,
        units={"distance": "mile"},
    )
    assert actual == Signature(
        features=SPECS, task=Task.BINARY, labels=("no", "yes"), threshold=0.3
    )


@pytest.mark.parametrize("make", [pd.DataFrame, pa.table])
def test_a_frame_becomes_columns(make: Callable[[Any], object]) -> None:
    frame = make({"other": ["x", "y", "z"], **DATA})
    columns = columns_from_frame(Signature(features=SPECS, task=Task.BINARY), frame)
    np.testing.assert_array_equal(columns.arrays[0], [1.5, np.nan, 3.0])
    np.testing.assert_array_equal(columns.arrays[1], [3.0, 4.0, 5.0])
    np.testing.assert_array_equal(columns.arrays[2], [1.0, 0.0, 1.0])
    assert columns.arrays[3].tolist() == ["AA", None, "UA"]
    assert [array.dtype.kind for array in columns.arrays] == ["f", "f", "f", "O"]


@pytest.mark.parametrize(
    ("column", "kind", "nullable"),
    [
        (pd.array([1, None], dtype="Int64"), FeatureKind.INTEGER, True),
        (pd.array([True, None], dtype="boolean"), FeatureKind.BOOLEAN, True),
        (pd.Series([True, None], dtype=object), FeatureKind.BOOLEAN, True),
        (pd.Series(["a", "b"], dtype=object), FeatureKind.CATEGORICAL, False),
        (pd.Series(["a", None], dtype="str"), FeatureKind.CATEGORICAL, True),
        (pd.Categorical(["a", None]), FeatureKind.CATEGORICAL, True),
        (np.array([1, 2], dtype=np.uint8), FeatureKind.INTEGER, False),
        (np.array([1, np.nan], dtype=np.float32), FeatureKind.NUMERIC, True),
        (pd.Series([np.nan, np.nan]), FeatureKind.NUMERIC, True),
    ],
)
def test_pandas_types_have_their_kind(column: Any, kind: FeatureKind, nullable: bool) -> None:
    (spec,) = infer_signature(pd.DataFrame({"x": column}), task=Task.REGRESSION).features
    assert (spec.kind, spec.nullable) == (kind, nullable)


@pytest.mark.parametrize(
    ("column", "kind"),
    [
        (pa.array(["a", None]).dictionary_encode(), FeatureKind.CATEGORICAL),
        (pa.array([Decimal("1.5"), None]), FeatureKind.NUMERIC),
        (pa.array([1.0, float("nan")]), FeatureKind.NUMERIC),
        (pa.array([True, None]), FeatureKind.BOOLEAN),
        (pa.array([1, None]), FeatureKind.INTEGER),
    ],
)
def test_arrow_types_have_their_kind_and_know_what_is_missing(
    column: Any, kind: FeatureKind
) -> None:
    (spec,) = infer_signature(pa.table({"x": column}), task=Task.REGRESSION).features
    assert (spec.kind, spec.nullable) == (kind, True)


@pytest.mark.parametrize(
    ("frame", "code", "path"),
    [
        (pd.DataFrame({"x": [datetime(2013, 1, 1, tzinfo=UTC)]}), "unsupported_dtype", "x"),
        (pd.DataFrame({"x": ["a", 1]}), "unsupported_dtype", "x"),
        (pd.DataFrame({"x": [[1], [2]]}), "unsupported_dtype", "x"),
        (pd.DataFrame({"x": pd.Categorical([1, 2])}), "unsupported_dtype", "x"),
        (pd.DataFrame({"x": [None, None]}), "empty_column", "x"),
        (pa.table({"x": pa.nulls(2)}), "empty_column", "x"),
        (pd.DataFrame({"x": [1.0, np.inf]}), "not_finite", "rows[1].features.x"),
        (pd.DataFrame({"x": [1, 2**60]}), "inexact", "rows[1].features.x"),
        (pd.DataFrame([[1, 2]], columns=["x", "x"]), "duplicate_columns", None),
        (pd.DataFrame([[1, 2]]), "invalid_column_name", None),
        (pd.DataFrame(index=[0, 1]), "no_columns", None),
        (pd.DataFrame({"x": pd.Series([], dtype=float)}), "no_rows", None),
        ({"x": [1]}, "not_a_table", None),
        (None, "not_a_table", None),
    ],
)
def test_a_frame_that_makes_no_signature_is_refused(
    frame: object, code: str, path: str | None
) -> None:
    with pytest.raises(InvalidInput) as refused:
        infer_signature(frame, task=Task.REGRESSION)
    assert (refused.value.code, refused.value.path) == (code, path)


@pytest.mark.parametrize(
    ("task", "labels", "threshold", "code"),
    [
        (Task.REGRESSION, ("a", "b"), 0.5, "invalid_labels"),
        (Task.BINARY, ("a",), 0.5, "invalid_labels"),
        (Task.BINARY, ("a", "a"), 0.5, "invalid_labels"),
        (Task.MULTICLASS, (), 0.5, "invalid_labels"),
        (Task.BINARY, (), 1.5, "invalid_threshold"),
        (Task.BINARY, (), float("nan"), "invalid_threshold"),
    ],
)
def test_a_task_that_does_not_fit_its_labels_is_refused(
    task: Task, labels: tuple[str, ...], threshold: float, code: str
) -> None:
    with pytest.raises(InvalidInput) as refused:
        infer_signature(pd.DataFrame(DATA), task=task, labels=labels, threshold=threshold)
    assert refused.value.code == code


def test_a_unit_of_no_column_is_refused() -> None:
    with pytest.raises(InvalidInput) as refused:
        infer_signature(pd.DataFrame(DATA), task=Task.BINARY, units={"distanc": "mile"})
    assert refused.value.hint == "Did you mean 'distance'?"


@pytest.mark.parametrize(
    ("changed", "code", "path"),
    [
        ({"seats": [1, None, 3]}, "missing_feature", "rows[1].features.seats"),
        ({"seats": [1, 2.5, 3]}, "not_integer", "rows[1].features.seats"),
        ({"seats": ["1", "2", "3"]}, "wrong_type", "rows[0].features.seats"),
        ({"distance": [1.0, 2.0, np.inf]}, "not_finite", "rows[2].features.distance"),
        ({"distance": [True, False, True]}, "wrong_type", "rows[0].features.distance"),
        ({"holiday": [1, 0, 1]}, "wrong_type", "rows[0].features.holiday"),
        ({"carrier": [1, 2, 3]}, "wrong_type", "rows[0].features.carrier"),
    ],
)
def test_a_table_that_the_model_cannot_take_is_refused_by_row(
    changed: dict[str, Any], code: str, path: str
) -> None:
    signature = Signature(features=SPECS, task=Task.BINARY)
    with pytest.raises(InvalidRow) as refused:
        columns_from_frame(signature, pd.DataFrame({**DATA, **changed}))
    assert (refused.value.code, refused.value.path) == (code, path)


def test_a_column_that_is_not_there_is_named_with_the_one_that_was_meant() -> None:
    frame = pd.DataFrame(DATA).rename(columns={"seats": "Seats"})
    with pytest.raises(InvalidRow) as refused:
        columns_from_frame(Signature(features=SPECS, task=Task.BINARY), frame)
    assert (refused.value.path, refused.value.hint) == ("features.seats", "Did you mean 'Seats'?")


def test_a_column_that_a_view_provides_need_not_be_there() -> None:
    frame = pd.DataFrame(DATA).drop(columns=["seats"])
    columns = columns_from_frame(
        Signature(features=SPECS, task=Task.BINARY), frame, provided=["seats"]
    )
    np.testing.assert_array_equal(columns.arrays[1], [np.nan] * 3)
