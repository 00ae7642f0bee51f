from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from trimtab.errors import InvalidConfig, InvalidInput, InvalidRow
from trimtab.library.detector import DriftDetector
from trimtab.types import State


def flights(seed: int, rows: int, *, later: float = 0.0, snow: float = 0.1) -> pd.DataFrame:
    generator = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "delay": generator.gamma(2.0, 10.0, rows) + later,
            "seats": generator.integers(50, 300, rows),
            "carrier": generator.choice(["AA", "DL", "UA"], rows),
            "snow": generator.random(rows) < snow,
        }
    )


@pytest.fixture(scope="module")
def reference() -> pd.DataFrame:
    return flights(0, 3_000)


def test_no_drift_is_no_drift(reference: pd.DataFrame) -> None:
    drifted, scores = DriftDetector(reference).detect_drift(flights(1, 1_000))
    assert not drifted
    assert {"delay": 0.0, "seats": 0.0, "carrier": 0.0, "snow": 0.0} == scores


def test_the_score_of_a_drifted_feature_is_its_effect(reference: pd.DataFrame) -> None:
    drifted, scores = DriftDetector(reference).detect_drift(flights(1, 1_000, snow=0.5))
    assert drifted
    assert 0.4 == pytest.approx(scores["snow"], abs=0.05)
    assert ["snow"] == [name for name, score in scores.items() if score]


def test_the_threshold_is_compared_with_the_score(reference: pd.DataFrame) -> None:
    detector, current = DriftDetector(reference), flights(1, 1_000, snow=0.3)
    score = detector.detect_drift(current)[1]["snow"]
    assert detector.detect_drift(current, threshold=score)[0]
    assert not detector.detect_drift(current, threshold=score + 0.001)[0]


@pytest.mark.parametrize("threshold", [-0.1, 1.1, float("nan")])
def test_a_threshold_out_of_bounds_is_refused(reference: pd.DataFrame, threshold: float) -> None:
    with pytest.raises(InvalidInput, match="between 0 and 1"):
        DriftDetector(reference).detect_drift(reference, threshold)


@pytest.mark.parametrize(
    "form",
    [
        pl.from_pandas,
        pa.Table.from_pandas,
        lambda frame: frame.to_dict("list"),
        lambda frame: frame.to_dict("records"),
        lambda frame: frame.to_numpy(dtype=object),
    ],
)
def test_every_form_of_rows_gives_the_same_answer(reference: pd.DataFrame, form: Any) -> None:
    current = flights(1, 500, later=10.0)
    expected = DriftDetector(reference).detect_drift(current)
    assert expected == DriftDetector(reference).detect_drift(form(current))
    values = list(DriftDetector(form(reference)).detect_drift(form(current))[1].values())
    assert list(expected[1].values()) == values


def test_gaps_and_fractions_that_the_reference_did_not_have_are_drift_and_no_error(
    reference: pd.DataFrame,
) -> None:
    current = flights(1, 500)
    current["seats"] = current["seats"] + 0.5
    current.loc[:199, "carrier"] = None
    drifted, scores = DriftDetector(reference).detect_drift(current)
    assert drifted
    assert 0.4 == pytest.approx(scores["carrier"])
    assert 0.0 == scores["snow"]


@pytest.mark.parametrize("rows", [0, 1, 29])
def test_too_few_rows_say_nothing(reference: pd.DataFrame, rows: int) -> None:
    detector, current = DriftDetector(reference), flights(1, rows, later=1e6)
    assert (False, dict.fromkeys(detector.features, 0.0)) == detector.detect_drift(current)
    assert State.NOT_ENOUGH_DATA is detector.verdict(current).state


def test_a_missing_column_is_named(reference: pd.DataFrame) -> None:
    with pytest.raises(InvalidRow, match="no column 'snow'"):
        DriftDetector(reference).detect_drift(reference.drop(columns="snow"))


def test_a_reference_without_rows_is_refused() -> None:
    with pytest.raises(InvalidInput, match="no rows"):
        DriftDetector(pd.DataFrame({"a": pd.Series([], dtype=float)}))


def test_a_verdict_names_what_changed_and_also_tells_of_correlations() -> None:
    first = np.random.default_rng(0).normal(size=(4_000, 2))
    second = np.random.default_rng(1).normal(size=(4_000, 2))
    second[:, 1] = second[:, 0]
    detector = DriftDetector(first)
    assert (False, {"x0": 0.0, "x1": 0.0}) == detector.detect_drift(second)
    verdict = detector.verdict(second)
    assert ("correlation",) == verdict.flagged
    assert "x0 and x1" in verdict.words


