from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from trimtab.errors import InvalidRow
from trimtab.schema import Checker, columns_from_frame
from trimtab.types import FeatureKind, FeatureSpec, RowRequest, Scalar, Signature, Task

TYPES = {
    FeatureKind.NUMERIC: pa.float64(),
    FeatureKind.INTEGER: pa.int64(),
    FeatureKind.BOOLEAN: pa.bool_(),
    FeatureKind.CATEGORICAL: pa.string(),
}
SIGNATURE = Signature(
    features=tuple(FeatureSpec(name=kind, kind=kind, nullable=True) for kind in FeatureKind),
    task=Task.BINARY,
)
VALUES = {
    FeatureKind.NUMERIC: st.floats(allow_nan=False, allow_infinity=False),
    FeatureKind.INTEGER: st.integers(-(2**53), 2**53),
    FeatureKind.BOOLEAN: st.booleans(),
    FeatureKind.CATEGORICAL: st.text(max_size=20),
}
ROWS = st.lists(st.fixed_dictionaries({k: st.none() | v for k, v in VALUES.items()}), max_size=20)
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)


def scalar(spec: FeatureSpec, value: Any) -> Scalar:
    if value is None or (spec.kind is not FeatureKind.CATEGORICAL and np.isnan(value)):
        return None
    back = {FeatureKind.INTEGER: int, FeatureKind.BOOLEAN: bool, FeatureKind.NUMERIC: float}
    made: Scalar = back.get(spec.kind, str)(value)
    return made


@settings(deadline=None)
@given(ROWS)
def test_rows_to_columns_and_back_change_nothing(rows: list[dict[str, Scalar]]) -> None:
    checker = Checker(SIGNATURE)
    checked = [checker.check(RowRequest(features=row), "")[0] for row in rows]
    columns = checker.columns(checked)
    back = [
        {
            spec.name: scalar(spec, array[row])
            for spec, array in zip(columns.features, columns.arrays, strict=True)
        }
        for row in range(columns.rows)
    ]
    assert back == rows


@settings(deadline=None)
@given(ROWS)
def test_a_frame_gives_the_same_columns_as_its_rows(rows: list[dict[str, Scalar]]) -> None:
    checker = Checker(SIGNATURE)
    schema = pa.schema([(kind.value, TYPES[kind]) for kind in FeatureKind])
    by_frame = columns_from_frame(SIGNATURE, pa.Table.from_pylist(rows, schema=schema))
    checked = [checker.check(RowRequest(features=row), "")[0] for row in rows]
    for left, right in zip(checker.columns(checked).arrays, by_frame.arrays, strict=True):
        assert left.dtype == right.dtype
        np.testing.assert_array_equal(left, right)


def checked(features: dict[str, Any]) -> list[Scalar] | InvalidRow:
    try:
        return Checker(SIGNATURE).check(RowRequest(features=features), "rows[0]")[0]
    except InvalidRow as refused:
        return refused


@settings(max_examples=300, deadline=None)
@given(st.dictionaries(st.sampled_from([*FeatureKind, "zzz"]), ANYTHING))
def test_whatever_is_sent_is_taken_or_refused(features: dict[str, Any]) -> None:
    found = checked(features)
    if isinstance(found, InvalidRow):
        assert found.path is not None
        assert found.hint
    else:
        arrays = Checker(SIGNATURE).columns([found]).arrays
        assert [array.dtype.kind for array in arrays] == ["f", "f", "f", "O"]


MIXED = Signature(
    features=tuple(
        FeatureSpec(
            name=name,
            kind=FeatureKind.CATEGORICAL if name in "xyz" else FeatureKind.NUMERIC,
            nullable=True,
        )
        for name in "axbycz"
    ),
    task=Task.REGRESSION,
)
SENT = st.one_of(
    st.floats(), st.integers(-(2**60), 2**60), st.text(max_size=5), st.none(), st.booleans(),
    st.just("x" * 9_999), st.just("\ud800"),
)  # fmt: skip


@given(
    st.dictionaries(st.sampled_from("axbyczu"), SENT)
    | st.fixed_dictionaries(
        {name: st.floats(-1e300, 1e300) for name in "abc"},
        optional={name: st.text("g\ud800é", max_size=3) for name in "xyz"},
    ),
    st.booleans(),
)
def test_a_row_taken_whole_is_what_it_is_value_by_value(
    features: dict[str, Scalar], nullable: bool
) -> None:
    specs = tuple(
        FeatureSpec(name=spec.name, kind=spec.kind, nullable=nullable or spec.name != "a")
        for spec in MIXED.features
    )
    signature = Signature(features=specs, task=Task.REGRESSION)
    # A model that looks entities up checks value by value.
    checkers = (Checker(signature), Checker(signature, entities=("never",)))
    told = []
    for checker in checkers:
        try:
            told.append(repr(checker.check(RowRequest(features=features), "rows[0]")))
        except InvalidRow as refused:
            told.append(f"{refused.code} {refused.path}")
    assert told[0] == told[1]
