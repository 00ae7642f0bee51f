"""The walk in NumPy: what every machine can run, and what the C kernel is tested against."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from trimtab.compact import slots
from trimtab.compact.ensemble import NEAR_ZERO, PATH_FACTOR
from trimtab.compact.layout import Header
from trimtab.errors import Refused
from trimtab.types import Array, FloatArray

FLAG_BITS = 3
NEAR_LEAF, FAR_LEAF = 2, 4

IntArray = npt.NDArray[np.int64]


class PlainKernel:
    """Walks all rows through one tree after the other.

    Args:
        header: Of the file.
        parts: Its sections.

    Raises:
        Refused: a node refers forwards or outside, or to a slot, leaf, pair or set that there is
            not; a table lies outside its section, is not sorted, or a number is out of bounds.
    """

    def __init__(self, header: Header, parts: dict[str, Array]) -> None:
        self._header = header
        self._slots = parts["slots"]
        self._tables = parts["thresholds"]
        self._roots = parts["roots"]
        self._tree_columns = parts["tree_columns"].astype(np.int64)
        self._base = parts["base"]
        self._sets = parts["sets"]
        self._leaves = _leaf_rows(header, parts)
        self._unpack(parts)
        _check_shapes(header, parts)
        _check_slots(header, parts)
        self._check_nodes()

    def sums(self, rows: FloatArray, out: FloatArray) -> None:
        """Write the sums of every row before the link, shape ``(rows, columns)``."""
        header, codes = self._header, self._row_codes(rows)
        out[:] = self._base
        for root, column in zip(self._roots, self._tree_columns, strict=True):
            leaf, _ = self._walk(codes, int(root))
            part = slice(column, column + header.width)
            out[:, part] += self._leaves[leaf]
            if header.float32_sums:
                out[:, part] = out[:, part].astype(np.float32)
        out /= header.divisor

    def paths(self, rows: FloatArray, out: npt.NDArray[np.uint64]) -> None:
        """Write the path of every row in every tree, shape ``(rows, trees)``."""
        codes = self._row_codes(rows)
        for place, root in enumerate(self._roots):
            out[:, place] = self._walk(codes, int(root))[1]

    def _row_codes(self, rows: FloatArray) -> npt.NDArray[np.uint32]:
        if self._header.float32_input:
            with np.errstate(over="ignore"):
                rows = rows.astype(np.float32).astype(np.float64)
        if self._header.tiny_is_zero:
            rows = np.where(np.abs(rows) <= NEAR_ZERO, 0.0, rows)
        codes = np.empty((len(rows), len(self._slots)), np.uint32)
        for place, slot in enumerate(self._slots):
            table = self._tables[slot["start"] : int(slot["start"]) + int(slot["count"])]
            column = rows[:, slot["feature"]]
            codes[:, place] = slots.row_codes(
                column, int(slot["how"]), table, direct=self._header.direct
            )
        return codes

    def _walk(
        self, codes: npt.NDArray[np.uint32], root: int
    ) -> tuple[IntArray, npt.NDArray[np.uint64]]:
        path = np.ones(len(codes), np.uint64)
        leaf = np.full(len(codes), -1 - root, np.int64)
        if root < 0:
            return leaf, path
        walking = np.arange(len(codes))
        at = np.full(len(codes), root, np.int64)
        factor = np.uint64(PATH_FACTOR)
        while len(walking):
            right = self._goes_right(codes[walking], at)
            path[walking] = path[walking] * factor + np.where(right, 2, 1).astype(np.uint64)
            far = right ^ (self._flags[at] & 1 != 0)
            ends = self._flags[at] & np.where(far, FAR_LEAF, NEAR_LEAF) != 0
            leaf[walking[ends]] = self._leaf(at[ends], far[ends])
            at = np.where(far, at - self._reference[at], at - 1)[~ends]
            walking = walking[~ends]
        return leaf, path

    def _goes_right(self, codes: npt.NDArray[np.uint32], at: IntArray) -> npt.NDArray[np.bool_]:
        slot, code = self._slot[at], self._code[at]
        mine = codes[np.arange(len(at)), slot].astype(np.int64)
        right = mine > code
        categorical = np.flatnonzero(slot >= self._header.first_categorical)
        word = self._sets[code[categorical] + (mine[categorical] >> 5)]
        right[categorical] = word >> (mine[categorical] & 31).astype(np.uint32) & 1 == 0
        return right

    def _leaf(self, at: IntArray, far: npt.NDArray[np.bool_]) -> IntArray:
        reference, both = self._reference[at], self._flags[at] & NEAR_LEAF != 0
        return np.where(both, self._of_two(np.where(both, reference, 0), far), reference)

    def _of_two(self, reference: IntArray, far: npt.NDArray[np.bool_]) -> IntArray:
        bits = self._header.leaf_bits
        if bits:
            return np.where(far, reference >> bits, reference & (1 << bits) - 1)
        if not len(self._pairs):
            return np.full(len(reference), -1)
        last = len(self._pairs) // 2 - 1
        return np.asarray(self._pairs[2 * np.minimum(reference, last) + far])

    def _unpack(self, parts: dict[str, Array]) -> None:
        header, nodes = self._header, parts["nodes"]
        flags_at = header.slot_bits + header.code_bits
        if flags_at + FLAG_BITS >= 64 or header.leaf_bits * 2 > 64 - flags_at - FLAG_BITS:
            raise contradiction("the widths of a node's parts exceed 64 bits")
        self._slot = (nodes & np.uint64((1 << header.slot_bits) - 1)).astype(np.int64)
        code = nodes >> np.uint64(header.slot_bits) & np.uint64((1 << header.code_bits) - 1)
        self._code = code.astype(np.int64)
        self._flags = (nodes >> np.uint64(flags_at) & np.uint64(7)).astype(np.int64)
        self._reference = (nodes >> np.uint64(flags_at + FLAG_BITS)).astype(np.int64)
        self._pairs = parts["pairs"].astype(np.int64)

    def _check_nodes(self) -> None:
        count, flags, reference = len(self._slot), self._flags, self._reference
        place = np.arange(count)
        near_leaf, far_leaf = flags & NEAR_LEAF != 0, flags & FAR_LEAF != 0
        _demand(not (near_leaf & ~far_leaf).any(), "a node's near child is a leaf alone")
        _demand((near_leaf | (place >= 1)).all(), "a node refers outside the nodes")
        inner = ~far_leaf
        _demand(
            ((reference[inner] >= 1) & (reference[inner] <= place[inner])).all(),
            "a node refers forwards or outside the nodes",
        )
        one = far_leaf & ~near_leaf
        _demand((reference[one] < len(self._leaves)).all(), "a node refers to no leaf")
        self._check_two_leaves(np.flatnonzero(near_leaf))
        _demand((self._slot < len(self._slots)).all(), "a node refers to no slot")
        roots = self._roots
        ends = (roots < count) & (roots >= -len(self._leaves))
        _demand(ends.all() and len(roots) > 0, "a root is no node and no leaf")
        first = self._header.first_categorical
        sets = np.flatnonzero(self._slot >= first)
        words = self._slots["words"][self._slot[sets]].astype(np.int64)
        _demand(
            (self._code[sets] + words <= len(self._sets)).all(), "a node refers to no category set"
        )

    def _check_two_leaves(self, both: IntArray) -> None:
        reference, bits = self._reference[both], self._header.leaf_bits
        leaves = len(self._leaves)
        if bits:
            ends = np.concatenate([reference & (1 << bits) - 1, reference >> bits])
        else:
            _demand((reference < len(self._pairs) // 2).all(), "a node refers to no pair of leaves")
            ends = self._pairs
        _demand((ends < leaves).all(), "a node refers to no leaf")


def _leaf_rows(header: Header, parts: dict[str, Array]) -> FloatArray:
    leaves = parts["leaves"]
    _demand(len(leaves) > 0 and len(leaves) % header.width == 0, "leaves are cut short")
    return leaves.reshape(-1, header.width)


def _check_shapes(header: Header, parts: dict[str, Array]) -> None:
    _demand(len(parts["pairs"]) % 2 == 0, "pairs of leaves are cut short")
    _demand(len(parts["nodes"]) < 2**32, "there are 2^32 nodes or more")
    trees, columns = parts["tree_columns"].astype(np.int64), len(parts["base"])
    _demand(len(trees) == len(parts["roots"]), "trees and roots differ in number")
    _demand((trees + header.width <= columns).all(), "a tree adds to no column")


def _check_slots(header: Header, parts: dict[str, Array]) -> None:
    rows, tables = parts["slots"], parts["thresholds"]
    _demand((rows["feature"] < header.features).all(), "a slot reads no feature")
    ends = rows["start"].astype(np.int64) + rows["count"]
    _demand((ends <= len(tables)).all(), "a slot's table lies outside the thresholds")
    how = rows["how"]
    categorical = how & slots.CATEGORICAL != 0
    expected = np.arange(len(rows)) >= header.first_categorical
    _demand((categorical == expected).all(), "slots are out of order")
    _demand((how >> slots.READING_SHIFT < len(slots.READINGS)).all(), "a slot is read in no way")
    _demand((how & slots.MISSING_KIND <= 2).all(), "a slot's missing values are of no kind")
    needed = (rows["count"].astype(np.int64) + 2 + 31) // 32
    _demand((rows["words"][categorical] >= needed[categorical]).all(), "a category set is short")
    for slot in rows:
        table = tables[slot["start"] : int(slot["start"]) + int(slot["count"])]
        _demand((np.diff(table) > 0).all() and not np.isnan(table).any(), "a table is not sorted")


def contradiction(what: str) -> Refused:
    """The error for a file whose parts contradict one another."""
    return Refused(
        f"This is no compact forest that can be used: {what}.",
        code="damaged_artifact",
        hint="Convert the model again, or fetch the file again.",
    )


def _demand(holds: object, what: str) -> None:
    if not holds:
        raise contradiction(what)
