"""No feature value in a training set is later than its event, and each is what a plain reading gives.

The reference goes through every row of every history for every event, with the checks that serving
uses. Every value of a history is its own event time, so that a value from the future would show.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import given, settings
from hypothesis import strategies as st

from trimtab.config import ViewConfig, ViewFeature
from trimtab.features.asof import AsOfJoin
from trimtab.features.history import History
from trimtab.features.training import TrainingPlan
from trimtab.features.views import planned_feature
from trimtab.types import FeatureKind, Scalar

KEYS = ("a", "b", "c|", None)
TIMES = st.one_of(
    st.integers(0, 30).map(float), st.floats(0, 30), st.sampled_from([math.nan, math.inf])
)
TTL = 7.0


def view(name: str, keys: tuple[str, ...], ttl: float | None) -> ViewConfig:
    return ViewConfig(
        entity=keys,
        ttl_seconds=ttl,
        features=(
            ViewFeature(name=f"{name}_at", maximum=25.0, default=-1.0),
            ViewFeature(name=f"{name}_short", ttl_seconds=3.0),
            ViewFeature(name=f"{name}_number", kind="integer", allowed=(1, 2)),
            ViewFeature(name=f"{name}_text", kind="categorical"),
        ),
    )


VIEWS = {
    "one": view("one", ("k",), TTL),
    "two": view("two", ("k", "l"), None),
}
ALL_KEYS = ("k", "l")


def row(at: float, k: str | None, l: str | None, number: float | None, text: str | None) -> Any:  # noqa: E741
    return {"k": k, "l": l, "at": at, "number": number, "text": text}


rows = st.builds(
    row,
    TIMES,
    st.sampled_from(KEYS),
    st.sampled_from(KEYS),
    st.sampled_from([1.0, 2.0, 3.0, 1.5, None]),
    st.sampled_from(["x", "y", None]),
)


def write(folder: Path, name: str, history: Sequence[dict[str, Any]]) -> History:
    """A history in two files, as its rows came."""
    schema = pa.schema(
        {"k": pa.string(), "l": pa.string(), "at": pa.float64(), f"{name}_at": pa.float64()}
        | {f"{name}_short": pa.float64(), f"{name}_number": pa.float64()}
        | {f"{name}_text": pa.string()}
    )
    half, files = len(history) // 2, []
    for part, some in enumerate((history[:half], history[half:])):
        told = [
            {"k": one["k"], "l": one["l"], "at": one["at"], f"{name}_at": one["at"]}
            | {f"{name}_short": one["at"], f"{name}_number": one["number"]}
            | {f"{name}_text": one["text"]}
            for one in some
        ]
        files.append(str(folder / f"{name}-{part}.parquet"))
        pq.write_table(pa.Table.from_pylist(told, schema), files[-1])
    return History(view=name, files=tuple(files), keys=VIEWS[name].keys, time_column="at")


def expected(
    event: dict[str, Any], name: str, history: Sequence[dict[str, Any]]
) -> dict[str, Scalar]:
    """What a view knew at an event, found by going through all of it."""
    newest: dict[str, Any] | None = None
    for one in history:
        same = all(one[key] == event[key] and one[key] is not None for key in VIEWS[name].keys)
        known = same and math.isfinite(one["at"]) and one["at"] <= event["at"]
        if known and (newest is None or one["at"] >= newest["at"]):
            newest = one
    values: dict[str, Scalar] = {}
    for feature in VIEWS[name].features:
        planned = planned_feature(0, FeatureKind(feature.kind), feature, VIEWS[name])
        part = feature.name.removeprefix(f"{name}_")
        value: Scalar = None
        if newest is not None:
            raw = newest["at"] if part in {"at", "short"} else newest[part]
            try:
                value = planned.conform(raw)
            except ValueError:
                value = None
            ttl = planned.ttl_seconds
            if ttl is not None and event["at"] - newest["at"] > ttl:
                value = None
        values[feature.name] = planned.default if value is None else value
    return values


@settings(max_examples=60, deadline=None)
@given(
    events=st.lists(rows, min_size=1, max_size=25),
    histories=st.tuples(st.lists(rows, max_size=30), st.lists(rows, max_size=30)),
    chunk=st.sampled_from([1, 4, 100]),
)
def test_a_join_is_what_a_plain_reading_gives_and_never_looks_ahead(
    events: list[dict[str, Any]],
    histories: tuple[list[dict[str, Any]], list[dict[str, Any]]],
    chunk: int,
) -> None:
    events = [event for event in events if math.isfinite(event["at"])]
    schema = pa.schema([("k", pa.string()), ("l", pa.string()), ("at", pa.float64())])
    told = [{name: event[name] for name in schema.names} for event in events]
    with tempfile.TemporaryDirectory() as folder:
        by_name = dict(zip(VIEWS, histories, strict=True))
        plan = TrainingPlan(
            time_column="at",
            views=VIEWS,
            histories={name: write(Path(folder), name, rows) for name, rows in by_name.items()},
            times=True,
        )
        join = AsOfJoin(plan)
    batches = pa.Table.from_pylist(told, schema).to_batches(max_chunksize=chunk)
    found = [one for table in join.join(batches) for one in table.to_pylist()]
    assert [{name: one[name] for name in schema.names} for one in found] == told
    for event, got in zip(events, found, strict=True):
        for name, history in by_name.items():
            wanted = expected(event, name, history)
            assert {feature: got[feature] for feature in wanted} == wanted
            times = [got[f"{name}.event_time"], got[f"{name}_short"]]
            times += [got[f"{name}_at"]] if got[f"{name}_at"] != -1.0 else []
            assert all(at <= event["at"] for at in times if at is not None)


def test_times_may_be_timestamps_and_keys_integers_or_their_text(tmp_path: Path) -> None:
    moments = [datetime(2026, 1, day, tzinfo=UTC) for day in (1, 2, 3)]
    history = pa.table(
        {
            "k": pa.array([7, 7, 8], pa.int32()),
            "at": pa.array(moments, pa.timestamp("ns", "UTC")),
            "x": pa.array([1, 2, 3], pa.int8()),
        }
    )
    pq.write_table(history, tmp_path / "h.parquet")
    source = History(view="v", files=(str(tmp_path / "h.parquet"),), keys=("k",), time_column="at")
    plan = TrainingPlan(
        time_column="when",
        views={"v": ViewConfig(entity="k", features=(ViewFeature(name="x"),))},
        histories={"v": source},
    )
    seconds = [moment.timestamp() + 1 for moment in moments]
    naive = pa.array([m.replace(tzinfo=None) for m in moments], pa.timestamp("ms"))
    for when in (pa.array(seconds), naive, pa.array([m.date() for m in moments], pa.date32())):
        for keys in (pa.array([7, 7, 7]), pa.array(["7", "7", "7"])):
            events = pa.record_batch({"k": keys, "when": when})
            (found,) = AsOfJoin(plan).join([events])
            assert found["x"].to_pylist() == [1.0, 2.0, 2.0]
