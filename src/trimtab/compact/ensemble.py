"""The neutral record of a fitted tree ensemble, and the plainest way to walk it.

What converters write, what lossy steps change and what is packed. Its own walk
(:meth:`TreeEnsemble.leaves`) is slow and obvious: the kernels are tested against it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum

import numpy as np
import numpy.typing as npt

from trimtab.compact.links import Link, linked
from trimtab.errors import InvalidInput
from trimtab.types import Array, FloatArray

__all__ = ["CategorySet", "Link", "Missing", "Reading", "Tree", "TreeEnsemble", "decision_paths"]

IntArray = npt.NDArray[np.int64]
NEAR_ZERO = float(np.float32(1e-35))
PATH_FACTOR = 0x9E3779B97F4A7C15


class Missing(IntEnum):
    """What a split takes for a missing value, which then goes the node's ``default_left`` way."""

    NAN = 0
    """NaN."""
    NEVER = 1
    """Nothing: NaN is read as 0."""
    ZERO = 2
    """NaN, and values within 1e-35 of 0 (the bound as a float32, as LightGBM has it)."""


class Reading(StrEnum):
    """How a categorical split reads a number before it looks for the category."""

    EXACT = "exact"
    """As it is: 2.5 is no category."""
    TRUNCATE = "truncate"
    """Cut towards 0, as LightGBM does: 2.5 is category 2, -0.5 category 0."""
    FLOOR = "floor"
    """Cut downwards, so that negative numbers are no category, as XGBoost does."""


@dataclass(frozen=True, slots=True)
class CategorySet:
    """A categorical split: known categories in ``left`` go left, other known ones right.

    Values of no known category go left with ``other_left``, NaN with ``missing_left``.
    """

    left: frozenset[float]
    other_left: bool = False
    missing_left: bool = False


@dataclass(frozen=True, slots=True)
class Tree:
    """One tree; every array has one entry a node, the root is node 0.

    ``left`` and ``right`` are places of nodes, -1 at a leaf. ``feature`` and ``threshold`` count at
    inner nodes, ``value`` of shape ``(nodes, width)`` at leaves. ``column`` is the first column of
    the ensemble's sums that the tree adds to. ``missing`` are values of :class:`Missing`, None
    stands for NAN everywhere. ``category_set`` are places in the ensemble's ``category_sets``, -1
    where the split is numeric; None if no split is categorical. ``cover`` is how often a node was
    visited in training; it only guides the layout.
    """

    feature: npt.NDArray[np.int32]
    threshold: FloatArray
    left: npt.NDArray[np.int32]
    right: npt.NDArray[np.int32]
    value: FloatArray
    column: int = 0
    default_left: npt.NDArray[np.bool_] | None = None
    missing: npt.NDArray[np.uint8] | None = None
    category_set: npt.NDArray[np.int32] | None = None
    cover: FloatArray | None = None

    @property
    def nodes(self) -> int:
        """Inner nodes and leaves."""
        return len(self.left)


@dataclass(frozen=True, slots=True)
class TreeEnsemble:
    """A fitted ensemble: ``link(base + sum of the trees' leaf values)``, per column.

    Sums are taken in the order of ``trees``, starting at ``base``, and divided by ``divisor`` at the
    end. ``strict`` splits send ``x < threshold`` left, others
    ``x <= threshold``. ``float32_input`` rounds every input to float32 first, ``float32_sums``
    rounds every partial sum; ``float32_integers`` rounds inputs that are no floats to float32;
    ``tiny_is_zero`` reads what lies within 1e-35 of 0 as 0. ``link_scale`` is the factor that a logistic link applies first, or
    the denominator of :attr:`Link.ISOLATION`. ``groups`` are the widths of the outputs that the
    columns belong to: ``(2, 3)`` is a model of two outputs with two and three classes.
    ``categories`` are the known categories, ascending, of each feature that a categorical split
    reads, and ``reading`` is how values are read there.
    """

    trees: Sequence[Tree]
    features: int
    base: FloatArray
    divisor: int = 1
    link: Link = Link.NONE
    link_scale: float = 1.0
    strict: bool = False
    float32_input: bool = False
    float32_integers: bool = False
    float32_sums: bool = False
    tiny_is_zero: bool = False
    groups: tuple[int, ...] = ()
    category_sets: tuple[CategorySet, ...] = ()
    categories: Mapping[int, FloatArray] = field(default_factory=dict)
    reading: Reading = Reading.EXACT

    @property
    def columns(self) -> int:
        """How many sums there are; the link may make more or fewer outputs of them."""
        return len(self.base)

    @property
    def average(self) -> bool:
        """Whether the sums are divided by the number of trees."""
        return self.divisor > 1

    def leaves(self, X: Array) -> IntArray:
        """The node each row ends in, shape ``(rows, trees)``."""
        rows = as_rows(
            X, self.features, float32=self.float32_input, float32_integers=self.float32_integers
        )
        if self.tiny_is_zero:
            rows = np.where(np.abs(rows) <= NEAR_ZERO, 0.0, rows)
        return np.stack([_leaves(self, tree, rows) for tree in self.trees], axis=1)

    def raw(self, X: Array) -> FloatArray:
        """The sums before the link, shape ``(rows, columns)``."""
        ends = self.leaves(X)
        sums = np.tile(self.base, (len(ends), 1))
        for tree, end in zip(self.trees, ends.T, strict=True):
            part = slice(tree.column, tree.column + tree.value.shape[1])
            sums[:, part] += tree.value[end]
            if self.float32_sums:
                sums[:, part] = sums[:, part].astype(np.float32)
        return sums / self.divisor

    def predict(self, X: Array) -> FloatArray:
        """The outputs, shape ``(rows, outputs)``."""
        return linked(self.link, self.raw(X), self.link_scale, float32=self.float32_sums)


