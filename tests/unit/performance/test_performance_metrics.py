"""Metrics, their standard errors and intervals, against scikit-learn, SciPy and direct counts."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binomtest, norm
from sklearn import metrics as sk

from trimtab.config import PerformanceConfig
from trimtab.performance import delong, evaluate, wilson
from trimtab.performance.metrics import ndcg, ranking
from trimtab.types import FeatureKind, FeatureSpec, FloatArray, Signature, Task

FEATURES = (FeatureSpec(name="distance", kind=FeatureKind.NUMERIC),)
BINARY = Signature(features=FEATURES, task=Task.BINARY, labels=("on_time", "late"), threshold=0.3)
REGRESSION = Signature(features=FEATURES, task=Task.REGRESSION)
SEVERAL = Signature(features=FEATURES, task=Task.MULTICLASS, labels=("a", "b", "c"))
COSTLY = PerformanceConfig(costs=((0.0, 1.0), (25.0, -2.0)))
QUANTILE = PerformanceConfig(quantile=0.9)


def flights(rows: int, seed: int) -> tuple[FloatArray, FloatArray]:
    random = np.random.default_rng(seed)
    scores = np.round(random.beta(2, 5, rows), 2)
    return scores, (random.random(rows) < scores).astype(np.float64)


def kinds(rows: int, seed: int) -> tuple[FloatArray, FloatArray]:
    random = np.random.default_rng(seed)
    scores = random.dirichlet((2.0, 1.0, 1.0), rows)
    drawn = (random.random(rows)[:, None] > np.cumsum(scores, axis=1)).sum(axis=1)
    return scores, drawn.astype(np.float64)


@pytest.mark.parametrize(("successes", "trials"), [(0, 10), (3, 10), (10, 10), (140, 1000)])
def test_wilson_is_scipys_score_interval(successes: int, trials: int) -> None:
    expected = binomtest(successes, trials).proportion_ci(0.95, method="wilson")
    assert wilson(successes, trials) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_delong_is_the_direct_count_over_pairs_with_ties_as_halves() -> None:
    scores, outcomes = flights(300, seed=1)
    positives, negatives = scores[outcomes == 1], scores[outcomes == 0]
    wins = (positives[:, None] > negatives) + 0.5 * (positives[:, None] == negatives)
    expected_se = np.sqrt(
        wins.mean(axis=1).var(ddof=1) / len(positives)
        + wins.mean(axis=0).var(ddof=1) / len(negatives)
    )
    distinct = np.unique(scores)
    counts = np.array([[(negatives == s).sum(), (positives == s).sum()] for s in distinct], float)
    assert delong(counts[:, 0], counts[:, 1]) == pytest.approx(
        (wins.mean(), float(expected_se)), abs=1e-12
    )


def test_binary_figures_are_scikit_learns() -> None:
    scores, outcomes = flights(2_000, seed=2)
    called = scores >= BINARY.threshold
    figures = evaluate(scores, outcomes, BINARY)
    expected = {
        "accuracy": sk.accuracy_score(outcomes, called),
        "roc_auc": sk.roc_auc_score(outcomes, scores),
        "precision": sk.precision_score(outcomes, called),
        "recall": sk.recall_score(outcomes, called),
        "f1": sk.f1_score(outcomes, called),
        "pr_auc": sk.average_precision_score(outcomes, scores),
        "brier": sk.brier_score_loss(outcomes, scores),
        "log_loss": sk.log_loss(outcomes, np.clip(scores, 1e-15, 1 - 1e-15)),
        "rows": 2_000.0,
        "positive_ratio": outcomes.mean(),
    }
    assert {name: figures[name] for name in expected} == pytest.approx(expected, abs=1e-12)


def test_regression_figures_are_scikit_learns() -> None:
    random = np.random.default_rng(3)
    outcomes = random.normal(20, 10, 500)
    scores = outcomes + random.normal(1, 4, 500)
    figures = evaluate(scores, outcomes, REGRESSION, config=PerformanceConfig(quantile=0.9))
    expected = {
        "mae": sk.mean_absolute_error(outcomes, scores),
        "rmse": sk.root_mean_squared_error(outcomes, scores),
        "mape": sk.mean_absolute_percentage_error(outcomes, scores),
        "quantile_loss": sk.mean_pinball_loss(outcomes, scores, alpha=0.9),
        "rows": 500.0,
    }
    assert {name: figures[name] for name in expected} == pytest.approx(expected, abs=1e-12)


def test_several_classes_have_scikit_learns_figures() -> None:
    scores, outcomes = kinds(1_500, seed=4)
    called = scores.argmax(axis=1)
    hot = np.eye(3)[outcomes.astype(int)]
    expected = {
        "accuracy": sk.accuracy_score(outcomes, called),
        "precision": sk.precision_score(outcomes, called, average="macro"),
        "recall": sk.recall_score(outcomes, called, average="macro"),
        "f1": sk.f1_score(outcomes, called, average="macro"),
        "roc_auc": sk.roc_auc_score(outcomes, scores, multi_class="ovr"),
        "pr_auc": sk.average_precision_score(hot, scores, average="macro"),
        "brier": np.square(scores - hot).sum(axis=1).mean(),
        "log_loss": sk.log_loss(outcomes, scores),
    }
    figures = evaluate(scores, outcomes, SEVERAL)
    assert {name: figures[name] for name in expected} == pytest.approx(expected, abs=1e-12)


def test_a_class_that_never_comes_and_one_that_is_never_called_count_as_in_scikit_learn() -> None:
    four = Signature(features=FEATURES, task=Task.MULTICLASS, labels=("a", "b", "c", "d"))
    scores = np.array([[0.6, 0.2, 0.1, 0.1], [0.5, 0.3, 0.1, 0.1], [0.1, 0.2, 0.6, 0.1]])
    outcomes = np.array([0.0, 1.0, 0.0])
    figures, called = evaluate(scores, outcomes, four), scores.argmax(axis=1)
    for name, of in (("precision", sk.precision_score), ("recall", sk.recall_score)):
        assert figures[name] == of(outcomes, called, average="macro", zero_division=0)


def test_expected_cost_is_the_mean_of_what_each_decision_cost() -> None:
    scores, outcomes = flights(500, seed=6)
    called = (scores >= BINARY.threshold).astype(int)
    costs = np.array(COSTLY.costs)
    paid = costs[outcomes.astype(int), called]
    figures = evaluate(scores, outcomes, BINARY, config=COSTLY)
    assert figures["expected_cost"] == pytest.approx(paid.mean(), abs=1e-12)
    assert figures["expected_cost_se"] == pytest.approx(paid.std() / np.sqrt(500), rel=1e-9)


def test_the_calibration_error_is_the_published_sum_over_bins() -> None:
    scores, outcomes = flights(700, seed=7)
    expected = 0.0
    for low in range(15):
        there = (scores * 15 >= low) & (scores * 15 < low + 1)
        if there.any():
            expected += abs(outcomes[there].sum() - scores[there].sum()) / 700
    assert evaluate(scores, outcomes, BINARY)["calibration_error"] == pytest.approx(expected)


def test_the_error_of_a_calibration_error_is_its_spread_where_scores_are_off() -> None:
    values, errors = [], []
    for seed in range(200):
        scores, outcomes = flights(400, seed)
        figures = evaluate(np.minimum(scores + 0.2, 1.0), outcomes, BINARY)
        values.append(figures["calibration_error"])
        errors.append(figures["calibration_error_se"])
    assert float(np.mean(errors)) == pytest.approx(float(np.std(values)), rel=0.15)


@pytest.mark.parametrize("k", [1, 3, 10])
def test_ndcg_is_scikit_learns_with_ties_too(k: int) -> None:
    random = np.random.default_rng(8)
    for _ in range(50):
        scores, gains = random.integers(0, 4, 8) / 4.0, random.integers(0, 3, 8).astype(float)
        if gains.any():
            assert ndcg(scores, gains, k) == pytest.approx(sk.ndcg_score([gains], [scores], k=k))


def test_rankings_have_the_published_reciprocal_rank_and_hits() -> None:
    lists = [
        (np.array([0.9, 0.5, 0.1]), np.array([0.0, 1.0, 1.0])),
        (np.array([0.9, 0.5, 0.1]), np.array([0.0, 0.0, 1.0])),
        (np.array([0.9, 0.5, 0.1]), np.array([0.0, 0.0, 0.0])),
        (np.array([0.5, 0.5, 0.1]), np.array([0.0, 1.0, 0.0])),
    ]
    found = ranking(lists, k=2)
    assert found["mrr"].value == pytest.approx((1 / 2 + 1 / 3 + 0 + 1 / 2) / 4)
    assert found["hit_rate_at_2"].value == 0.5
    assert found["ndcg_at_2"].rows == 3


def test_perfect_and_hopeless_classifiers_have_intervals() -> None:
    for flip in (False, True):
        outcomes = np.array([0.0, 1.0] * 20)
        scores = np.where((outcomes == 1) ^ flip, 0.9, 0.1)
        figures = evaluate(scores, outcomes, BINARY)
        assert figures["f1"] == (0.0 if flip else 1.0)
        assert figures["f1_se"] > 0.0


def test_several_classes_have_the_accuracy_of_the_most_probable_class() -> None:
    three = Signature(features=FEATURES, task=Task.MULTICLASS, labels=("a", "b", "c"))
    scores = np.array([[0.5, 0.3, 0.2], [0.1, 0.2, 0.7], [0.3, 0.4, 0.3], [0.6, 0.2, 0.2]])
    figures = evaluate(scores, np.array([0.0, 2.0, 0.0, 0.0]), three)
    assert figures["accuracy"] == 0.75


@pytest.mark.parametrize(
    ("task", "name"),
    [
        ("binary", "roc_auc"),
        ("binary", "brier"),
        ("binary", "log_loss"),
        ("binary", "accuracy"),
        ("binary", "f1"),
        ("binary", "pr_auc"),
        ("binary", "expected_cost"),
        ("several", "precision"),
        ("several", "recall"),
        ("several", "f1"),
        ("regression", "mae"),
        ("regression", "mape"),
        ("regression", "quantile_loss"),
        ("regression", "rmse"),
    ],
)
def test_standard_errors_are_the_spread_over_repeated_samples(task: str, name: str) -> None:
    values, errors = [], []
    for seed in range(200):
        if task == "binary":
            figures = evaluate(*flights(400, seed), BINARY, config=COSTLY)
        elif task == "several":
            figures = evaluate(*kinds(400, seed), SEVERAL)
        else:
            random = np.random.default_rng(seed)
            truth = random.uniform(10, 20, 400)
            figures = evaluate(truth + random.normal(0, 4, 400), truth, REGRESSION, config=QUANTILE)
        values.append(figures[name])
        errors.append(figures[f"{name}_se"])
    assert float(np.mean(errors)) == pytest.approx(float(np.std(values)), rel=0.15)


def test_metrics_that_are_not_defined_are_left_out() -> None:
    figures = evaluate(np.array([0.1, 0.2, 0.1]), np.zeros(3), BINARY)
    assert {"roc_auc", "precision", "recall"} & set(figures) == set()
    assert figures["accuracy"] == 1.0


def test_there_are_no_figures_without_rows() -> None:
    assert evaluate(np.array([]), np.array([]), BINARY) == {}


def test_days_that_differ_beyond_chance_are_known_as_such() -> None:
    random = np.random.default_rng(4)
    days, rows = 60, 400
    times = np.repeat(np.arange(days) * 86_400.0, rows) + 3_600.0
    for spread in (0.0, 0.08):
        wrong_ratio = np.clip(random.normal(0.25, spread, days), 0, 1)
        outcomes = (random.random(days * rows) < 0.5).astype(np.float64)
        wrong = random.random(days * rows) < np.repeat(wrong_ratio, rows)
        scores = np.where(wrong, 1.0 - outcomes, outcomes) * 0.8 + 0.1
        figures = evaluate(scores, outcomes, BINARY, event_times=times, window_seconds=86_400.0)
        assert figures["accuracy_between"] == pytest.approx(spread, abs=0.02)


def test_too_few_days_say_nothing_of_how_days_differ() -> None:
    scores, outcomes = flights(700, seed=5)
    times = np.repeat(np.arange(7) * 86_400.0, 100)
    figures = evaluate(scores, outcomes, BINARY, event_times=times)
    assert not [name for name in figures if name.endswith("_between")]


def test_the_interval_holds_its_level() -> None:
    held = 0
    for seed in range(300):
        successes = int(np.random.default_rng(seed).binomial(80, 0.9))
        low, high = wilson(successes, 80)
        held += low <= 0.9 <= high
    assert held >= 300 * 0.95 - 3 * np.sqrt(300 * 0.95 * 0.05)
    assert norm.isf(0.025) == pytest.approx(1.96, abs=1e-3)
