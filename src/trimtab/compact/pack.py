"""A tree ensemble as a compact file, tree by tree, so that the trees need never all be in memory.

Nodes lie so that a walk reads few cache lines: each subtree is written with the child that is
visited less often first, then the other child, then their parent. So the likelier child of node
``i`` is node ``i - 1``, and every reference leads backwards: a walk ends whatever the file says. A
subtree that an earlier tree has written already is referred to (:mod:`trimtab.compact.subtrees`).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from trimtab.compact import slots
from trimtab.compact.ensemble import IntArray, Missing, Tree, TreeEnsemble, levels
from trimtab.compact.growing import Growing
from trimtab.compact.layout import SLOT, Header, written
from trimtab.compact.marks import Marks
from trimtab.compact.subtrees import Subtrees, Words, arranged
from trimtab.errors import InvalidInput
from trimtab.types import Array, FloatArray

NODE_BITS = 64
FLAG_BITS = 3
TURNED, NEAR_LEAF, FAR_LEAF = 1, 2, 4

_KEY_CATEGORICAL = 1 << 31
_KEY_FEATURE_SHIFT = 3


def pack(ensemble: TreeEnsemble) -> bytes:
    """The compact file of an ensemble.

    Raises:
        InvalidInput: a tree is none, a threshold is NaN, or the ensemble is too large for 8 bytes
            a node.
    """
    packer = Packer(ensemble)
    for tree in ensemble.trees:
        packer.add(tree)
    return packer.finish()


@dataclass(frozen=True, slots=True)
class _Pieces:
    """Inner nodes of one tree in their final order, before the widths of a node's parts are known.

    ``first`` is the distance of the far child, the leaf, or the near one of two leaves; ``second``
    the far one of two leaves.
    """

    key: npt.NDArray[np.uint32]
    threshold: Array
    flags: npt.NDArray[np.uint8]
    first: npt.NDArray[np.uint32]
    second: npt.NDArray[np.uint32]


class Packer:
    """Takes trees one after the other and writes the file at the end.

    Args:
        ensemble: Everything but the trees, which are not looked at.
    """

    def __init__(self, ensemble: TreeEnsemble) -> None:
        self._ensemble = replace(ensemble, trees=())
        self._leaves = _Dictionary()
        self._marks = Marks()
        self._subtrees = Subtrees()
        self._nodes = _Nodes(float32=ensemble.float32_input)
        self._roots: list[int] = []
        self._columns: list[int] = []
        self._inner = 0

    def add(self, tree: Tree) -> None:
        """Take the next tree; nothing of it is kept but the compact form.

        Raises:
            InvalidInput: it is no tree, or reads features or categories that there are not.
        """
        self._check(tree)
        leaf_ids = np.zeros(tree.nodes, np.int64)
        ends = np.flatnonzero(tree.left < 0)
        leaf_ids[ends] = self._leaves.places(tree.value[ends])
        self._columns.append(tree.column)
        if tree.left[0] < 0:
            self._roots.append(-1 - int(leaf_ids[0]))
            self._marks.add(tree, (), np.zeros(0, np.int64), leaf_ids)
            return
        depths, words, known = list(levels(tree)), None, None
        if self._subtrees.worth(sum(map(len, depths))):
            every = np.arange(tree.nodes)
            key, threshold = self._keys(tree, every), self._thresholds(tree, every)
            words = self._subtrees.words(tree, depths, key, threshold, leaf_ids)
            known = self._subtrees.places(*words)
            if known[0] >= 0:
                self._roots.append(int(known[0]))
                return
        pieces = self._laid_out(tree, depths, words, known, leaf_ids)
        self._nodes.add(pieces)
        self._inner += len(pieces.key)
        self._roots.append(self._inner - 1)

    def finish(self, *, divisor: int | None = None) -> bytes:
        """The file.

        Args:
            divisor: Of the sums, where it was not known when the packer was made.

        Raises:
            InvalidInput: there is no tree, or 8 bytes a node do not suffice.
        """
        if not self._roots:
            raise InvalidInput("An ensemble without trees cannot be packed.", code="no_trees")
        ensemble = replace(self._ensemble, divisor=divisor or self._ensemble.divisor)
        # Nobody else holds on to the nodes: the writer drops their fields one by one.
        nodes, self._nodes = self._nodes, _Nodes(float32=ensemble.float32_input)
        writer = _Writer(ensemble, nodes.taken(), self._leaves)
        del nodes
        return writer.file(self._roots, self._columns, self._marks)

    def _check(self, tree: Tree) -> None:
        ensemble, inner = self._ensemble, tree.left >= 0
        features = tree.feature[inner]
        columns = tree.column + (tree.value.shape[1] if tree.value.ndim == 2 else 1)
        wrong = ""
        if tree.value.ndim != 2 or not 0 <= tree.column < columns <= ensemble.columns:
            wrong = f"adds to columns up to {columns} of {ensemble.columns}"
        elif len(features) and not 0 <= features.min() <= features.max() < ensemble.features:
            wrong = f"reads feature {features.max()} of {ensemble.features}"
        elif np.isnan(tree.threshold[inner]).any():
            wrong = "compares with NaN"
        if wrong:
            raise InvalidInput(f"Tree {len(self._roots)} {wrong}.", code="not_a_tree")

    def _laid_out(
        self,
        tree: Tree,
        depths: list[IntArray],
        words: tuple[Words, Words] | None,
        known: IntArray | None,
        leaf_ids: IntArray,
    ) -> _Pieces:
        order, near, far, turned, distance = arranged(tree, depths, known, self._inner)
        if words is not None:
            inner = sum(map(len, depths))
            self._subtrees.add(words[0][order], words[1][order], self._inner, inner)
        near_leaf, far_leaf = tree.left[near] < 0, tree.left[far] < 0
        self._marks.add(tree, depths, order, leaf_ids)
        first = np.where(near_leaf, leaf_ids[near], np.where(far_leaf, leaf_ids[far], distance))
        flags = turned * TURNED | near_leaf * NEAR_LEAF | far_leaf * FAR_LEAF
        return _Pieces(
            key=self._keys(tree, order),
            threshold=self._thresholds(tree, order),
            flags=flags.astype(np.uint8),
            first=first.astype(np.uint32),
            second=np.where(near_leaf, leaf_ids[far], 0).astype(np.uint32),
        )

    def _keys(self, tree: Tree, order: IntArray) -> npt.NDArray[np.uint32]:
        how = np.zeros(len(order), np.int64)
        if tree.missing is not None:
            how |= tree.missing[order]
        default_left = False if tree.default_left is None else tree.default_left[order]
        goes_right = ~np.asarray(default_left) & (how != Missing.NEVER)
        how |= goes_right * slots.MISSING_RIGHT
        if tree.category_set is not None:
            how = np.where(tree.category_set[order] >= 0, _KEY_CATEGORICAL, how)
        return (how | tree.feature[order].astype(np.int64) << _KEY_FEATURE_SHIFT).astype(np.uint32)

    def _thresholds(self, tree: Tree, order: IntArray) -> Array:
        ensemble = self._ensemble
        thresholds = np.asarray(tree.threshold[order], np.float64)
        if tree.category_set is not None:
            sets = tree.category_set[order]
            thresholds = np.where(sets >= 0, sets, thresholds)
        if ensemble.float32_input:
            return slots.snapped(thresholds, strict=ensemble.strict)
        return thresholds


class _Dictionary:
    """Leaf values, each kept once; rows are equal when all their bits are."""

    def __init__(self) -> None:
        self._places: dict[bytes, int] = {}
        self._width = 1

    def places(self, rows: FloatArray) -> IntArray:
        """The place of each row; new rows are added."""
        kept = np.ascontiguousarray(rows, np.float64)
        self._width = kept.shape[1]
        single = kept.view(np.dtype((np.void, 8 * self._width))).reshape(-1)
        if self._width == 1:
            single = single.view(np.uint64)
        distinct, back = np.unique(single, return_inverse=True)
        known = self._places
        return np.array([known.setdefault(row.tobytes(), len(known)) for row in distinct])[back]

    @property
    def rows(self) -> FloatArray:
        """Shape ``(rows, width)``."""
        return np.frombuffer(b"".join(self._places), np.float64).reshape(-1, self._width)


class _Nodes:
    """The pieces of all trees, a field after the other."""

    def __init__(self, *, float32: bool) -> None:
        threshold = np.float32 if float32 else np.float64
        kinds = (np.uint32, threshold, np.uint8, np.uint32, np.uint32)
        names = _Pieces.__dataclass_fields__
        self._fields = {name: Growing(kind) for name, kind in zip(names, kinds, strict=True)}

    def add(self, pieces: _Pieces) -> None:
        """Put a tree's nodes at the end."""
        for name, field in self._fields.items():
            field.add(getattr(pieces, name))

    def taken(self) -> _Pieces:
        """All in one."""
        return _Pieces(**{name: field.taken() for name, field in self._fields.items()})


