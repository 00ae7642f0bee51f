"""Performance windows: what they count depends on what was recorded, not on how it was read."""

from __future__ import annotations

from itertools import pairwise
from random import Random

import msgspec
from hypothesis import example, given
from hypothesis import strategies as st
from tests.unit.performance.recorded import DAY, matured, new_state, prediction, version

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
    windows, found, state = PerformanceWindows(version(), CONFIG), [], new_state()
    edges = [0, *sorted(min(cut, len(made)) for cut in cuts), len(made)]
    for start, end in pairwise(edges):
        batch = made[start:end]
        known = [
            matured(p, outcomes[p.prediction_id]) for p in batch if p.prediction_id in outcomes
        ]
        found += list(windows.fold(batch, known, state))
        if restart:
            blob, windows = windows.dump(), PerformanceWindows(version(), CONFIG)
            windows.load(blob)
    return found


def closed(found: list[Window]) -> list[Window]:
    return [window for window in found if not window.revision]


def newest(found: list[Window]) -> list[Window]:
    """What each window came to in the end, however often it was counted again."""
    last = {window.start: window for window in found}
    return [msgspec.structs.replace(window, revision=0) for _, window in sorted(last.items())]


@example(
    events=[(0.0, 0.0, None)] * 3 + [(2 * DAY, 0.0, None), (0.0, 0.0, None)],
    cuts=[4],
    restart=False,
)
@given(events=EVENTS, cuts=st.lists(st.integers(0, 40), max_size=5), restart=st.booleans())
def test_the_same_records_give_the_same_windows_whatever_the_batches_and_restarts(
    events: list[tuple[float, float, float | None]], cuts: list[int], *, restart: bool
) -> None:
    made = [prediction(f"p{i}", when, score) for i, (when, score, _) in enumerate(events)]
    made.append(prediction("last", 20 * DAY))
    outcomes = {f"p{i}": value for i, (_, _, value) in enumerate(events) if value is not None}
    found = run(made, outcomes, cuts, restart=restart)
    expected = run(made, outcomes, [], restart=False)
    assert closed(expected) == closed(found)
    assert newest(expected) == newest(found)


@given(events=EVENTS, cuts=st.lists(st.integers(0, 40), max_size=5))
def test_a_restart_between_batches_changes_no_window_and_no_revision(
    events: list[tuple[float, float, float | None]], cuts: list[int]
) -> None:
    made = [prediction(f"p{i}", when, score) for i, (when, score, _) in enumerate(events)]
    made.append(prediction("last", 20 * DAY))
    outcomes = {f"p{i}": value for i, (_, _, value) in enumerate(events) if value is not None}
    assert run(made, outcomes, cuts, restart=False) == run(made, outcomes, cuts, restart=True)


@given(events=EVENTS, order=st.randoms(use_true_random=False))
def test_outcomes_count_the_same_before_and_after_a_window_has_closed(
    events: list[tuple[float, float, float | None]], order: Random
) -> None:
    made = [prediction(f"p{i}", when, score) for i, (when, score, _) in enumerate(events)]
    known = [
        matured(p, value)
        for p, (_, _, value) in zip(made, events, strict=True)
        if value is not None
    ]
    order.shuffle(known)
    end = [prediction("end", 20 * DAY)]
    prompt, late, state = (
        PerformanceWindows(version(), CONFIG),
        PerformanceWindows(version(), CONFIG),
        new_state(),
    )
    expected = list(prompt.fold([*made, *end], known, new_state()))
    found = list(late.fold([*made, *end], (), state))
    for one in known:
        found += late.fold((), [one], state)
    assert newest(expected) == newest(found)


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
    end, state = [prediction("end", 20 * DAY)], new_state()
    corrected, plain = PerformanceWindows(version(), CONFIG), PerformanceWindows(version(), CONFIG)
    corrected.fold(made, wrong, state)
    corrected.fold((), mended, state)
    plain.fold(made, right, new_state())
    found = list(corrected.fold(end, (), state))
    assert newest(found) == newest(list(plain.fold(end, (), new_state())))
