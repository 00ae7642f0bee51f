"""Forms are opened in fresh processes, and what goes wrong there is told here."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sklearn.tree import DecisionTreeClassifier

from trimtab.compact import pack
from trimtab.errors import ModelFailure
from trimtab.optimize.convert import ensemble_of
from trimtab.optimize.measure import Warm, footprints
from trimtab.types import ModelFile

X = np.random.default_rng(0).normal(size=(300, 3))
OPENER = "trimtab.optimize.probe:open_forest"


def test_a_form_is_opened_asked_and_weighed_in_a_process_of_its_own(tmp_path: Path) -> None:
    data = pack(ensemble_of(DecisionTreeClassifier().fit(X, X[:, 0] > 0)))
    (tmp_path / "forest").write_bytes(data)
    file = ModelFile(path=str(tmp_path / "forest"), opener=OPENER)
    (costs,) = footprints([file], X, rounds=1, workers=2, seconds=0.02)
    assert (len(data), 2) == (costs.disk_bytes, costs.workers)
    assert 0.0 < costs.p50_us <= costs.p99_us
    assert costs.load_ms > 0.0
    assert costs.rows_per_s > 0.0
    if costs.rss_bytes is not None:
        assert costs.pss_bytes is not None
        assert 0 <= costs.rss_bytes < 30_000_000


def test_a_form_that_cannot_be_opened_is_an_error_with_its_last_words(tmp_path: Path) -> None:
    (tmp_path / "forest").write_bytes(b"no forest")
    file = ModelFile(path=str(tmp_path / "forest"), opener=OPENER)
    with pytest.raises(ModelFailure, match=r"could not be measured: .*Refused") as caught:
        footprints([file], X, rounds=1, workers=1)
    assert caught.value.code == "not_measurable"


def test_forks_of_one_process_measure_forms_one_after_the_other(tmp_path: Path) -> None:
    data = pack(ensemble_of(DecisionTreeClassifier().fit(X, X[:, 0] > 0)))
    (tmp_path / "forest").write_bytes(data)
    (tmp_path / "broken").write_bytes(b"no forest")
    file = ModelFile(path=str(tmp_path / "forest"), opener=OPENER)
    with Warm() as warm:
        for _ in range(2):
            (costs,) = warm.footprints([file], X, rounds=1, workers=1, seconds=0.02)
            assert (len(data), None, 1) == (costs.disk_bytes, costs.pss_bytes, costs.workers)
            assert 0.0 < costs.p50_us <= costs.p99_us
        (costs,) = warm.footprints([file], X, workers=3, seconds=0.02)
        assert 3 == costs.workers
        assert (costs.rss_bytes is None) == (costs.pss_bytes is None)
        with pytest.raises(ModelFailure, match=r"could not be measured: .*Refused"):
            warm.footprints([ModelFile(path=str(tmp_path / "broken"), opener=OPENER)], X)
        (costs,) = warm.footprints([file], X, seconds=0.02)
        assert costs.load_ms > 0.0
