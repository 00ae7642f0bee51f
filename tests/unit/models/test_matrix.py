from __future__ import annotations

import numpy as np
import pytest

from trimtab.errors import InvalidInput
from trimtab.models.formats.matrix import Matrix, outputs
from trimtab.types import Columns, FeatureKind, FeatureSpec, Signature, Task

FEATURES = (
    FeatureSpec(name="air time", kind=FeatureKind.NUMERIC, nullable=True),
    FeatureSpec(name="carrier", kind=FeatureKind.CATEGORICAL, nullable=True),
)
SIGNATURE = Signature(features=FEATURES, task=Task.BINARY)
COLUMNS = Columns(
    features=FEATURES,
    arrays=(
        np.array([1.0, np.nan, 3.0, 4.0]),
        np.array(["b", "a", None, "new"], dtype=object),
    ),
)
CATEGORIES = {"carrier": ["a", "b"]}


@pytest.mark.parametrize(
    ("names", "order"),
    [
        (["air time", "carrier"], [0, 1]),
        (["air_time", "carrier"], [0, 1]),
        (["carrier", "air_time"], [1, 0]),
        (["Column_0", "Column_1"], [0, 1]),
        (["f0", "f1"], [0, 1]),
    ],
)
def test_columns_go_where_the_model_has_them(names: list[str], order: list[int]) -> None:
    matrix = Matrix(SIGNATURE, names, CATEGORIES).of(COLUMNS)
    expected = np.array([[1.0, 1.0], [np.nan, 0.0], [3.0, np.nan], [4.0, np.nan]])
    np.testing.assert_array_equal(matrix, expected[:, order])


@pytest.mark.parametrize(
    ("names", "categories"),
    [
        (["air_time"], CATEGORIES),
        (["air_time", "carrier", "seats"], CATEGORIES),
        (["air_time", "airline"], CATEGORIES),
        (["air_time", "air_time"], CATEGORIES),
        (["air_time", "carrier"], {}),
    ],
)
def test_a_model_of_other_features_is_refused(
    names: list[str], categories: dict[str, list[str]]
) -> None:
    with pytest.raises(InvalidInput) as refused:
        Matrix(SIGNATURE, names, categories)
    assert refused.value.code == "signature_mismatch"


def test_one_probability_becomes_two_and_everything_is_float64() -> None:
    raw = np.array([0.25, 1.0], dtype=np.float32)
    for shaped in (raw, raw[:, None]):
        assert outputs(shaped, Task.BINARY).tolist() == [[0.75, 0.25], [0.0, 1.0]]
    assert outputs(raw, Task.REGRESSION).tolist() == [[0.25], [1.0]]
    assert outputs(np.full((1, 3), 0.5), Task.MULTICLASS).shape == (1, 3)
