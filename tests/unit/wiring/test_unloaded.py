"""A version that cannot be loaded is something to act upon, until it is loaded."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from sklearn.linear_model import LinearRegression

from trimtab.config import load
from trimtab.errors import ModelFailure
from trimtab.telemetry import Metrics
from trimtab.types import Route, Severity, Task
from trimtab.wiring.deployment import Deployment
from trimtab.wiring.overview import Health, overview
from trimtab.wiring.registration import Training, register
from trimtab.wiring.unloaded import UnloadedDesk


@pytest.fixture
def deployment(tmp_path: Path) -> Iterator[Deployment]:
    opened = Deployment.open(load(None, environ={}, overrides={"state.dir": str(tmp_path)}))
    x, y = np.arange(200.0), np.arange(200.0) * 2
    training = Training(reference=pa.table({"x": x, "y": y}), outcome="y", task=Task.REGRESSION)
    model = LinearRegression().fit(x[:, None], y)
    register(opened, "m", model, training, author="test")
    opened.deploy("m", 1, actor="test", reason="first")
    yield opened
    opened.close()


def route(deployment: Deployment) -> Route:
    with deployment.state.reading() as state:
        found = state.control.route("m")
    assert found is not None
    return found


def health(deployment: Deployment) -> tuple[Health, tuple[str, ...]]:
    with deployment.state.reading() as state:
        found = overview(state, "m")
    return found.health, found.because


@pytest.mark.parametrize(
    ("answers", "title"),
    [
        (None, "m v1 cannot be loaded: nobody answers"),
        (7, "m v1 cannot be loaded: v7 answers in its place"),
    ],
)
def test_until_it_is_loaded(deployment: Deployment, answers: int | None, title: str) -> None:
    desk = UnloadedDesk(deployment, Metrics())
    for _ in range(2):
        desk.tell(route(deployment), ModelFailure("Its bytes were changed."), answers)
    assert (Health.ACT, (title,)) == health(deployment)
    with deployment.state.reading() as state:
        (alert,) = [alert for alert, _, _ in state.alerts.alerts("m") if alert.key == "m/loading"]
    assert "Its bytes were changed." in alert.body
    assert (Severity.PAGE if answers is None else Severity.TICKET) == alert.severity
    desk.loaded(["other"])
    assert Health.ACT == health(deployment)[0]
    UnloadedDesk(deployment, Metrics()).loaded(["m", "other"])
    assert (Health.HEALTHY, ()) == health(deployment)
