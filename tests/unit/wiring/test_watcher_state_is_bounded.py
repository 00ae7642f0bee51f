"""A day of event time leaves the watcher no larger than a few hours do: bytes of state, live objects."""

from __future__ import annotations

import gc
from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np
import pyarrow as pa
from sklearn.linear_model import LogisticRegression
from tests.unit.performance.recorded import prediction

from trimtab.config import Config, JournalConfig, StateConfig, WatchConfig
from trimtab.record.journal import Journal
from trimtab.telemetry import Metrics
from trimtab.types import OutcomeRecord, PredictionRecord, Task
from trimtab.wiring.clock import SystemClock
from trimtab.wiring.deployment import Deployment
from trimtab.wiring.registration import Training, register
from trimtab.wiring.watching import Watching

HOUR, HOURS, A_HOUR = 3_600.0, 24, 60
START = 1_700_000_000.0 // HOUR * HOUR


def deployed(folder: Path) -> Deployment:
    watch = WatchConfig(
        window_seconds=HOUR, lateness_seconds=600.0, outcome_delay_seconds=HOUR,
        recount_windows=3, window_panes=2, min_rows=30,
    )  # fmt: skip
    deployment = Deployment.open(Config(state=StateConfig(dir=str(folder)), watch=watch))
    rng = np.random.default_rng(0)
    x = rng.normal(size=600)
    frame = pa.table({"x": x, "z": rng.choice(["a", "b"], 600), "y": (x > 0) * 1})
    training = Training(
        reference=frame, holdout=frame, outcome="y", task=Task.BINARY, ignore=("z",)
    )
    model = LogisticRegression().fit(x[:, None], x > 0)
    version = register(deployment, "flights_late", model, training, author="test")
    deployment.deploy("flights_late", version.version, actor="test", reason="first")
    return deployment


def hour(number: int) -> list[PredictionRecord]:
    rng = np.random.default_rng(number)
    made = []
    for at in range(A_HOUR):
        x = float(rng.normal())
        one = prediction(f"p{number}.{at}", START + number * HOUR + at * HOUR / A_HOUR, x > 0)
        made.append(msgspec.structs.replace(one, values=(x,)))
    return made


def outcomes(made: Sequence[PredictionRecord]) -> list[OutcomeRecord]:
    return [
        OutcomeRecord(
            model=one.model, prediction_id=one.prediction_id, value=float(one.score > 0.5),
            event_time=one.event_time + 60, received_at=one.event_time + 60,
        )
        for one in made
    ]  # fmt: skip


def test_state_and_live_objects_do_not_grow(tmp_path: Path) -> None:
    deployment = deployed(tmp_path)
    journal = Journal(deployment.journal_dir, JournalConfig(), Metrics(), SystemClock())
    watching, saved, live = Watching.open(deployment, Metrics()), [], []
    for number in range(HOURS):
        made = hour(number)
        journal.append(made)
        with deployment.state.transaction() as state:
            state.outcomes.add(outcomes(made))
        del made
        while watching.tick().records:
            pass
        with deployment.state.reading() as state:
            saved.append(sum(map(len, state.watch.blobs("").values())))
        gc.collect()
        live.append(len(gc.get_objects()))
    journal.close()
    with deployment.state.reading() as state:
        verdicts = len(state.watch.verdicts("flights_late", "data_drift"))
    deployment.close()
    assert verdicts >= 2 * (HOURS - 2)
    early = slice(4, 8)
    assert max(saved[-4:]) <= 1.1 * max(saved[early])
    # Between them lie 960 predictions with their outcomes.
    assert max(live[-4:]) <= max(live[early]) + 500
