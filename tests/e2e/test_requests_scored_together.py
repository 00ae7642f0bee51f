"""A model that is not compiled answers requests that wait together in one call, and nothing else changes."""

from __future__ import annotations

import json
import os
import signal
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.clients import FEATURES, Load, journal, metric, rows_of
from tests.e2e.conftest import Running, Start, fitted, frame, registered

CLIENTS, EACH = 12, 20


def native(folder: Path, way: str = "lane") -> Path:
    """A deployed pipeline of scikit-learn, served as it is."""
    path = registered(folder)
    text = path.read_text().replace("[serve]\n", f'[serve]\nhttp = "{way}"\n')
    path.write_text(f"{text}\n[optimize]\ncompact = false\n")
    return path


def asked(server: Running, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Answers in the rows' order; so many requests at a time wait when the worker comes to look."""
    (worker,) = [pid for pid, module in server.children().items() if "worker" in module]
    host, _, port = server.url.removeprefix("http://").partition(":")
    connections = [HTTPConnection(host, int(port), timeout=60) for _ in range(CLIENTS)]
    found = []
    for start in range(0, len(rows), CLIENTS):
        os.kill(worker, signal.SIGSTOP)
        for connection, row in zip(connections, rows[start : start + CLIENTS], strict=True):
            connection.request("POST", "/models/risk/predict", json.dumps({"features": row}))
        os.kill(worker, signal.SIGCONT)
        replies = [json.loads(connection.getresponse().read()) for connection in connections]
        found += [reply["predictions"][0] for reply in replies]
    for connection in connections:
        connection.close()
    return found


@pytest.mark.parametrize("way", ["lane", "asgi"])
def test_answers_are_those_of_the_model_alone_and_a_stop_gives_them_all(
    tmp_path: Path, serve: Start, way: str
) -> None:
    server = serve(native(tmp_path, way))
    data = frame(CLIENTS * EACH, seed=5)
    found = asked(server, rows_of(data))
    alone = fitted(frame()).predict_proba(data[FEATURES])[:, 1]
    assert list(alone) == [one["score"] for one in found]
    with server.client as client:
        rows = metric(client, "ml_batch_rows_sum")
        assert len(data) == rows
        assert metric(client, "ml_batch_rows_count") < rows / 2
    recorded = {record.prediction_id: record.score for record in journal(server.config)}
    assert recorded == {one["prediction_id"]: one["score"] for one in found}

    with Load(server.url, clients=8) as load:
        load.more(100)
        server.process.terminate()
        server.process.wait(30)
    assert {200} == set(load.statuses)
    assert set(load.ids) <= {record.prediction_id for record in journal(server.config)}
