"""Predictions and outcomes counted in windows of event time."""

from __future__ import annotations

import math
from collections.abc import Iterable

import msgspec
import numpy as np
import pytest
from tests.unit.performance.recorded import DAY, matured, new_state, prediction, version

from trimtab.config import PerformanceConfig, WatchConfig
from trimtab.performance import PerformanceWindows, SegmentSpec, evaluate, measure
from trimtab.protocols import StateTx
from trimtab.types import Matured, PredictionRecord, Task, Window

CONFIG = WatchConfig()


def fold(
    windows: PerformanceWindows,
    predictions: Iterable[PredictionRecord] = (),
    known: Iterable[Matured] = (),
    state: StateTx | None = None,
) -> list[Window]:
    return list(windows.fold(list(predictions), list(known), state or new_state()))


def spans(found: list[Window]) -> list[tuple[float, float, int, int]]:
    return [(w.start / DAY, w.end / DAY, w.rows, w.content.predictions) for w in found]


def test_a_window_waits_for_its_end_its_lateness_and_its_outcomes() -> None:
    windows = PerformanceWindows(version(), CONFIG)
    made = [prediction(f"p{i}", 100.0 + i) for i in range(100)]
    assert fold(windows, made, [matured(p, 1) for p in made]) == []
    assert fold(windows, [prediction("a", DAY + CONFIG.lateness_seconds - 1)]) == []
    found = fold(windows, [prediction("b", DAY + CONFIG.lateness_seconds)])
    assert spans(found) == [(0.0, 1.0, 100, 100)]


def test_a_window_without_enough_outcomes_closes_when_their_delay_is_over() -> None:
    windows = PerformanceWindows(version(), CONFIG)
    made = [prediction(f"p{i}", 100.0 + i) for i in range(100)]
    assert fold(windows, made, [matured(p, 1) for p in made[:98]]) == []
    assert fold(windows, [prediction("a", DAY + CONFIG.outcome_delay_seconds - 1)]) == []
    found = fold(windows, [prediction("b", DAY + CONFIG.outcome_delay_seconds)])
    assert spans(found) == [(0.0, 1.0, 98, 100)]


def test_an_outcome_can_complete_a_window() -> None:
    windows = PerformanceWindows(version(), CONFIG)
    made = [prediction(f"p{i}", 100.0 + i) for i in range(100)]
    fold(windows, [*made, prediction("a", DAY * 1.5)], [matured(p, 1) for p in made[:98]])
    assert spans(fold(windows, (), [matured(made[98], 1)])) == [(0.0, 1.0, 99, 100)]


def test_windows_come_in_order_though_a_later_one_is_complete_first() -> None:
    windows = PerformanceWindows(version(), CONFIG)
    first, second = prediction("first", 100.0), prediction("second", DAY + 100.0)
    assert fold(windows, [first, second, prediction("a", 2.1 * DAY)], [matured(second, 1)]) == []
    found = fold(windows, (), [matured(first, 1)])
    assert spans(found) == [(0.0, 1.0, 1, 1), (1.0, 2.0, 1, 1)]


def test_another_version_moves_time_and_is_not_counted() -> None:
    windows = PerformanceWindows(version(), CONFIG)
    mine, other = prediction("mine", 100.0), prediction("other", 100.0, number=2)
    later = prediction("later", 9 * DAY, number=2)
    found = fold(windows, [mine, other, later], [matured(mine, 1), matured(other, 1)])
    assert spans(found) == [(0.0, 1.0, 1, 1)]


def test_another_model_does_not_move_time() -> None:
    windows = PerformanceWindows(version(), CONFIG)
    mine = prediction("mine", 100.0)
    later = msgspec.structs.replace(prediction("later", 9 * DAY), model="another")
    assert fold(windows, [mine, later], [matured(mine, 1)]) == []


def test_what_comes_for_a_yielded_window_is_counted_again() -> None:
    windows, state = PerformanceWindows(version(), CONFIG), new_state()
    made = [prediction(f"p{i}", 100.0 + i, 0.9) for i in range(4)]
    (first,) = fold(windows, [*made, prediction("a", 9 * DAY)], [matured(made[0], 1)], state)
    assert (1, 4, 0, True) == (
        first.rows,
        first.content.predictions,
        first.revision,
        first.content.partial,
    )
    (again,) = fold(windows, (), [matured(p, 1) for p in made[1:]], state)
    assert (4, 4, 1, False) == (
        again.rows,
        again.content.predictions,
        again.revision,
        again.content.partial,
    )
    (mended,) = fold(windows, (), [matured(made[0], 0, previous=1.0)], state)
    assert (4, 2) == (mended.rows, mended.revision)
    assert measure(mended.content)["accuracy"].value == 0.75