_AT_ONCE = 1 << 20
"""Nodes that are put together at a time, so that their parts are not there twice."""


def _bits(count: int) -> int:
    """How many bits number ``count`` things."""
    return max(count - 1, 0).bit_length()


class _Writer:
    """Joins pieces to nodes, now that it is known how many of everything there are."""

    def __init__(self, ensemble: TreeEnsemble, parts: _Pieces, leaves: _Dictionary) -> None:
        self._ensemble = ensemble
        self._parts = parts
        self._leaves = leaves.rows
        keys = np.unique(parts.key)
        self._slot = np.searchsorted(keys, parts.key).astype(np.uint32)
        self._keys = keys.astype(np.int64)
        self._slot_bits = _bits(len(keys))
        self._leaf_bits = max(_bits(len(self._leaves)), 1)
        self._two_leaves = parts.flags & NEAR_LEAF != 0

    def file(self, roots: list[int], columns: list[int], marks: Marks) -> bytes:
        ensemble, numeric = self._ensemble, self._keys < _KEY_CATEGORICAL
        slot_rows, sets, set_codes = self._categorical()
        direct = ensemble.float32_input and self._fits(32)
        codes, tables = self._direct() if direct else self._ranked()
        if not numeric.all():
            codes = np.where(numeric[self._slot], codes, set_codes)
        nothing = np.zeros(0, np.uint32)
        self._parts = replace(self._parts, key=nothing, threshold=nothing)
        how = self._keys & 7 | (slots.STRICT if ensemble.strict else 0)
        slot_rows["how"][numeric] = how[numeric]
        slot_rows["feature"] = (self._keys & ~_KEY_CATEGORICAL) >> _KEY_FEATURE_SHIFT
        thresholds = self._place_tables(slot_rows, tables)
        code_bits = int(codes.max(initial=0)).bit_length()
        nodes, pairs, leaf_bits = self._nodes(codes, code_bits)
        self._parts = replace(self._parts, first=nothing, second=nothing)
        header = Header(
            features=ensemble.features,
            width=self._leaves.shape[1],
            divisor=ensemble.divisor,
            link=ensemble.link,
            link_scale=ensemble.link_scale,
            groups=ensemble.groups or (ensemble.columns,),
            float32_input=ensemble.float32_input,
            float32_integers=ensemble.float32_integers,
            float32_sums=ensemble.float32_sums,
            tiny_is_zero=ensemble.tiny_is_zero,
            direct=direct,
            slot_bits=self._slot_bits,
            code_bits=code_bits,
            leaf_bits=leaf_bits,
            first_categorical=int(numeric.sum()),
            sections={},
        )
        parts: dict[str, Array] = {
            "nodes": nodes,
            "roots": np.array(roots, np.int64),
            "tree_columns": np.array(columns, np.uint32),
            "slots": slot_rows,
            "thresholds": thresholds,
            "leaves": self._leaves,
            "pairs": pairs,
            "sets": sets,
            "base": ensemble.base,
            **marks.sections(
                self._slot,
                codes.astype(np.uint32),
                len(self._keys),
                direct=direct,
                categorical=not bool(numeric.all()),
            ),
        }
        del nodes, codes
        return written(header, parts)

    def _fits(self, code_bits: int) -> bool:
        room = NODE_BITS - FLAG_BITS - self._slot_bits - code_bits
        pair_bits = min(2 * self._leaf_bits, _bits(int(self._two_leaves.sum())))
        return int(self._parts.first.max(initial=0)).bit_length() <= room and pair_bits <= room

    def _direct(self) -> tuple[npt.NDArray[np.uint32], dict[int, FloatArray]]:
        return slots.direct_codes(self._parts.threshold, strict=self._ensemble.strict), {}

    def _ranked(self) -> tuple[npt.NDArray[np.uint32], dict[int, FloatArray]]:
        codes = np.zeros(len(self._slot), np.uint32)
        tables = {}
        order = np.argsort(self._slot, kind="stable")
        bounds = np.searchsorted(self._slot[order], np.arange(len(self._keys) + 1))
        for slot in range(int((self._keys < _KEY_CATEGORICAL).sum())):
            mine = order[bounds[slot] : bounds[slot + 1]]
            table, rank = np.unique(self._parts.threshold[mine] + 0.0, return_inverse=True)
            codes[mine] = rank
            tables[slot] = table.astype(np.float64)
        return codes, tables

    def _categorical(self) -> tuple[Array, npt.NDArray[np.uint32], npt.NDArray[np.uint32]]:
        """Slots with what categorical ones need, all sets as bits, and the code of every node."""
        ensemble = self._ensemble
        rows = np.zeros(len(self._keys), SLOT)
        codes = np.zeros(len(self._slot), np.uint32)
        words: list[npt.NDArray[np.uint32]] = []
        start, known = 0, {}
        for slot in np.flatnonzero(self._keys >= _KEY_CATEGORICAL):
            feature = int(self._keys[slot] & ~_KEY_CATEGORICAL) >> _KEY_FEATURE_SHIFT
            categories = ensemble.categories[feature]
            reading = slots.READINGS.index(ensemble.reading)
            rows["how"][slot] = slots.CATEGORICAL | reading << slots.READING_SHIFT
            rows["words"][slot] = (len(categories) + 2 + 31) // 32
            mine = np.flatnonzero(self._slot == slot)
            chosen, back = np.unique(
                self._parts.threshold[mine].astype(np.int64), return_inverse=True
            )
            begins = []
            for one in chosen:
                bits = slots.set_words(ensemble.category_sets[one], categories)
                key = (len(bits), bits.tobytes())
                if key not in known:
                    known[key] = start
                    words.append(bits)
                    start += len(bits)
                begins.append(known[key])
            codes[mine] = np.array(begins, np.uint32)[back]
        return rows, np.concatenate(words) if words else np.zeros(0, np.uint32), codes

    def _place_tables(self, rows: Array, tables: dict[int, FloatArray]) -> FloatArray:
        parts, start = [], 0
        for slot, key in enumerate(self._keys):
            table = tables.get(slot)
            if key >= _KEY_CATEGORICAL:
                table = self._ensemble.categories[int(rows["feature"][slot])]
            if table is not None:
                rows["start"][slot], rows["count"][slot] = start, len(table)
                parts.append(np.asarray(table, np.float64))
                start += len(table)
        return np.concatenate(parts) if parts else np.zeros(0)

    def _nodes(
        self, codes: npt.NDArray[np.uint32], code_bits: int
    ) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.uint32], int]:
        parts, both = self._parts, self._two_leaves
        room = NODE_BITS - FLAG_BITS - self._slot_bits - code_bits
        reference = parts.first.astype(np.uint64)
        leaf_bits = self._leaf_bits
        pairs = np.zeros(0, np.uint32)
        if 2 * leaf_bits <= room:
            reference[both] |= parts.second[both].astype(np.uint64) << np.uint64(leaf_bits)
        else:
            leaf_bits = 0
            joined = reference[both] | parts.second[both].astype(np.uint64) << np.uint64(32)
            distinct, reference[both] = np.unique(joined, return_inverse=True)
            pairs = distinct.view(np.uint32)
        if int(reference.max(initial=0)).bit_length() > room:
            raise InvalidInput(
                f"{len(codes)} inner nodes, {len(self._keys)} ways to read a feature and "
                f"{len(self._leaves)} leaf values need more than 8 bytes a node.",
                code="ensemble_too_large",
                hint="Merge leaves or drop trees first.",
            )
        shift = self._slot_bits
        nodes = self._slot.astype(np.uint64)
        for field, place in (
            (codes, shift), (parts.flags, shift + code_bits), (reference, shift + code_bits + FLAG_BITS),
        ):  # fmt: skip
            for start in range(0, len(nodes), _AT_ONCE):
                some = slice(start, start + _AT_ONCE)
                nodes[some] |= field[some].astype(np.uint64) << np.uint64(place)
        return nodes, pairs, leaf_bits


def pack_to(path: Path, ensemble: TreeEnsemble, trees: Iterable[Tree]) -> None:
    """Write the compact file of trees that are made one after the other."""
    packer = Packer(ensemble)
    for tree in trees:
        packer.add(tree)
    path.write_bytes(packer.finish())
