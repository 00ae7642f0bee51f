"""scikit-learn's trees and forests.

Sums are taken in the order of ``estimators_`` and divided by their number, as a forest with
``n_jobs=1`` does: outputs are equal to the last bit. (With more jobs scikit-learn itself adds in the
order in which its threads finish.)

Source: ``sklearn.tree._tree.Tree._apply_dense`` and ``sklearn.ensemble._forest``;
``tests/property/test_law_11_compact_forests.py`` compares.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from sklearn.base import is_classifier
from sklearn.utils.validation import check_is_fitted

from trimtab.compact import Tree, TreeEnsemble


def convert(model: Any) -> TreeEnsemble:
    """The trees of a fitted decision tree, random forest or extra trees."""
    check_is_fitted(model)
    trees = [estimator.tree_ for estimator in getattr(model, "estimators_", [model])]
    groups = widths(model)
    return TreeEnsemble(
        trees=Trees(trees, groups),
        features=int(model.n_features_in_),
        base=np.zeros(sum(groups)),
        divisor=len(trees),
        float32_input=True,
        groups=groups,
    )


def widths(model: Any) -> tuple[int, ...]:
    """How many columns each output has: its classes, or one."""
    if is_classifier(model):
        return tuple(int(classes) for classes in np.atleast_1d(model.n_classes_))
    return (1,) * int(model.n_outputs_)


class Trees(Sequence[Tree]):
    """Trees that are made neutral when they are asked for, so that not all are there twice."""

    def __init__(self, trees: Sequence[Any], groups: tuple[int, ...]) -> None:
        self._trees = trees
        self._groups = groups

    def __len__(self) -> int:
        return len(self._trees)

    def __getitem__(self, place: Any) -> Any:
        if isinstance(place, slice):
            return Trees(self._trees[place], self._groups)
        return neutral(self._trees[place], self._groups)

    def __iter__(self) -> Iterator[Tree]:
        return (neutral(tree, self._groups) for tree in self._trees)


def neutral(tree: Any, groups: tuple[int, ...]) -> Tree:
    """One of scikit-learn's trees; ``groups`` are the widths of its outputs."""
    state = tree.__getstate__()
    return from_state(state, groups)


def from_state(state: dict[str, Any], groups: tuple[int, ...]) -> Tree:
    """A tree from what scikit-learn pickles of it."""
    nodes, values = state["nodes"], state["values"]
    value = np.concatenate(
        [values[:, output, :width] for output, width in enumerate(groups)], axis=1
    )
    return Tree(
        feature=nodes["feature"].astype(np.int32),
        threshold=np.ascontiguousarray(nodes["threshold"]),
        left=nodes["left_child"].astype(np.int32),
        right=nodes["right_child"].astype(np.int32),
        value=np.ascontiguousarray(value),
        default_left=nodes["missing_go_to_left"].astype(bool),
        cover=np.ascontiguousarray(nodes["n_node_samples"], np.float64),
    )
