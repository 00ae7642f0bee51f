"""Small trees as bytes, so that a row and all nodes of a tree fit into registers.

A byte for each node names the slot that it reads, another its code among those of the slot's nodes. With at most
32 leaves a tree the nodes stand as they are written, 32 a tree, and the marks tell the leaf. With
more, and no path longer than 6, they stand as a heap of 64, children of place p at 2p and 2p + 1; a row's
turns are then the bits of its leaf's place. What is no node compares with 255, so that no row goes right there.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from trimtab.compact.ensemble import IntArray, Tree
from trimtab.types import Array

MOST_SLOTS, MOST_CODES = 64, 255
HEAP, LONGEST_PATH = 64, 6


class Heaps:
    """Collects the places that nodes and leaves of trees have in heaps, as long as all paths are short."""

    def __init__(self) -> None:
        self._nodes: list[IntArray] | None = []
        self._leaves: list[IntArray] = []

    def add(self, tree: Tree, depths: Sequence[IntArray], order: IntArray, leaf: IntArray) -> None:
        """Take a tree; the arguments are those of :meth:`trimtab.compact.marks.Marks.add`."""
        if self._nodes is None or len(depths) > LONGEST_PATH:
            self._nodes = None
            return
        place = np.zeros(tree.nodes, np.int64)
        place[0] = 1
        leaves = np.full(HEAP, leaf[0])
        for nodes in depths:
            place[tree.left[nodes]] = 2 * place[nodes]
            place[tree.right[nodes]] = 2 * place[nodes] + 1
        for depth, nodes in enumerate(depths, 1):
            below = np.concatenate([tree.left[nodes], tree.right[nodes]])
            ends = below[tree.left[below] < 0]
            leaves[(place[ends] << (LONGEST_PATH - depth)) - HEAP] = leaf[ends]
        self._nodes.append(place[order])
        self._leaves.append(leaves)

    def sections(self) -> tuple[IntArray, Array] | None:
        """The place of each node as it is written, and the leaves of each heap; None if a path is long."""
        if self._nodes is None:
            return None
        return np.concatenate([*self._nodes, np.zeros(0, np.int64)]), np.concatenate(self._leaves)


def registers(
    slot: npt.NDArray[np.uint32],
    code: npt.NDArray[np.uint32],
    slots: int,
    inner: IntArray,
    heaps: Heaps | None,
    *,
    direct: bool,
) -> dict[str, Array]:
    """The file's sections; none where a slot has too many codes, or a path is too long.

    Args:
        slot: Of each node, as they are written; numeric.
        code: Of each node.
        slots: How many slots there are.
        inner: How many nodes each tree has.
        heaps: Where nodes stand; None for as they are written, 32 a tree.
        direct: Whether codes are the bits of numbers and not places in a table.
    """
    tables = [np.unique(code[slot == at]) for at in range(slots)] if direct else []
    own = code.astype(np.int64)
    for at, table in enumerate(tables):
        own[slot == at] = np.searchsorted(table, code[slot == at])
    found = None if heaps is None else heaps.sections()
    too_long = heaps is not None and found is None
    if too_long or not 0 < slots <= MOST_SLOTS or int(own.max(initial=0)) >= MOST_CODES:
        return {}
    tree = np.repeat(np.arange(len(inner)), inner)
    written = np.arange(len(slot)) - np.repeat(np.cumsum(inner) - inner, inner)
    place, leaves = (written, np.zeros(0, np.uint32)) if found is None else found
    which = np.zeros((len(inner), 32 if found is None else HEAP), np.uint8)
    codes = np.full(which.shape, 255, np.uint8)
    which[tree, place], codes[tree, place] = slot, own
    starts = np.concatenate([[0], np.cumsum([len(table) for table in tables])])
    return {
        "byte_slots": which,
        "byte_codes": codes,
        "byte_starts": starts.astype(np.uint32) if direct else np.zeros(0, np.uint32),
        "byte_table": np.concatenate([*tables, np.zeros(0, np.uint32)]).astype(np.uint32),
        "heap_leaves": leaves.astype(np.uint32),
    }
