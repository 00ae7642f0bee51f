"""What a comparison shows, and what bad input does to it: it is scored or refused by name, never lost."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from click.testing import CliRunner
from pyarrow import parquet

from trimtab.cli.main import cli
from trimtab.errors import InvalidInput, InvalidRow, TrimtabError
from trimtab.library import DriftDetector
from trimtab.library.drift_report import DriftReport
from trimtab.types import State


def flights(rows: int, seed: int) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "distance": rng.lognormal(6.5, 0.6, rows),
            "seats": rng.integers(50, 300, rows),
            "carrier": rng.choice(["AA", "DL", "UA"], rows),
            "weekend": rng.random(rows) < 0.3,
        }
    )


REFERENCE = flights(4_000, 0)


@pytest.fixture(scope="module")
def detector() -> DriftDetector:
    return DriftDetector(REFERENCE, units={"distance": "mile"}, segment_by="carrier")


def named(report: DriftReport, name: str) -> Any:
    return next(found for found in report.verdict.comparisons if found.name == name)


def test_a_report_tells_of_drift_faults_and_segments(detector: DriftDetector) -> None:
    current = flights(2_000, 1)
    current["distance"] *= 1.609344
    report = detector.report(current)
    assert (True, True) == (report.drifted, report.broken)
    assert ("distance",) == report.verdict.flagged
    words = [c.words for c in report.quality.comparisons if c.name == "distance"]
    assert words[0].startswith("looks like km instead of miles: ×1.609")
    assert ["carrier = AA", "carrier = DL", "carrier = UA"] == sorted(report.segments)
    assert all(one.flagged == ("distance",) for one in report.segments.values())
    assert ["distance"] == [picture.name for picture in report.pictures]


def test_a_segment_that_moves_alone_is_seen(detector: DriftDetector) -> None:
    current = flights(4_000, 2)
    current.loc[current["carrier"] == "UA", "distance"] *= 1.5
    segments = detector.report(current).segments
    assert ["carrier = UA"] == [name for name, one in segments.items() if one.flagged]


def test_no_drift_is_a_green_page(
    detector: DriftDetector, unbalanced: Callable[[str], list[str]]
) -> None:
    report = detector.report(flights(2_000, 4))
    assert (False, False) == (report.drifted, report.broken)
    assert "What moved" not in report.to_html()
    assert [] == unbalanced(report.to_html())


def test_pages_are_whole_and_load_nothing(
    detector: DriftDetector, unbalanced: Callable[[str], list[str]]
) -> None:
    current = flights(2_000, 1)
    current["distance"] *= 3
    current["carrier"] = "<b>zz</b>"
    report = detector.report(current)
    for page in (report.to_html("<old>", "new"), report._repr_html_()):
        assert [] == unbalanced(page)
        assert "<b>zz" not in page
        assert "http" not in page
        assert 2 == page.count('<svg class="dist"')
    assert "prefers-color-scheme:dark" in report._repr_html_()


def test_pieces_equal_the_whole(detector: DriftDetector) -> None:
    current = flights(3_000, 4)
    whole = detector.report(current)
    pieces = detector.report_batches(current.iloc[at : at + 500] for at in range(0, 3_000, 500))
    assert whole.verdict == pieces.verdict
    assert whole.quality == pieces.quality
    assert whole.segments == pieces.segments


@pytest.mark.parametrize("form", [pl.from_pandas, pa.Table.from_pandas, lambda frame: frame])
def test_every_frame_gives_the_same_report(detector: DriftDetector, form: Any) -> None:
    current = flights(1_000, 5)
    current.loc[:99, "distance"] = np.nan
    assert detector.report(current).verdict == detector.report(form(current)).verdict


def test_types_can_be_edited() -> None:
    zips = pd.DataFrame({"zip": np.random.default_rng(0).choice([101, 102, 909], 2_000)})
    other = pd.DataFrame({"zip": np.random.default_rng(1).choice([101, 102, 777], 1_000)})
    found = DriftDetector(zips, types={"zip": "categorical"}).report(other)
    assert "`777` is new" in found.verdict.words


def test_vectors_are_compared_as_embeddings() -> None:
    rng = np.random.default_rng(0)

    def frame(shift: float) -> pl.DataFrame:
        return pl.DataFrame(
            {"x": rng.normal(size=400), "e": (rng.normal(size=(400, 8)) + shift).tolist()}
        )

    detector = DriftDetector(frame(0.0))
    assert () == detector.report(frame(0.0)).verdict.flagged
    assert ("e",) == detector.report(frame(0.5)).verdict.flagged
    ragged = pl.DataFrame({"x": [1.0] * 60, "e": [[1.0, 2.0]] * 60})
    with pytest.raises(InvalidInput, match="2 dimensions"):
        detector.report(ragged)


def test_multivariate_tests_are_asked_for_by_name() -> None:
    detector = DriftDetector(REFERENCE.head(400), multivariate=("pca", "mmd", "domain_classifier"))
    report = detector.report(flights(300, 6))
    assert {"pca", "mmd", "domain_classifier"} <= {c.name for c in report.verdict.comparisons}
    assert () == report.verdict.flagged
    with pytest.raises(InvalidInput, match="no multivariate test 'magic'"):
        DriftDetector(REFERENCE, multivariate=("magic",))


def damaged(change: Callable[[pd.DataFrame], Any]) -> pd.DataFrame:
    frame = flights(1_000, 7)
    changed = change(frame)
    return frame if changed is None else changed


SCORED: dict[str, tuple[Callable[[pd.DataFrame], Any], str, str]] = {
    "all missing": (lambda f: f.__setitem__("distance", np.nan), "distance", "missing 0 % → 100 %"),
    "constant": (lambda f: f.__setitem__("distance", 7.0), "distance", "is always"),
    "infinite": (
        lambda f: f.__setitem__("distance", np.where(np.arange(1_000) < 50, np.inf, f["distance"])),
        "distance",
        "infinite in 5 %",
    ),
    "text among numbers": (
        lambda f: f.__setitem__("distance", ["far"] * 100 + f["distance"].tolist()[100:]),
        "distance",
        "10 % of values are not a number",
    ),
    "numbers as text": (
        lambda f: f.__setitem__("seats", f["seats"].astype(str)),
        "seats",
        "100 % of values are not a number",
    ),
    "another kind of category": (
        lambda f: f.__setitem__("carrier", np.arange(1_000)),
        "carrier",
        "new categories in 100 % of rows",
    ),
    "a category for each row": (
        lambda f: f.__setitem__("carrier", [f"c{at}" for at in range(1_000)]),
        "carrier",
        "and others",
    ),
}


@pytest.mark.parametrize("name", SCORED)
def test_bad_data_is_scored_and_named(detector: DriftDetector, name: str) -> None:
    change, feature, words = SCORED[name]
    report = detector.report(damaged(change))
    fault = next(c for c in report.quality.comparisons if c.name == feature)
    assert words in fault.words
    assert feature in report.quality.flagged
    assert 1_000 == report.verdict.rows
    assert len(report.verdict.comparisons) >= 4


REFUSED: dict[str, tuple[Callable[[], object], type[TrimtabError], str]] = {
    "no column": (lambda: flights(100, 1).drop(columns="seats"), InvalidRow, "no column 'seats'"),
    "no table": (lambda: "rows", InvalidInput, "is not a table"),
    "no columns": (pd.DataFrame, InvalidInput, "No columns"),
    "repeated names": (
        lambda: flights(100, 1).rename(columns={"seats": "distance"}),
        InvalidInput,
        "names repeat",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_compared_is_refused_by_name(detector: DriftDetector, name: str) -> None:
    made, error, said = REFUSED[name]
    with pytest.raises(error, match=said):
        detector.report(made())


@pytest.mark.parametrize("rows", [0, 1, 29])
def test_few_rows_are_no_verdict(detector: DriftDetector, rows: int) -> None:
    current = flights(rows, 8)
    current["distance"] *= 100
    report = detector.report(current)
    assert State.NOT_ENOUGH_DATA is report.verdict.state
    assert (False, False) == (report.drifted, report.broken)
    assert "Not enough data" in report.to_html()


def test_unknown_columns_are_left_alone(detector: DriftDetector) -> None:
    current = flights(500, 9)
    assert detector.report(current).verdict == detector.report(current.assign(new=1)).verdict


def test_a_small_reference_is_a_sample_and_no_truth() -> None:
    """40 rows of reference, 40 windows without drift: almost no alarm."""
    alarms = 0
    for seed in range(40):
        alarms += DriftDetector(flights(40, seed)).report(flights(500, 100 + seed)).drifted
    assert alarms <= 6  # the 99 % point of 40 draws at 5 %


@pytest.mark.parametrize(
    ("column", "moved"), [(np.nan, 1.0), (3.0, 4.0)], ids=["all missing", "constant"]
)
def test_a_reference_without_values_or_spread_still_sees_a_change(
    column: float, moved: float
) -> None:
    reference = REFERENCE.assign(odd=column)
    detector = DriftDetector(reference)
    assert "odd" not in detector.report(flights(1_000, 10).assign(odd=column)).verdict.flagged
    assert "odd" in detector.report(flights(1_000, 10).assign(odd=moved)).verdict.flagged


def test_a_million_categories_stay_bounded() -> None:
    names = pa.array([f"user{at}" for at in range(1_000_000)])
    detector = DriftDetector(pa.table({"user": names}))
    report = detector.report(pa.table({"user": names}))
    assert len(detector._profile.features[0].binning.categories) <= 1_000
    assert len(report.pictures) <= 1
    assert 1_000_000 == report.verdict.rows


@pytest.mark.parametrize("at", [0.3, 0.9])
def test_a_truncated_file_is_refused(tmp_path: Path, at: float) -> None:
    whole, cut = tmp_path / "whole.parquet", tmp_path / "cut.parquet"
    parquet.write_table(pa.Table.from_pandas(REFERENCE), whole)
    cut.write_bytes(whole.read_bytes()[: int(at * whole.stat().st_size)])
    for pair in ((whole, cut), (cut, whole)):
        done = CliRunner().invoke(cli, ["drift", *map(str, pair)])
        assert 2 == done.exit_code
        assert "cannot be read" in done.output
        assert ".." not in done.output.replace("...", "")


def test_a_small_reference_is_said_to_be_small(tmp_path: Path) -> None:
    small, whole = tmp_path / "small.parquet", tmp_path / "whole.parquet"
    parquet.write_table(pa.Table.from_pandas(REFERENCE.head(60)), small)
    parquet.write_table(pa.Table.from_pandas(REFERENCE), whole)
    note = "note: the reference has 60 rows; only large differences stand out."
    assert note in CliRunner().invoke(cli, ["drift", str(small), str(whole)]).output
    assert "note:" not in CliRunner().invoke(cli, ["drift", str(whole), str(small)]).output