def test_a_late_prediction_counts_from_the_first_revision_on() -> None:
    windows, state = PerformanceWindows(version(), CONFIG), new_state()
    kept, late = prediction("kept", 100.0), prediction("late", 200.0)
    fold(windows, [kept, prediction("a", 1.5 * DAY), late], [matured(late, 1)], state)
    first, again = fold(windows, (), [matured(kept, 1)], state)
    assert [(1, 1, 0), (2, 2, 1)] == [
        (w.rows, w.content.predictions, w.revision) for w in (first, again)
    ]


def test_a_few_late_outcomes_wait_until_time_enters_another_window() -> None:
    windows, state = PerformanceWindows(version(), CONFIG), new_state()
    made = [prediction(f"p{i}", 100.0 + i) for i in range(500)]
    fold(windows, [*made, prediction("a", 9 * DAY)], [matured(p, 1) for p in made[:400]], state)
    assert fold(windows, (), [matured(made[400], 1)], state) == []
    assert fold(windows, [prediction("b", 9.5 * DAY)], (), state) == []
    (again,) = fold(windows, [prediction("c", 10.0 * DAY)], (), state)
    assert (401, 1) == (again.rows, again.revision)
    (many,) = fold(windows, (), [matured(p, 1) for p in made[401:406]], state)
    assert (406, 2) == (many.rows, many.revision)


def test_windows_beyond_the_ring_are_not_counted_again() -> None:
    config = WatchConfig(recount_windows=2)
    windows, state = PerformanceWindows(version(), config), new_state()
    made = [prediction(f"p{i}", i * DAY + 100.0) for i in range(4)]
    fold(windows, [*made, prediction("a", 30 * DAY)], [matured(p, 1) for p in made], state)
    assert fold(windows, (), [matured(made[0], 0, previous=1.0)], state) == []
    (again,) = fold(windows, (), [matured(made[3], 0, previous=1.0)], state)
    assert (3.0, 1) == (again.start / DAY, again.revision)


def test_a_corrected_outcome_replaces_the_one_before() -> None:
    made = [prediction(f"p{i}", 100.0 + i, 0.9) for i in range(3)]
    corrected, plain = PerformanceWindows(version(), CONFIG), PerformanceWindows(version(), CONFIG)
    fold(corrected, made, [matured(p, 0) for p in made])
    later = [prediction("a", 1.5 * DAY)]
    found = fold(corrected, later, [matured(p, 1, previous=0.0) for p in made])
    assert found == fold(plain, [*made, *later], [matured(p, 1) for p in made])


@pytest.mark.parametrize("shape", [(2.0, 5.0), (0.05, 3.0), (0.5, 0.5), (4.0, 0.1)])
def test_counts_in_bins_give_the_exact_figures_nearly(shape: tuple[float, float]) -> None:
    random = np.random.default_rng(1)
    scores = random.beta(*shape, 3_000)
    outcomes = (random.random(3_000) < scores).astype(np.float64)
    made = [prediction(f"p{i}", 100.0, score) for i, score in enumerate(scores)]
    known = [matured(p, value) for p, value in zip(made, outcomes, strict=True)]
    windows = PerformanceWindows(version(), CONFIG)
    (window,) = fold(windows, [*made, prediction("a", 9 * DAY)], known)
    exact = evaluate(scores, outcomes, version().signature)
    found = measure(window.content)
    for name in ("accuracy", "precision", "recall"):
        assert found[name].value == exact[name]
        assert found[name].se == exact[f"{name}_se"]
    for name in ("roc_auc", "brier", "log_loss"):
        assert found[name].value == pytest.approx(exact[name], abs=5e-4)
        assert found[name].se == pytest.approx(exact[f"{name}_se"], rel=0.01, abs=1e-6)


def test_errors_in_bins_give_the_exact_figures_nearly() -> None:
    random = np.random.default_rng(2)
    errors = np.append(random.standard_t(3, 2_000) * 1e6, [0.0, 1e-12])
    regression = version(Task.REGRESSION)
    made = [prediction(f"p{i}", 100.0, error) for i, error in enumerate(errors)]
    (window,) = fold(
        PerformanceWindows(regression, CONFIG),
        [*made, prediction("a", 9 * DAY)],
        [matured(p, 0.0) for p in made],
    )
    exact = evaluate(errors, np.zeros(len(errors)), regression.signature)
    found = measure(window.content)
    for name in ("mae", "rmse"):
        assert found[name].value == pytest.approx(exact[name], rel=1e-3)
        assert found[name].se == pytest.approx(exact[f"{name}_se"], rel=5e-3)


@pytest.mark.parametrize("score", [0.0, 1e-300, 1.0, 1.0 - 1e-16])
def test_scores_at_the_ends_have_a_bin(score: float) -> None:
    made = prediction("made", 100.0, score)
    (window,) = fold(
        PerformanceWindows(version(), CONFIG),
        [made, prediction("a", 9 * DAY)],
        [matured(made, 1)],
    )
    found = measure(window.content)
    assert found["accuracy"].value == float(score >= 0.5)
    assert math.isfinite(found["log_loss"].value)


