"""Arithmetic on the nodes of whole forests, level by level instead of tree by tree.

Trees stand one after another in arrays of nodes; ``left`` and ``right`` hold places of children, a
leaf has -1 in both.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from trimtab.types import FloatArray

Places = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Nodes:
    """The shape of a forest and what its leaves answer.

    ``values`` has shape ``(nodes, k)``, ``cover`` says how many rows of the training data came by
    (any positive weight of a leaf will do); of inner nodes both are computed here.
    """

    roots: Places
    left: Places
    right: Places
    values: FloatArray
    cover: FloatArray

    @property
    def inner(self) -> Flags:
        """Which nodes have children."""
        return self.left >= 0


@dataclass(frozen=True, slots=True)
class Means:
    """What each node would answer as a leaf, and what that would cost.

    ``values`` are means of the leaves below, weighted by cover; ``costs`` the sums of squared
    differences from them; ``reach`` the largest difference of any leaf below.
    """

    values: FloatArray
    cover: FloatArray
    costs: FloatArray
    reach: FloatArray


def levels(nodes: Nodes) -> list[Places]:
    """The inner nodes by depth, the deepest first."""
    found = []
    at = nodes.roots[nodes.left[nodes.roots] >= 0]
    while len(at):
        found.append(at)
        below = np.concatenate([nodes.left[at], nodes.right[at]])
        at = below[nodes.left[below] >= 0]
    return found[::-1]


def means(nodes: Nodes, deepest_first: Sequence[Places]) -> Means:
    """Means, costs and reaches of all nodes, from the leaves up.

    The costs follow by the decomposition of variance: both children's, and what their means are away
    from the parent's.
    """
    values, cover = nodes.values.astype(np.float64), nodes.cover.astype(np.float64)
    costs = np.zeros(len(cover))
    low, high = values.copy(), values.copy()
    for at in deepest_first:
        left, right = nodes.left[at], nodes.right[at]
        cover[at] = cover[left] + cover[right]
        share = (cover[left] / cover[at])[:, None]
        values[at] = share * values[left] + (1.0 - share) * values[right]
        apart = ((values[left] - values[right]) ** 2).sum(axis=1)
        costs[at] = costs[left] + costs[right] + cover[left] * cover[right] / cover[at] * apart
        low[at] = np.minimum(low[left], low[right])
        high[at] = np.maximum(high[left], high[right])
    reach = np.maximum(high - values, values - low).max(axis=1)
    return Means(values, cover, costs, reach)


def weakest(nodes: Nodes, deepest_first: Sequence[Places], found: Means, alpha: float) -> Flags:
    """The nodes that become leaves when each leaf costs ``alpha``.

    Minimal cost-complexity pruning: the smallest tree that minimises costs / rows + alpha × leaves,
    found from the leaves up.

    Source: Breiman et al. (1984), Classification and Regression Trees, chapter 3; agrees with
    scikit-learn's ``ccp_alpha`` in test_nodes.
    """
    best = np.full(len(nodes.left), alpha)
    rows = np.zeros(len(nodes.left))
    rows[nodes.roots] = found.cover[nodes.roots]
    for at in reversed(deepest_first):
        rows[nodes.left[at]] = rows[nodes.right[at]] = rows[at]
    cut = np.zeros(len(nodes.left), dtype=np.bool_)
    for at in deepest_first:
        below = best[nodes.left[at]] + best[nodes.right[at]]
        alone = found.costs[at] / rows[at] + alpha
        cut[at] = alone <= below * (1.0 + 1e-12)
        best[at] = np.minimum(alone, below)
    return cut


def kept(nodes: Nodes, deepest_first: Sequence[Places], cut: Flags) -> Flags:
    """Which nodes remain when those in ``cut`` become leaves."""
    alive = np.zeros(len(nodes.left), dtype=np.bool_)
    alive[nodes.roots] = True
    for at in reversed(deepest_first):
        goes_on = alive[at] & ~cut[at]
        alive[nodes.left[at]] = goes_on
        alive[nodes.right[at]] = goes_on
    return alive