def test_features_that_swing_from_day_to_day_anyway_need_to_swing_more() -> None:
    generator = np.random.default_rng(0)
    days = np.repeat(np.arange(60), 50)
    level = generator.normal(size=61)
    values = level[days] + generator.normal(size=len(days))
    today = {"x": level[60] + generator.normal(size=500)}
    assert DriftDetector({"x": values}).detect_drift(today)[0]
    assert not DriftDetector({"x": values}, times=days * 86_400.0).detect_drift(today)[0]


def test_rows_accumulate_one_by_one_until_their_drift_shows(reference: pd.DataFrame) -> None:
    detector = DriftDetector(reference, window_rows=500)
    rows = flights(1, 500, later=40.0).to_dict("records")
    scores = [detector.score(row) for row in rows]
    assert [0.0] * 49 == scores[:49]
    assert min(scores[49:]) > 0.3
    assert sorted(scores[:-1]) == scores[:-1]


def test_one_call_with_many_rows_is_like_many_calls_with_one(reference: pd.DataFrame) -> None:
    current = flights(1, 500, later=15.0)
    single, whole = (DriftDetector(reference, window_rows=500) for _ in range(2))
    for row in current.to_dict("records"):
        single.score(row)
    # Both have just filled a window; the score is now the full window's alone.
    assert single.score(current.head(1)) == whole.score(current)


def test_only_a_full_window_lowers_the_score(reference: pd.DataFrame) -> None:
    detector = DriftDetector(reference, window_rows=400)
    high = detector.score(flights(1, 400, later=40.0))
    assert high == detector.score(flights(2, 399))
    assert 0.0 == detector.score(flights(3, 1))


def test_looking_often_does_not_cry_wolf(reference: pd.DataFrame) -> None:
    detector = DriftDetector(reference, window_rows=200)
    alarms = 0
    for seed in range(1, 61):
        rows = flights(seed, 200)
        alarms += max(detector.score(rows[at : at + 20]) for at in range(0, 200, 20)) > 0
    assert alarms <= 7  # 5 % of 60 windows, give or take


def test_threads_lose_no_row(reference: pd.DataFrame) -> None:
    detector = DriftDetector(reference, window_rows=400)
    rows = flights(1, 400, later=40.0).to_dict("records")
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(detector.score, rows))
    whole = DriftDetector(reference, window_rows=400)
    whole.score(flights(1, 400, later=40.0))
    # A window that lacked a row would still be open and could not be lowered by this one.
    assert detector.score(flights(2, 400)) == whole.score(flights(2, 400)) == 0.0


def test_a_row_of_the_wrong_type_is_refused_and_not_counted(reference: pd.DataFrame) -> None:
    detector = DriftDetector(reference)
    with pytest.raises(InvalidRow, match="'delay' must be a number"):
        detector.score({"delay": "late", "seats": 100, "carrier": "AA", "snow": False})


def test_a_window_smaller_than_its_least_rows_is_refused(reference: pd.DataFrame) -> None:
    with pytest.raises(InvalidConfig, match="20 rows cannot have 30"):
        DriftDetector(reference, window_rows=20)


def test_a_notebook_shows_a_table_without_running_what_is_in_names() -> None:
    detector = DriftDetector({"<script>": list(range(100)), "b": list(range(100))})
    detector.detect_drift({"<script>": list(range(50, 150)), "b": list(range(100))})
    page = detector._repr_html_()
    assert "<script>" not in page
    assert "<td>&lt;script&gt;</td><td>integer</td><td>0.0%</td><td>0.500</td>" in page


@pytest.mark.parametrize("kind", ["pandas", "polars", "arrow"])
def test_a_verdict_is_the_one_of_the_report(kind: str) -> None:
    rng = np.random.default_rng(5)
    plain = {"x": rng.normal(size=70_000), "c": rng.choice(["a", "b"], 70_000)}
    detector = DriftDetector(pd.DataFrame(plain))
    odd = pd.DataFrame(
        {
            "x": np.where(rng.random(70_000) < 0.1, np.nan, plain["x"] + 0.4),
            "c": np.where(rng.random(70_000) < 0.05, "new", plain["c"]),
        }
    )
    odd.loc[:9, "c"] = None
    frames = {"pandas": odd, "polars": pl.from_pandas(odd), "arrow": pa.Table.from_pandas(odd)}
    frame = frames[kind]
    assert detector.report(frame).verdict == detector.verdict(frame)


def test_a_verdict_counts_what_is_no_number_as_the_report_does() -> None:
    detector = DriftDetector({"x": [*range(100)] * 10, "flag": [True, False] * 500})
    odd = pd.DataFrame(
        {"x": ["?", 10**400, 3] * 100, "flag": [True, "no", None] * 100}, dtype=object
    )
    assert detector.report(odd).verdict == detector.verdict(odd)
    with pytest.raises(InvalidRow, match="no column 'flag'"):
        detector.verdict(odd[["x"]])
