from __future__ import annotations

from collections.abc import Sequence

import pytest

from trimtab.config import ViewConfig, ViewFeature
from trimtab.errors import InvalidRow
from trimtab.features.sent import csv_rows, json_lines

VIEW = ViewConfig(
    entity="user",
    features=(
        ViewFeature(name="mean"),
        ViewFeature(name="visits", kind="integer"),
        ViewFeature(name="plan", kind="categorical"),
        ViewFeature(name="active", kind="boolean"),
    ),
)
COLUMNS = ("user", "mean", "visits", "plan", "active", "at")
HEADER = "user,mean,visits,plan,active,at"


def cells(*lines: str) -> list[Sequence[object]]:
    rows = csv_rows([HEADER, *lines], VIEW, COLUMNS, "at")
    return [tuple(row.values()) for row in rows]


def test_cells_are_what_the_view_declares() -> None:
    assert cells("007,1.50,3,2,true,1.7e9") == [("007", 1.5, 3, "2", True, 1.7e9)]


def test_a_cell_that_is_not_of_its_kind_stays_text_and_costs_the_column_nothing() -> None:
    assert cells("a,x,1.5,,maybe,2023-11-14", "b,1_0,2,,,") == [
        ("a", "x", "1.5", None, "maybe", "2023-11-14"),
        ("b", "1_0", 2, None, None, None),
    ]


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        ("b,1", "Line 3 cannot be read as CSV: 2 cells under 6 names"),
        ('b,"1', "Line 3 cannot be read as CSV"),
    ],
)
def test_a_line_that_cannot_be_read_is_named_after_those_before_it(broken: str, said: str) -> None:
    rows = csv_rows([HEADER, "a,1,1,x,1,1", broken], VIEW, COLUMNS, "at")
    assert next(rows)["user"] == "a"
    with pytest.raises(InvalidRow, match=said) as caught:
        next(rows)
    assert (caught.value.code, caught.value.path) == ("malformed_line", "line 3")


@pytest.mark.parametrize("lines", [[], ["user,mean,visits"]])
def test_a_column_that_is_not_there_is_named(lines: list[str]) -> None:
    with pytest.raises(InvalidRow) as caught:
        next(csv_rows(lines, VIEW, COLUMNS))
    assert caught.value.code == "unknown_column"


def test_lines_of_json_may_be_empty_and_must_be_objects() -> None:
    rows = json_lines([b'{"user": "a"}\n', b"\n", b"[1]\n"])
    assert next(rows) == {"user": "a"}
    with pytest.raises(InvalidRow, match="Line 3 is no JSON object"):
        next(rows)
