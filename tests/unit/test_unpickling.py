from __future__ import annotations

import pickle
import tracemalloc
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
from sklearn.ensemble import RandomForestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from trimtab.unpickling import load

X = np.random.default_rng(3).normal(size=(2_000, 4))
MODEL = make_pipeline(
    StandardScaler(), RandomForestClassifier(30, random_state=0, max_features=1)
).fit(X, X[:, 0] * X[:, 1] > 0)


def plainly(model: Any, path: Path) -> None:
    path.write_bytes(pickle.dumps(model))


def compressed(model: Any, path: Path) -> None:
    joblib.dump(model, path, compress=3)


@pytest.mark.parametrize("save", [joblib.dump, plainly, compressed])
def test_what_was_written_is_read(save: Any, tmp_path: Path) -> None:
    save(MODEL, tmp_path / "model")
    np.testing.assert_array_equal(load(tmp_path / "model").predict_proba(X), MODEL.predict_proba(X))


def peak(read: Any, path: Path) -> int:
    """The most that NumPy held while reading; what trees copy is not counted, as it is not NumPy's."""
    tracemalloc.start()
    read(path)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return most


def test_arrays_that_trees_were_read_from_are_dropped_tree_by_tree(tmp_path: Path) -> None:
    joblib.dump(MODEL, tmp_path / "model")
    load(tmp_path / "model")
    assert peak(load, tmp_path / "model") < peak(joblib.load, tmp_path / "model") / 2