def as_rows(
    X: Array, features: int, *, float32: bool, float32_integers: bool = False
) -> FloatArray:
    """Rows as float64 numbers, rounded to float32 where the ensemble does so.

    Integers are rounded once, straight to float32: by way of float64 some would be rounded twice.

    Raises:
        InvalidInput: the shape is wrong or values are no numbers.
    """
    values = np.asarray(X)
    if values.ndim != 2 or values.shape[1] != features:
        raise InvalidInput(
            f"Rows have shape {values.shape}; the model reads {features} features.",
            code="wrong_columns",
            hint="Pass a two-dimensional array with one column for each feature.",
        )
    if values.dtype.kind not in "fiub":
        raise InvalidInput(
            f"Rows of type {values.dtype} are no numbers.",
            code="wrong_type",
            hint="Encode texts and times as numbers first.",
        )
    whole = values.dtype.kind != "f"
    if (float32 and values.dtype != np.float32) or (float32_integers and whole):
        with np.errstate(over="ignore"):
            values = values.astype(np.float32)
    return values.astype(np.float64, copy=False)


def decision_paths(tree: Tree) -> npt.NDArray[np.uint64]:
    """A number for each node that stands for the turns which lead to it from the root.

    ``path(root) = 1``, ``path(child) = path(node) · 0x9E3779B97F4A7C15 + 1`` on the left and
    ``+ 2`` on the right, modulo 2^64. The same turns give the same number whatever the layout, so
    :meth:`trimtab.compact.Forest.paths` can be compared with a library's own leaves.
    """
    paths = np.zeros(tree.nodes, np.uint64)
    paths[0] = 1
    factor = np.uint64(PATH_FACTOR)
    for nodes in levels(tree):
        for children, turn in ((tree.left, 1), (tree.right, 2)):
            paths[children[nodes]] = paths[nodes] * factor + np.uint64(turn)
    return paths


def levels(tree: Tree) -> Iterator[IntArray]:
    """The inner nodes of each depth, from the root down.

    Raises:
        InvalidInput: a child is no node, or a node is reached twice.
    """
    waiting = np.zeros(1, np.int64)
    reached = 1
    while len(waiting := waiting[tree.left[waiting] >= 0]):
        yield waiting
        waiting = np.concatenate([tree.left[waiting], tree.right[waiting]]).astype(np.int64)
        reached += len(waiting)
        if reached > tree.nodes or waiting.min() < 0 or waiting.max() >= tree.nodes:
            raise InvalidInput(
                f"A tree of {tree.nodes} nodes has a child that is no node, or one reached twice.",
                code="not_a_tree",
            )


def _leaves(ensemble: TreeEnsemble, tree: Tree, rows: FloatArray) -> IntArray:
    at = np.zeros(len(rows), np.int64)
    walking = np.flatnonzero(tree.left[at] >= 0)
    while len(walking):
        nodes = at[walking]
        values = rows[walking, tree.feature[nodes]]
        goes_left = _goes_left(ensemble, tree, nodes, values)
        at[walking] = np.where(goes_left, tree.left[nodes], tree.right[nodes])
        walking = walking[tree.left[at[walking]] >= 0]
    return at


def _goes_left(
    ensemble: TreeEnsemble, tree: Tree, nodes: IntArray, values: FloatArray
) -> npt.NDArray[np.bool_]:
    kinds = np.zeros(len(nodes), np.uint8) if tree.missing is None else tree.missing[nodes]
    absent = np.isnan(values)
    read = np.where(absent & (kinds == Missing.NEVER), 0.0, values)
    near_zero = np.abs(read) <= NEAR_ZERO
    absent = (absent & (kinds != Missing.NEVER)) | ((kinds == Missing.ZERO) & near_zero)
    threshold = tree.threshold[nodes]
    left = read < threshold if ensemble.strict else read <= threshold
    default = False if tree.default_left is None else tree.default_left[nodes]
    left = np.where(absent, default, left)
    if tree.category_set is not None:
        for place in np.flatnonzero(tree.category_set[nodes] >= 0):
            split = ensemble.category_sets[tree.category_set[nodes[place]]]
            known = ensemble.categories[int(tree.feature[nodes[place]])]
            left[place] = _category_goes_left(split, known, ensemble.reading, values[place])
    return left


def _category_goes_left(
    split: CategorySet, known: FloatArray, reading: Reading, value: float
) -> bool:
    if np.isnan(value):
        return split.missing_left
    read = category_of(reading, value)
    return read in split.left if read in known else split.other_left


def category_of(reading: Reading, value: float) -> float:
    """The number that is looked for among the categories."""
    if reading is Reading.TRUNCATE:
        return float(np.trunc(value))
    return float(np.floor(value)) if reading is Reading.FLOOR else value
