"""A server whose Redis is killed and started again: every answer comes, and soon from Redis again."""

from __future__ import annotations

import asyncio
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.e2e.conftest import CONFIG, fitted, frame, start_server, stop

from trimtab.config import load
from trimtab.features.stores.redis import RedisOptions, RedisStore
from trimtab.features.stores.sqlite import SqliteStore
from trimtab.protocols import FeatureStore
from trimtab.types import StoredRow, Task
from trimtab.wiring.deployment import Deployment
from trimtab.wiring.registration import Training, register

BREAKER_SECONDS = 2.0
SLACK_SECONDS = 1.5  # for a busy machine, and the request that is the probe
FEATURES = """
[features]
breaker_failures = 3
breaker_seconds = {seconds}

[features.stores.online]
kind = "redis"
url = "{url}"

[features.stores.nightly]
kind = "sqlite"

[features.views.customers]
entity = "customer"
realtime = "online"
batch = "nightly"
features = [
  {{ name = "visits", kind = "integer", default = 1 }},
  {{ name = "country", kind = "categorical", default = "nl" }},
]
"""


class Server:
    """A Redis of our own, on one port for all its lives."""

    def __init__(self) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = int(free.getsockname()[1])
        self.url = f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        """Start it, with one row in it."""
        program = shutil.which("redis-server")
        assert program is not None, "redis-server is needed: apt-get install redis-server"
        arguments = ["--port", str(self.port), "--bind", "127.0.0.1", "--save", ""]
        self.process = subprocess.Popen([program, *arguments], stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if "eady to accept connections" in line:
                break
        asyncio.run(fill(RedisStore(self.url, RedisOptions()), visits=7))

    def kill(self) -> None:
        """End it at once."""
        self.process.kill()
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()


async def fill(store: FeatureStore, visits: int) -> None:
    row = StoredRow(values={"visits": visits, "country": "fr"}, event_time=time.time())
    await store.write("customers", {"ann": row})
    await store.close()


@pytest.fixture
def redis() -> Iterator[Server]:
    server = Server()
    server.start()
    yield server
    server.kill()


@pytest.fixture
def client(redis: Server, tmp_path: Path) -> Iterator[httpx.Client]:
    path = tmp_path / "trimtab.toml"
    views = FEATURES.format(seconds=BREAKER_SECONDS, url=redis.url)
    path.write_text(CONFIG.format(state=(tmp_path / "state").as_posix(), workers=1) + views)
    deployment = Deployment.open(load(path, environ={}))
    data = frame()
    training = Training(
        reference=data, outcome="outcome", time="time", task=Task.BINARY, labels=("good", "bad")
    )
    version = register(
        deployment, "risk", fitted(data), training, author="test", views=["customers"], trust=True
    )
    deployment.deploy("risk", version.version, actor="test", reason="first")
    deployment.close()
    asyncio.run(fill(SqliteStore(tmp_path / "state" / "features.sqlite"), visits=3))
    running = start_server(path)
    with running.client as asking:
        yield asking
    stop(running)


def ask(client: httpx.Client) -> Any:
    body = {"features": {"amount": 20.0, "customer": "ann"}}
    reply = client.post("/models/risk/predict", json=body)
    assert reply.status_code == 200, reply.text
    return reply.json()["predictions"][0]["sources"]


def breaker(client: httpx.Client) -> float:
    """The state of the breaker, as Prometheus sees it."""
    lines = client.get("/metrics").text.splitlines()
    shown = [line for line in lines if line.startswith("ml_feature_breaker_open{")]
    (state,) = (line.rsplit(" ", 1)[1] for line in shown if 'store="online"' in line)
    return float(state)


def test_realtime_values_are_back_within_the_breakers_period(
    redis: Server, client: httpx.Client
) -> None:
    assert {ask(client) for _ in range(20)} == {"qrr"}
    redis.kill()
    assert {ask(client) for _ in range(60)} == {"qbb"}
    assert breaker(client) > 0.0
    redis.start()
    back_at = time.monotonic()
    while ask(client) != "qrr":
        assert time.monotonic() - back_at < BREAKER_SECONDS + SLACK_SECONDS
    assert {ask(client) for _ in range(60)} == {"qrr"}
    assert breaker(client) == 0.0
