"""Losses agree with the metrics' definitions, and their intervals with resampling."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, brier_score_loss, log_loss, roc_auc_score

from trimtab.errors import InvalidPlan
from trimtab.optimize.losses import auc_change, decisions, metric_changes
from trimtab.types import Array, FloatArray, Task


def scored(rows: int, seed: int = 0, noise: float = 0.3) -> tuple[Array, FloatArray, FloatArray]:
    """Outcomes, a model's probabilities, and those of a somewhat worse one."""
    random = np.random.default_rng(seed)
    signal = random.normal(size=rows)
    outcomes = (signal + random.normal(size=rows) > 0).astype(np.int64)
    first, second = (
        1 / (1 + np.exp(-np.round(signal + noise * random.normal(size=rows), 1))) for _ in range(2)
    )
    worse = 1 / (1 + np.exp(-np.log(second / (1 - second)) - noise * random.normal(size=rows)))
    return outcomes, np.column_stack([1 - first, first]), np.column_stack([1 - worse, worse])


def test_a_binary_models_losses_are_those_of_the_metrics() -> None:
    outcomes, before, after = scored(500)
    found = {each.metric: each for each in metric_changes(Task.BINARY, before, after, outcomes)}
    auc = roc_auc_score(outcomes, before[:, 1]) - roc_auc_score(outcomes, after[:, 1])
    right = [accuracy_score(outcomes, each[:, 1] >= 0.5) for each in (before, after)]
    assert list(found) == ["roc_auc", "accuracy", "log_loss", "brier"]
    assert found["roc_auc"].loss == pytest.approx(auc, abs=1e-12)
    assert found["accuracy"].loss == pytest.approx(right[0] - right[1], abs=1e-12)
    for name, function in (("log_loss", log_loss), ("brier", brier_score_loss)):
        loss = function(outcomes, after[:, 1]) - function(outcomes, before[:, 1])
        assert found[name].loss == pytest.approx(loss, abs=1e-12)
        assert found[name].after - found[name].before == pytest.approx(loss, abs=1e-12)


def test_the_same_answers_lose_nothing_for_certain() -> None:
    outcomes, before, _ = scored(200)
    for change in metric_changes(Task.BINARY, before, before.copy(), outcomes):
        assert (change.loss, change.low, change.high) == (0.0, 0.0, 0.0)


@pytest.mark.parametrize("metric", ["roc_auc", "accuracy", "log_loss", "brier"])
def test_intervals_agree_with_a_paired_bootstrap(metric: str) -> None:
    outcomes, before, after = scored(600, seed=3)
    change = next(
        each for each in metric_changes(Task.BINARY, before, after, outcomes)
        if each.metric == metric
    )  # fmt: skip
    random = np.random.default_rng(1)
    drawn = []
    for _ in range(600):
        rows = random.integers(0, len(outcomes), len(outcomes))
        again = metric_changes(Task.BINARY, before[rows], after[rows], outcomes[rows])
        drawn.append(next(each.loss for each in again if each.metric == metric))
    low, high = np.quantile(drawn, [0.025, 0.975])
    assert change.high - change.low == pytest.approx(high - low, rel=0.12)


def test_the_interval_of_an_area_covers_what_is_true() -> None:
    truth = auc_loss_of(200_000, seed=99)
    covered = 0
    for seed in range(200):
        outcomes, before, after = scored(300, seed)
        change = auc_change(before[:, 1], after[:, 1], outcomes > 0)
        covered += change.low <= truth <= change.high
    assert 180 <= covered <= 199


def auc_loss_of(rows: int, seed: int) -> float:
    outcomes, before, after = scored(rows, seed)
    return auc_change(before[:, 1], after[:, 1], outcomes > 0).loss


def test_regressions_lose_error() -> None:
    random = np.random.default_rng(0)
    outcomes = random.normal(size=400)
    before = (outcomes + random.normal(size=400))[:, None]
    after = before + 0.5 * random.normal(size=(400, 1))
    rmse, mae = metric_changes(Task.REGRESSION, before, after, outcomes)
    assert rmse.before == pytest.approx(np.sqrt(np.mean((before[:, 0] - outcomes) ** 2)))
    assert mae.after == pytest.approx(np.mean(np.abs(after[:, 0] - outcomes)))
    drawn = []
    for _ in range(400):
        rows = random.integers(0, 400, 400)
        drawn.append(
            metric_changes(Task.REGRESSION, before[rows], after[rows], outcomes[rows])[0].loss
        )
    low, high = np.quantile(drawn, [0.025, 0.975])
    assert rmse.high - rmse.low == pytest.approx(high - low, rel=0.15)


def test_several_outputs_are_judged_together() -> None:
    before = np.array([[0.0, 1.0], [2.0, 3.0]])
    rmse, _ = metric_changes(Task.REGRESSION, before, before + np.array([0.0, 2.0]), before)
    assert rmse.loss == pytest.approx(np.sqrt(2.0))


def test_several_classes_decide_for_the_most_probable() -> None:
    before = np.array([[0.5, 0.3, 0.2], [0.1, 0.2, 0.7]])
    after = np.array([[0.3, 0.5, 0.2], [0.1, 0.2, 0.7]])
    accuracy, loss = metric_changes(Task.MULTICLASS, before, after, np.array([0, 2]))
    assert (accuracy.before, accuracy.after, accuracy.loss) == (1.0, 0.5, 0.5)
    assert loss.loss == pytest.approx((np.log(0.5) - np.log(0.3)) / 2)
    assert decisions(Task.MULTICLASS, after, 0.5).tolist() == [1, 2]


def test_one_class_has_no_area_under_a_curve() -> None:
    outcomes, before, after = scored(50)
    with pytest.raises(InvalidPlan) as caught:
        auc_change(before[:, 1], after[:, 1], np.zeros(50, dtype=bool))
    assert caught.value.code == "one_class_only"
    changes = metric_changes(Task.BINARY, before, after, np.zeros(50))
    assert "roc_auc" not in [change.metric for change in changes]
    assert len(outcomes) == 50
