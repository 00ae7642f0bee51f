"""Comparing waits until no transaction is open, and loses nothing by waiting."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import cast

from msgspec.structs import replace

from trimtab.config import FeaturesConfig, ViewConfig, ViewFeature
from trimtab.features.ahead import AheadComparer, AheadWindows
from trimtab.features.lookup import Ask, Known
from trimtab.features.skew import SkewComparer, SkewWindows
from trimtab.features.views import PlannedView, compile_plan
from trimtab.protocols import StateTx
from trimtab.types import FeatureKind, FeatureSpec, PredictionRecord, Signature, Task

NO_STATE = cast("StateTx", None)
CONFIG = FeaturesConfig(
    views={"weather": ViewConfig(entity="origin", features=(ViewFeature(name="wind"),))},
    skew_delay_seconds=50.0,
)
SIGNATURE = Signature(
    features=(FeatureSpec(name="wind", kind=FeatureKind.NUMERIC),), task=Task.BINARY
)
PLAN = compile_plan(CONFIG, SIGNATURE, ["weather"])
RECORD = PredictionRecord(
    prediction_id="", request_id=None, event_time=0.0, wall_time=0.0, model="late", version=1,
    digest="", epoch=0, rollout=None, arm=0, share=0.0, unit="", sticky=False, values=(2.0,),
    sources="r", ages_seconds=(0.0,), score=0.5, outputs=(0.5, 0.5), positive=True, latency_ms=1.0,
    entities={"origin": "JFK"},
)  # fmt: skip


class Lookup:
    """Knows one row, and counts how often it was asked."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, view: PlannedView, asks: Sequence[Ask]) -> Sequence[Known]:
        del view
        self.calls += 1
        row: Mapping[str, object] = {"wind": 3.0}
        return [Known(row=row, covered=True) for _ in asks]


def opened(lookup: Lookup) -> AheadWindows:
    windows = SkewWindows("late", 1, SIGNATURE.names, 100.0, CONFIG)
    return AheadWindows(windows, SkewComparer(PLAN.views, lookup, CONFIG))


def records(times: Iterable[float]) -> list[PredictionRecord]:
    return [replace(RECORD, prediction_id=str(at), event_time=at) for at in times]


def test_nothing_is_looked_up_while_records_are_folded() -> None:
    lookup = Lookup()
    ahead = opened(lookup)
    assert not ahead.look()
    assert list(ahead.fold(records((10.0, 110.0, 400.0)), (), NO_STATE)) == []
    assert lookup.calls == 0
    assert ahead.look()
    assert lookup.calls == 2
    first, second = ahead.fold((), (), NO_STATE)
    assert (first.start, first.rows, second.start) == (0.0, 1, 100.0)
    (found,) = AheadComparer().compare(first)
    assert (found.name, found.score) == ("wind", 1.0)
    assert lookup.calls == 2
    assert not ahead.look()
    assert list(ahead.fold((), (), NO_STATE)) == []


def test_what_waits_outlives_a_restart() -> None:
    before = opened(Lookup())
    assert list(before.fold(records((10.0, 400.0)), (), NO_STATE)) == []
    assert before.look()
    after = opened(Lookup())
    after.load(before.dump())
    assert after.look()
    (window,) = after.fold((), (), NO_STATE)
    assert (window.start, window.end, window.rows) == (0.0, 100.0, 1)
    assert [one.score for one in AheadComparer().compare(window)] == [1.0]
    (expected,) = before.fold((), (), NO_STATE)
    assert expected == window
