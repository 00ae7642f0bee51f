"""Ensembles of every shape that the neutral record can say, and rows that lie on their edges."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from hypothesis import strategies as st

from trimtab.compact import CategorySet, Link, Missing, Reading, Tree, TreeEnsemble

# Ties, both zeros, denormals, neighbours of each other, and float32's ends and beyond.
NUMBERS = [0.0, -0.0, 5e-324, -5e-324, 1e-45, -1e-45, 1e-35, 1e-38, 0.1, float(np.float32(0.1))]
NUMBERS += [0.5, 1.0, float(np.nextafter(1, 2)), 1.5, -1.5, -2.25, 16777217.0, 2.0**53, 2.0**63]
NUMBERS += [3.4e38, 3.5e38, -3.5e38, 1e300, -1e300, np.inf, -np.inf]
CATEGORIES = [0.0, 1.0, 2.0, 5.0, 33.0, 64.0, 2.5]


def random_tree(rng: Any, shape: dict[str, Any], columns: int, sets: int) -> Tree:
    """A tree grown by splitting leaves drawn at random; ``sets`` is how many category sets exist."""
    left, right = [-1], [-1]
    for _ in range(int(rng.integers(0, shape["splits"] + 1))):
        leaf = int(rng.choice([node for node, child in enumerate(left) if child < 0]))
        first, second = len(left), len(left) + 1
        left[leaf], right[leaf] = (first, second) if rng.random() < 0.5 else (second, first)
        left += [-1, -1]
        right += [-1, -1]
    nodes = len(left)
    width = 1 if shape["boosted"] else columns
    category_set = np.full(nodes, -1, np.int32)
    feature = rng.integers(0, shape["features"], nodes)
    if sets:
        category_set[feature == 0] = rng.integers(0, sets, int((feature == 0).sum()))
    return Tree(
        feature=feature.astype(np.int32),
        threshold=rng.choice(shape["thresholds"], nodes).astype(np.float64),
        left=np.array(left, np.int32),
        right=np.array(right, np.int32),
        value=rng.choice([0.0, 0.1, 0.2, 1 / 3, -7.5, 1e-3], (nodes, width)),
        column=int(rng.integers(0, columns)) if shape["boosted"] else 0,
        default_left=rng.random(nodes) < 0.5 if shape["defaults"] else None,
        missing=rng.choice(list(Missing), nodes).astype(np.uint8) if shape["kinds"] else None,
        category_set=category_set if sets else None,
        cover=rng.random(nodes) if shape["cover"] else None,
    )


def grafted(rng: Any, tree: Tree) -> Tree:
    """The same tree with one threshold changed, so that most of its subtrees are known."""
    thresholds = tree.threshold.copy()
    sets = np.full(tree.nodes, -1) if tree.category_set is None else tree.category_set
    numeric = np.flatnonzero((tree.left >= 0) & (sets < 0))
    if len(numeric):
        thresholds[rng.choice(numeric)] = 0.25
    return replace(tree, threshold=thresholds)


@st.composite
def ensembles(draw: Any) -> tuple[TreeEnsemble, Any]:
    """An ensemble, and rows that hit its thresholds exactly, its categories and all that is odd."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    finite = st.floats(allow_nan=False, allow_infinity=True, width=64)
    shape = {
        "features": draw(st.integers(1, 5)),
        "splits": draw(st.sampled_from([0, 1, 3, 20, 40, 80, 200])),
        "thresholds": NUMBERS + draw(st.lists(finite, max_size=8)),
        "boosted": draw(st.booleans()),
        "defaults": draw(st.booleans()),
        "kinds": draw(st.booleans()),
        "cover": draw(st.booleans()),
    }
    columns = draw(st.integers(1, 3))
    splits = tuple(
        CategorySet(
            frozenset(rng.choice(CATEGORIES, 3)), bool(rng.random() < 0.5), bool(rng.random() < 0.5)
        )
        for _ in range(draw(st.sampled_from([0, 0, 1, 4])))
    )
    trees = [random_tree(rng, shape, columns, len(splits)) for _ in range(draw(st.integers(1, 12)))]
    trees += [grafted(rng, tree) for tree in trees[: draw(st.sampled_from([0, 0, 3]))]]
    ensemble = TreeEnsemble(
        trees=trees,
        features=shape["features"],
        base=rng.normal(size=columns),
        divisor=draw(st.sampled_from([1, 3, 10])),
        link=draw(st.sampled_from(list(Link))),
        strict=draw(st.booleans()),
        float32_input=draw(st.booleans()),
        float32_integers=draw(st.booleans()),
        float32_sums=draw(st.booleans()),
        tiny_is_zero=draw(st.booleans()),
        category_sets=splits,
        categories={0: np.array(sorted(CATEGORIES))} if splits else {},
        reading=draw(st.sampled_from(list(Reading))),
    )
    return ensemble, random_rows(rng, shape)


def random_rows(rng: Any, shape: dict[str, Any]) -> Any:
    """Thresholds themselves, their neighbours, categories, NaN, and values between."""
    edges = np.array(shape["thresholds"])
    with np.errstate(over="ignore", under="ignore"):
        pool = np.concatenate(
            [
                *(edges, np.nextafter(edges, np.inf), np.nextafter(edges, -np.inf)),
                np.nextafter(edges.astype(np.float32), np.float32(np.inf)).astype(np.float64),
                CATEGORIES,
                [np.nan, np.nan, -0.5, -1.0, 2.75, 3.0, 1e10, -1e10, 64.5],
                rng.normal(size=8),
            ]
        )
    return rng.choice(pool, (int(rng.choice([1, 2, 7, 8, 12, 64, 150])), shape["features"]))
