"""Performance windows: what they count depends on what was recorded, not on how it was read."""

from __future__ import annotations

from itertools import pairwise
from random import Random

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.performance.recorded import DAY, NO_STATE, matured, prediction, version

from trimtab.config import WatchConfig
from trimtab.performance import PerformanceWindows
from trimtab.types import (
    PredictionRecord,
    Window,
)

CONFIG = WatchConfig(outcome_delay_seconds=DAY)


EVENTS = st.lists(
    st.tuples(st.floats(0, 6 * DAY), st.floats(0, 1), st.sampled_from([None, 0.0, 1.0])),
    max_size=40,
)


def run(
    made: list[PredictionRecord], outcomes: dict[str, float], cuts: list[int], *, restart: bool
) -> list[Window]:
    """Fold batch by batch; outcomes are known as soon as their prediction is."""
    windows, found = PerformanceWindows(version(), CONFIG), []
    edges = [0, *sorted(min(cut, len(made)) for cut in cuts), len(made)]
    for start, end in pairwise(edges):
        batch = made[start:end]
        known = [
            matured(p, outcomes[p.prediction_id]) for p in batch if p.prediction_id in outcomes
        ]
        found += list(windows.fold(batch, known, NO_STATE))
        if restart:
            blob, windows = windows.dump(), PerformanceWindows(version(), CONFIG)
            windows.load(blob)
    return found


@given(events=EVENTS, cuts=st.lists(st.integers(0, 40), max_size=5), restart=st.booleans())
def test_the_same_records_give_the_same_windows_whatever_the_batches_and_restarts(
    events: list[tuple[float, float, float | None]], cuts: list[int], *, restart: bool
) -> None:
    made = [prediction(f"p{i}", when, score) for i, (when, score, _) in enumerate(events)]
    made.append(prediction("last", 20 * DAY))
    outcomes = {f"p{i}": value for i, (_, _, value) in enumerate(events) if value is not None}
    assert run(made, outcomes, cuts, restart=restart) == run(made, outcomes, [], restart=False)


@given(events=EVENTS, order=st.randoms(use_true_random=False))
def test_corrected_outcomes_count_as_if_they_had_been_right_at_once_in_any_order(
    events: list[tuple[float, float, float | None]], order: Random
) -> None:
    made = [prediction(f"p{i}", when, score) for i, (when, score, _) in enumerate(events)]
    right = [
        matured(p, value)
        for p, (_, _, value) in zip(made, events, strict=True)
        if value is not None
    ]
    wrong = [msgspec.structs.replace(m, value=1.0 - m.value) for m in right]
    mended = [msgspec.structs.replace(m, previous=1.0 - m.value) for m in right]
    order.shuffle(mended)
    end = [prediction("end", 20 * DAY)]
    corrected, plain = PerformanceWindows(version(), CONFIG), PerformanceWindows(version(), CONFIG)
    corrected.fold(made, wrong, NO_STATE)
    corrected.fold((), mended, NO_STATE)
    plain.fold(made, right, NO_STATE)
    found = list(corrected.fold(end, (), NO_STATE))
    assert found == list(plain.fold(end, (), NO_STATE))
