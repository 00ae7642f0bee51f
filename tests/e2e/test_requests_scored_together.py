"""A model that is not compiled answers requests that wait together in one call, and nothing else changes."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import httpx
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


def asked(server: Running, rows: list[dict[str, Any]]) -> dict[int, dict[str, Any]]:
    """Answers by the row's place, asked by many clients at once."""
    found: dict[int, dict[str, Any]] = {}

    def client(number: int) -> None:
        with httpx.Client(base_url=server.url, timeout=20.0) as http:
            for at in range(number, len(rows), CLIENTS):
                reply = http.post("/models/risk/predict", json={"features": rows[at]})
                assert 200 == reply.status_code, reply.text
                (found[at],) = reply.json()["predictions"]

    threads = [threading.Thread(target=client, args=(number,)) for number in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


@pytest.mark.parametrize("way", ["lane", "asgi"])
def test_answers_are_those_of_the_model_alone_and_a_stop_gives_them_all(
    tmp_path: Path, serve: Start, way: str
) -> None:
    server = serve(native(tmp_path, way))
    data = frame(CLIENTS * EACH, seed=5)
    found = asked(server, rows_of(data))
    alone = fitted(frame()).predict_proba(data[FEATURES])[:, 1]
    assert list(alone) == [found[at]["score"] for at in range(len(data))]
    with server.client as client:
        rows = metric(client, "ml_batch_rows_sum")
        assert len(data) == rows
        assert metric(client, "ml_batch_rows_count") < rows
    recorded = {record.prediction_id: record.score for record in journal(server.config)}
    assert recorded == {one["prediction_id"]: one["score"] for one in found.values()}

    with Load(server.url, clients=8) as load:
        load.more(100)
        server.process.terminate()
        server.process.wait(30)
    assert {200} == set(load.statuses)
    assert set(load.ids) <= {record.prediction_id for record in journal(server.config)}
