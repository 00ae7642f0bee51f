from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from trimtab import FeatureViews
from trimtab.errors import InvalidInput, InvalidRow, NotFound

ROWS = {"customer": ["ann", "bob"], "mean": [2.0, 3.0], "event_time": [10, 20]}
CONFIG = """\
[state]
dir = "{folder}/state"

[features.stores.online]
kind = "sqlite"

[features.views.customers]
entity = "customer"
realtime = "online"
history = "{folder}/history.parquet"
features = [{{ name = "mean" }}]
"""


@pytest.fixture
def views(tmp_path: Path) -> FeatureViews:
    (tmp_path / "trimtab.toml").write_text(CONFIG.format(folder=tmp_path.as_posix()))
    pd.DataFrame(ROWS).to_parquet(tmp_path / "history.parquet")
    return FeatureViews(tmp_path / "trimtab.toml")


@pytest.mark.parametrize("kind", [pd.DataFrame, pl.DataFrame, pa.table])
def test_frames_of_every_kind_are_pushed_and_joined(views: FeatureViews, kind: Any) -> None:
    assert views.push("customers", kind(ROWS), time="event_time").kept == 2
    events = kind({"customer": ["ann", "ann"], "event_time": [15, 5]})
    found = views.training_frame(events)
    assert type(found) is type(events)
    (first, second) = (
        pa.table(found)["mean"].to_pylist() if kind is pa.table else list(found["mean"])
    )
    assert first == 2.0
    assert second is None or second != second  # noqa: PLR0124 - pandas' word for missing
    views.close()


def test_pushing_works_where_a_loop_runs_already(views: FeatureViews) -> None:
    async def main() -> int:
        return views.push("customers", pd.DataFrame(ROWS)).kept

    assert asyncio.run(main()) == 2


def test_what_is_not_there_is_an_error_that_names_it(views: FeatureViews) -> None:
    with pytest.raises(NotFound, match="customers"):
        views.push("nothing", pd.DataFrame(ROWS))
    mixed = pd.DataFrame({"customer": ["ann", 3], "mean": [1.0, 2.0]})
    for strange in (mixed, [1, 2]):
        with pytest.raises(InvalidInput, match="columns are of one type each"):
            views.push("customers", strange)
    with pytest.raises(InvalidRow, match="'mean'"):
        views.push("customers", pd.DataFrame({"customer": ["ann"]}))
