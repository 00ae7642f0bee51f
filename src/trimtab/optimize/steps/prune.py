"""Cost-complexity pruning of fitted trees, and merging of leaves that answer nearly the same."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial

import numpy as np

from trimtab.compact import Tree
from trimtab.optimize.nodes import Flags, Nodes, kept, levels, means, weakest
from trimtab.optimize.packed import PackedForm, changed
from trimtab.protocols import ModelForm
from trimtab.types import Array, FloatArray, Ground

SHARES = (0.5, 0.25, 0.1, 0.03)
"""Parts of the nodes that the strengths of pruning aim at."""

BOUNDS = (0.01, 0.03, 0.1)
"""How far merging may move the answer of any row, as a part of the widest range of a leaf's answers."""

_SAMPLE = 8
_STEPS = 24


class Prune:
    """The weakest links of every tree become leaves, at alphas that leave a half, a quarter, a tenth.

    Minimal cost-complexity pruning without the training rows: a node's cost is what its leaves'
    answers spread around their mean, weighted by how many training rows they held.
    """

    name = "prune"
    lossless = False

    def offers(
        self,
        form: ModelForm,
        ground: Ground,  # noqa: ARG002 - what training left in the trees is enough
    ) -> Iterator[tuple[str, ModelForm]]:
        """One form for each part of the nodes."""
        if not isinstance(form, PackedForm):
            return
        trees = form.ensemble.trees
        sample = [trees[place] for place in np.linspace(0, len(trees) - 1, _SAMPLE).astype(int)]
        for share in SHARES:
            alpha = alpha_for(sample, share)
            if alpha is not None:
                yield f"pruned at alpha {alpha:.2g}", changed(form, partial(pruned, alpha=alpha))


class MergeLeaves:
    """Subtrees whose leaves all answer within a bound of their mean become that mean.

    No row's sum moves by more than the bound: in a mean of trees each may use all of it, in a sum
    of trees each has its part.
    """

    name = "merge leaves"
    lossless = False

    def offers(
        self,
        form: ModelForm,
        ground: Ground,  # noqa: ARG002 - the bound needs no rows
    ) -> Iterator[tuple[str, ModelForm]]:
        """One form for each bound."""
        if not isinstance(form, PackedForm):
            return
        trees = form.ensemble.trees
        widest = max(
            float(np.ptp(trees[place].value[trees[place].left < 0], axis=0).max())
            for place in np.linspace(0, len(trees) - 1, _SAMPLE).astype(int)
        )
        for part in BOUNDS:
            bound = part * widest / (1 if form.ensemble.average else len(trees))
            yield f"leaves within {part:g} merged", changed(form, partial(merged, bound=bound))


def pruned(tree: Tree, alpha: float) -> Tree:
    """The tree after minimal cost-complexity pruning; see :func:`~trimtab.optimize.nodes.weakest`."""
    nodes = nodes_of(tree)
    order = levels(nodes)
    found = means(nodes, order)
    cut = weakest(nodes, order, found, alpha)
    return _cut(tree, nodes, found.values, kept(nodes, order, cut), cut)


def merged(tree: Tree, bound: float) -> Tree:
    """The tree with subtrees replaced by their means where no leaf below is further away."""
    nodes = nodes_of(tree)
    order = levels(nodes)
    found = means(nodes, order)
    cut = found.reach <= bound
    return _cut(tree, nodes, found.values, kept(nodes, order, cut), cut)


def alpha_for(trees: list[Tree], share: float) -> float | None:
    """The alpha that leaves about ``share`` of these trees' nodes, by bisection of its logarithm."""
    low, high = -12.0, 2.0
    total = sum(tree.nodes for tree in trees)
    if total <= 3 * len(trees):
        return None
    for _ in range(_STEPS):
        middle = (low + high) / 2.0
        left = sum(pruned(tree, 10.0**middle).nodes for tree in trees)
        low, high = (middle, high) if left > share * total else (low, middle)
    return float(10.0**high)


def nodes_of(tree: Tree) -> Nodes:
    """One tree's shape; without a cover every leaf weighs the same."""
    left, right = tree.left.astype(np.int64), tree.right.astype(np.int64)
    cover: FloatArray = np.ones(tree.nodes) if tree.cover is None else np.maximum(tree.cover, 1e-12)
    return Nodes(np.zeros(1, dtype=np.int64), left, right, tree.value, cover)


def _cut(tree: Tree, nodes: Nodes, values: FloatArray, alive: Flags, cut: Flags) -> Tree:
    """The tree of the nodes that are alive; those in ``cut`` are leaves with their own values."""
    places = np.cumsum(alive, dtype=np.int64) - 1
    leaf = (nodes.left < 0) | cut
    left = np.where(leaf, -1, places[nodes.left])[alive]
    right = np.where(leaf, -1, places[nodes.right])[alive]
    answers = np.where(cut[:, None] & (nodes.left >= 0)[:, None], values, tree.value)

    def some(array: Array | None) -> Array | None:
        return None if array is None else array[alive]

    return replace(
        tree,
        feature=tree.feature[alive],
        threshold=tree.threshold[alive],
        left=left.astype(np.int32),
        right=right.astype(np.int32),
        value=answers[alive],
        default_left=some(tree.default_left),
        missing=some(tree.missing),
        category_set=some(tree.category_set),
        cover=some(tree.cover),
    )
