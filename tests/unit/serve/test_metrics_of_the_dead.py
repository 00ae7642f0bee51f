"""What processes counted outlives them, in files whose number does not grow."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from trimtab.errors import Unavailable
from trimtab.metric_files import count_for_others, exposition, forget, reserve

WORK = """
from trimtab.telemetry import Metrics
metrics = Metrics()
metrics.count("ml_predictions_total", 3, model="é", model_version=1)
metrics.observe("ml_prediction_duration_seconds", 0.2, model="é")
metrics.gauge("ml_model_load_seconds", {number}, model="é", model_version=1)
metrics.gauge("ml_worker_resident_bytes", 7)
"""


FORK = """
import os
from trimtab.telemetry import Metrics, know_process
know_process()
metrics = Metrics()
add = metrics.counter("ml_predictions_total", model="m", model_version=1)
add(3.0)
if not (forked := os.fork()):
    add(4.0)
    os._exit(0)
os.waitpid(forked, 0)
add(5.0)
metrics.count("ml_predictions_total", 6.0, model="m", model_version=1)
print(os.getpid(), forked)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


def ended(folder: Path, number: int) -> int:
    """The pid of a process that counted and ended."""
    before = set(folder.glob("counter_*.db"))
    subprocess.run(
        [sys.executable, "-c", WORK.format(number=number)],
        env={**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(folder)},
        check=True,
    )
    (path,) = set(folder.glob("counter_*.db")) - before
    return int(path.stem.removeprefix("counter_"))


def told(folder: Path) -> dict[str, float]:
    lines = exposition(CollectorRegistry(), folder).decode().splitlines()
    found = [line.rpartition(" ") for line in lines if not line.startswith("#")]
    return {name: float(value) for name, _, value in found if float(value)}


def test_who_has_ended_is_still_counted(folder: Path) -> None:
    pids = [ended(folder, number) for number in (1, 2)]
    before = told(folder)
    assert 6.0 == before['ml_predictions_total{model="é",model_version="1"}']
    assert 2.0 == before['ml_model_load_seconds{model="é",model_version="1"}']
    resident = {name for name in before if name.startswith("ml_worker_resident_bytes")}
    assert 2 == len(resident)
    for pid in reversed(pids):
        forget(pid, folder)
    assert told(folder) == {name: before[name] for name in before.keys() - resident}
    assert {"counter_0.db", "histogram_0.db", "gauge_mostrecent_0.db"} == {
        path.name for path in folder.glob("*.db")
    }


def test_a_process_that_was_forked_counts_in_files_of_its_own(folder: Path) -> None:
    env = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(folder)}
    run = subprocess.run(
        [sys.executable, "-c", FORK], env=env, check=True, capture_output=True, text=True
    )
    alone = folder / "alone"
    for pid, counted in zip(run.stdout.split(), (14.0, 4.0), strict=True):
        alone.mkdir()
        shutil.copy(folder / f"counter_{pid}.db", alone)
        assert counted == told(alone)['ml_predictions_total{model="m",model_version="1"}']
        shutil.rmtree(alone)


def test_counting_for_those_who_cannot(folder: Path) -> None:
    count_for_others("ml_worker_restarts_total", folder)
    forget(ended(folder, 1), folder)
    count_for_others("ml_worker_restarts_total", folder)
    assert 2.0 == told(folder)["ml_worker_restarts_total"]


def test_one_that_ended_before_it_wrote_anything(folder: Path) -> None:
    (folder / "counter_7.db").touch()
    forget(7, folder)
    assert {} == told(folder)


def test_room_is_taken_before_anything_is_counted(folder: Path) -> None:
    reserve(0, folder)
    kept = {path: path.stat() for path in folder.glob("*_0.db")}
    assert 5 == len(kept)
    assert all(512 * found.st_blocks >= found.st_size >= 100_000 for found in kept.values())
    assert {} == told(folder)
    pid = ended(folder, 1)
    before = told(folder)
    forget(pid, folder)
    assert 3.0 == before['ml_predictions_total{model="é",model_version="1"}']
    assert before.items() >= told(folder).items()
    reserve(0, folder)
    assert 3.0 == told(folder)['ml_predictions_total{model="é",model_version="1"}']
    assert {path: found.st_size for path, found in kept.items()} == {
        path: path.stat().st_size for path in kept
    }


def test_no_room_is_said_as_such(folder: Path) -> None:
    with pytest.raises(Unavailable, match="no room for metrics"):
        reserve(1, folder / "nowhere")


def test_no_scrape_misses_a_process_or_counts_it_twice(folder: Path) -> None:
    pid, many = ended(folder, 1), range(1_000_001, 1_000_031)
    for other in many:
        for path in folder.glob(f"*_{pid}.db"):
            shutil.copy(path, folder / path.name.replace(f"_{pid}.", f"_{other}."))

    def forget_all() -> None:
        for other in many:
            forget(other, folder)

    everything = 3.0 * (1 + len(many))
    with ThreadPoolExecutor(1) as pool:
        forgetting = pool.submit(forget_all)
        seen = []
        while not forgetting.done():
            seen.append(told(folder)['ml_predictions_total{model="é",model_version="1"}'])
        forgetting.result()
    assert {everything} == {*seen}
