"""Fewer trees, in the order in which they bring the answer closest to that of all."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from trimtab.compact import Tree, TreeEnsemble
from trimtab.optimize.packed import PackedForm
from trimtab.optimize.pipelines import matrix, prepared
from trimtab.protocols import ModelForm
from trimtab.types import FloatArray, Ground

SHARES = (0.5, 0.25, 0.125, 0.0625)
LEAST = 4
_ROWS = 1_000


class FewerTrees:
    """A half, a quarter and so on of the trees; the others are really gone.

    Trees whose answers are averaged are ordered by marginal contribution: first the one closest to
    the answer of all, then always the one that brings the mean of those taken closest to it on the
    rows for fitting. Boosted trees correct one another, so of them the first rounds are kept.

    Source: Caruana et al. (2004), Ensemble selection from libraries of models: greedy, forward.
    """

    name = "fewer trees"
    lossless = False

    def offers(self, form: ModelForm, ground: Ground) -> Iterator[tuple[str, ModelForm]]:
        """One form for each share that leaves at least four trees."""
        if not isinstance(form, PackedForm) or len(form.ensemble.trees) < 2 * LEAST:
            return
        ensemble = form.ensemble
        total = len(ensemble.trees)
        counts = [count for share in SHARES if (count := int(total * share)) >= LEAST]
        if ensemble.average:
            X = matrix(prepared(form.head, ground.fit.X[:_ROWS]))
            order = contribution_order(tree_answers(ensemble, X), counts[0])
        else:
            round_trees = max(1, len({tree.column for tree in ensemble.trees[:total]}))
            counts = [max(count // round_trees, 1) * round_trees for count in counts]
            order = list(range(total))
        for count in counts:
            fewer = replace(
                ensemble,
                trees=Chosen(ensemble.trees, tuple(order[:count])),
                divisor=max(ensemble.divisor * count // total, 1),
            )
            yield f"{count} of {total} trees", PackedForm(fewer, form.head)


@dataclass(frozen=True, slots=True)
class Chosen(Sequence[Tree]):
    """Some of the trees, in the order of ``places``."""

    trees: Sequence[Tree]
    places: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, place: Any) -> Any:
        if isinstance(place, slice):
            return Chosen(self.trees, self.places[place])
        return self.trees[self.places[place]]


def tree_answers(ensemble: TreeEnsemble, X: FloatArray) -> FloatArray:
    """What each tree alone answers, shape ``(trees, rows × width)``."""
    found = []
    for tree in ensemble.trees:
        (ends,) = replace(ensemble, trees=(tree,)).leaves(X).T
        found.append(tree.value[ends].ravel().astype(np.float32))
    return np.array(found)


def contribution_order(answers: FloatArray, count: int) -> list[int]:
    """The places of ``count`` trees, each bringing the mean of those so far closest to that of all.

    With g = mean of all and s the sum of k taken trees, tree t is chosen to minimise
    ‖(s + a_t) / (k + 1) − g‖², which is ‖a_t‖² + 2 a_t·(s − (k + 1) g) + a constant.

    >>> import numpy as np
    >>> contribution_order(np.array([[0.0], [10.0], [4.0], [6.0]]), 3)
    [2, 3, 0]
    """
    goal = answers.mean(axis=0)
    squares = (answers**2).sum(axis=1)
    total = np.zeros_like(goal)
    free = np.ones(len(answers), dtype=np.bool_)
    order: list[int] = []
    for taken in range(count):
        apart = squares + 2.0 * answers @ (total - (taken + 1) * goal)
        best = int(np.argmin(np.where(free, apart, np.inf)))
        order.append(best)
        free[best] = False
        total += answers[best]
    return order
