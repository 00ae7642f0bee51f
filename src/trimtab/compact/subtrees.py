"""Identical subtrees kept once: a tree refers to what an earlier tree has already written.

A subtree is known by 128 bits of what it does: features and how they are read, thresholds, leaf values
and the shape. Only the far child of a node may lie elsewhere, so where just the near one is known
they change places; where both are, the near one is written again, down its own near children.
Continuous features hardly repeat a subtree; where the first trees show that, nothing is looked up further.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from trimtab.compact.ensemble import IntArray, Tree
from trimtab.types import Array

Words = npt.NDArray[np.uint64]

LEAST_NODES = 64
"""Trees with fewer inner nodes lie together, for the marks."""
_TRIAL_TREES, _TRIAL_NODES, _WORTH = 3, 4_000, 0.02
_MOST = 20_000_000
_FACTORS = (0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F)


class Subtrees:
    """The subtrees that have been written, by what they do."""

    def __init__(self) -> None:
        self._known: dict[int, int] = {}
        self._second: Words = np.zeros(0, np.uint64)
        self._trees = self._seen = self._saved = 0

    def worth(self, nodes: int) -> bool:
        """Whether a tree of so many inner nodes is to be looked at."""
        if nodes < LEAST_NODES or len(self._known) > _MOST:
            return False
        trying = self._trees < _TRIAL_TREES or self._seen < _TRIAL_NODES
        if not trying and self._saved < _WORTH * self._seen:
            self._known.clear()
            return False
        return True

    @staticmethod
    def words(
        tree: Tree,
        depths: Sequence[IntArray],
        key: npt.NDArray[np.uint32],
        threshold: Array,
        leaf: IntArray,
    ) -> tuple[Words, Words]:
        """128 bits of what is done from each node of a tree on, as two words.

        Args:
            tree: The tree.
            depths: Its inner nodes by depth.
            key: How each node reads which feature, shape ``(nodes,)``.
            threshold: Of each node, as it will be compared.
            leaf: The place of each leaf's value in the dictionary.
        """
        bits = np.asarray(threshold, np.float64).view(np.uint64)
        own = _mixed(bits + key.astype(np.uint64) * np.uint64(_FACTORS[0]))
        both = []
        for place, factor in enumerate(map(np.uint64, _FACTORS)):
            found = _mixed(leaf.astype(np.uint64) * factor + np.uint64(place + 1))
            for nodes in reversed(depths):
                left, right = found[tree.left[nodes]], found[tree.right[nodes]]
                found[nodes] = _mixed(own[nodes] + _mixed(_mixed(left + factor) + right) * factor)
            both.append(found)
        return both[0], both[1]

    def places(self, first: Words, second: Words) -> IntArray:
        """Where subtrees have been written, -1 where they have not."""
        get = self._known.get
        found = np.array([get(word, -1) for word in first.tolist()], np.int64)
        at = np.flatnonzero(found >= 0)
        found[at[self._second[found[at]] != second[at]]] = -1
        return found

    def add(self, first: Words, second: Words, start: int, nodes: int) -> None:
        """Take the nodes of a tree that were written, in their order.

        Args:
            first: One word of each.
            second: The other.
            start: The place of the first one.
            nodes: How many the whole tree has.
        """
        end = start + len(first)
        if end > len(self._second):
            more = np.zeros(max(end, 2 * len(self._second)) - len(self._second), np.uint64)
            self._second = np.concatenate([self._second, more])
        self._second[start:end] = second
        self._known.update(zip(first.tolist(), range(start, end), strict=True))
        self._trees, self._seen = self._trees + 1, self._seen + nodes
        self._saved += nodes - len(first)


class Arranged(NamedTuple):
    """Where the inner nodes of a tree are written, and how they refer to their children.

    ``order`` are those that are written, the root last; the others have one value for each of them.
    ``distance`` is how far before a node its far child lies.
    """

    order: IntArray
    near: IntArray
    far: IntArray
    turned: npt.NDArray[np.bool_]
    distance: IntArray


def arranged(
    tree: Tree, depths: Sequence[IntArray], known: IntArray | None, start: int
) -> Arranged:
    """Each subtree: the child that is visited less often, then the other child, then their parent.

    Args:
        tree: The tree.
        depths: Its inner nodes by depth.
        known: Where each node's subtree has been written before, -1 where it has not.
        start: The place of the first node to be written.
    """
    is_leaf = tree.left < 0
    size = np.where(is_leaf, 0, 1)
    for nodes in reversed(depths):
        size[nodes] += size[tree.left[nodes]] + size[tree.right[nodes]]
    visits = size if tree.cover is None else tree.cover
    # A leaf needs no place: the inner child is always the near one.
    turned = (visits[tree.right] > visits[tree.left]) | is_leaf[tree.left]
    turned &= ~is_leaf[tree.right]
    elsewhere = np.zeros(tree.nodes, np.bool_)
    if known is not None:
        left, right = known[tree.left] >= 0, known[tree.right] >= 0
        both = ~is_leaf[tree.left] & ~is_leaf[tree.right]
        turned = np.where(both & (left != right), left, turned)
    near = np.where(turned, tree.right, tree.left)
    far = np.where(turned, tree.left, tree.right)
    if known is not None:
        depths = _written(depths, near, far, known, elsewhere)
        for nodes in reversed(depths):
            size[nodes] = 1 + size[near[nodes]] + np.where(elsewhere, 0, size)[far[nodes]]
    place = np.zeros(tree.nodes, np.int64)
    place[0] = size[0] - 1
    for nodes in depths:
        place[near[nodes]] = place[nodes] - 1
        place[far[nodes]] = place[nodes] - 1 - size[near[nodes]]
    order = np.empty(size[0], np.int64)
    inner = np.concatenate(depths)
    order[place[inner]] = inner
    near, far = near[order], far[order]
    distance = size[near] + 1
    if known is not None:
        distance = np.where(elsewhere[far], start + np.arange(len(order)) - known[far], distance)
    return Arranged(order, near, far, turned[order], distance)


def _written(
    depths: Sequence[IntArray],
    near: IntArray,
    far: IntArray,
    known: IntArray,
    elsewhere: npt.NDArray[np.bool_],
) -> list[IntArray]:
    """The nodes of each depth that have to be written; marks the far children that need not."""
    wanted = np.zeros(len(known), np.bool_)
    wanted[0] = True
    kept = []
    for nodes in depths:
        mine = nodes[wanted[nodes]]
        kept.append(mine)
        lies = known[far[mine]] >= 0
        elsewhere[far[mine][lies]] = True
        wanted[near[mine]] = True
        wanted[far[mine][~lies]] = True
    return [nodes for nodes in kept if len(nodes)]


def _mixed(words: Words) -> Words:
    """Every bit of a word spread over all of it (the finaliser of SplitMix64)."""
    words = (words ^ (words >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    words = (words ^ (words >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return words ^ (words >> np.uint64(31))
