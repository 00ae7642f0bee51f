"""Frames, files and records become profiles and windows; what does not fit is missing."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from pyarrow import csv, parquet

from trimtab.drift import build_profile
from trimtab.drift.frames import (
    columns_of_records,
    features_of,
    profile_of_frame,
    read_frame,
    sketch_frame,
)
from trimtab.errors import InvalidInput
from trimtab.sketch import CATEGORY_LIMIT, to_bytes
from trimtab.types import Columns, FeatureKind, FeatureSpec, PredictionRecord

FRAMES: dict[str, Callable[[dict[str, list[object]]], object]] = {
    "pandas": pd.DataFrame,
    "pandas objects": lambda data: pd.DataFrame(data, dtype=object),
    "pandas categories": lambda data: pd.DataFrame(data).astype({"town": "category"}),
    "polars": pl.DataFrame,
    "arrow": pa.table,
}
"""``pandas objects`` finds no types of its own; those of the reference are what counts."""


def rows(count: int) -> dict[str, list[object]]:
    return {
        "age": [18 + number * 7 % 60 for number in range(count)],
        "income": [None if number % 10 == 0 else 0.5 * number for number in range(count)],
        "paid": [number % 3 == 0 for number in range(count)],
        "town": [None if number % 20 == 0 else f"town {number % 7}" for number in range(count)],
    }


def columns(count: int) -> Columns:
    data = rows(count)
    specs = features_of(pa.table(data))
    arrays = [
        np.array(data[s.name], dtype=object)
        if s.kind is FeatureKind.CATEGORICAL
        else np.array([np.nan if v is None else v for v in data[s.name]], dtype=np.float64)
        for s in specs
    ]
    return Columns(features=specs, arrays=tuple(arrays))


@pytest.mark.parametrize("kind", FRAMES)
def test_every_kind_of_frame_is_the_same_window(kind: str) -> None:
    profile = build_profile(columns(600))
    whole = profile.feature_sketcher().sketch(columns(300).arrays)
    assert to_bytes(whole) == to_bytes(sketch_frame(profile, FRAMES[kind](rows(300))))


@pytest.mark.parametrize("kind", ["pandas", "pandas categories", "polars", "arrow"])
def test_every_kind_of_frame_is_the_same_profile(kind: str) -> None:
    times = np.linspace(0.0, 5_175_360.0, 600)
    expected = build_profile(columns(600), times=times)
    assert expected.blocks == 60
    assert expected.dump() == profile_of_frame(FRAMES[kind](rows(600)), times=times).dump()


def test_a_frame_without_rows_is_an_empty_window_and_no_reference() -> None:
    empty = pa.table(rows(600)).slice(0, 0)
    profile = build_profile(columns(600))
    assert [0] * 4 == [found.rows for found in sketch_frame(profile, empty).features]
    with pytest.raises(InvalidInput, match="at least one row"):
        profile_of_frame(empty)


def test_types_are_found_and_can_be_edited() -> None:
    frame = pa.table(rows(30) | {"at": [dt.datetime(2026, 1, 1)] * 30})  # noqa: DTZ001
    found = {spec.name: spec.kind.value for spec in features_of(frame, ignore=("paid",))}
    assert {"age": "integer", "income": "numeric", "town": "categorical", "at": "numeric"} == found
    (edited, *_) = features_of(frame, kinds={"age": FeatureKind.CATEGORICAL}, units={"income": "€"})
    assert FeatureSpec(name="age", kind=FeatureKind.CATEGORICAL, nullable=True) == edited
    with pytest.raises(InvalidInput, match="'wage'"):
        features_of(frame, units={"wage": "€"})


def test_files_are_frames(tmp_path: Path) -> None:
    frame = pa.table(rows(400))
    parquet.write_table(frame, tmp_path / "rows.parquet")
    csv.write_csv(frame, tmp_path / "rows.csv")
    profile = profile_of_frame(frame)
    for name in ("rows.parquet", "rows.csv"):
        read = sketch_frame(profile, read_frame(tmp_path / name)).features[1]
        assert to_bytes(sketch_frame(profile, frame).features[1]) == to_bytes(read)
    (tmp_path / "torn.parquet").write_bytes(b"PAR1")
    for name, code in (("torn.parquet", "unreadable_file"), ("rows.xls", "unknown_file_type")):
        with pytest.raises(InvalidInput) as refused:
            read_frame(tmp_path / name)
        assert code == refused.value.code


def recorded(number: int) -> PredictionRecord:
    return PredictionRecord(
        prediction_id=f"{number:032x}",
        request_id=None,
        event_time=1e9 + number * 3_600,
        wall_time=1e9,
        model="m",
        version=1,
        digest="sha256:0",
        epoch=1,
        rollout=None,
        arm=0,
        share=1.0,
        unit="0" * 16,
        sticky=True,
        values=(20 + number % 40, None, number % 2 == 0, "a" if number % 2 else None),
        sources="qqqq",
        ages_seconds=(None,) * 4,
        score=number / 100,
        outputs=(1.0, 0.0),
        positive=True,
        latency_ms=1.0,
    )


def test_what_the_journal_recorded_is_a_reference() -> None:
    specs = features_of(pa.table(rows(30)))
    records = [recorded(number) for number in range(100)]
    found, scores, times = columns_of_records(records, specs)
    profile = build_profile(Columns(features=specs, arrays=tuple(found)), scores, times)
    assert [0, 100, 0, 50] == [feature.sketch.missing for feature in profile.features]
    assert profile.score is not None
    assert (0.99, 1e9 + 99 * 3_600) == (scores[-1], times[-1])


def test_a_column_of_another_type_or_none_at_all_is_missing() -> None:
    profile = build_profile(columns(600))
    odd = {"income": ["12", "x", 3.5, None], "town": [1, "town 1", None, 2.5]}
    table = sketch_frame(profile, pd.DataFrame(odd, dtype=object))
    age, income, paid, town = table.features
    assert (4, 3, 4) == (age.missing, income.missing, paid.missing)
    assert (1, {"1": 1, "2.5": 1}) == (town.missing, town.fresh)


def test_a_million_categories_stay_within_bounds() -> None:
    names = pa.table({"id": pa.array(np.arange(1_000_000)).cast(pa.string())})
    profile = profile_of_frame(pa.table({"id": ["a", "b"] * 300}))
    (found,) = sketch_frame(profile, names).features
    assert (1_000_000, 64) == (found.unknown, len(found.fresh))
    reference = profile_of_frame(names.slice(0, 50_000)).features[0]
    assert len(reference.binning.categories) <= CATEGORY_LIMIT
