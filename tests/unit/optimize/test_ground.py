"""Rows are divided once, and what cannot show what the budget asks for is refused."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from trimtab.errors import InvalidPlan
from trimtab.optimize.budget import parse_budget
from trimtab.optimize.ground import make_ground, segments_of
from trimtab.types import Rows, Task

X = np.arange(2_000.0).reshape(1_000, 2)
Y = (np.arange(1_000) % 10 == 0).astype(np.float64)
NONE = parse_budget("")
AUC = parse_budget("auc<=0.01")


def test_no_row_is_in_two_parts_and_classes_keep_their_shares() -> None:
    ground, notes = make_ground(Task.BINARY, Rows(X=X, outcomes=Y), AUC)
    parts = [ground.fit, ground.choose, ground.certify]
    assert [len(part) for part in parts] == [500, 250, 250]
    seen = np.concatenate([part.X[:, 0] for part in parts])
    assert sorted(seen) == X[:, 0].tolist()
    assert [int(part.outcomes.sum()) for part in parts if part.outcomes is not None] == [50, 25, 25]
    assert notes == ()


def test_training_rows_leave_all_of_the_others_for_measuring() -> None:
    train = Rows(X=X[:300], outcomes=Y[:300])
    ground, _ = make_ground(Task.BINARY, Rows(X=X, outcomes=Y), AUC, train=train)
    assert ground.fit is train
    assert (len(ground.choose), len(ground.certify)) == (500, 500)


def test_frames_and_segments_are_divided_alike() -> None:
    frame = pd.DataFrame({"a": X[:, 0], "kind": np.where(X[:, 0] < 600, "x", "y")})
    rows = Rows(X=frame, outcomes=Y, segments=segments_of({"kind": frame["kind"].to_numpy()}))
    ground, _ = make_ground(Task.BINARY, rows, NONE)
    assert ground.certify.segments["kind"].tolist() == ground.certify.X["kind"].tolist()


def test_rows_without_an_outcome_are_left_out_and_said_to_be() -> None:
    gaps = Y.copy()
    gaps[:100] = np.nan
    ground, notes = make_ground(Task.BINARY, Rows(X=X, outcomes=gaps), AUC)
    assert len(ground.fit) + len(ground.choose) + len(ground.certify) == 900
    assert notes == ("100 of 1,000 rows have no outcome and are left out",)


@pytest.mark.parametrize(
    ("task", "rows", "budget", "code", "path"),
    [
        (Task.BINARY, Rows(X=X), "auc<=0.01", "target_missing", "budget.auc"),
        (Task.BINARY, Rows(X=X, outcomes=0 * Y), "auc<=0.01", "one_class_only", "budget.auc"),
        (Task.BINARY, Rows(X=X, outcomes=Y + np.nan), "", "no_outcomes", "target"),
        (Task.BINARY, Rows(X=X[:199], outcomes=Y[:199]), "", "too_few_rows", "data"),
        (Task.REGRESSION, Rows(X=X, outcomes=Y), "auc<=0.01", "invalid_budget", "budget.auc"),
        (Task.BINARY, Rows(X=X, outcomes=Y), "rmse<=0.01", "invalid_budget", "budget.rmse"),
    ],
)
def test_what_cannot_show_what_is_asked_is_refused(
    task: Task, rows: Rows, budget: str, code: str, path: str
) -> None:
    with pytest.raises(InvalidPlan) as caught:
        make_ground(task, rows, parse_budget(budget))
    assert (caught.value.code, caught.value.path) == (code, path)


def test_one_class_is_enough_where_no_metric_is_limited() -> None:
    ground, _ = make_ground(Task.BINARY, Rows(X=X, outcomes=0 * Y), parse_budget("max_abs<=0.1"))
    assert len(ground.certify) == 250


def test_segments_are_categories_and_quarters_of_numbers() -> None:
    found = segments_of({
        "kind": np.array(["a", None, "b"], dtype=object),
        "amount": np.append(np.arange(1.0, 100.0), np.nan),
        "flag": np.array([0, 1, 1]),
    })  # fmt: skip
    assert found["kind"].tolist() == ["a", "missing", "b"]
    assert sorted(set(found["amount"].tolist())) == [
        "25.5 to 50", "50 to 74.5", "above 74.5", "missing", "up to 25.5",
    ]  # fmt: skip
    assert found["flag"].tolist() == ["0", "1", "1"]
