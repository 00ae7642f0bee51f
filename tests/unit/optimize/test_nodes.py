"""Pruning level by level is what scikit-learn does node by node."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.ensemble import RandomForestRegressor
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from trimtab.optimize.nodes import Nodes, kept, levels, means, weakest

RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(400, 3))
Y = X[:, 0] + RANDOM.normal(size=400)


def nodes_of(*trees: Any) -> Nodes:
    """Fitted trees of scikit-learn, one after another."""
    starts = np.cumsum([0, *(tree.tree_.node_count for tree in trees)])
    pairs = list(zip(trees, starts[:-1], strict=True))

    def moved(name: str) -> Any:
        shifted = [(getattr(tree.tree_, name), start) for tree, start in pairs]
        return np.concatenate([np.where(own < 0, -1, own + start) for own, start in shifted])

    values = np.concatenate([tree.tree_.value[:, 0, :] for tree in trees])
    cover = np.concatenate([tree.tree_.weighted_n_node_samples for tree in trees])
    return Nodes(starts[:-1], moved("children_left"), moved("children_right"), values, cover)


def test_means_and_covers_of_inner_nodes_are_the_trees_own() -> None:
    tree = DecisionTreeRegressor(max_depth=6, random_state=0).fit(X, Y)
    nodes = nodes_of(tree)
    found = means(nodes, levels(nodes))
    np.testing.assert_allclose(found.values, nodes.values, atol=1e-12)
    np.testing.assert_allclose(found.cover, nodes.cover)
    leaves = tree.tree_.value[tree.apply(X), 0, 0]
    root = ((leaves - leaves.mean()) ** 2).sum()
    assert found.costs[0] == pytest.approx(root)
    assert found.reach[0] == pytest.approx(np.abs(leaves - leaves.mean()).max())


@pytest.mark.parametrize("kind", [DecisionTreeRegressor, DecisionTreeClassifier])
@pytest.mark.parametrize("alpha", [0.0005, 0.003, 0.01, 0.1, 10.0])
def test_cost_complexity_pruning_agrees_with_scikit_learn(kind: Any, alpha: float) -> None:
    y = Y if kind is DecisionTreeRegressor else (Y > 0).astype(np.int64)
    whole = kind(random_state=0).fit(X, y)
    pruned = kind(random_state=0, ccp_alpha=alpha).fit(X, y)
    nodes = nodes_of(whole)
    deepest_first = levels(nodes)
    found = means(nodes, deepest_first)
    cut = weakest(nodes, deepest_first, found, alpha)
    assert int(kept(nodes, deepest_first, cut).sum()) == pruned.tree_.node_count


def test_trees_of_a_forest_are_pruned_each_for_itself() -> None:
    forest = RandomForestRegressor(5, random_state=0, bootstrap=False).fit(X, Y)
    together = nodes_of(*forest.estimators_)
    order = levels(together)
    cut = weakest(together, order, means(together, order), 0.01)
    alive = kept(together, order, cut)
    for number, tree in enumerate(forest.estimators_):
        single = nodes_of(tree)
        own = levels(single)
        expected = kept(single, own, weakest(single, own, means(single, own), 0.01))
        start = together.roots[number]
        np.testing.assert_array_equal(alive[start : start + len(expected)], expected)
