"""What a regression's error will be, expected from the features alone.

Source: the idea of direct loss estimation (NannyML's DLE): a second model learns the first one's loss.
Here it is a sum of one step function a feature, so what it expects of a window is read off histograms.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from trimtab.performance.estimated.calibration import FOLDS, folds
from trimtab.types import Array, Columns, FeatureKind, FloatArray, Record

BINS = 24
_ROUNDS = 40
_RATE = 0.2
_PULL_ROWS = 20.0

Places = npt.NDArray[np.intp]


class Steps(Record, frozen=True):
    """How a feature's values are binned: at ``edges``, or by ``values``; the last bin is missing."""

    feature: str
    edges: tuple[float, ...] = ()
    values: tuple[str, ...] = ()

    @property
    def bins(self) -> int:
        """How many bins there are, with one for other values (categories) and one for missing ones."""
        return max(len(self.edges), len(self.values)) + 2

    def places(self, column: Array) -> Places:
        """The bin of each value."""
        if column.dtype != object:
            found = np.searchsorted(np.array(self.edges), column, side="right").astype(np.intp)
            return np.where(np.isnan(column), self.bins - 1, found)
        at: Mapping[object, int] = {value: i for i, value in enumerate(self.values)}
        other, missing = self.bins - 2, self.bins - 1
        return np.array([missing if v is None else at.get(v, other) for v in column], dtype=np.intp)


class ExpectedLoss(Record, frozen=True):
    """A loss as a sum over features: ``base`` plus one of ``values`` a feature.

    ``spread`` is the standard deviation of a row's loss around what is expected of it.
    """

    base: float
    values: tuple[tuple[float, ...], ...]
    spread: float

    def mean(self, histograms: Sequence[Sequence[int]], rows: int) -> float:
        """The mean loss that a window's histograms lead one to expect, at least 0."""
        sums = [
            float(np.dot(value, counts))
            for value, counts in zip(self.values, histograms, strict=True)
        ]
        return max(0.0, self.base + sum(sums) / max(rows, 1))


PREDICTION = ""


def steps_of(columns: Columns, scores: FloatArray) -> tuple[Steps, ...]:
    """The bins of each feature, and of the prediction itself as the last one."""
    found = []
    for feature, column in zip(columns.features, columns.arrays, strict=True):
        if feature.kind is FeatureKind.CATEGORICAL:
            names, counts = np.unique(
                np.array([v for v in column if v is not None], dtype=object).astype(str),
                return_counts=True,
            )
            often = np.argsort(-counts, kind="stable")[:BINS]
            values = tuple(str(names[i]) for i in sorted(often))
            found.append(Steps(feature=feature.name, values=values))
        else:
            found.append(Steps(feature=feature.name, edges=_edges(column)))
    return (*found, Steps(feature=PREDICTION, edges=_edges(scores)))


def _edges(column: FloatArray) -> tuple[float, ...]:
    known = column[np.isfinite(column)]
    if not len(known):
        return ()
    cuts = np.unique(np.quantile(known, np.arange(1, BINS) / BINS, method="higher"))
    return tuple(cuts.tolist())


def places_of(steps: Sequence[Steps], columns: Columns, scores: FloatArray) -> list[Places]:
    """The bins of every row, feature by feature, then of the prediction."""
    arrays = [*columns.arrays, scores]
    return [step.places(array) for step, array in zip(steps, arrays, strict=True)]


def fit(places: Sequence[Places], bins: Sequence[int], losses: FloatArray) -> ExpectedLoss:
    """Boost the step functions, feature after feature, each pulled towards 0 by 20 rows of it."""
    base = float(losses.mean())
    left = losses - base
    values = [np.zeros(n) for n in bins]
    counts = [np.bincount(p, minlength=n) + _PULL_ROWS for p, n in zip(places, bins, strict=True)]
    for _ in range(_ROUNDS):
        for k, at in enumerate(places):
            step = _RATE * np.bincount(at, left, len(counts[k])) / counts[k]
            values[k] += step
            left -= step[at]
    return ExpectedLoss(
        base=base, values=tuple(tuple(v.tolist()) for v in values), spread=float(left.std())
    )


def expected(model: ExpectedLoss, places: Sequence[Places]) -> FloatArray:
    """What is expected of each row."""
    total = np.full(len(places[0]), model.base)
    for value, at in zip(model.values, places, strict=True):
        total += np.array(value)[at]
    return total


def crossed(places: Sequence[Places], bins: Sequence[int], losses: FloatArray) -> FloatArray:
    """What the other rows lead one to expect of each row; with very few, what all of them do."""
    if len(losses) < 2 * FOLDS:
        return expected(fit(places, bins, losses), places)
    found = np.empty(len(losses))
    for inside, outside in folds(len(losses)):
        model = fit([p[inside] for p in places], bins, losses[inside])
        found[outside] = expected(model, [p[outside] for p in places])
    return found
