"""Batches and restarts change no window: same spans, same rows, same bytes."""

from __future__ import annotations

from typing import cast

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from trimtab.config import WatchConfig
from trimtab.protocols import StateTx
from trimtab.sketch import Binning, Sketcher, fit, sketch, to_bytes
from trimtab.types import FeatureKind, PredictionRecord
from trimtab.windows import FeatureWindows, Segment, WindowSketch, merge_windows

RNG = np.random.default_rng(0)
REFERENCE = [RNG.normal(size=500), RNG.normal(size=500)]
BINNINGS = [fit(FeatureKind.NUMERIC, column) for column in REFERENCE]
NO_STATE = cast("StateTx", None)  # drift needs none
CUTS = {
    f"{by}, {panes} panes{', a segment' if segment else ''}": (by, panes, segment)
    for by in ("time", "rows", "both")
    for panes in (1, 4)
    for segment in (False, True)
}
SEGMENT = Segment(feature="kind", position=2, value="a")
CATEGORIES = Binning(kind=FeatureKind.CATEGORICAL, bits=0, categories=("a", "b"))


def windower(how: str = "time, 1 panes") -> FeatureWindows:
    by, panes, segment = CUTS[how]
    config = WatchConfig(
        window_by=by,  # type: ignore[arg-type]  # one of the three
        window_seconds=100.0, window_rows=7, window_panes=panes, lateness_seconds=30.0,
    )  # fmt: skip
    ranks = dict(enumerate(map(sketch, BINNINGS, REFERENCE)))
    sketcher = Sketcher([*BINNINGS, CATEGORIES], score=BINNINGS[0], ranks=ranks)
    return FeatureWindows("data_drift", "m", 1, sketcher, config, SEGMENT if segment else None)


def stream(seed: int, rows: int) -> list[PredictionRecord]:
    """Events in rough order, with late ones, long silences and broken clocks."""
    rng = np.random.default_rng(seed)
    steps = rng.exponential(5.0, rows) + np.where(rng.random(rows) < 0.01, 900.0, 0.0)
    times = steps.cumsum() + rng.normal(0, 25.0, rows)
    times = np.where(rng.random(rows) < 0.02, times + rng.choice([-1e9, 1e9], rows), times)
    values = rng.normal(size=(rows, 2))
    return [
        PredictionRecord(
            prediction_id=str(row), request_id=None, event_time=float(times[row]), wall_time=0.0,
            model="m", version=int(rng.integers(1, 3)), digest="sha256:0", epoch=1, rollout=None,
            arm=0, share=0.0, unit="u", sticky=True,
            values=(None if rng.random() < 0.1 else float(values[row, 0]), float(values[row, 1]), "ab"[row % 3 % 2]),
            sources="qqq", ages_seconds=(None, None, None), score=float(rng.random()), outputs=(),
            positive=None, latency_ms=1.0, shadow=bool(rng.random() < 0.05),
        )
        for row in range(rows)
    ]  # fmt: skip


def told(folded: FeatureWindows, records: list[PredictionRecord]) -> list[tuple[object, ...]]:
    found = folded.fold(records, (), NO_STATE)
    return [(w.start, w.end, w.rows, w.overlaps, to_bytes(w.content)) for w in found]


@settings(max_examples=60, deadline=None)
@given(
    how=st.sampled_from(sorted(CUTS)),
    seed=st.integers(0, 10**6),
    cuts=st.lists(st.integers(0, 600), max_size=12),
    restarts=st.lists(st.booleans(), min_size=13, max_size=13),
)
def test_batches_and_restarts_change_nothing(
    how: str, seed: int, cuts: list[int], restarts: list[bool]
) -> None:
    records = stream(seed, 600)
    whole = windower(how)
    expected = told(whole, records)
    running = windower(how)
    actual: list[tuple[object, ...]] = []
    edges = [0, *sorted(cuts), len(records)]
    for restart, first, last in zip(restarts, edges, edges[1:], strict=False):
        if restart:
            blob, running = running.dump(), windower(how)
            running.load(blob)
        actual += told(running, records[first:last])
    assert expected == actual
    assert whole.dump() == running.dump()
    assert len(expected) > 3


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_every_record_is_folded_or_counted(seed: int) -> None:
    records = [r for r in stream(seed, 400) if r.version == 1 and not r.shadow]
    folded = windower()
    rows = sum(w.rows for w in folded.fold(records, (), NO_STATE))
    still_open = sum(pane.content.rows for pane in folded._open.values())
    assert (
        len(records)
        == rows + still_open + len(folded._clock.suspects) + folded.late + folded.skewed
    )


@settings(max_examples=20, deadline=None)
@given(
    how=st.sampled_from([how for how in CUTS if how.startswith("rows")]), seed=st.integers(0, 99)
)
def test_windows_by_rows_have_that_many_and_every_so_manieth_is_evidence(
    how: str, seed: int
) -> None:
    panes = CUTS[how][1]
    found = list(windower(how).fold(stream(seed, 500), (), NO_STATE))
    assert {panes * -(-7 // panes)} == {window.rows for window in found[panes - 1 :]}
    counted = [at for at, window in enumerate(found) if not window.overlaps]
    assert list(range(0, len(found), panes)) == counted


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 99))
def test_windows_by_both_are_never_longer_than_either(seed: int) -> None:
    found = list(windower("both, 1 panes").fold(stream(seed, 500), (), NO_STATE))
    assert all(window.rows <= 7 and window.end - window.start <= 100.0 for window in found)
    assert {7} < {window.rows for window in found}


def test_a_sliding_window_is_its_tumbling_ones_merged() -> None:
    """Windows of 25 s, four at a time, are the sliding windows of 100 s in four panes."""
    records = [replace(record, event_time=4.0 * at) for at, record in enumerate(stream(5, 600))]
    sliding = list(windower("time, 4 panes").fold(records, (), NO_STATE))
    ranks = dict(enumerate(map(sketch, BINNINGS, REFERENCE)))
    sketcher = Sketcher([*BINNINGS, CATEGORIES], score=BINNINGS[0], ranks=ranks)
    short = FeatureWindows(
        "data_drift", "m", 1, sketcher, WatchConfig(window_seconds=25.0, lateness_seconds=30.0)
    )
    pieces = list(short.fold(records, (), NO_STATE))
    assert len(pieces) > 20
    for window in sliding[:20]:
        inside = [p for p in pieces if window.start <= p.start and p.end <= window.end]
        assert window.rows == sum(piece.rows for piece in inside)


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 99), replicas=st.integers(2, 4))
def test_the_windows_of_several_replicas_merge_to_those_of_one(seed: int, replicas: int) -> None:
    """Each replica folds what it answered; their windows of the same hours, merged in any order."""
    steady = [
        replace(record, event_time=2.0 * at, version=1, shadow=False)
        for at, record in enumerate(stream(seed, 600))
    ]
    expected = told(windower(), steady)
    order = np.random.default_rng(seed).permutation(replicas)
    merged: dict[float, WindowSketch] = {}
    for replica in order.tolist():
        for window in windower().fold(steady[replica::replicas], (), NO_STATE):
            known = merged.get(window.start)
            content = window.content
            merged[window.start] = content if known is None else merge_windows((known, content))
    assert [one[-1] for one in expected] == [to_bytes(merged[one[0]]) for one in expected]  # type: ignore[index]
