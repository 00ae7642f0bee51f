from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import cast

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from trimtab.config import (
    Config,
    FeaturesConfig,
    StateConfig,
    StoreConfig,
    ViewConfig,
    ViewFeature,
    WatchConfig,
)
from trimtab.features.history import History
from trimtab.features.lookup import HistoryLookup
from trimtab.features.skew import SkewComparer, SkewWindows
from trimtab.features.views import compile_plan
from trimtab.judge import DriftJudge
from trimtab.protocols import Actor, StateTx
from trimtab.types import (
    FeatureKind,
    FeatureSpec,
    PredictionRecord,
    Signature,
    State,
    Task,
    Version,
    Window,
)
from trimtab.wiring.deployment import Deployment
from trimtab.wiring.skew import skew_subjects
from trimtab.wiring.views import apply_views

CONFIG = FeaturesConfig(
    skew_delay_seconds=50.0,
    skew_samples=40,
    stores={"online": StoreConfig(kind="memory")},
    views={
        "weather": ViewConfig(
            entity="origin",
            realtime="online",
            features=(ViewFeature(name="wind"), ViewFeature(name="sky", kind="categorical")),
        )
    },
)
SIGNATURE = Signature(
    features=(
        FeatureSpec(name="distance", kind=FeatureKind.NUMERIC),
        FeatureSpec(name="wind", kind=FeatureKind.NUMERIC),
        FeatureSpec(name="sky", kind=FeatureKind.CATEGORICAL, nullable=True),
    ),
    task=Task.BINARY,
)
PLAN = compile_plan(CONFIG, SIGNATURE, ("weather",))
RECORD = PredictionRecord(
    prediction_id="", request_id=None, event_time=0.0, wall_time=0.0, model="late", version=1,
    digest="", epoch=0, rollout=None, arm=0, share=0.0, unit="", sticky=False,
    values=(1.0, 2.0, None), sources="qr-", ages_seconds=(None, 0.0, None), score=0.5,
    outputs=(0.5, 0.5), positive=True, latency_ms=1.0, entities={"origin": "JFK"},
)  # fmt: skip
NO_STATE = cast("StateTx", None)


def test_what_is_withheld_is_not_sampled() -> None:
    windows = SkewWindows("late", 1, SIGNATURE.names, 100.0, CONFIG)
    stored = replace(RECORD, values=(1.0, None, None), withheld=(1,))
    later = replace(RECORD, prediction_id="later", event_time=1_000.0)
    (window,) = windows.fold([replace(RECORD, prediction_id="a"), stored, later], (), NO_STATE)
    assert [{"wind": (2.0, 0.0)}] == [sample.values for sample in window.content]


def record(number: int, at: float, wind: float = 2.0, age: float = 0.0) -> PredictionRecord:
    return replace(
        RECORD,
        prediction_id=f"p{number}",
        event_time=at,
        values=(1.0, wind, None),
        ages_seconds=(None, age, None),
    )


def windows() -> SkewWindows:
    return SkewWindows("late", 1, SIGNATURE.names, 100.0, CONFIG)


def folded(of: SkewWindows, records: Sequence[PredictionRecord]) -> list[Window]:
    return list(of.fold(records, (), NO_STATE))


def history(
    folder: Path, rows: Sequence[tuple[str, float, object]], name: str = "history.parquet"
) -> HistoryLookup:
    origins, times, winds = zip(*rows, strict=True)
    sky = [None] * len(rows)
    table = pa.table(
        {"origin": origins, "at": times, "wind": winds, "sky": pa.array(sky, pa.string())}
    )
    file = folder / name
    pq.write_table(table, file)
    source = History(view="weather", files=(str(file),), keys=("origin",), time_column="at")
    return HistoryLookup({"weather": source})


def compared(lookup: HistoryLookup, records: Sequence[PredictionRecord]) -> dict[str, float]:
    """The share that differs, by feature."""
    (window,) = folded(windows(), [*records, record(-1, 1_000.0)])
    found = SkewComparer(PLAN.views, lookup, CONFIG).compare(window)
    return {one.name: one.score for one in found}


def test_a_window_closes_when_the_history_had_its_time() -> None:
    of = windows()
    assert folded(of, [record(1, 10.0), record(2, 149.0)]) == []
    (window,) = folded(of, [record(3, 150.0)])
    assert (window.start, window.end, window.rows) == (0.0, 100.0, 1)
    assert window.content[0].values == {"wind": (2.0, 10.0)}
    assert folded(of, [record(4, 20.0)]) == []
    assert of.late == 1


def test_only_what_stores_gave_to_this_version_is_kept() -> None:
    others = [
        replace(record(1, 10.0), version=2),
        replace(record(2, 10.0), model="other"),
        replace(record(3, 10.0), shadow=True),
        replace(record(4, 10.0), sources="qd-"),
        replace(record(5, 10.0), entities={}),
    ]
    assert folded(windows(), [*others, record(6, 1_000.0)]) == []


@given(cuts=st.sets(st.integers(0, 200), max_size=6))
def test_a_sample_is_the_same_however_records_come_and_over_restarts(cuts: set[int]) -> None:
    records = [record(i, (i * 7) % 100) for i in range(200)] + [record(-1, 1_000.0)]
    (whole,) = folded(windows(), records)
    assert whole.rows == CONFIG.skew_samples
    found: list[Window] = []
    at, of = 0, windows()
    for cut in [*sorted(cuts), len(records)]:
        found += folded(of, records[at:cut])
        again = windows()
        again.load(of.dump())
        at, of = cut, again
    (cut_up,) = found
    assert cut_up == whole


