"""A window's metrics against the held-out ones: only getting worse is an effect."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import kstest
from tests.unit.performance.recorded import matured, new_state, prediction, version

from trimtab.config import WatchConfig
from trimtab.performance import Counted, PerformanceComparer, PerformanceWindows, evaluate
from trimtab.types import (
    Comparison,
    FloatArray,
    Task,
    Window,
)

CONFIG = WatchConfig()


BINARY = version().signature


def window_of(scores: FloatArray, outcomes: FloatArray, task: Task = Task.BINARY) -> Window:
    windows = PerformanceWindows(version(task), CONFIG)
    made = [prediction(f"p{i}", 100.0, score) for i, score in enumerate(scores)]
    known = [matured(one, value) for one, value in zip(made, outcomes, strict=True)]
    late = prediction("late", 1e9, 0.5)
    (window,) = windows.fold([*made, late], known, new_state())
    return window


def draw(rows: int, seed: int, noise: float = 0.0) -> tuple[FloatArray, FloatArray]:
    random = np.random.default_rng(seed)
    truth = random.beta(2, 5, rows)
    outcomes = (random.random(rows) < truth).astype(np.float64)
    scores = np.clip(truth + random.normal(0, noise, rows), 0.001, 0.999)
    return scores, outcomes


def by_name(found: list[Comparison]) -> dict[str, Comparison]:
    return {comparison.name: comparison for comparison in found}


def compare(reference: dict[str, float], window: Window) -> dict[str, Comparison]:
    return by_name(list(PerformanceComparer(reference).compare(window)))


def test_a_model_that_got_worse_is_seen_in_every_metric_of_its_scores() -> None:
    reference = evaluate(*draw(5_000, 1), BINARY)
    found = compare(reference, window_of(*draw(2_000, 2, noise=0.4)))
    for name in ("roc_auc", "brier", "log_loss"):
        assert (found[name].p_value or 1.0) < 1e-6
        assert found[name].score > found[name].floor
        assert found[name].score > found[name].noise_floor


def test_a_model_that_got_better_has_no_effect() -> None:
    reference = evaluate(*draw(5_000, 1, noise=0.4), BINARY)
    found = compare(reference, window_of(*draw(2_000, 2)))
    better = [found[name] for name in ("roc_auc", "brier", "log_loss")]
    assert [comparison.score for comparison in better] == [0.0, 0.0, 0.0]
    assert min(comparison.p_value or 0.0 for comparison in better) > 0.999


@pytest.mark.parametrize(
    "name", ["accuracy", "roc_auc", "precision", "recall", "brier", "log_loss"]
)
def test_without_drift_p_values_are_uniform_though_the_reference_is_a_sample(name: str) -> None:
    p_values: list[float | None] = []
    for seed in range(100):
        reference = evaluate(*draw(400, seed), BINARY)
        p_values.append(compare(reference, window_of(*draw(400, 1_000 + seed)))[name].p_value)
    assert kstest(np.array(p_values, dtype=float), "uniform").pvalue > 0.001


def test_the_noise_floor_is_the_mean_effect_without_drift() -> None:
    effects, floors = [], []
    for seed in range(100):
        reference = evaluate(*draw(400, seed), BINARY)
        found = compare(reference, window_of(*draw(400, 1_000 + seed)))["roc_auc"]
        effects.append(found.score)
        floors.append(found.noise_floor)
    assert float(np.mean(floors)) == pytest.approx(float(np.mean(effects)), rel=0.25)


def test_days_that_always_differ_make_a_bad_day_less_telling() -> None:
    reference = evaluate(*draw(5_000, 1), BINARY)
    window = window_of(*draw(2_000, 2, noise=0.1))
    sure = compare(reference, window)["roc_auc"].p_value
    unsure = compare(reference | {"roc_auc_between": 0.1}, window)["roc_auc"].p_value
    assert sure is not None
    assert unsure is not None
    assert unsure > 10 * sure


def test_a_reference_of_unknown_size_is_no_more_certain_than_the_window() -> None:
    scores, outcomes = draw(500, 3, noise=0.1)
    window = window_of(scores, outcomes)
    alone = compare({"roc_auc": 0.75}, window)["roc_auc"]
    sized = compare({"roc_auc": 0.75, "rows": 500.0}, window)["roc_auc"]
    large = compare({"roc_auc": 0.75, "rows": 1e9}, window)["roc_auc"]
    assert alone == sized
    assert large.noise_floor == pytest.approx(alone.noise_floor / np.sqrt(2), rel=1e-3)


def test_without_a_held_out_figure_a_metric_is_shown_and_not_judged() -> None:
    found = compare({}, window_of(np.array([0.9, 0.2]), np.array([1.0, 0.0])))["accuracy"]
    assert (found.current_value, found.reference_value) == (1.0, None)
    assert (found.score, found.p_value) == (0.0, None)


def test_the_words_hold_both_values_the_interval_and_how_much_is_known() -> None:
    window = window_of(np.array([0.9] * 80 + [0.2] * 20), np.array([1.0] * 60 + [0.0] * 40))
    assert (
        compare({"accuracy": 0.9, "rows": 100.0}, window)["accuracy"].words
        == "0.9 → 0.8 (0.711 to 0.867; 100 of 100 outcomes known)"
    )


def test_errors_are_compared_in_relation() -> None:
    random = np.random.default_rng(6)
    outcomes = random.normal(0, 10, 1_000)
    window = window_of(outcomes + random.normal(0, 4, 1_000), outcomes, Task.REGRESSION)
    found = compare({"mae": 2.0, "rmse": 2.0, "rows": 1_000.0}, window)
    assert found["rmse"].score == pytest.approx(0.5, abs=0.03)
    assert found["mae"].score == pytest.approx(1 - 2 / (4 * np.sqrt(2 / np.pi)), abs=0.03)


def test_perfect_predictions_can_be_compared() -> None:
    window = window_of(np.zeros(50), np.zeros(50), Task.REGRESSION)
    found = compare({"rmse": 0.0, "rmse_se": 0.0, "rows": 50.0}, window)["rmse"]
    assert (found.current_value, found.score, found.p_value) == (0.0, 0.0, 1.0)


def test_a_p_value_is_never_nothing() -> None:
    window = window_of(np.zeros(500), np.full(500, 100.0), Task.REGRESSION)
    found = compare({"rmse": 1.0, "rmse_se": 1e-9, "rows": 500.0}, window)["rmse"]
    assert found.p_value == 1e-300


def test_a_window_without_outcomes_has_nothing_to_compare() -> None:
    content = Counted(task=Task.BINARY, predictions=10, outcomes=0, tables=())
    window = Window(
        subject="performance", model="m", version=1, start=0.0, end=1.0, rows=0, content=content
    )
    assert list(PerformanceComparer({"accuracy": 0.9}).compare(window)) == []
