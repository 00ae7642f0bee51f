"""A real Prometheus scrapes the server and agrees with what was sent."""

from __future__ import annotations

import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.e2e.clients import Traffic, eventually
from tests.e2e.conftest import Running, frame, registered, start_server, stop

CONTRACT = {
    "ml_predictions_total",
    "ml_prediction_duration_seconds_count",
    "ml_model_accuracy",
    "ml_data_drift_score",
}
SCRAPE = """\
global:
  scrape_interval: 200ms
  scrape_timeout: 200ms
scrape_configs:
  - job_name: trimtab
    static_configs:
      - targets: ["{target}"]
"""
HOUR = 3600.0


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Running, httpx.Client]]:
    """A server with two workers, and a client of the Prometheus that scrapes it."""
    program = shutil.which("prometheus")
    assert program is not None, "scripts/system-packages.sh installs prometheus"
    folder: Path = tmp_path_factory.mktemp("prometheus")
    config = registered(folder / "server", workers=2)
    config.write_text(config.read_text().replace("[serve]", "[serve]\nexemplars = true"))
    server = start_server(config)
    (folder / "prometheus.yml").write_text(SCRAPE.format(target=server.url.removeprefix("http://")))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    with (folder / "prometheus.log").open("w") as log:
        process = subprocess.Popen(
            [
                program,
                f"--config.file={folder / 'prometheus.yml'}",
                f"--storage.tsdb.path={folder / 'data'}",
                f"--web.listen-address={address}",
                "--enable-feature=exemplar-storage",
            ],
            stdout=log,
            stderr=log,
        )
    try:
        with httpx.Client(base_url=f"http://{address}", timeout=20.0) as client:
            eventually(lambda: is_ready(client), bool)
            yield server, client
    finally:
        process.terminate()
        process.wait()
        stop(server)


def is_ready(client: httpx.Client) -> bool:
    try:
        return client.get("/-/ready").status_code == httpx.codes.OK
    except httpx.TransportError:
        return False


def query(client: httpx.Client, expression: str) -> list[dict[str, Any]]:
    """The instant vector of an expression: labels and value of each series."""
    reply = client.get("/api/v1/query", params={"query": expression})
    assert 200 == reply.status_code, reply.text
    return [
        {**series["metric"], "value": float(series["value"][1])}
        for series in reply.json()["data"]["result"]
    ]


def value(client: httpx.Client, expression: str) -> float | None:
    found = query(client, expression)
    return found[0]["value"] if found else None


def exemplars(client: httpx.Client) -> set[str]:
    """The predictions that buckets of latency name."""
    bounds = {"start": 0, "end": 4e9}
    name = "ml_prediction_duration_seconds_bucket"
    reply = client.get("/api/v1/query_exemplars", params={"query": name, **bounds})
    assert 200 == reply.status_code, reply.text
    return {
        one["labels"]["prediction_id"]
        for series in reply.json()["data"]
        for one in series["exemplars"]
    }


def test_prometheus_sees_what_was_sent(prometheus: tuple[Running, httpx.Client]) -> None:
    server, client = prometheus
    eventually(lambda: value(client, "up"), lambda seen: seen == 1)

    traffic = Traffic(server, now=1.7e9 // HOUR * HOUR)
    ids = set()
    for hour in range(3):
        data = frame(100, seed=20 + hour)
        made = traffic.send(data, [f"{hour}-{i}" for i in range(100)], seconds=HOUR)
        ids |= {one["prediction_id"] for one in made}

    sent = float(traffic.predictions)
    eventually(lambda: value(client, "sum(ml_predictions_total)"), lambda seen: seen == sent)
    (series,) = query(client, "ml_predictions_total")
    assert ("risk", "1", "trimtab") == (series["model"], series["model_version"], series["job"])
    names = eventually(
        lambda: {found["__name__"] for found in query(client, '{__name__=~"ml_.+"}')},
        lambda seen: seen >= CONTRACT,
    )
    assert names >= CONTRACT
    accuracy = value(client, 'ml_model_accuracy{model="risk",model_version="1"}')
    drift = value(client, 'ml_data_drift_score{model="risk",model_version="1"}')
    assert accuracy is not None
    assert 0.5 < accuracy < 1.0
    assert drift is not None
    assert 0.0 <= drift < 0.3
    assert 1 == value(client, "up")

    found = eventually(lambda: exemplars(client), bool)
    assert found <= ids
