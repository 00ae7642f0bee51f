"""The interval of an estimate holds what is measured later, as often as it says, when inputs shift."""

from __future__ import annotations

import numpy as np
import pytest
from tests.unit.performance.recorded import version

from trimtab.config import PerformanceConfig
from trimtab.performance import HeldOut, Promise, evaluate, make_promise
from trimtab.performance.bins import score_place
from trimtab.performance.estimated import Predicted, estimate
from trimtab.performance.estimated.losses import places_of
from trimtab.types import Columns, FeatureKind, FeatureSpec, FloatArray, Signature, Task

REPLICATES = 60
CLASSES = 3


def covered(held: list[bool]) -> None:
    """At least 95 % but for chance at three standard deviations."""
    assert np.mean(held) >= 0.95 - 3 * np.sqrt(0.95 * 0.05 / len(held))


def classes_of(scores: FloatArray, random: np.random.Generator) -> FloatArray:
    drawn = (random.random(len(scores))[:, None] > np.cumsum(scores, axis=1)).sum(axis=1)
    return np.minimum(drawn, scores.shape[1] - 1).astype(np.float64)


def tables(scores: FloatArray) -> tuple[dict[int, int], ...]:
    size = scores.shape[1]
    found: list[dict[int, int]] = [{} for _ in range(size)]
    for row in scores:
        for k in range(size):
            place = score_place(float(row[k]), int(np.argmax(row)), size)
            found[k][place] = found[k].get(place, 0) + 1
    return tuple(found)


def test_several_classes_are_estimated_within_their_interval() -> None:
    model = version(Task.MULTICLASS).signature
    none = Columns(features=(), arrays=())
    held: dict[str, list[bool]] = {"roc_auc": [], "accuracy": [], "log_loss": [], "f1": []}
    for seed in range(REPLICATES):
        random = np.random.default_rng(seed)
        scores = random.dirichlet((1.0, 1.0, 1.0), 1_500)
        bent = scores**1.5 / (scores**1.5).sum(axis=1, keepdims=True)
        outcomes = classes_of(bent, random)
        heldout = HeldOut(columns=none, scores=scores, outcomes=outcomes)
        promise = make_promise(heldout, model)
        assert promise.estimator is not None
        shifted = random.dirichlet((2.0, 1.0, 0.5), 600)
        meant = shifted**1.5 / (shifted**1.5).sum(axis=1, keepdims=True)
        measured = evaluate(shifted, classes_of(meant, random), model)
        predicted = Predicted(task=Task.MULTICLASS, predictions=600, tables=tables(shifted))
        found = estimate(predicted, promise.estimator, evaluate(scores, outcomes, model))
        for name, inside in held.items():
            inside.append(found[name].low <= measured[name] <= found[name].high)
    for inside in held.values():
        covered(inside)


NOISE = FeatureSpec(name="noise", kind=FeatureKind.NUMERIC)
PLACE = FeatureSpec(name="place", kind=FeatureKind.CATEGORICAL)
SIGNATURE = Signature(features=(NOISE, PLACE), task=Task.REGRESSION)


def regression_rows(rows: int, far: float, random: np.random.Generator) -> HeldOut:
    """Errors grow with ``noise`` and are three times as large in one place."""
    noise = random.gamma(2.0, far, rows)
    place = random.choice(["a", "b"], rows, p=[1 - 0.2 * far, 0.2 * far])
    scores = random.normal(0, 10, rows)
    spread = (0.5 + noise) * np.where(place == "b", 3.0, 1.0)
    return HeldOut(
        columns=Columns(features=(NOISE, PLACE), arrays=(noise, place.astype(object))),
        scores=scores,
        outcomes=scores + random.normal(0, 1, rows) * spread,
    )


def predicted_of(rows: HeldOut, promise: Promise) -> Predicted:
    assert promise.estimator is not None
    steps = promise.estimator.steps
    counts = [
        np.bincount(at, minlength=step.bins)
        for at, step in zip(places_of(steps, rows.columns, rows.scores), steps, strict=True)
    ]
    return Predicted(
        task=Task.REGRESSION,
        predictions=len(rows.outcomes),
        histograms=tuple(tuple(count.tolist()) for count in counts),
    )


def test_a_regressions_error_is_estimated_from_its_features() -> None:
    random = np.random.default_rng(7)
    heldout = regression_rows(20_000, 1.0, random)
    promise = make_promise(heldout, SIGNATURE, PerformanceConfig())
    figures = evaluate(heldout.scores, heldout.outcomes, SIGNATURE)
    assert promise.estimator is not None
    for far in (0.5, 1.0, 1.5):
        current = regression_rows(5_000, far, random)
        measured = evaluate(current.scores, current.outcomes, SIGNATURE)
        found = estimate(predicted_of(current, promise), promise.estimator, figures)
        assert found["mae"].value == pytest.approx(measured["mae"], rel=0.12)
        gap = abs(figures["mae"] - measured["mae"])
        assert abs(found["mae"].value - measured["mae"]) <= max(0.4 * gap, 0.1)


def test_a_regression_without_shift_is_estimated_within_its_interval() -> None:
    held: dict[str, list[bool]] = {"mae": [], "rmse": []}
    for seed in range(60):
        random = np.random.default_rng(seed)
        heldout = regression_rows(2_000, 1.0, random)
        promise = make_promise(heldout, SIGNATURE)
        figures = evaluate(heldout.scores, heldout.outcomes, SIGNATURE)
        current = regression_rows(500, 1.0, random)
        measured = evaluate(current.scores, current.outcomes, SIGNATURE)
        assert promise.estimator is not None
        found = estimate(predicted_of(current, promise), promise.estimator, figures)
        for name, inside in held.items():
            inside.append(found[name].low <= measured[name] <= found[name].high)
    for inside in held.values():
        covered(inside)
