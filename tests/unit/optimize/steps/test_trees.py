"""Steps on the trees themselves: what stays, what it answers, and the bounds they keep."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.compose import make_column_transformer
from sklearn.ensemble import ExtraTreesRegressor, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from trimtab.optimize.forms import NativeForm
from trimtab.optimize.packed import PackedForm, open_parts
from trimtab.optimize.pipelines import extended, joined
from trimtab.optimize.probe import open_forest
from trimtab.optimize.steps.compact import Compact
from trimtab.optimize.steps.fewer_trees import FewerTrees, contribution_order
from trimtab.optimize.steps.prune import MergeLeaves, Prune, merged, pruned
from trimtab.optimize.steps.quantise import Levels, QuantiseLeaves
from trimtab.optimize.steps.refine import RefineLeaves
from trimtab.types import FloatArray, Ground, Rows, Task

RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(3_000, 5))
Y = (X[:, 0] + X[:, 1] * X[:, 2] + 0.7 * RANDOM.normal(size=3_000) > 0).astype(np.int64)
FOREST = RandomForestClassifier(32, random_state=0).fit(X[:1_000], Y[:1_000])
VALUES = ExtraTreesRegressor(16, random_state=0).fit(X[:1_000], X[:1_000, 0])
GROUND = Ground(
    task=Task.BINARY,
    fit=Rows(X=X[1_000:2_000], outcomes=Y[1_000:2_000]),
    choose=Rows(X=X[2_000:2_500], outcomes=Y[2_000:2_500]),
    certify=Rows(X=X[2_500:], outcomes=Y[2_500:]),
)


def packed(model: Any) -> PackedForm:
    ((_, form),) = Compact().offers(NativeForm(model), GROUND)
    assert isinstance(form, PackedForm)
    return form


def offered(step: Any, model: Any = FOREST) -> dict[str, PackedForm]:
    return dict(step.offers(packed(model), GROUND))


def nodes(form: PackedForm) -> int:
    return sum(tree.nodes for tree in form.ensemble.trees)


@pytest.mark.parametrize("model", [FOREST, VALUES])
def test_compact_keeps_every_path_and_every_bit(model: Any, tmp_path: Path) -> None:
    form, native = packed(model), NativeForm(model)
    np.testing.assert_array_equal(form.outputs(X), native.outputs(X))
    assert form.paths_differ(native, X) == 0
    file = form.write(tmp_path / "model")
    np.testing.assert_array_equal(open_forest(Path(file.path))(X), native.outputs(X))
    assert file.disk_bytes < native.write(tmp_path / "model").disk_bytes / 5


def test_another_path_is_noticed() -> None:
    short = PackedForm(packed(FOREST).ensemble)
    short._packed = next(iter(offered(Prune()).values())).packed
    differing = short.paths_differ(NativeForm(FOREST), X)
    assert differing is not None
    assert differing > 2_000


def test_prepared_columns_go_through_the_original_steps(tmp_path: Path) -> None:
    model = make_pipeline(StandardScaler(), RandomForestClassifier(5, random_state=0))
    model.fit(X, Y)
    form = packed(model)
    np.testing.assert_array_equal(form.outputs(X), model.predict_proba(X))
    file = form.write(tmp_path / "model")
    np.testing.assert_array_equal(open_parts(Path(file.path))(X), model.predict_proba(X))
    assert form.paths_differ(NativeForm(model), X) == 0


def test_picked_columns_are_read_from_whole_rows_without_any_step() -> None:
    small = RandomForestClassifier(5, random_state=0).fit(X[:, [1, 3]], Y)
    form = packed(joined(extended(None, X, [1, 3]), small))
    assert form.head is None
    assert form.ensemble.features == 5
    np.testing.assert_array_equal(form.outputs(X), small.predict_proba(X[:, [1, 3]]))


def test_other_heads_are_no_mere_picking() -> None:
    twice = make_column_transformer((StandardScaler(), [0, 1]), remainder="passthrough")
    model = make_pipeline(twice, RandomForestClassifier(3, random_state=0)).fit(X, Y)
    np.testing.assert_array_equal(packed(model).outputs(X), model.predict_proba(X))


def test_other_models_are_not_compact() -> None:
    assert [] == list(Compact().offers(NativeForm(LogisticRegression().fit(X, Y)), GROUND))


def test_trees_are_really_taken_out_in_the_order_of_what_they_contribute() -> None:
    found = offered(FewerTrees())
    assert list(found) == ["16 of 32 trees", "8 of 32 trees", "4 of 32 trees"]
    whole = packed(FOREST)
    for count, form in zip((16, 8, 4), found.values(), strict=True):
        assert len(form.ensemble.trees) == count
        naive = np.mean([t.predict_proba(X) for t in FOREST.estimators_[:count]], axis=0)
        chosen = np.abs(form.outputs(X) - whole.outputs(X)).mean()
        assert chosen < np.abs(naive - whole.outputs(X)).mean()
    assert len(found["4 of 32 trees"].packed) < len(whole.packed) / 4


def test_the_order_brings_the_mean_closest_step_by_step() -> None:
    answers = RANDOM.normal(size=(12, 30))
    order = contribution_order(answers, 6)
    goal = answers.mean(axis=0)
    for taken in range(1, 7):
        rest = set(range(12)) - set(order[: taken - 1])

        def apart(tree: int, before: tuple[int, ...] = tuple(order[: taken - 1])) -> float:
            return float(((answers[[*before, tree]].mean(axis=0) - goal) ** 2).sum())

        assert apart(order[taken - 1]) == pytest.approx(min(apart(tree) for tree in rest))


def test_pruning_aims_at_a_part_of_the_nodes() -> None:
    whole = nodes(packed(FOREST))
    parts = [nodes(form) / whole for form in offered(Prune()).values()]
    assert parts[:3] == pytest.approx([0.5, 0.25, 0.1], abs=0.03)
    assert parts == sorted(parts, reverse=True)
    answers = [form.outputs(X[2_000:])[:, 1] for form in offered(Prune()).values()]
    assert roc_auc_score(Y[2_000:], answers[0]) > roc_auc_score(Y[2_000:], FOREST.predict_proba(X[2_000:])[:, 1]) - 0.01  # fmt: skip


@pytest.mark.parametrize("change", [lambda t: pruned(t, 1e-3), lambda t: merged(t, 0.6)])
def test_a_cut_tree_answers_the_means_of_what_it_lost(change: Any) -> None:
    (whole,) = packed(FOREST).ensemble.trees[:1]
    small = change(whole)
    assert small.nodes < whole.nodes
    assert small.cover is not None
    assert whole.cover is not None
    ends = small.left < 0
    mean = (small.cover[ends, None] * small.value[ends]).sum(axis=0) / small.cover[ends].sum()
    all_ends = whole.left < 0
    expected = (whole.cover[all_ends, None] * whole.value[all_ends]).sum(axis=0)
    np.testing.assert_allclose(mean, expected / whole.cover[all_ends].sum(), atol=1e-12)


@pytest.mark.parametrize("model", [FOREST, VALUES])
def test_merging_moves_no_answer_by_more_than_its_bound(model: Any) -> None:
    whole = packed(model)
    widest = max(float(np.ptp(t.value[t.left < 0], axis=0).max()) for t in whole.ensemble.trees)
    previous = nodes(whole) + 1
    for part, form in zip((0.01, 0.03, 0.1), offered(MergeLeaves(), model).values(), strict=True):
        assert np.abs(form.outputs(X) - whole.outputs(X)).max() <= part * widest
        assert nodes(form) <= previous
        previous = nodes(form)


@pytest.mark.parametrize(("bits", "most"), [(16, 1 / 131_000), (8, 1 / 509)])
def test_quantised_leaves_move_by_half_a_level_at_most(bits: int, most: float) -> None:
    form = offered(QuantiseLeaves())[f"leaves of {bits} bits"]
    apart = np.abs(form.outputs(X) - FOREST.predict_proba(X))
    assert apart.max() <= most
    np.testing.assert_allclose(form.outputs(X).sum(axis=1), 1.0, atol=1e-12)
    values = np.concatenate([t.value[t.left < 0, 1] for t in form.ensemble.trees])
    assert len(np.unique(values)) <= 2**bits


def test_levels_of_one_single_answer_stay_where_they_are() -> None:
    (tree,) = packed(FOREST).ensemble.trees[:1]
    one = Levels(np.array([0.5, 0.5]), np.array([0.5, 0.5]), 8).applied(tree)
    assert np.unique(one.value[one.left < 0]).tolist() == [0.5]


def refine_gain(form: PackedForm) -> tuple[float, float]:
    ((_, better),) = RefineLeaves().offers(form, GROUND)
    rows: FloatArray = X[2_000:]
    return tuple(
        float(((each.outputs(rows)[:, 1] - Y[2_000:]) ** 2).mean()) for each in (form, better)
    )  # type: ignore[return-value]  # two of them


def test_refined_leaves_make_up_for_what_pruning_lost() -> None:
    rough = offered(Prune())
    before, after = refine_gain(rough[list(rough)[-1]])
    assert after < before
    ((_, form),) = RefineLeaves().offers(rough[list(rough)[-1]], GROUND)
    answers = form.outputs(X)
    assert answers.min() >= 0.0
    assert answers.max() <= 1.0
    np.testing.assert_allclose(answers.sum(axis=1), 1.0)
