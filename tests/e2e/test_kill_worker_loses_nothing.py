"""Law 9: `kill -9` of a worker mid-load, at whatever moment, loses nothing that was acknowledged."""

from __future__ import annotations

import os
import re
import signal
from itertools import pairwise
from pathlib import Path

import numpy as np
from tests.e2e.clients import Load, eventually, journal, metric
from tests.e2e.conftest import Running, Start, registered

KILLS = 8
WORKERS = 2


def serving(server: Running) -> list[int]:
    """The workers that have loaded the route and are alive."""
    with server.client as client:
        text = client.get("/metrics").text
    loaded = set(re.findall(r'^ml_control_epoch\{pid="(\d+)"\} 1\.0$', text, re.MULTILINE))
    children = server.children().items()
    return sorted(pid for pid, module in children if "worker" in module and str(pid) in loaded)


def test_killed_workers_are_replaced_and_lose_nothing(serve: Start, tmp_path: Path) -> None:
    moments = np.random.default_rng(20_130_101)
    server = serve(registered(tmp_path, workers=WORKERS))
    counted: list[float] = []

    def restarts() -> float:
        with server.client as client:
            counted.append(metric(client, "ml_predictions_total"))
            return metric(client, "ml_worker_restarts_total")

    victims: set[int] = set()
    with Load(server.url) as load:
        for _ in range(KILLS):
            load.more(int(moments.integers(1, 100)))
            victim = int(moments.choice(eventually(lambda: serving(server), bool)))
            os.kill(victim, signal.SIGKILL)
            victims.add(victim)
            restarts()
        eventually(restarts, lambda seen: seen == KILLS)
        alive = eventually(lambda: serving(server), lambda seen: len(seen) == WORKERS)
        load.more(50)
        restarts()
    assert set() == victims & set(alive)
    recorded = [record.prediction_id for record in journal(server.config)]
    assert {200} == set(load.statuses)
    assert len(recorded) == len(set(recorded))
    assert set() == set(load.ids) - set(recorded)
    assert [] == [pair for pair in pairwise(counted) if pair[1] < pair[0]]
    with server.client as client:
        assert len(load.ids) <= metric(client, "ml_predictions_total") <= len(recorded)
