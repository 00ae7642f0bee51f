"""Two state directories on one PostgreSQL conclude what one does that recorded everything."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec
import numpy as np
import pyarrow as pa
import pytest
from sklearn.linear_model import LogisticRegression
from tests.conformance.store.conftest import new_database, postgresql
from tests.unit.performance.recorded import prediction

from trimtab.config import Config, JournalConfig, StateConfig, WatchConfig
from trimtab.errors import InvalidConfig
from trimtab.protocols import StateTx
from trimtab.record.journal import Journal
from trimtab.telemetry import Metrics
from trimtab.types import Columns, OutcomeRecord, PredictionRecord, Task, Verdict
from trimtab.wiring.clock import SystemClock
from trimtab.wiring.deployment import Deployment
from trimtab.wiring.registration import Training, register
from trimtab.wiring.watching import Watching

__all__ = ["postgresql"]
SUBJECTS = ("data_drift", "prediction_drift", "data_quality")
HOUR = 3_600.0


@contextmanager
def opened(
    folder: Path, url: str, replica: str, artifacts: str = "", rows: int = 100
) -> Iterator[Deployment]:
    watch = WatchConfig(
        window_seconds=HOUR, lateness_seconds=600.0, replica=replica, batch_rows=rows
    )
    state = StateConfig(dir=str(folder), url=url, artifacts=artifacts)
    deployment = Deployment.open(Config(state=state, watch=watch))
    try:
        yield deployment
    finally:
        deployment.close()


def registered(deployment: Deployment, holdout: pa.Table | None = None) -> None:
    rng = np.random.default_rng(0)
    x, z = rng.normal(size=2_000), rng.choice(["a", "b"], 2_000)
    frame = pa.table({"x": x, "z": z, "y": (x > 0) * 1})
    training = Training(
        reference=frame, outcome="y", task=Task.BINARY, ignore=("z",), holdout=holdout
    )
    model = LogisticRegression().fit(x[:, None], x > 0)
    version = register(deployment, "flights_late", model, training, author="test")
    deployment.deploy("flights_late", version.version, actor="test", reason="first")


def stream() -> list[PredictionRecord]:
    """Twelve hours, the last six of them drifted."""
    rng = np.random.default_rng(5)
    made = []
    for at in range(3_000):
        moment = 1_700_000_000.0 // HOUR * HOUR + at * 14.4
        x = float(rng.normal(loc=1.0 if at >= 1_500 else 0.0))
        score = 1 / (1 + np.exp(-3 * x))
        made.append(msgspec.structs.replace(prediction(f"p{at}", moment, score), values=(x,)))
    return made


def recorded(deployment: Deployment, records: Sequence[PredictionRecord]) -> None:
    journal = Journal(deployment.journal_dir, JournalConfig(), Metrics(), SystemClock())
    journal.append(records)
    journal.close()


def verdicts(deployment: Deployment) -> dict[str, Sequence[Verdict]]:
    with deployment.state.reading() as state:
        return {name: state.watch.verdicts("flights_late", name) for name in SUBJECTS}


class Leads:
    """Whether this machine is the one that leads now."""

    def __init__(self, place: int, leader: list[int]) -> None:
        self._place, self._leader = place, leader

    def __call__(self, _: StateTx) -> bool:
        return self._leader == [self._place]


def watchings(deployments: Sequence[Deployment], leader: list[int]) -> list[Watching]:
    return [Watching.open(d, Metrics(), Leads(at, leader)) for at, d in enumerate(deployments)]


def watched(*deployments: Deployment) -> None:
    """Tick by turns until nothing is left to read; each machine starts anew half way."""
    ticking = watchings(deployments, [0])
    busy, ticks = True, 0
    while busy:
        busy = sum(one.tick().records for one in ticking) > 0
        ticks += 1
        if ticks == 5:
            ticking = watchings(deployments, [len(deployments) - 1])


def test_two_machines_conclude_what_one_does(postgresql: str, tmp_path: Path) -> None:
    records = stream()
    with opened(tmp_path / "one", f"sqlite:///{tmp_path}/one.db", "") as alone:
        registered(alone)
        recorded(alone, records)
        watched(alone)
        expected = verdicts(alone)
        with alone.state.reading() as state:
            told = [alert.key for alert, _, _ in state.alerts.alerts()]
    url = new_database(postgresql)
    with opened(tmp_path / "a", url, "a") as a:
        registered(a)
        shutil.copytree(tmp_path / "a", tmp_path / "b")
        with opened(tmp_path / "b", url, "b") as b:
            recorded(a, records[::2])
            recorded(b, records[1::2])
            watched(a, b)
        actual = verdicts(a)
        with a.state.reading() as state:
            assert told == [alert.key for alert, _, _ in state.alerts.alerts()]
    assert told
    for name in SUBJECTS:
        assert 11 == len(expected[name])
        assert msgspec.msgpack.encode(expected[name]) == msgspec.msgpack.encode(actual[name])
    assert 250 == expected["data_drift"][0].rows
    assert expected["data_drift"][-1].alarmed


def test_a_machine_with_an_empty_folder_takes_the_artifacts_that_another_has_kept(
    postgresql: str, tmp_path: Path
) -> None:
    url, artifacts = new_database(postgresql), f"file://{tmp_path}/artifacts"
    with opened(tmp_path / "a", url, "a", artifacts) as a:
        registered(a)
        expected = scored(a)
    with opened(tmp_path / "b", url, "b", artifacts) as b:
        assert not (tmp_path / "b" / "blobs").exists()
        assert expected == scored(b)


def scored(deployment: Deployment) -> list[float]:
    version = deployment.version("flights_late", 1)
    row = Columns(version.signature.features, (np.array([0.5]),))
    return deployment.registry.load(version).predictor.predict(row).tolist()


def test_windows_by_rows_of_several_machines_are_refused(tmp_path: Path) -> None:
    config = Config(
        state=StateConfig(dir=str(tmp_path)), watch=WatchConfig(replica="a", window_by="rows")
    )
    deployment = Deployment.open(config)
    with pytest.raises(InvalidConfig, match="each machine has its own rows") as refused:
        Watching.open(deployment, Metrics())
    assert "watch.window_by" == refused.value.path
    deployment.close()


PERFORMANCE = ("performance", "estimated_performance", "concept_drift")


def held_out() -> pa.Table:
    rng = np.random.default_rng(4)
    x = rng.normal(size=1_500)
    drawn = rng.random(1_500) < 1 / (1 + np.exp(-3 * x))
    return pa.table({"x": x, "z": ["a"] * 1_500, "y": drawn * 1})


def outcomes(deployment: Deployment, records: Sequence[PredictionRecord]) -> None:
    """What became known, wherever they were answered."""
    rng = np.random.default_rng(6)
    with deployment.state.transaction() as state:
        state.outcomes.add(
            [
                OutcomeRecord(
                    model="flights_late",
                    prediction_id=one.prediction_id,
                    value=float(rng.random() < one.score),
                    event_time=one.event_time,
                    received_at=one.event_time,
                )
                for one in records
            ]
        )


def measured(deployment: Deployment) -> dict[tuple[str, float], object]:
    """What was last said of each window."""
    found: dict[tuple[str, float], object] = {}
    with deployment.state.reading() as state:
        assert not state.watch.has_handed()
        for name in PERFORMANCE:
            for verdict in state.watch.verdicts("flights_late", name):
                figures = [(c.name, c.current_value, c.interval) for c in verdict.comparisons]
                found[name, verdict.start] = (verdict.rows, figures)
    return found


def test_performance_is_measured_on_what_all_machines_answered(
    postgresql: str, tmp_path: Path
) -> None:
    records = stream()
    with opened(tmp_path / "one", f"sqlite:///{tmp_path}/one.db", "") as alone:
        registered(alone, held_out())
        recorded(alone, records)
        outcomes(alone, records)
        watched(alone)
        expected = measured(alone)
    url = new_database(postgresql)
    with opened(tmp_path / "a", url, "a", rows=8) as a:
        registered(a, held_out())
        shutil.copytree(tmp_path / "a", tmp_path / "b")
        with opened(tmp_path / "b", url, "b", rows=8) as b:
            recorded(a, records[::2])
            recorded(b, records[1::2])
            outcomes(a, records)
            leader, ticks = [0], 0
            ticking = watchings((a, b), leader)
            while sum(one.tick().records for one in ticking) or ticks < 10:
                ticks += 1
                leader[:] = [ticks // 20 % 2]
            for one in ticking:
                one.tick()
        actual = measured(a)
    assert {name for name, _ in expected} == set(PERFORMANCE)
    assert 3 * 11 == len(expected)
    assert expected == actual
