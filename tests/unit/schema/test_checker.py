from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from trimtab.errors import InvalidRow
from trimtab.schema import Checker
from trimtab.types import FeatureKind, FeatureSpec, RowRequest, Signature, Task

SIGNATURE = Signature(
    features=(
        FeatureSpec(name="distance", kind=FeatureKind.NUMERIC),
        FeatureSpec(name="seats", kind=FeatureKind.INTEGER, nullable=True),
        FeatureSpec(name="holiday", kind=FeatureKind.BOOLEAN, nullable=True),
        FeatureSpec(name="carrier", kind=FeatureKind.CATEGORICAL, nullable=True),
    ),
    task=Task.BINARY,
)
GOOD: dict[str, Any] = {"distance": 1.5, "seats": 3, "holiday": True, "carrier": "AA"}


def check(
    changed: Mapping[str, Any], checker: Checker | None = None
) -> tuple[list[Any], dict[str, str]]:
    checker = checker or Checker(SIGNATURE)
    return checker.check(RowRequest(features={**GOOD, **changed}), "rows[3]")


def test_a_good_row_is_taken_in_signature_order_whatever_its_own() -> None:
    row = RowRequest(features=dict(reversed(GOOD.items())))
    assert Checker(SIGNATURE).check(row, "rows[0]") == ([1.5, 3, True, "AA"], {})


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("distance", 3, 3.0),
        ("distance", -0.0, 0.0),
        ("distance", 2**53, float(2**53)),
        ("distance", -(2**53), float(-(2**53))),
        ("distance", np.float32(0.5), 0.5),
        ("distance", np.int64(7), 7.0),
        ("seats", 3.0, 3),
        ("seats", 0, 0),
        ("seats", -(2**53), -(2**53)),
        ("seats", np.int32(5), 5),
        ("seats", None, None),
        ("seats", math.nan, None),
        ("holiday", False, False),
        ("holiday", np.bool_(True), True),
        ("holiday", None, None),
        ("holiday", math.nan, None),
        ("carrier", "", ""),
        ("carrier", "Žluťoučký", "Žluťoučký"),
        ("carrier", "x" * 10_000, "x" * 10_000),
        ("carrier", np.str_("AA"), "AA"),
        ("carrier", None, None),
        ("carrier", math.nan, None),
        ("carrier", np.float64("nan"), None),
    ],
)
def test_what_can_be_taken_exactly_is_taken(name: str, value: object, expected: object) -> None:
    values, _ = check({name: value})
    actual = values[SIGNATURE.names.index(name)]
    assert (actual, type(actual)) == (expected, type(expected))


@pytest.mark.parametrize(
    ("name", "value", "code"),
    [
        ("distance", True, "wrong_type"),
        ("distance", False, "wrong_type"),
        ("distance", "1.5", "wrong_type"),
        ("distance", "", "wrong_type"),
        ("distance", [1.5], "wrong_type"),
        ("distance", (1.5,), "wrong_type"),
        ("distance", {"value": 1.5}, "wrong_type"),
        ("distance", b"1.5", "wrong_type"),
        ("distance", 1.5j, "wrong_type"),
        ("distance", np.bool_(True), "wrong_type"),
        ("distance", math.inf, "not_finite"),
        ("distance", -math.inf, "not_finite"),
        ("distance", np.float32("inf"), "not_finite"),
        ("distance", 2**53 + 1, "inexact"),
        ("distance", -(2**53) - 1, "inexact"),
        pytest.param("distance", 10**5000, "inexact", id="distance-huge"),
        pytest.param("seats", 10**5000, "inexact", id="seats-huge"),
        pytest.param("holiday", 10**5000, "wrong_type", id="holiday-huge"),
        pytest.param("carrier", 10**5000, "wrong_type", id="carrier-huge"),
        ("distance", None, "missing_feature"),
        ("distance", math.nan, "missing_feature"),
        ("distance", np.float64("nan"), "missing_feature"),
        ("seats", 3.5, "not_integer"),
        ("seats", 1e300, "inexact"),
        ("seats", 2**53 + 1, "inexact"),
        ("seats", 2.0**54, "inexact"),
        ("seats", math.inf, "not_finite"),
        ("seats", True, "wrong_type"),
        ("seats", "3", "wrong_type"),
        ("seats", [], "wrong_type"),
        ("seats", np.float64(0.5), "not_integer"),
        ("holiday", 1, "wrong_type"),
        ("holiday", 0, "wrong_type"),
        ("holiday", 1.0, "wrong_type"),
        ("holiday", "true", "wrong_type"),
        ("holiday", {}, "wrong_type"),
        ("holiday", np.int64(1), "wrong_type"),
        ("carrier", 1, "wrong_type"),
        ("carrier", 1.5, "wrong_type"),
        ("carrier", True, "wrong_type"),
        ("carrier", math.inf, "wrong_type"),
        ("carrier", ["AA"], "wrong_type"),
        ("carrier", b"AA", "wrong_type"),
        ("carrier", "x" * 10_001, "too_long"),
        ("carrier", "\ud800", "not_text"),
        ("carrier", np.int64(1), "wrong_type"),
    ],
)
def test_what_cannot_be_taken_exactly_is_refused_by_its_path(
    name: str, value: object, code: str
) -> None:
    with pytest.raises(InvalidRow) as refused:
        check({name: value})
    assert (refused.value.code, refused.value.path) == (code, f"rows[3].features.{name}")
    assert len(refused.value.message) < 200


