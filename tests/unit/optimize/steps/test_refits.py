"""Steps that fit anew: students, and models on fewer features."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pandas as pd
import pytest
from sklearn.compose import make_column_transformer
from sklearn.ensemble import ExtraTreesClassifier, RandomForestClassifier, RandomForestRegressor
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from trimtab.optimize.forms import NativeForm, task_of
from trimtab.optimize.pipelines import groups
from trimtab.optimize.steps.distil import Distil
from trimtab.optimize.steps.features import RANKINGS, SelectFeatures
from trimtab.types import Array, Ground, Rows, Task

RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(900, 8))
Y = (X[:, 2] - X[:, 5] + 0.5 * RANDOM.normal(size=900) > 0).astype(np.int64)


def ground(task: Task = Task.BINARY, X: Any = X, outcomes: Array | None = Y) -> Ground:
    def part(start: int, stop: int) -> Rows:
        rows = X.iloc[start:stop] if hasattr(X, "iloc") else X[start:stop]
        return Rows(X=rows, outcomes=None if outcomes is None else outcomes[start:stop])

    return Ground(task=task, fit=part(300, 700), choose=part(700, 800), certify=part(800, 900))


def test_students_learn_the_models_probabilities() -> None:
    teacher = ExtraTreesClassifier(40, random_state=0).fit(X[:300], Y[:300])
    offers = list(Distil().offers(NativeForm(teacher), ground(outcomes=None)))
    assert len(offers) == 4
    assert offers[0][0] == "student of 300 trees × 31 leaves"
    for _, form in offers:
        answers = form.outputs(X[700:])
        assert roc_auc_score(Y[700:], answers[:, 1]) > 0.9
        assert np.abs(answers - teacher.predict_proba(X[700:])).mean() < 0.12


def test_known_outcomes_have_half_of_the_weight() -> None:
    noise = RandomForestClassifier(5, random_state=0).fit(X[:300], Y[:300][::-1].copy())
    taught = list(Distil().offers(NativeForm(noise), ground()))[-1][1].outputs(X[700:])[:, 1]
    alone = list(Distil().offers(NativeForm(noise), ground(outcomes=None)))[-1][1]
    assert roc_auc_score(Y[700:], taught) > roc_auc_score(Y[700:], alone.outputs(X[700:])[:, 1])


def test_students_of_regressions_and_of_several_classes() -> None:
    values = RandomForestRegressor(10, random_state=0).fit(X[:300], X[:300, 2])
    offers = list(Distil().offers(NativeForm(values), ground(Task.REGRESSION, outcomes=X[:, 2])))
    assert np.abs(offers[0][1].outputs(X[700:])[:, 0] - X[700:, 2]).mean() < 0.4
    names = np.array(["a", "b", "c"])[np.digitize(X[:, 2], [-0.5, 0.5])]
    three = RandomForestClassifier(10, random_state=0).fit(X[:300], names[:300])
    assert task_of(three) is Task.MULTICLASS
    known = np.searchsorted(["a", "b", "c"], names)
    for _, form in Distil().offers(NativeForm(three), ground(Task.MULTICLASS, outcomes=known)):
        assert form.outputs(X[700:]).shape == (200, 3)
        assert (form.outputs(X[700:]).argmax(axis=1) == known[700:]).mean() > 0.8


@pytest.mark.parametrize("how", RANKINGS)
def test_every_ranking_finds_the_two_features_that_matter(how: str) -> None:
    model = RandomForestClassifier(20, random_state=0).fit(X[:300], Y[:300])
    rows = ground()
    grouped = groups(None, X, X)
    scores = RANKINGS[how](model, rows.fit.X, Y[300:700], grouped, rows)
    assert scores is not None
    assert set(np.argsort(-scores)[:2].tolist()) == {2, 5}


def test_fewer_features_are_refitted_and_rows_keep_their_columns() -> None:
    model = RandomForestClassifier(20, random_state=0).fit(X[:300], Y[:300])
    offers = dict(SelectFeatures().offers(NativeForm(model), ground()))
    name, form = next((n, f) for n, f in offers.items() if n.startswith("2 of 8"))
    assert name.startswith("2 of 8 features by ")
    assert isinstance(form, NativeForm)
    expected = RandomForestClassifier(20, random_state=0).fit(X[300:700][:, [2, 5]], Y[300:700])
    np.testing.assert_array_equal(form.outputs(X[700:]), expected.predict_proba(X[700:][:, [2, 5]]))


def test_one_hot_columns_stay_or_go_together() -> None:
    kinds = np.array(["red", "green", "blue"])[RANDOM.integers(0, 3, 900)]
    frame = pd.DataFrame({"size": X[:, 2], "other": X[:, 5], "kind": kinds})
    plain = pd.get_dummies(frame, columns=["kind"], dtype=float)
    named = dict(groups(None, plain, plain.to_numpy()))
    assert named == {"size": (0,), "other": (1,), "kind": (2, 3, 4)}
    encode = make_column_transformer((OneHotEncoder(), ["kind"]), remainder="passthrough")
    model = make_pipeline(encode, RandomForestClassifier(5, random_state=0)).fit(
        frame[:300], Y[:300]
    )
    Z = model[:-1].transform(frame)
    assert dict(groups(model[:-1], frame, Z)) == {"kind": (0, 1, 2), "size": (3,), "other": (4,)}
    offers = list(SelectFeatures().offers(NativeForm(model), ground(X=frame)))
    assert offers[0][0].startswith("2 of 3 features by ")
    assert offers[0][1].outputs(frame[700:]).shape == (200, 2)


def test_no_outcomes_no_selection() -> None:
    model = RandomForestClassifier(5, random_state=0).fit(X[:300], Y[:300])
    assert [] == list(SelectFeatures().offers(NativeForm(model), ground(outcomes=None)))


def test_students_learn_the_answers_to_recorded_traffic_too() -> None:
    teacher = ExtraTreesClassifier(40, random_state=0).fit(X[:300], Y[:300])
    few = Ground(
        task=Task.BINARY,
        fit=Rows(X=X[300:340], outcomes=Y[300:340]),
        choose=Rows(X=X[700:800]),
        certify=Rows(X=X[800:]),
    )
    assert [] == list(Distil().offers(NativeForm(teacher), few))
    busy = msgspec.structs.replace(few, traffic=Rows(X=X[340:700]))
    form = next(iter(Distil().offers(NativeForm(teacher), busy)))[1]
    assert np.abs(form.outputs(X[700:]) - teacher.predict_proba(X[700:])).mean() < 0.12
    frame = pd.DataFrame(X, columns=list("abcdefgh"))
    named = ExtraTreesClassifier(9, random_state=0).fit(frame[:300], Y[:300])
    framed = msgspec.structs.replace(
        busy, fit=Rows(X=frame[300:340]), traffic=Rows(X=frame[340:700])
    )
    assert 4 == len(list(Distil().offers(NativeForm(named), framed)))


def test_a_model_that_was_fitted_on_names_is_asked_by_name() -> None:
    frame = pd.DataFrame(X, columns=list("abcdefgh"))
    named = RandomForestClassifier(9, random_state=0).fit(frame[:300], Y[:300])
    found = [words for words, _ in SelectFeatures().offers(NativeForm(named), ground(X=frame))]
    assert "4 of 8 features by permutation" in found
