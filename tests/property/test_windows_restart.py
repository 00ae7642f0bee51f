"""Batches and restarts change no window: same spans, same rows, same bytes."""

from __future__ import annotations

from typing import cast

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from trimtab.config import WatchConfig
from trimtab.protocols import StateTx
from trimtab.sketch import Sketcher, fit, sketch, to_bytes
from trimtab.types import FeatureKind, PredictionRecord
from trimtab.windows import FeatureWindows

RNG = np.random.default_rng(0)
REFERENCE = [RNG.normal(size=500), RNG.normal(size=500)]
BINNINGS = [fit(FeatureKind.NUMERIC, column) for column in REFERENCE]
NO_STATE = cast("StateTx", None)  # drift needs none
CONFIG = WatchConfig(window_seconds=100.0, lateness_seconds=30.0)


def windower() -> FeatureWindows:
    ranks = dict(enumerate(map(sketch, BINNINGS, REFERENCE)))
    return FeatureWindows(
        "data_drift", "m", 1, Sketcher(BINNINGS, score=BINNINGS[0], ranks=ranks), CONFIG
    )


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
            values=(None if rng.random() < 0.1 else float(values[row, 0]), float(values[row, 1])),
            sources="qq", ages_seconds=(None, None), score=float(rng.random()), outputs=(),
            positive=None, latency_ms=1.0, shadow=bool(rng.random() < 0.05),
        )
        for row in range(rows)
    ]  # fmt: skip


def told(folded: FeatureWindows, records: list[PredictionRecord]) -> list[tuple[object, ...]]:
    found = folded.fold(records, (), NO_STATE)
    return [(w.start, w.end, w.rows, to_bytes(w.content)) for w in found]


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    cuts=st.lists(st.integers(0, 600), max_size=12),
    restarts=st.lists(st.booleans(), min_size=13, max_size=13),
)
def test_batches_and_restarts_change_nothing(
    seed: int, cuts: list[int], restarts: list[bool]
) -> None:
    records = stream(seed, 600)
    whole = windower()
    expected = told(whole, records)
    running = windower()
    actual: list[tuple[object, ...]] = []
    edges = [0, *sorted(cuts), len(records)]
    for restart, first, last in zip(restarts, edges, edges[1:], strict=False):
        if restart:
            blob, running = running.dump(), windower()
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
    still_open = sum(content.rows for content in folded._open.values())
    assert len(records) == rows + still_open + len(folded._suspects) + folded.late + folded.skewed
