"""What features are compared by is what the configuration names, through the plugins."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from sklearn.linear_model import LogisticRegression

from trimtab.config import load
from trimtab.drift.comparison import window_of
from trimtab.drift.profile import ReferenceProfile
from trimtab.errors import NotFound
from trimtab.schema import columns_from_frame
from trimtab.types import Task
from trimtab.watch import Subject
from trimtab.wiring.deployment import Deployment
from trimtab.wiring.registration import Training, register
from trimtab.wiring.watching import SubjectBook


def subjects_with(folder: Path, statistics: list[str]) -> tuple[Deployment, list[Subject]]:
    """A deployment with one model, watched by these statistics."""
    config = load(environ={}, overrides={"state.dir": str(folder), "watch.statistics": statistics})
    deployment = Deployment.open(config)
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=300), rng.integers(0, 2, 300)
    version = register(
        deployment,
        "m",
        LogisticRegression().fit(x[:, None], y),
        Training(reference=pa.table({"x": x, "y": y}), outcome="y", task=Task.BINARY),
        author="test",
    )
    deployment.deploy("m", version.version, actor="test", reason="first")
    with deployment.state.reading() as state:
        return deployment, list(SubjectBook(deployment)(state))


def test_the_named_statistic_compares(tmp_path: Path) -> None:
    deployment, subjects = subjects_with(tmp_path, ["psi"])
    version = deployment.version("m", 1)
    blob = deployment.registry.profile(version)
    assert blob is not None
    profile = ReferenceProfile.load(blob)
    current = columns_from_frame(version.signature, pa.table({"x": np.full(200, 3.0)}))
    drift = next(s for s in subjects if s.key == "m/1/data_drift")
    (compared,) = drift.comparer.compare(window_of(profile, current))
    assert ("x", "psi") == (compared.name, compared.statistic)
    deployment.close()


def test_an_unknown_statistic_is_named_with_those_there_are(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="'kss'") as unknown:
        subjects_with(tmp_path, ["kss"])
    assert "ks" in unknown.value.hint
