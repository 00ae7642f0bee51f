from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from trimtab.config import (
    Config,
    FeaturesConfig,
    StateConfig,
    StoreConfig,
    ViewConfig,
    ViewFeature,
    ViewTransform,
)
from trimtab.errors import InvalidInput, TrimtabError, Unavailable
from trimtab.wiring.deployment import Deployment
from trimtab.wiring.training import TrainingOptions, join_views, write_training_frame

RATIO = ViewTransform(
    name="ratio", function="operator:truediv", inputs=("amount", "mean"), default=-1.0
)


class World:
    """A deployment with a view of one customer, and a view of transforms."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        pq.write_table(
            pa.table({"customer": ["ann", "ann"], "event_time": [10, 20], "mean": [2.0, 4.0]}),
            folder / "history.parquet",
        )
        views = {
            "customers": ViewConfig(
                entity="customer",
                features=(ViewFeature(name="mean"),),
                history=str(folder / "history.parquet"),
            ),
            "ratios": ViewConfig(transforms=(RATIO,), request=(ViewFeature(name="amount"),)),
            "bare": ViewConfig(entity="customer", features=(ViewFeature(name="x"),)),
        }
        self.deployment = Deployment.open(
            Config(
                state=StateConfig(dir=str(folder / "state")),
                features=FeaturesConfig(stores={"a": StoreConfig(kind="memory")}, views=views),
            )
        )

    def join(self, events: pa.Table, *views: str, **asked: Any) -> list[dict[str, Any]]:
        options = TrainingOptions(views=views or ("customers", "ratios"), **asked)
        _, tables = join_views(self.deployment, events.to_batches(), events.schema, options)
        return [row for table in tables for row in table.to_pylist()]

    def refused(self, events: pa.Table, *views: str, **asked: Any) -> tuple[str, str | None]:
        with pytest.raises(TrimtabError) as caught:
            self.join(events, *views, **asked)
        return caught.value.code, caught.value.path


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def events(times: Sequence[float], **more: Sequence[object]) -> pa.Table:
    count = len(times)
    return pa.table(
        {"customer": ["ann"] * count, "event_time": times, "amount": [8.0] * count, **more}
    )


def test_transforms_are_the_functions_of_serving(world: World) -> None:
    found = world.join(events([25.0, 15.0, 5.0], label=[1, 0, 1]))
    assert [(row["mean"], row["ratio"], row["label"]) for row in found] == [
        (4.0, 2.0, 1),
        (2.0, 4.0, 0),
        (None, -1.0, 1),
    ]
    assert world.join(events([5.0]), defaults=False)[0]["ratio"] is None


def test_the_time_of_what_was_taken_can_be_told(world: World) -> None:
    (row,) = world.join(events([15.0]), "customers", times=True)
    assert row["customers.event_time"] == 10.0


def test_a_frame_is_written_whole_with_the_versions_of_its_views(
    world: World, tmp_path: Path
) -> None:
    pq.write_table(events([25.0, 15.0, 5.0]), tmp_path / "events.parquet")
    told: list[tuple[int, int]] = []
    made = write_training_frame(
        world.deployment,
        tmp_path / "events.parquet",
        tmp_path / "train.parquet",
        TrainingOptions(views=("customers", "ratios"), chunk_rows=2),
        lambda *at: told.append(at),
    )
    table = pq.read_table(tmp_path / "train.parquet")
    assert (made.rows, list(made.columns)) == (3, table.column_names)
    assert table.column_names == ["customer", "event_time", "amount", "mean", "ratio"]
    assert told == [(0, 3), (2, 3), (3, 3)]
    assert sorted(made.views) == ["customers", "ratios"]
    assert made.views["customers"].encode() in table.schema.metadata[b"trimtab.views"]


def test_no_events_are_none(world: World) -> None:
    assert world.join(events([])) == []


def test_what_does_not_fit_together_is_refused_with_its_path(world: World) -> None:
    good = events([15.0])
    assert world.refused(good, "nothing")[0] == "unknown_view"
    assert world.refused(good, "bare") == ("no_history", "features.views.bare.history")
    assert world.refused(good.drop_columns(["customer"])) == ("unknown_column", "customer")
    assert world.refused(good.drop_columns(["amount"])) == ("unknown_column", "amount")
    assert world.refused(good, time_column="at") == ("unknown_column", "at")
    assert world.refused(events([15.0], mean=[1.0])) == ("column_exists", "mean")
    assert world.refused(events([15.0], ratio=[1.0])) == ("column_exists", "ratio")
    missing = good.set_column(1, "event_time", pa.array([None], pa.float64()))
    assert world.refused(missing) == ("event_time_missing", "event_time")
    text = good.set_column(1, "event_time", pa.array(["noon"]))
    assert world.refused(text) == ("event_time_out_of_range", "event_time")
    floats = good.set_column(0, "customer", pa.array([1.5]))
    assert world.refused(floats) == ("wrong_key", "customer")


def test_a_history_that_lacks_a_column_or_is_broken_is_refused(world: World) -> None:
    file = world.folder / "history.parquet"
    pq.write_table(pa.table({"customer": ["ann"], "event_time": [1]}), file)
    with pytest.raises(InvalidInput, match="mean"):
        world.join(events([15.0]))
    file.write_text("no")
    with pytest.raises(Unavailable):
        world.join(events([15.0]))