def test_equal_values_do_not_differ(tmp_path: Path) -> None:
    lookup = history(tmp_path, [("JFK", 5.0, 2.0), ("JFK", 20.0, 3.0), ("LGA", 900.0, 1.0)])
    records = [record(1, 10.0, age=5.0), record(2, 30.0, 3.0 + 1e-9, age=10.0)]
    assert compared(lookup, records) == {"wind": 0.0}


def test_another_value_or_none_differs(tmp_path: Path) -> None:
    lookup = history(tmp_path, [("JFK", 5.0, 2.0), ("LGA", 900.0, 1.0)])
    elsewhere = replace(record(3, 10.0), entities={"origin": "EWR"})
    records = [record(1, 10.0, age=5.0), record(2, 10.0, 2.5, age=5.0), elsewhere]
    assert compared(lookup, records)["wind"] == pytest.approx(2 / 3)


def test_what_the_history_does_not_reach_or_keep_is_left_out(tmp_path: Path) -> None:
    records = [record(1, 10.0, 9.0, age=5.0)]
    assert compared(history(tmp_path, [("JFK", 4.0, 2.0)]), records) == {}
    assert compared(history(tmp_path, [("JFK", 40.0, 2.0)]), records) == {}


def test_a_history_that_cannot_be_read_compares_nothing_and_raises_nothing(tmp_path: Path) -> None:
    lookup = history(tmp_path, [("JFK", 5.0, 2.0)])
    (tmp_path / "history.parquet").write_text("no")
    assert compared(lookup, [record(1, 10.0)]) == {}


@pytest.mark.parametrize(
    ("wrong", "state", "alarmed"), [(0, State.STEADY, False), (12, State.DRIFTED, True)]
)
def test_skew_alarms_once_it_is_more_than_the_floor(
    tmp_path: Path, wrong: int, state: State, alarmed: bool
) -> None:
    lookup = history(tmp_path, [("JFK", 5.0, 2.0), ("LGA", 9_000.0, 1.0)])
    judge = DriftJudge("feature_skew", WatchConfig(min_rows=20))
    comparer = SkewComparer(PLAN.views, lookup, CONFIG)
    of, verdict = windows(), None
    for start in (0.0, 1_000.0, 2_000.0):
        served = [
            record(i, start + 10.0, 7.0 if i < wrong else 2.0, age=start + 5.0) for i in range(40)
        ]
        closed = folded(of, [*served, record(-1, start + 999.0)])
        (window,) = (one for one in closed if one.rows == len(served))
        verdict = judge.judge(window, comparer.compare(window))
    assert verdict is not None
    assert (verdict.state, verdict.alarmed) == (state, alarmed)
    if alarmed:
        assert "12 of 40 differ, for example 7 served, 2 in the history" in verdict.words


VERSION = Version(
    model="late", version=1, digest="", format="onnx", size_bytes=1, signature=SIGNATURE,
    created_at=0.0, views=("weather",),
)  # fmt: skip
NOBODY = cast("Actor", None)


def watched(folder: Path) -> Deployment:
    view = replace(CONFIG.views["weather"], history=str(folder / "*.parquet"), time_column="at")
    features = replace(CONFIG, views={"weather": view})
    return Deployment.open(
        Config(
            state=StateConfig(dir=str(folder / "state")),
            watch=WatchConfig(window_seconds=100.0),
            features=features,
        )
    )


def test_a_version_is_watched_if_a_view_names_a_history(tmp_path: Path) -> None:
    deployment = watched(tmp_path)
    (subject,) = skew_subjects(deployment, VERSION, NOBODY)
    assert subject.key == "late/1/feature_skew"
    for views in ((), ("another",)):
        assert skew_subjects(deployment, replace(VERSION, views=views), NOBODY) == ()
    deployment.close()


def test_windows_are_compared_with_the_files_and_views_of_their_time(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    deployment = watched(tmp_path)
    (subject,) = skew_subjects(deployment, VERSION, NOBODY)

    def compared_at(start: float) -> dict[str, float]:
        later = replace(record(1, start + 150.0), version=2)
        assert list(subject.windower.fold([record(0, start), later], (), NO_STATE)) == []
        assert subject.before is not None
        assert subject.before()
        (window,) = subject.windower.fold((), (), NO_STATE)
        return {one.name: one.score for one in subject.comparer.compare(window)}

    assert compared_at(0.0) == {}
    assert [said.getMessage() for said in caplog.records] == ["store_failed"]
    history(tmp_path, [("JFK", 200.0, 2.0)])
    assert compared_at(200.0) == {"wind": 0.0}
    history(tmp_path, [("JFK", 400.0, 7.0)], "later.parquet")
    assert compared_at(400.0) == {"wind": 1.0}
    served = deployment.config.features.views["weather"]
    elsewhere = replace(served, history=str(tmp_path / "history.parquet"))
    apply_views(deployment, {"weather": elsewhere}, actor="test", reason="One file is right.")
    history(tmp_path, [("JFK", 600.0, 2.0)])
    assert compared_at(600.0) == {"wind": 0.0}
    deployment.close()


def test_files_from_before_a_feature_was_declared_are_no_skew_and_end_no_watcher(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "history.parquet"
    (window,) = folded(windows(), [record(0, 5.0), record(1, 5.0), record(-1, 900.0)])
    of = History(view="weather", files=(str(file),), keys=("origin",), time_column="at")
    comparer = SkewComparer(PLAN.views, HistoryLookup({"weather": of}), CONFIG)
    pq.write_table(pa.table({"origin": ["JFK"], "at": [5.0], "sky": ["grey"]}), file)
    assert comparer.compare(window) == []
    assert caplog.records == []
    pq.write_table(pa.table({"origin": ["JFK"], "wind": [2.0]}), file)
    assert comparer.compare(window) == []
    (said,) = caplog.records
    assert "has no column 'at'" in said.__dict__["reason"]