def test_an_unknown_feature_is_refused_with_the_name_that_was_meant() -> None:
    with pytest.raises(InvalidRow) as refused:
        check({"Distance": 1.5})
    assert refused.value.code == "unknown_feature"
    assert refused.value.path == "rows[3].features.Distance"
    assert refused.value.hint == "Did you mean 'distance'?"


def test_an_unknown_feature_like_none_is_refused_with_all_names() -> None:
    with pytest.raises(InvalidRow) as refused:
        check({"zzz": 1.5})
    assert refused.value.hint == "It takes: distance, seats, holiday, carrier."


def test_a_very_long_unknown_name_is_shortened() -> None:
    with pytest.raises(InvalidRow) as refused:
        check({"z" * 100_000: 1.5})
    assert len(str(refused.value)) < 500


def test_unknown_features_are_ignored_where_the_setting_says_so() -> None:
    checker = Checker(SIGNATURE, unknown="ignore")
    assert check({"zzz": object()}, checker) == ([1.5, 3, True, "AA"], {})


def test_a_missing_feature_names_what_may_have_been_meant() -> None:
    with pytest.raises(InvalidRow) as refused:
        Checker(SIGNATURE).check(RowRequest(features={"distanse": 1.0}), "rows[0]")
    assert refused.value.code == "missing_feature"
    assert refused.value.path == "rows[0].features.distance"
    assert refused.value.hint == "Was it sent as 'distanse'?"


def test_absent_nullable_features_are_missing() -> None:
    row = RowRequest(features={"distance": 2})
    assert Checker(SIGNATURE).check(row, "") == ([2.0, None, None, None], {})


@pytest.mark.parametrize("features", [{}, {"distance": None}, {"distance": math.nan}])
def test_what_a_view_provides_may_be_missing(features: dict[str, Any]) -> None:
    checker = Checker(SIGNATURE, provided=["distance"])
    values, _ = checker.check(RowRequest(features=features), "rows[0]")
    assert values == [None, None, None, None]


@pytest.mark.parametrize(
    ("sent", "keys"),
    [
        ({"user": "u1"}, {"user": "u1"}),
        ({"user": 17}, {"user": "17"}),
        ({"user": np.int64(17)}, {"user": "17"}),
        ({"user": None}, {}),
        ({"user": math.nan}, {}),
        ({}, {}),
    ],
)
def test_an_entity_key_comes_beside_the_features(sent: Any, keys: dict[str, str]) -> None:
    checker = Checker(SIGNATURE, entities=["user"])
    assert check(sent, checker) == ([1.5, 3, True, "AA"], keys)


def test_a_row_of_entity_keys_alone_leaves_all_of_it_to_views() -> None:
    checker = Checker(SIGNATURE, provided=SIGNATURE.names, entities=["user", "shop"])
    nothing = [None] * len(SIGNATURE.names)
    for keys in (("user", "shop"), ("shop", "user")):
        row = RowRequest(features={key: "u1" if key == "user" else 7 for key in keys})
        assert checker.check(row, "rows[3]") == (nothing, {"user": "u1", "shop": "7"})
    with pytest.raises(InvalidRow) as refused:
        checker.check(RowRequest(features={"user": "u1", "shop": 1.5}), "rows[3]")
    assert (refused.value.code, refused.value.path) == ("wrong_type", "rows[3].features.shop")


