"""Law 11: a compact forest takes every decision that the original takes."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings

from trimtab.compact import Forest, decision_paths, pack
from trimtab.compact.kernel import COMPILED

spec = importlib.util.spec_from_file_location(
    "random_ensembles", Path(__file__).parent / "random_ensembles.py"
)
assert spec is not None
assert spec.loader is not None
random_ensembles = importlib.util.module_from_spec(spec)
spec.loader.exec_module(random_ensembles)

KERNELS = [True, False] if COMPILED else [False]


@pytest.mark.parametrize("compiled", KERNELS)
@settings(max_examples=150, deadline=None)
@given(drawn=random_ensembles.ensembles())
@pytest.mark.filterwarnings("ignore:overflow encountered:RuntimeWarning")
def test_any_ensemble_packed_decides_and_sums_as_its_own_record(drawn: Any, compiled: bool) -> None:
    ensemble, X = drawn
    forest = Forest(pack(ensemble), compiled=compiled)
    leaves = ensemble.leaves(X)
    expected = np.stack(
        [decision_paths(tree)[ends] for tree, ends in zip(ensemble.trees, leaves.T, strict=True)], 1
    )
    assert (expected == forest.paths(X)).all()
    assert ensemble.raw(X).tobytes() == forest.raw(X).tobytes()
    few = [forest.raw(X[at : at + 5]) for at in range(0, len(X), 5)]
    assert ensemble.raw(X).tobytes() == np.concatenate(few).tobytes()
    assert ensemble.predict(X).tobytes() == forest.predict(X).tobytes()
    alone = np.array([forest.one(row) for row in X.astype(np.float64)])
    assert alone.tobytes() == forest.predict(X).tobytes()
