from __future__ import annotations

import struct
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import xxhash

from trimtab.compact import Forest, Tree, TreeEnsemble, pack
from trimtab.compact.kernel import COMPILED
from trimtab.errors import InvalidInput, NotFound, Refused

KERNELS = [True, False] if COMPILED else [False]


def stump(**changes: Any) -> Tree:
    """x0 <= 0.5 is worth 1, else 2."""
    known: dict[str, Any] = {
        "feature": np.array([0, 0, 0], np.int32),
        "threshold": np.array([0.5, 0, 0]),
        "left": np.array([1, -1, -1], np.int32),
        "right": np.array([2, -1, -1], np.int32),
        "value": np.array([[0.0], [1.0], [2.0]]),
    }
    return Tree(**known | changes)


def ensemble(*trees: Tree) -> TreeEnsemble:
    return TreeEnsemble(trees=trees, features=2, base=np.zeros(1))


def resealed(data: bytes) -> bytes:
    """The bytes with a digest that matches, as somebody who knows the format would write it."""
    return data[:8] + xxhash.xxh3_128_digest(data[24:]) + data[24:]


@pytest.mark.parametrize("compiled", KERNELS)
def test_a_file_is_mapped_and_answers(tmp_path: Path, compiled: bool) -> None:
    path = tmp_path / "forest.trimtree"
    path.write_bytes(pack(ensemble(stump(), stump())))
    forest = Forest.open(path, compiled=compiled)
    X = np.array([[0.5, 9.0], [np.nextafter(0.5, 1), 9.0]])
    assert [[2.0], [4.0]] == forest.predict(X).tolist()
    assert path.stat().st_size == forest.size_bytes
    assert (2, 2, 1, 2) == (forest.trees, forest.inner_nodes, forest.outputs, forest.features)


def complete(depth: int, first: int) -> Tree:
    """Every inner node reads a feature of its own, from ``first`` on; leaves are worth 0 and 1 in turn."""
    nodes, inner = 2 ** (depth + 1) - 1, np.arange(2**depth - 1)
    left, right = np.full((2, nodes), -1, np.int32)
    left[inner], right[inner] = 2 * inner + 1, 2 * inner + 2
    feature = np.zeros(nodes, np.int32)
    feature[inner] = first + inner
    return Tree(feature, np.full(nodes, 0.25), left, right, np.arange(nodes)[:, None] % 2.0)


def test_few_leaf_values_leave_room_for_thresholds_however_many_nodes_have_two_leaves() -> None:
    trees = [complete(9, 511 * place) for place in range(80)]
    features = 511 * len(trees)
    data = pack(TreeEnsemble(trees=trees, features=features, base=np.zeros(1), float32_input=True))
    X = np.random.default_rng(0).random((50, features))
    many = TreeEnsemble(trees=trees, features=features, base=np.zeros(1), float32_input=False)
    np.testing.assert_array_equal(Forest(pack(many)).predict(X), Forest(data).predict(X))
    assert len(data) + 8 * features <= len(pack(many))  # no table of thresholds beside the nodes


def comb(splits: int, shift: float = 0.0) -> Tree:
    """A tree that goes right again and again, and has as many leaves as splits, and one more."""
    nodes, inner = 2 * splits + 1, np.arange(splits)
    left, right = np.full((2, nodes), -1, np.int32)
    left[2 * inner], right[2 * inner] = 2 * inner + 1, 2 * inner + 2
    thresholds = np.zeros(nodes)
    thresholds[2 * inner] = inner + shift
    return Tree(
        np.zeros(nodes, np.int32),
        thresholds,
        left,
        right,
        (np.arange(nodes)[:, None] % 2).astype(np.float64),
    )


def rolled(by: int) -> Tree:
    """The comb with the same thresholds in another order."""
    tree = comb(80)
    thresholds = tree.threshold.copy()
    thresholds[0:160:2] = np.roll(thresholds[0:160:2], by)
    return replace(tree, threshold=thresholds)


def test_equal_leaves_are_kept_once_and_a_node_takes_8_bytes() -> None:
    few = Forest(pack(ensemble(*(rolled(n) for n in range(10)))))
    many = Forest(pack(ensemble(*(rolled(n) for n in range(70)))))
    # For each tree its nodes, and a root and a column: 8 + 4 bytes.
    assert abs(many.size_bytes - few.size_bytes - 60 * (80 * 8 + 12)) <= 3 * 64