def test_several_classes_are_counted_by_class() -> None:
    random = np.random.default_rng(5)
    outputs = random.dirichlet((1.0, 1.0, 0.5), 3_000)
    outcomes = np.array([random.choice(3, p=row) for row in outputs], dtype=np.float64)
    several = version(Task.MULTICLASS)
    made = [
        msgspec.structs.replace(prediction(f"p{i}", 100.0), outputs=tuple(row.tolist()))
        for i, row in enumerate(outputs)
    ]
    known = [
        msgspec.structs.replace(
            one, facts=msgspec.structs.replace(one.facts, outputs=made[i].outputs)
        )
        for i, one in enumerate(map(matured, made, outcomes))
    ]
    (window,) = fold(PerformanceWindows(several, CONFIG), [*made, prediction("a", 9 * DAY)], known)
    exact = evaluate(outputs, outcomes, several.signature)
    found = measure(window.content)
    for name in ("accuracy", "precision", "recall", "f1"):
        assert found[name].value == pytest.approx(exact[name], abs=1e-12)
        assert found[name].se == pytest.approx(exact[f"{name}_se"], rel=1e-9)
    for name in ("roc_auc", "pr_auc", "brier", "log_loss"):
        assert found[name].value == pytest.approx(exact[name], abs=2e-3)
        assert found[name].se == pytest.approx(exact[f"{name}_se"], rel=0.01)


def test_an_early_label_that_comes_for_high_scores_alone_is_no_fair_sample() -> None:
    made = [prediction(f"p{i}", 100.0 + i, score) for i, score in enumerate([0.1, 0.9] * 200)]
    chosen, fair = PerformanceWindows(version(), CONFIG), PerformanceWindows(version(), CONFIG)
    end = prediction("end", 9 * DAY)
    (biased,) = fold(chosen, [*made, end], [matured(p, 1) for p in made if p.score > 0.5])
    (sampled,) = fold(fair, [*made, end], [matured(p, 1) for p in made[:200]])
    assert (True, True) == (biased.content.partial, biased.content.selected())
    assert (True, False) == (sampled.content.partial, sampled.content.selected())


def test_few_that_never_get_an_outcome_do_not_stop_the_judging() -> None:
    made = [prediction(f"p{i}", 100.0 + i, score) for i, score in enumerate([0.1, 0.9] * 200)]
    end = prediction("end", 9 * DAY)
    for missing, stops in ((6, False), (60, True)):
        never = [p for p in made if p.score > 0.5][:missing]
        known = [matured(p, 1) for p in made if p not in never]
        (window,) = fold(PerformanceWindows(version(), CONFIG), [*made, end], known)
        assert (True, stops) == (window.content.partial, window.content.selected())


def test_segments_are_counted_beside_the_whole() -> None:
    spec = SegmentSpec(feature="distance", edges=(10.0,))
    made = [
        msgspec.structs.replace(prediction(f"p{i}", 100.0 + i, 0.9), values=(float(i),))
        for i in range(30)
    ]
    known = [
        msgspec.structs.replace(
            one,
            facts=msgspec.structs.replace(one.facts, segments={"distance": made[i].values[0]}),
        )
        for i, one in enumerate(matured(p, i >= 10) for i, p in enumerate(made))
    ]
    windows = PerformanceWindows(version(), CONFIG, segments=(spec,))
    (window,) = fold(windows, [*made, prediction("end", 9 * DAY)], known)
    parts = window.content.segments
    assert {"distance below 10": (10, 10), "distance from 10": (20, 20)} == {
        name: (part.predictions, part.outcomes) for name, part in parts.items()
    }
    assert measure(parts["distance below 10"])["accuracy"].value == 0.0
    assert measure(parts["distance from 10"])["accuracy"].value == 1.0
    assert measure(window.content)["accuracy"].value == pytest.approx(2 / 3)


def test_requests_are_ranked_whole_and_wait_for_all_their_outcomes() -> None:
    made = [
        msgspec.structs.replace(
            prediction(f"p{i}", 100.0 + i, 0.9 - i % 3 / 10), request_id=f"r{i // 3}"
        )
        for i in range(6)
    ]
    known = [
        msgspec.structs.replace(
            one, facts=msgspec.structs.replace(one.facts, request_id=made[i].request_id)
        )
        for i, one in enumerate(matured(p, i == 1) for i, p in enumerate(made[:5]))
    ]
    windows = PerformanceWindows(version(), CONFIG, ranking=True)
    (window,) = fold(windows, [*made, prediction("end", 9 * DAY)], known)
    found = measure(window.content, PerformanceConfig(ranking_k=2))
    assert (0.5, 1.0, 1.0) == (
        found["mrr"].value,
        found["hit_rate_at_2"].value,
        found["mrr"].rows,
    )
    assert found["ndcg_at_2"].value == pytest.approx(1 / np.log2(3))
