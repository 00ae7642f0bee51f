"""A compiled row program equals scikit-learn's transformers bit for bit, refusals included."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.compose import ColumnTransformer
from sklearn.dummy import DummyRegressor
from sklearn.feature_selection import VarianceThreshold
from sklearn.impute import MissingIndicator, SimpleImputer
from sklearn.pipeline import FeatureUnion, Pipeline, make_pipeline
from sklearn.preprocessing import (
    Binarizer,
    FunctionTransformer,
    KBinsDiscretizer,
    MaxAbsScaler,
    MinMaxScaler,
    OneHotEncoder,
    OrdinalEncoder,
    PolynomialFeatures,
    RobustScaler,
    StandardScaler,
    TargetEncoder,
)

from trimtab.compact.rows import Rows
from trimtab.errors import InvalidInput
from trimtab.models.formats.sklearn_frame import SklearnInput
from trimtab.optimize.convert.compose import transformed
from trimtab.optimize.convert.link import linked
from trimtab.optimize.convert.read import sources
from trimtab.types import Array, Columns, FeatureKind, FeatureSpec, Signature, Task

KINDS = {
    "x": (FeatureKind.NUMERIC, True),
    "z": (FeatureKind.NUMERIC, False),
    "n": (FeatureKind.INTEGER, False),
    "m": (FeatureKind.INTEGER, True),
    "b": (FeatureKind.BOOLEAN, False),
    "c": (FeatureKind.CATEGORICAL, True),
    "u": (FeatureKind.CATEGORICAL, False),
}
FEATURES = tuple(
    FeatureSpec(name=name, kind=kind, nullable=gaps) for name, (kind, gaps) in KINDS.items()
)
SIGNATURE = Signature(features=FEATURES, task=Task.REGRESSION)
FLOATS = st.one_of(
    st.sampled_from([0.0, -0.0, 5e-324, -1e-310, 0.5, 1e300, -7.25]),
    st.floats(-1e6, 1e6, allow_subnormal=True),
)
INTEGERS = st.one_of(st.integers(-4, 4), st.integers(-(2**53), 2**53))
WORDS = st.sampled_from(["a", "b", "ä", "日本", "", "zz", "unknown", "ß", "a ", "日"])
Make = Callable[[], Any]

NUMERIC: Sequence[Make] = [
    SimpleImputer,
    lambda: SimpleImputer(strategy="median", add_indicator=True),
    lambda: SimpleImputer(strategy="constant", fill_value=-1.0, keep_empty_features=True),
    lambda: make_pipeline(SimpleImputer(), StandardScaler()),
    StandardScaler,
    lambda: make_pipeline(RobustScaler(), SimpleImputer(strategy="most_frequent")),
    lambda: make_pipeline(MinMaxScaler(clip=True), MaxAbsScaler()),
    lambda: make_pipeline(SimpleImputer(), KBinsDiscretizer(3, quantile_method="linear")),
    lambda: make_pipeline(
        SimpleImputer(),
        KBinsDiscretizer(3, encode="ordinal", strategy="uniform"),
        StandardScaler(),
    ),
    lambda: make_pipeline(SimpleImputer(), PolynomialFeatures(3, interaction_only=True)),
    lambda: make_pipeline(
        MinMaxScaler(), SimpleImputer(), PolynomialFeatures(2, include_bias=False), StandardScaler()
    ),
    lambda: make_pipeline(SimpleImputer(), Binarizer(threshold=0.5)),
    lambda: FeatureUnion([("s", StandardScaler()), ("m", MissingIndicator(error_on_new=False))]),
    lambda: make_pipeline(SimpleImputer(), VarianceThreshold()),
    lambda: make_pipeline(SimpleImputer(), MinMaxScaler(), FunctionTransformer(np.log1p)),
    lambda: make_pipeline(StandardScaler(), FunctionTransformer(np.tanh)),
    lambda: make_pipeline(FunctionTransformer(np.sqrt), SimpleImputer()),
    lambda: OneHotEncoder(handle_unknown="ignore"),
    lambda: OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-9),
    lambda: "passthrough",
    lambda: "drop",
]
TEXT: Sequence[Make] = [
    lambda: OneHotEncoder(handle_unknown="ignore"),
    OneHotEncoder,
    lambda: OneHotEncoder(handle_unknown="infrequent_if_exist", min_frequency=3),
    lambda: OneHotEncoder(handle_unknown="infrequent_if_exist", max_categories=2),
    lambda: OneHotEncoder(drop="first", handle_unknown="ignore", sparse_output=False),
    lambda: OneHotEncoder(drop="if_binary"),
    OrdinalEncoder,
    lambda: OrdinalEncoder(
        handle_unknown="use_encoded_value", unknown_value=np.nan, encoded_missing_value=-2
    ),
    lambda: OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1, min_frequency=3),
    TargetEncoder,
    lambda: make_pipeline(
        SimpleImputer(strategy="most_frequent"), OneHotEncoder(handle_unknown="ignore")
    ),
    lambda: make_pipeline(
        SimpleImputer(strategy="constant", fill_value="gone"),
        OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1),
        StandardScaler(),
    ),
    lambda: make_pipeline(OneHotEncoder(handle_unknown="ignore"), StandardScaler(with_mean=False)),
    lambda: make_pipeline(
        SimpleImputer(missing_values="zz", strategy="constant", fill_value="a"),
        OneHotEncoder(handle_unknown="ignore"),
    ),
    lambda: make_pipeline(TargetEncoder(), PolynomialFeatures(2)),
]


@st.composite
def tables(draw: st.DrawFn, rows: int) -> Columns:
    """Rows for the signature; only nullable features have gaps."""
    values = {
        FeatureKind.NUMERIC: FLOATS,
        FeatureKind.INTEGER: INTEGERS,
        FeatureKind.BOOLEAN: st.booleans(),
        FeatureKind.CATEGORICAL: WORDS,
    }
    arrays: list[Array] = []
    for spec in FEATURES:
        one = values[spec.kind]
        drawn = draw(
            st.lists(st.none() | one if spec.nullable else one, min_size=rows, max_size=rows)
        )
        if spec.kind is FeatureKind.CATEGORICAL:
            array: Array = np.empty(rows, dtype=object)
            array[:] = drawn
        else:
            array = np.array(drawn, dtype=np.float64)
        arrays.append(array)
    return Columns(features=FEATURES, arrays=tuple(arrays))


INPUT = SklearnInput(
    DummyRegressor().fit(pd.DataFrame({name: [0, 1] for name in KINDS}), [0, 1]), SIGNATURE
)


def frame_of(columns: Columns) -> pd.DataFrame:
    """The frame that serving hands to scikit-learn."""
    return INPUT.of(columns)


def training(seed: int, rows: int = 14) -> Columns:
    """Rows to fit on, as :func:`tables` makes them."""
    random = np.random.default_rng(seed)
    pools: dict[FeatureKind, list[Any]] = {
        FeatureKind.NUMERIC: [0.0, -0.0, 5e-324, 0.5, -7.25, *random.normal(0, 100, 6)],
        FeatureKind.INTEGER: [*range(-4, 5), 2**53],
        FeatureKind.BOOLEAN: [False, True],
        FeatureKind.CATEGORICAL: ["a", "b", "ä", "日本", "", "zz"],
    }
    arrays: list[Array] = []
    for spec in FEATURES:
        pool = pools[spec.kind][: random.integers(1, 12)] + [None] * spec.nullable
        drawn = [pool[i] for i in random.integers(0, len(pool), rows)]
        arrays.append(
            np.array(drawn, dtype=object if spec.kind is FeatureKind.CATEGORICAL else np.float64)
        )
    return Columns(features=FEATURES, arrays=tuple(arrays))


def native(model: Any, frame: pd.DataFrame) -> Array | str | None:
    """What scikit-learn makes of the frame, or that it refuses; None where it trips over itself."""
    try:
        made = model.transform(frame)
    except ValueError as refusal:
        return f"refused: {refusal}"
    except IndexError:  # an encoder that learned nothing but missing values meets a category
        return None
    return np.asarray(made.toarray() if hasattr(made, "toarray") else made, dtype=np.float64)


def same(left: Array, right: Array) -> bool:
    """Equal bit for bit, but that all NaN are one and so are the zeros of a sparse matrix."""
    return left.shape == right.shape and bool(np.array_equal(left, right, equal_nan=True))


def check(model: Any, train: Columns, test: Columns) -> None:
    """Fit on one table, and compare on both, as a batch and row by row."""
    frame = frame_of(train)
    try:
        model.fit(frame, np.arange(len(frame)) % 7 / 3.0)
    except (ValueError, TypeError, IndexError):
        return  # scikit-learn itself cannot be fitted on such a table
    program = linked(transformed(model, sources(model, SIGNATURE)).columns)
    rows = Rows(program, [spec.kind is FeatureKind.CATEGORICAL for spec in FEATURES])
    expected = native(model, frame_of(test))
    compare(expected, rows, test)
    for i in range(test.rows):
        single = tuple(array[i : i + 1] for array in test.arrays)
        one = Columns(features=FEATURES, arrays=single)
        if expected is None or isinstance(expected, str):
            compare(native(model, frame_of(one)), rows, one)
        else:
            compare(expected[i : i + 1], rows, one)
    fitted = native(model, frame)
    assert isinstance(fitted, np.ndarray)
    compare(fitted, rows, train)


def compare(expected: Array | str | None, rows: Rows, columns: Columns) -> None:
    if expected is None:
        return
    if isinstance(expected, str):
        with pytest.raises(InvalidInput):
            rows.matrix(columns.arrays, columns.rows)
    else:
        answer = rows.matrix(columns.arrays, columns.rows)
        assert same(answer, expected), (answer, expected)
        plain = [array.tolist() for array in columns.arrays]
        for i, row in enumerate(zip(*plain, strict=True)):
            values = [None if v != v else v for v in row]  # noqa: PLR0124 - NaN
            assert same(rows.one(values), answer[i])


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    test=tables(rows=4),
    numeric=st.sampled_from(NUMERIC),
    other=st.sampled_from(NUMERIC),
    text=st.sampled_from(TEXT),
    threshold=st.sampled_from([0.0, 0.3, 1.0]),
)
def test_row_program_equals_scikit_learn(
    seed: int, test: Columns, numeric: Make, other: Make, text: Make, threshold: float
) -> None:
    model = ColumnTransformer(
        [
            ("n", numeric(), ["x", "z", "n"]),
            ("t", text(), ["u", "c"]),
            ("o", other(), [3]),
            ("b", "passthrough", slice(4, 5)),
        ],
        sparse_threshold=threshold,
        transformer_weights={"n": 0.1},
        remainder="drop",
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        check(Pipeline([("columns", model)]), training(seed), test)