def test_an_entity_key_may_be_a_feature_too() -> None:
    checker = Checker(SIGNATURE, entities=["carrier", "seats"])
    assert check({}, checker) == ([1.5, 3, True, "AA"], {"carrier": "AA", "seats": "3"})


@pytest.mark.parametrize(
    ("value", "code"),
    [
        ("", "empty_key"),
        (True, "wrong_type"),
        (1.5, "wrong_type"),
        (["u"], "wrong_type"),
        (2**63, "too_long"),
        pytest.param(10**5000, "too_long", id="huge"),
        ("u" * 10_001, "too_long"),
        ("\udfff", "not_text"),
    ],
)
def test_what_is_no_entity_key_is_refused(value: object, code: str) -> None:
    with pytest.raises(InvalidRow) as refused:
        check({"user": value}, Checker(SIGNATURE, entities=["user"]))
    assert (refused.value.code, refused.value.path) == (code, "rows[3].features.user")


def test_an_entity_does_not_hide_an_unknown_feature() -> None:
    with pytest.raises(InvalidRow) as refused:
        check({"user": "u1", "zzz": 1}, Checker(SIGNATURE, entities=["user"]))
    assert refused.value.path == "rows[3].features.zzz"


def test_columns_of_numbers_alone_are_those_beside_a_text_column() -> None:
    numbers = Signature(features=SIGNATURE.features[:3], task=Task.BINARY)
    rows: list[list[float | int | str | bool | None]] = [
        [1.5, 3, True],
        [None, 2**53, None],
        [-0.0, None, False],
    ]
    alone = Checker(numbers).columns(rows)
    beside = Checker(SIGNATURE).columns([[*row, "AA"] for row in rows])
    assert len(alone.arrays) == 3
    for ours, other in zip(alone.arrays, beside.arrays, strict=False):
        assert ours.dtype == other.dtype == np.float64
        assert ours.tobytes() == other.tobytes()
        assert ours.flags.c_contiguous


def test_no_rows_make_empty_columns_of_the_right_types() -> None:
    columns = Checker(SIGNATURE).columns([])
    assert [(len(array), array.dtype.kind) for array in columns.arrays] == [
        (0, "f"),
        (0, "f"),
        (0, "f"),
        (0, "O"),
    ]


NUMBERS = Signature(
    features=tuple(
        FeatureSpec(name=name, kind=FeatureKind.NUMERIC, nullable=True) for name in "abc"
    ),
    task=Task.REGRESSION,
)


@pytest.mark.parametrize(
    ("features", "expected"),
    [
        ({"c": 3.5, "a": 1.5, "b": -0.0}, [1.5, 0.0, 3.5]),
        ({"a": 1e308, "b": 1e308, "c": 1e308}, [1e308, 1e308, 1e308]),
        ({"a": 1, "b": 2.0, "c": 3.0}, [1.0, 2.0, 3.0]),
        ({"a": math.nan, "b": None, "c": 3.0}, [None, None, 3.0]),
        ({"a": 1.0, "c": 3.0}, [1.0, None, 3.0]),
    ],
)
def test_a_row_of_numbers_alone_is_taken_whole_or_value_by_value(
    features: dict[str, Any], expected: list[float | None]
) -> None:
    values, _ = Checker(NUMBERS).check(RowRequest(features=features), "rows[0]")
    assert expected == values
    assert {float, type(None)}.issuperset(map(type, values))


@pytest.mark.parametrize(
    ("features", "code"),
    [
        ({"a": 1.0, "b": 2.0, "c": math.inf}, "not_finite"),
        ({"a": math.inf, "b": -math.inf, "c": 1.0}, "not_finite"),
        ({"a": 1.0, "b": 2.0, "c": True}, "wrong_type"),
        ({"a": 1.0, "b": 2.0, "c": 2**53 + 1}, "inexact"),
        ({"a": 1.0, "b": 2.0, "d": 3.0}, "unknown_feature"),
    ],
)
def test_a_row_of_numbers_alone_is_refused_as_any_other(
    features: dict[str, Any], code: str
) -> None:
    with pytest.raises(InvalidRow) as refused:
        Checker(NUMBERS).check(RowRequest(features=features), "rows[0]")
    assert code == refused.value.code
