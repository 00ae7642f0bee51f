"""Leaf refinement: all leaves of a forest are fitted together to what became known."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy.sparse import csr_array
from scipy.sparse.linalg import lsqr

from trimtab.compact import Tree
from trimtab.compact.links import Link
from trimtab.optimize.packed import PackedForm
from trimtab.optimize.pipelines import matrix, prepared
from trimtab.protocols import ModelForm
from trimtab.types import Array, FloatArray, Ground, Task

MOST_ROWS = 20_000
LEAST_ROWS = 1_000
MOST_NODES = 5_000_000
DAMPINGS = (1.0, 3.0, 10.0, 30.0)
_ITERATIONS = 15
_FOLD = 3


class RefineLeaves:
    """One step of ridge regression from the present answers of the leaves towards the outcomes.

    With Z the leaves that rows end in, divided by the number of trees, and r what the outcomes are
    away from the answers, the leaves move by δ = argmin ‖Z δ − r‖² + damping² ‖δ‖² / trees, with the
    damping that does best on a third of the rows kept apart; nothing is offered where none helps.
    It makes up for part of what pruning or fewer trees lost. For trees whose answers are averaged:
    two classes or values.

    Source: Ren, Cao, Wei & Sun (2015), Global refinement of random forest.
    """

    name = "refine leaves"
    lossless = False

    def offers(self, form: ModelForm, ground: Ground) -> Iterator[tuple[str, ModelForm]]:
        """One form, where outcomes of enough rows are known."""
        outcomes = ground.fit.outcomes
        if not isinstance(form, PackedForm) or outcomes is None or len(outcomes) < LEAST_ROWS:
            return
        ensemble = form.ensemble
        wide = 2 if ground.task is Task.BINARY else 1
        nodes = sum(tree.nodes for tree in ensemble.trees)
        fits = ensemble.average and ensemble.link is Link.NONE and ensemble.columns == wide
        if not fits or nodes > MOST_NODES or ground.task is Task.MULTICLASS:
            return
        X = matrix(prepared(form.head, ground.fit.X))[:MOST_ROWS]
        trees = refined(form, X, outcomes[:MOST_ROWS])
        if trees is not None:
            yield "leaves refined", PackedForm(replace(ensemble, trees=trees), form.head)


@dataclass(frozen=True, slots=True)
class Moved(Sequence[Tree]):
    """Trees whose last column of answers is moved by ``shifts``, and the first the other way."""

    trees: Sequence[Tree]
    starts: Array
    shifts: FloatArray

    def __len__(self) -> int:
        return len(self.trees)

    def __getitem__(self, place: Any) -> Any:
        if isinstance(place, slice):
            return Moved(self.trees[place], self.starts[place], self.shifts)
        tree = self.trees[place]
        start = int(self.starts[place])
        answers = tree.value[:, -1] + self.shifts[start : start + tree.nodes]
        both = [1.0 - answers, answers] if tree.value.shape[1] == 2 else [answers]
        return replace(tree, value=np.column_stack(both))


def refined(form: PackedForm, X: FloatArray, outcomes: Array) -> Moved | None:
    """The trees with their leaves moved; None where that does not help on rows kept apart."""
    ensemble = form.ensemble
    ends = ensemble.leaves(X)
    starts = np.cumsum([0, *(tree.nodes for tree in ensemble.trees)])
    count = len(starts) - 1
    places = ends + starts[:-1]
    indices, rows = places.ravel(), np.arange(len(X) + 1) * count
    Z = csr_array(
        (np.full(indices.size, 1.0 / count), indices, rows), shape=(len(X), int(starts[-1]))
    )
    away = outcomes.astype(np.float64) - ensemble.raw(X)[:, -1]
    now = np.concatenate([tree.value[:, -1] for tree in ensemble.trees])
    bounds = (0.0, 1.0) if ensemble.columns == 2 else (-np.inf, np.inf)

    def shifts(rows: Array, damping: float) -> FloatArray:
        moved = lsqr(Z[rows], away[rows], damp=damping / np.sqrt(count), iter_lim=_ITERATIONS)[0]
        return np.asarray(np.clip(now + moved, *bounds) - now)

    apart = np.arange(len(X)) % _FOLD == 0
    errors = [float((away[apart] ** 2).mean())]
    for damping in DAMPINGS:
        left = away[apart] - Z[apart] @ shifts(~apart, damping)
        errors.append(float((left**2).mean()))
    best = int(np.argmin(errors))
    if best == 0:
        return None
    whole = np.ones(len(X), dtype=np.bool_)
    return Moved(ensemble.trees, starts[:-1], shifts(whole, DAMPINGS[best - 1]))