def under_one_root(left: Tree, right: Tree) -> Tree:
    """A new root with two trees below it."""
    values = np.concatenate([np.zeros((1, 1)), left.value, right.value])
    root = np.array([1, 1 + left.nodes], np.int32)

    def joined(name: str, first: int) -> npt.NDArray[np.int32]:
        parts = [getattr(left, name), getattr(right, name)]
        moved = [np.where(part >= 0, part + at, -1) for part, at in zip(parts, root, strict=True)]
        return np.concatenate([[first], *moved]).astype(np.int32)

    return Tree(
        feature=np.concatenate([[1], left.feature, right.feature]).astype(np.int32),
        threshold=np.concatenate([[0.5], left.threshold, right.threshold]),
        left=joined("left", 1),
        right=joined("right", 1 + left.nodes),
        value=values,
    )


@pytest.mark.parametrize("compiled", KERNELS)
def test_a_subtree_that_an_earlier_tree_has_is_kept_once(compiled: bool) -> None:
    one, other, new = comb(80), comb(80, 0.25), comb(80, 0.5)
    twice = Forest(pack(ensemble(one, one)))
    assert (80, 2) == (twice.inner_nodes, twice.trees)
    trees = ensemble(one, under_one_root(one, new), under_one_root(new, one))
    forest = Forest(pack(trees), compiled=compiled)
    # In the last tree both are known; one of them must be near, and the comb is near nodes only.
    assert 80 + 81 + 81 == forest.inner_nodes
    X = np.random.default_rng(0).uniform(-2, 82, (200, 2))
    assert trees.raw(X).tobytes() == forest.raw(X).tobytes()
    unknown = ensemble(one, under_one_root(other, new))
    assert 80 + 161 == Forest(pack(unknown)).inner_nodes


def test_only_ensembles_of_small_trees_have_marks() -> None:
    small, wide, large = (Forest(pack(ensemble(stump(), comb(n)))).marked for n in (31, 63, 64))
    assert (32, 64, 0) == (small, wide, large)


@pytest.mark.parametrize("compiled", KERNELS)
def test_a_file_without_marks_is_walked_and_answers_the_same(compiled: bool) -> None:
    sealed = pack(ensemble(stump(), comb(20), comb(40)))
    plain = resealed(sealed.replace(b'"tree_starts"', b'"some_starts"'))
    X = np.linspace(-3, 50, 200).reshape(100, 2)
    with_marks, without = (Forest(data, compiled=compiled) for data in (sealed, plain))
    assert (64, 0) == (with_marks.marked, without.marked)
    assert with_marks.raw(X).tobytes() == without.raw(X).tobytes()
    assert with_marks.raw(X[:1]).tobytes() == without.raw(X[:1]).tobytes()


def full(depth: int, features: int, rng: np.random.Generator) -> Tree:
    """A tree of which all paths are that long, and compare with few numbers."""
    nodes, inner = 2 ** (depth + 1) - 1, np.arange(2**depth - 1)
    left, right = np.full((2, nodes), -1, np.int32)
    left[inner], right[inner] = 2 * inner + 1, 2 * inner + 2
    values = rng.normal(size=(nodes, 1)).astype(np.float32).astype(np.float64)
    thresholds = rng.choice([-1.5, -0.0, 0.25, 1.0], nodes)
    return Tree(rng.integers(0, features, nodes).astype(np.int32), thresholds, left, right, values)


@pytest.mark.parametrize("compiled", KERNELS)
@pytest.mark.parametrize(("depth", "features"), [(4, 64), (5, 2), (6, 64), (6, 65), (7, 2)])
@pytest.mark.parametrize("float32", [False, True])
def test_small_trees_in_registers_answer_as_walked_ones(
    float32: bool, depth: int, features: int, compiled: bool
) -> None:
    rng = np.random.default_rng(depth)
    trees = [full(depth, features, rng) for _ in range(9)]
    own = TreeEnsemble(
        trees=[*trees, comb(5), stump()], features=features, base=np.full(1, 0.5),
        float32_input=float32, float32_sums=float32,
    )  # fmt: skip
    sealed = pack(own)
    names = (b'"byte_slots"', b'"some_slots"'), (b'"tree_starts"', b'"some_starts"')
    marked = resealed(sealed.replace(*names[0]))
    walked = resealed(sealed.replace(*names[0]).replace(*names[1]))
    forests = [Forest(data, compiled=compiled) for data in (sealed, marked, walked)]
    fits = depth < 7 and features <= 64
    assert [fits, False, False] == [forest.in_registers for forest in forests]
    X = rng.choice([-2.0, -1.5, -0.0, 0.0, 0.25, 5e-324, np.inf, -np.inf, np.nan], (150, features))
    for forest in forests:
        assert own.raw(X).tobytes() == forest.raw(X).tobytes()
        few = np.concatenate([forest.raw(X[at : at + 7]) for at in range(0, len(X), 7)])
        assert own.raw(X).tobytes() == few.tobytes()


