"""What small trees are answered by without a walk: a mark for each node, and nodes by slot and code.

The leaves of a tree are numbered from left to right. A node's mark is a word with a 0 for each leaf
left of the node: those that a row leaves behind which goes right there. All bits are set at first;
after the marks of all nodes where a row goes right, in any order, the lowest bit that is left is its
leaf. The C kernel says how one row and many rows go about it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from trimtab.compact.ensemble import IntArray, Tree
from trimtab.compact.registers import Heaps, registers
from trimtab.types import Array

MAX_LEAVES, MAX_TREES = 64, 1 << 16


class Marks:
    """Collects the marks of trees, as long as all of them are small."""

    def __init__(self) -> None:
        self._marks: list[npt.NDArray[np.uint64]] | None = []
        self._leaves: list[IntArray] = []
        self._heaps = Heaps()

    def add(self, tree: Tree, depths: Sequence[IntArray], order: IntArray, leaf: IntArray) -> None:
        """Take a tree.

        Args:
            tree: With ``leaf`` the place of each leaf's value in the dictionary.
            depths: Its inner nodes by depth.
            order: Its inner nodes in the order in which they are written.
            leaf: Shape ``(nodes,)``.
        """
        ends = np.flatnonzero(tree.left < 0)
        reached = sum(map(len, depths)) + 1
        if self._marks is None or reached > MAX_LEAVES or len(self._leaves) >= MAX_TREES:
            self._marks = None
            return
        self._heaps.add(tree, depths, order, leaf)
        below = np.ones(tree.nodes, np.int64)
        for nodes in reversed(depths):
            below[nodes] = below[tree.left[nodes]] + below[tree.right[nodes]]
        first = np.full(tree.nodes, -1, np.int64)
        first[0] = 0
        for nodes in depths:
            first[tree.left[nodes]] = first[nodes]
            first[tree.right[nodes]] = first[nodes] + below[tree.left[nodes]]
        ends = ends[first[ends] >= 0]
        self._leaves.append(leaf[ends[np.argsort(first[ends])]])
        width = below[tree.left[order]].astype(np.uint64)
        ones = (np.uint64(1) << width) - np.uint64(1)
        self._marks.append(~(ones << first[order].astype(np.uint64)))

    def sections(
        self,
        slot: npt.NDArray[np.uint32],
        code: npt.NDArray[np.uint32],
        slots: int,
        *,
        direct: bool,
        categorical: bool,
    ) -> dict[str, Array]:
        """The file's sections, none if a tree is too large.

        Args:
            slot: Of each node, as they are written.
            code: Of each node.
            slots: How many slots there are.
            direct: Whether codes are the bits of numbers and not places in a table.
            categorical: Whether any slot has categories.
        """
        if self._marks is None:
            return {}
        counts = [len(leaves) for leaves in self._leaves]
        marks = np.concatenate([*self._marks, np.zeros(0, np.uint64)])
        if max(counts) <= 32:
            marks = marks.astype(np.uint32)
        trees = np.repeat(np.arange(len(counts), dtype=np.uint16), np.array(counts) - 1)
        order = np.lexsort((code, slot))
        inner, heaps = np.array(counts) - 1, None if max(counts) <= 32 else self._heaps
        return {
            **({} if categorical else registers(slot, code, slots, inner, heaps, direct=direct)),
            "marks": marks.view(np.uint32),
            "list_starts": np.searchsorted(slot[order], np.arange(slots + 1)).astype(np.uint32),
            "list_codes": code[order],
            "list_trees": trees[order],
            "list_marks": marks[order].view(np.uint32),
            "tree_starts": np.concatenate([[0], np.cumsum(counts)]).astype(np.uint32),
            "tree_leaves": np.concatenate(self._leaves).astype(np.uint32),
        }
