"""Fewer features: ranked three ways, a group of one-hot columns as one, and the model refitted."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from importlib.util import find_spec
from typing import Any

import numpy as np
from sklearn.base import clone
from sklearn.feature_selection import f_classif, f_regression

from trimtab.optimize.forms import NativeForm, answering
from trimtab.optimize.losses import metric_changes
from trimtab.optimize.pipelines import classes, extended, groups, joined, matrix, prepared, split
from trimtab.protocols import ModelForm
from trimtab.types import Array, FloatArray, Ground, Task

SHARES = (0.5, 0.25)
LEAST_ROWS = 200
_RANKING_ROWS = 2_000

Groups = Sequence[tuple[str, tuple[int, ...]]]


class SelectFeatures:
    """The best half and quarter of the features by each ranking, and a refit on the rows for fitting.

    Rankings: the F statistic of ``SelectKBest``; what the metric loses when a feature is permuted; the
    mean size of its SHAP values, where LightGBM or XGBoost is there to compute them. Columns that come
    from one category stay or go together.
    """

    name = "select features"
    lossless = False

    def offers(self, form: ModelForm, ground: Ground) -> Iterator[tuple[str, ModelForm]]:
        """One refitted model for each set of features."""
        known = ground.fit.outcomes
        if not isinstance(form, NativeForm) or known is None or len(ground.fit) < LEAST_ROWS:
            return
        head, tail = split(form.model)
        if not hasattr(tail, "get_params"):
            return
        try:
            Z = matrix(prepared(head, ground.fit.X))
        except ValueError:
            return
        labels = classes(tail)
        y = known if labels is None else labels[known.astype(np.intp)]
        grouped = groups(head, ground.fit.X, Z)
        seen: set[tuple[int, ...]] = set()
        for share in SHARES:
            for how, rank in RANKINGS.items():
                scores = rank(tail, Z, known, grouped, ground)
                count = max(1, round(share * len(grouped)))
                if scores is None or count == len(grouped):
                    continue
                best = np.argsort(-scores, kind="stable")[:count]
                places = tuple(sorted(place for group in best for place in grouped[group][1]))
                if places in seen:
                    continue
                seen.add(places)
                model = clone(tail).fit(Z[:, list(places)], y)
                seen_by = ground.fit.X if head is None else Z
                words = f"{count} of {len(grouped)} features by {how}"
                yield words, NativeForm(joined(extended(head, seen_by, places), model))


def by_f_statistic(
    tail: Any,  # noqa: ARG001 - a ranking sees the model, this one does not need it
    Z: FloatArray,
    outcomes: Array,
    grouped: Groups,
    ground: Ground,
) -> FloatArray | None:
    """The largest F statistic in each group."""
    filled: FloatArray = np.where(
        np.isnan(Z), np.nanmean(np.where(np.isinf(Z), np.nan, Z), axis=0), Z
    )
    varied = np.std(filled, axis=0) > 0.0
    scores = np.zeros(Z.shape[1])
    test = f_regression if ground.task is Task.REGRESSION else f_classif
    if varied.any():
        found: Any = test(filled[:, varied], outcomes)[0]
        scores[varied] = np.nan_to_num(found)
    return _largest(scores, grouped)


def by_permutation(
    tail: Any, Z: FloatArray, outcomes: Array, grouped: Groups, ground: Ground
) -> FloatArray | None:
    """What the first metric loses when a group's columns are permuted together, mean of three times."""
    random = np.random.default_rng(ground.seed)
    rows = random.permutation(len(Z))[:_RANKING_ROWS]
    some, known = Z[rows], outcomes[rows]
    answer = _by_name(tail)
    before = answer(some)
    lost = []
    for _, places in grouped:
        changes = []
        for _ in range(3):
            mixed = some.copy()
            mixed[:, list(places)] = some[random.permutation(len(some))][:, list(places)]
            changes.append(metric_changes(ground.task, before, answer(mixed), known)[0].loss)
        lost.append(float(np.mean(changes)))
    return np.array(lost)


def _by_name(tail: Any) -> Callable[[FloatArray], FloatArray]:
    """The estimator's way to answer a matrix, which it is given with the names that it was fitted with."""
    answer, names = answering(tail), getattr(tail, "feature_names_in_", None)
    if names is None:
        return answer
    import pandas as pd

    return lambda rows: answer(pd.DataFrame(rows, columns=names))


def by_shap(
    tail: Any, Z: FloatArray, outcomes: Array, grouped: Groups, ground: Ground
) -> FloatArray | None:
    """The mean absolute SHAP value, summed over a group; None without LightGBM.

    Of the model itself if it is LightGBM's, else of a LightGBM model fitted to the same outcomes.

    Source: Lundberg et al. (2020), From local explanations to global understanding with explainable
    AI for trees; the values are those of LightGBM's own TreeSHAP.
    """
    if find_spec("lightgbm") is None:
        return None
    import lightgbm

    rows = np.random.default_rng(ground.seed).permutation(len(Z))[: 5 * _RANKING_ROWS]
    booster = getattr(tail, "booster_", None)
    if booster is None:
        multi = ground.task is Task.MULTICLASS
        kind = {Task.BINARY: "binary", Task.REGRESSION: "regression", Task.MULTICLASS: "multiclass"}
        settings = {
            "objective": kind[ground.task],
            "verbose": -1,
            "seed": ground.seed,
            "num_threads": 1,
        }
        settings |= {"num_class": int(outcomes.max()) + 1} if multi else {}
        booster = lightgbm.train(settings, lightgbm.Dataset(Z[rows], outcomes[rows]), 60)
    values: Any = booster.predict(Z[rows[:_RANKING_ROWS]], pred_contrib=True)
    sizes = np.abs(values).mean(axis=0).reshape(-1, Z.shape[1] + 1)[:, :-1].sum(axis=0)
    return np.array([sizes[list(places)].sum() for _, places in grouped])


Ranking = Callable[[Any, FloatArray, Array, Groups, Ground], "FloatArray | None"]
RANKINGS: dict[str, Ranking] = {
    "SHAP": by_shap,
    "permutation": by_permutation,
    "F statistic": by_f_statistic,
}


def _largest(scores: FloatArray, grouped: Groups) -> FloatArray:
    return np.array([scores[list(places)].max() for _, places in grouped])