@pytest.mark.parametrize("compiled", KERNELS)
def test_integers_are_rounded_once_as_the_library_does(compiled: bool) -> None:
    number = np.array([[2**53 + 2**29 + 1]])
    once, twice = number.astype(np.float32), number.astype(np.float64).astype(np.float32)
    threshold = float(twice[0, 0])
    assert once[0, 0] > threshold
    tree = stump(threshold=np.array([threshold, 0, 0]))
    exact = TreeEnsemble(trees=[tree], features=1, base=np.zeros(1), float32_input=True)
    forest = Forest(pack(exact), compiled=compiled)
    assert [[2.0]] == forest.predict(number).tolist()


@pytest.mark.parametrize("compiled", KERNELS)
@pytest.mark.parametrize(
    "X", [np.zeros(2), np.zeros((1, 3)), np.array([["a", "b"]]), np.zeros((1, 2), object)]
)
def test_rows_of_another_shape_or_type_are_refused(X: Any, compiled: bool) -> None:
    with pytest.raises(InvalidInput):
        Forest(pack(ensemble(stump())), compiled=compiled).predict(X)


@pytest.mark.parametrize("compiled", KERNELS)
def test_no_rows_give_no_answers(compiled: bool) -> None:
    assert (0, 1) == Forest(pack(ensemble(stump())), compiled=compiled).predict(
        np.zeros((0, 2))
    ).shape


@pytest.mark.parametrize(
    "changes",
    [
        {"threshold": np.array([np.nan, 0, 0])},
        {"feature": np.array([2, 0, 0], np.int32)},
        {"feature": np.array([-1, 0, 0], np.int32)},
        {"left": np.array([3, -1, -1], np.int32)},
        {"left": np.array([0, -1, -1], np.int32)},
        {"column": 1},
        {"value": np.zeros((3, 2))},
    ],
)
def test_what_is_no_tree_cannot_be_packed(changes: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput):
        pack(ensemble(stump(**changes)))


def test_an_ensemble_without_trees_cannot_be_packed() -> None:
    with pytest.raises(InvalidInput, match="without trees"):
        pack(ensemble())


@pytest.mark.parametrize("compiled", KERNELS)
def test_a_file_cut_anywhere_is_refused(compiled: bool) -> None:
    data = pack(ensemble(stump()))
    for length in range(len(data)):
        with pytest.raises(Refused):
            Forest(data[:length], compiled=compiled)


@pytest.mark.parametrize("compiled", KERNELS)
def test_a_bit_flipped_anywhere_is_refused(compiled: bool) -> None:
    data = bytearray(pack(ensemble(stump())))
    for bit in range(len(data) * 8):
        data[bit // 8] ^= 1 << bit % 8
        with pytest.raises(Refused):
            Forest(bytes(data), compiled=compiled)
        data[bit // 8] ^= 1 << bit % 8


def test_a_file_of_a_newer_version_says_so() -> None:
    data = bytearray(pack(ensemble(stump())))
    struct.pack_into("<I", data, 24, 2)
    with pytest.raises(Refused, match="format version 2"):
        Forest(bytes(data))


def test_a_missing_and_an_empty_file_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        Forest.open(tmp_path / "none")
    (tmp_path / "empty").touch()
    with pytest.raises(Refused, match="empty"):
        Forest.open(tmp_path / "empty")


@pytest.mark.parametrize("compiled", KERNELS)
def test_a_forged_file_is_refused_or_answers_without_leaving_it(compiled: bool) -> None:
    rng = np.random.default_rng(7)
    sound = bytearray(pack(ensemble(stump(), stump(value=np.array([[0.0], [3.0], [4.0]])))))
    X = np.array([[0.0, 1.0], [1.0, np.nan]])
    refused = 0
    for _ in range(2000):
        data = bytearray(sound)
        for place in rng.integers(32, len(data), rng.integers(1, 4)):
            data[place] = rng.integers(0, 256)
        try:
            forest = Forest(resealed(bytes(data)), compiled=compiled)
        except Refused:
            refused += 1
        else:
            if forest.features == 2:
                assert 2 == len(forest.predict(X))
    assert 0 < refused < 2000
