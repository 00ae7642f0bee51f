"""Performance without outcomes: what calibrated scores, or expected losses, lead one to expect.

Both rest on one assumption that no input can check: that outcomes still follow from the features as they
did on the held-out rows. Only outcomes can say so; ``concept.py`` asks them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from trimtab.config import PerformanceConfig
from trimtab.performance.bins import scores_at
from trimtab.performance.estimated.calibration import Calibration, calibrate
from trimtab.performance.estimated.losses import (
    ExpectedLoss,
    Steps,
    crossed,
    fit,
    places_of,
    steps_of,
)
from trimtab.performance.heldout import HeldOut, blocks, exact
from trimtab.performance.metrics import ClassCounts, Estimate, classification, normal, within
from trimtab.types import Array, FloatArray, Record, Signature, Task

NOT_ESTIMATED = frozenset({"calibration_error"})
_BLOCKS = 10
_SHARES = frozenset({"accuracy", "precision", "recall", "f1", "roc_auc", "pr_auc"})


class OwnError(Record, frozen=True):
    """How far an estimate was from what was measured, over held-out blocks.

    ``mean_absolute`` over blocks; ``off`` is the standard deviation of the difference beyond what chance
    in the block's outcomes explains, and enters the interval of every estimate.
    """

    mean_absolute: float
    off: float


class Estimator(Record, frozen=True):
    """All that is needed to estimate a version's performance from its predictions alone.

    A classifier has one ``calibrations`` a class (a binary one: of its positive class), a regression
    ``steps`` and the expected ``absolute`` and ``square`` loss.
    """

    calibrations: tuple[Calibration, ...] = ()
    steps: tuple[Steps, ...] = ()
    absolute: ExpectedLoss | None = None
    square: ExpectedLoss | None = None
    errors: Mapping[str, OwnError] = {}


class Predicted(Record, frozen=True):
    """What a window's predictions were, counted: no outcome has a part in it.

    ``tables`` has rows by bin of score and decision, one a class; ``histograms`` rows by bin of each
    feature and of the prediction, for a regression. ``segments`` has the same of each part.
    """

    task: Task
    predictions: int
    tables: tuple[Mapping[int, int], ...] = ()
    histograms: tuple[tuple[int, ...], ...] = ()
    segments: Mapping[str, Predicted] = {}


def make_estimator(
    heldout: HeldOut, signature: Signature, config: PerformanceConfig
) -> tuple[Estimator, FloatArray | None]:
    """Learn from held-out rows, and measure on the same rows, cross-fitted, how well it does.

    Returns:
        The estimator, and what each score meant to the other rows, shape ``(rows, classes)`` with one
        column for a binary model; None for a regression.
    """
    if signature.task is Task.REGRESSION:
        return _regression(heldout, signature), None
    hits = _hits(heldout, signature)
    scores = heldout.scores if signature.task is Task.MULTICLASS else heldout.scores[:, None]
    learned = [calibrate(scores[:, k], hits[:, k]) for k in range(hits.shape[1])]
    shares = np.column_stack([crossed_shares for _, crossed_shares in learned])

    def guess(rows: Array) -> dict[str, Estimate]:
        return _exactly(scores[rows], shares[rows], signature, config)

    estimator = Estimator(
        calibrations=tuple(calibration for calibration, _ in learned),
        errors=_own_errors(heldout, signature, config, guess),
    )
    return estimator, shares


def _hits(heldout: HeldOut, signature: Signature) -> FloatArray:
    if signature.task is Task.BINARY:
        return np.asarray(heldout.outcomes > 0, dtype=np.float64)[:, None]
    classes = np.arange(len(signature.labels))
    return np.asarray(heldout.outcomes[:, None] == classes, dtype=np.float64)


def _exactly(
    scores: FloatArray, shares: FloatArray, signature: Signature, config: PerformanceConfig
) -> dict[str, Estimate]:
    """The metrics that shares lead one to expect of rows, without bins."""
    if scores.shape[1] == 1:
        decisions = (scores[:, 0] >= signature.threshold).astype(np.intp)
    else:
        decisions = np.argmax(scores, axis=1)
    classes = []
    for k in range(scores.shape[1]):
        order = np.argsort(scores[:, k], kind="stable")
        share = shares[order, k]
        classes.append(
            ClassCounts(scores[order, k], decisions[order], np.column_stack([1.0 - share, share]))
        )
    return classification(classes, _costs(config))


def _costs(config: PerformanceConfig) -> FloatArray | None:
    return np.array(config.costs, dtype=np.float64) if config.costs else None


def _regression(heldout: HeldOut, signature: Signature) -> Estimator:
    steps = steps_of(heldout.columns, heldout.scores)
    places = places_of(steps, heldout.columns, heldout.scores)
    bins = [step.bins for step in steps]
    absolute = np.abs(heldout.scores - heldout.outcomes)
    square = absolute**2
    found = [crossed(places, bins, loss) for loss in (absolute, square)]

    def guess(rows: Array) -> dict[str, Estimate]:
        means = [max(0.0, float(one[rows].mean())) for one in found]
        return _errors(means, (0.0, 0.0), len(rows))

    return Estimator(
        steps=steps,
        absolute=fit(places, bins, absolute),
        square=fit(places, bins, square),
        errors=_own_errors(heldout, signature, PerformanceConfig(), guess),
    )


def _own_errors(
    heldout: HeldOut,
    signature: Signature,
    config: PerformanceConfig,
    guess: Callable[[Array], Mapping[str, Estimate]],
) -> dict[str, OwnError]:
    rows = len(heldout.outcomes)
    when = np.arange(rows) * _BLOCKS // max(rows, 1)
    if heldout.event_times is not None:
        days = np.floor(heldout.event_times / heldout.window_seconds)
        when = days if len(blocks(days)) >= _BLOCKS else when
    apart: dict[str, list[tuple[float, float]]] = {}
    for part in blocks(when.astype(np.float64)):
        measured = exact(heldout.scores[part], heldout.outcomes[part], signature, config)
        for name, guessed in guess(part).items():
            if name in measured:
                difference = guessed.value - measured[name].value
                apart.setdefault(name, []).append((difference, measured[name].se))
    return {
        name: OwnError(
            mean_absolute=float(np.mean([abs(d) for d, _ in found])),
            off=math.sqrt(max(0.0, float(np.mean([d * d - se * se for d, se in found])))),
        )
        for name, found in apart.items()
    }


def estimate(
    predicted: Predicted,
    estimator: Estimator,
    figures: Mapping[str, float],
    config: PerformanceConfig = PerformanceConfig(),  # noqa: B008 - frozen
) -> dict[str, Estimate]:
    """The metrics that a window will probably show once its outcomes are known.

    The interval holds chance in the window's outcomes, the held-out rows' own standard error, for what
    scores mean was learned from them, and how far estimates were off on held-out blocks.

    Args:
        predicted: The window.
        estimator: What was learned.
        figures: Held-out figures as from ``evaluate``.
        config: Costs, where the model has them.
    """
    if not predicted.predictions:
        return {}
    if predicted.task is Task.REGRESSION:
        found = _estimated_errors(predicted, estimator)
    else:
        classes = tuple(
            _expected_counts(table, calibration, max(len(predicted.tables), 2))
            for table, calibration in zip(predicted.tables, estimator.calibrations, strict=False)
        )
        if not classes:
            return {}
        found = classification(classes, _costs(config))
    return {
        name: _widened(name, one, estimator, figures)
        for name, one in found.items()
        if name not in NOT_ESTIMATED
    }


def _expected_counts(
    table: Mapping[int, int], calibration: Calibration, classes: int
) -> ClassCounts:
    places = np.array(sorted(table), dtype=np.int64)
    rows = np.array([table[int(place)] for place in places], dtype=np.float64)
    scores, decisions = scores_at(places, classes)
    hits = rows * calibration(scores)
    return ClassCounts(scores, decisions, np.column_stack([rows - hits, hits]))


def _estimated_errors(predicted: Predicted, estimator: Estimator) -> dict[str, Estimate]:
    absolute, square = estimator.absolute, estimator.square
    if absolute is None or square is None:
        return {}
    rows = predicted.predictions
    means = [model.mean(predicted.histograms, rows) for model in (absolute, square)]
    return _errors(means, (absolute.spread, square.spread), rows)


def _errors(means: Sequence[float], spreads: tuple[float, float], rows: int) -> dict[str, Estimate]:
    root = math.sqrt(means[1])
    ses = [spread / math.sqrt(rows) for spread in spreads]
    return {
        "mae": normal(means[0], ses[0], rows),
        "rmse": normal(root, ses[1] / (2.0 * root) if root else 0.0, rows),
    }


def _widened(
    name: str, one: Estimate, estimator: Estimator, figures: Mapping[str, float]
) -> Estimate:
    own = estimator.errors.get(name)
    se = math.hypot(one.se, figures.get(f"{name}_se", 0.0), own.off if own else 0.0)
    if name in _SHARES:
        return within(one.value, se, one.rows)
    least = -math.inf if name == "expected_cost" else 0.0
    return normal(one.value, se, one.rows, least=least)
