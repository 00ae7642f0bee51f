"""The supervisor replaces whoever dies, each at its own time."""

from __future__ import annotations

import os
import re
import signal
from functools import partial
from operator import lt
from pathlib import Path

import httpx
from tests.e2e.clients import eventually, metric
from tests.e2e.conftest import Running, Start, registered

WATCHER, WORKER = "trimtab.serve.watcher", "trimtab.serve.worker"
DEATHS = 5


def kill(server: Running, module: str) -> int:
    """Kill the one child that runs a module; its pid."""
    (pid,) = eventually(lambda: pids(server, module), lambda found: len(found) == 1)
    os.kill(pid, signal.SIGKILL)
    return pid


def pids(server: Running, module: str) -> list[int]:
    return [pid for pid, runs in server.children().items() if runs == module]


def deaths(server: Running) -> int:
    return (server.config.parent / "server.log").read_text().count('"event":"worker_died"')


def test_a_watcher_that_keeps_dying_holds_up_no_worker(serve: Start, tmp_path: Path) -> None:
    server = serve(registered(tmp_path))
    (watcher,), (first,) = pids(server, WATCHER), pids(server, WORKER)
    assert os.getpriority(os.PRIO_PROCESS, watcher) > os.getpriority(os.PRIO_PROCESS, first)
    for death in range(DEATHS):
        kill(server, WATCHER)
        eventually(lambda: deaths(server), partial(lt, death))
    worker = kill(server, WORKER)
    (replaced,) = eventually(lambda: pids(server, WORKER), lambda found: len(found) == 1)
    assert replaced != worker
    assert [] == pids(server, WATCHER)
    eventually(lambda: pids(server, WATCHER), lambda found: len(found) == 1)
    with server.client as client:  # also those that died before they had begun
        assert DEATHS + 1 == metric(client, "ml_worker_restarts_total")


def test_a_worker_that_takes_too_much_memory_is_replaced_and_no_request_is_lost(
    serve: Start, tmp_path: Path
) -> None:
    config = registered(tmp_path)
    config.write_text(config.read_text().replace("[serve]", "[serve]\nmax_worker_bytes = 1"))
    server = serve(config)
    first = min(pids(server, WORKER))

    def asked() -> list[int]:
        # A connection each time: some are taken by the old worker, some by the new.
        reply = httpx.post(
            f"{server.url}/models/risk/predict",
            json={"features": {"amount": 5.0, "visits": 1, "country": "nl"}},
            timeout=20.0,
        )
        assert reply.status_code == 200
        return pids(server, WORKER)

    eventually(asked, lambda found: first not in found, 60.0)
    assert deaths(server) == 0
    told = httpx.get(f"{server.url}/metrics").text
    memory = re.findall(r'^ml_worker_resident_bytes{pid="(\d+)"} (\S+)$', told, re.MULTILINE)
    assert set(pids(server, WATCHER)) < {int(pid) for pid, _ in memory}
    assert min(float(size) for _, size in memory) > 1e7
    assert 'ml_model_load_seconds{model="risk",model_version="1"}' in told
