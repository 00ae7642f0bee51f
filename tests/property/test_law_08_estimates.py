"""Law 8: what is estimated is never shown as measured; it carries an interval and the word."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.performance.recorded import new_state, prediction, version

from trimtab.config import PerformanceConfig, WatchConfig
from trimtab.judge import DriftJudge
from trimtab.performance import (
    EstimatedComparer,
    EstimatedJudge,
    EstimatedWindows,
    HeldOut,
    evaluate,
    make_promise,
)
from trimtab.types import Columns, Comparison, FloatArray, State, Task, Verdict

CONFIG = WatchConfig(min_rows=10)
COSTS = PerformanceConfig(costs=((0.0, 1.0), (5.0, 0.0)))


def comparison(words: str, interval: tuple[float, float] | None) -> Comparison:
    return Comparison(
        name="accuracy",
        statistic="proportion_z",
        score=0.0,
        noise_floor=0.0,
        floor=0.02,
        p_value=None,
        words=words,
        interval=interval,
        estimated=True,
    )


def test_an_estimate_without_interval_or_word_cannot_be_made() -> None:
    assert comparison("estimated 0.8", (0.7, 0.9)).estimated
    for words, interval in (("estimated 0.8", None), ("0.8", (0.7, 0.9))):
        with pytest.raises(ValueError, match="needs an interval, and the word"):
            comparison(words, interval)


def verdict_on(
    scores: FloatArray, held_out_scores: FloatArray, outcomes: FloatArray, task: Task
) -> Verdict:
    model = version(task)
    column = np.linspace(0.0, 1.0, len(outcomes))
    heldout = HeldOut(
        columns=Columns(features=model.signature.features, arrays=(column,)),
        scores=held_out_scores,
        outcomes=outcomes,
    )
    config = COSTS if task is Task.BINARY else PerformanceConfig()
    promise = make_promise(heldout, model.signature, config)
    assert promise.estimator is not None
    figures = evaluate(held_out_scores, outcomes, model.signature, config=config)
    windows = EstimatedWindows(model, CONFIG, steps=promise.estimator.steps)
    made = [prediction(f"p{i}", 10.0 + i, score) for i, score in enumerate(scores)]
    (window,) = windows.fold([*made, prediction("end", 1e9)], (), new_state())
    found = EstimatedComparer(figures, promise.estimator, config).compare(window)
    judge = EstimatedJudge(DriftJudge("estimated_performance", CONFIG))
    return judge.judge(window, found)


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    rows=st.integers(1, 80),
    held_out=st.integers(1, 400),
    shape=st.sampled_from([(2.0, 5.0), (0.3, 0.3), (1.0, 30.0)]),
    task=st.sampled_from([Task.BINARY, Task.REGRESSION]),
)
def test_every_estimate_has_its_interval_and_the_word_whatever_was_predicted(
    seed: int, rows: int, held_out: int, shape: tuple[float, float], task: Task
) -> None:
    random = np.random.default_rng(seed)
    scores, reference = random.beta(*shape, rows), random.beta(*shape, held_out)
    outcomes = (random.random(held_out) < reference).astype(np.float64)
    if task is Task.REGRESSION:
        outcomes = reference + random.normal(0, 1, held_out)
    verdict = verdict_on(scores, reference, outcomes, task)
    assert verdict.comparisons
    for found in verdict.comparisons:
        assert found.estimated
        assert found.interval is not None
        assert found.current_value is not None
        low, high = found.interval
        assert low <= found.current_value <= high
        assert "estimated" in found.words
    if verdict.state is not State.NOT_ENOUGH_DATA:
        assert verdict.words.startswith("Estimated, not measured: ")
        assert "only outcomes can check that" in verdict.words
