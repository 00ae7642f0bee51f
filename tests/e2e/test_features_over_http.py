"""Features of a running server: provenance for those who ask, and bad input that costs no answer."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.conftest import CONFIG, Running, fitted, frame, start_server, stop

from trimtab.config import load
from trimtab.features.stores.sqlite import SqliteStore
from trimtab.types import Scalar, StoredRow, Task
from trimtab.wiring.deployment import Deployment
from trimtab.wiring.registration import Training, register

FEATURES = """
[features.stores.online]
kind = "sqlite"

[features.views.customers]
entity = "customer"
realtime = "online"
ttl_seconds = 3600
features = [
  { name = "visits", kind = "integer", default = 1, maximum = 1000 },
  { name = "country", kind = "categorical", default = "nl" },
]

[models.risk]
features_deadline_ms = 500
"""
NOW = time.time()
HELD: list[tuple[str, dict[str, Scalar], float]] = [
    ("ann", {"visits": 7, "country": "fr"}, 60.0),
    ("7", {"visits": 8, "country": "de"}, 60.0),
    ("ключ|:/%", {"visits": 9, "country": "fr"}, 60.0),
    ("old", {"visits": 10, "country": "fr"}, 4_000.0),
    ("text", {"visits": "ten", "country": "fr"}, 60.0),
    ("huge", {"visits": 5_000, "country": 3}, 60.0),
]
ROWS = {key: StoredRow(values=values, event_time=NOW - age) for key, values, age in HELD}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("features")
    path = folder / "trimtab.toml"
    path.write_text(CONFIG.format(state=(folder / "state").as_posix(), workers=1) + FEATURES)
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
    asyncio.run(_fill(folder / "state" / "features.sqlite"))
    running = start_server(path)
    yield running
    stop(running)


async def _fill(path: Path) -> None:
    store = SqliteStore(path)
    await store.write("customers", ROWS)
    await store.close()


def ask(server: Running, features: Mapping[str, Scalar], **fields: Any) -> Any:
    with server.client as client:
        reply = client.post("/models/risk/predict", json={"features": dict(features), **fields})
    assert reply.status_code == 200, reply.text
    return reply.json()["predictions"][0]


def test_provenance_is_told_by_name_when_asked_for(server: Running) -> None:
    told = ask(server, {"amount": 20.0, "customer": "ann"}, provenance=True, event_time=NOW)
    assert told["sources"] == "qrr"
    assert told["features"] == {
        "amount": {"source": "request", "value": 20.0},
        "visits": {"source": "realtime", "value": 7, "age_seconds": pytest.approx(60.0, abs=0.01)},
        "country": {
            "source": "realtime",
            "value": "fr",
            "age_seconds": pytest.approx(60.0, abs=0.01),
        },
    }
    assert "features" not in ask(server, {"amount": 20.0, "customer": "ann"})


@pytest.mark.parametrize(
    ("customer", "sources"),
    [
        ("ann", "qrr"),
        (7, "qrr"),
        ("ключ|:/%", "qrr"),
        ("nobody", "qdd"),
        ("ann ", "qdd"),
        ("ANN", "qdd"),
        (None, "qdd"),
        ("old", "qdd"),
        ("text", "qdr"),
        ("huge", "qdd"),
    ],
)
def test_an_odd_entity_or_value_costs_its_features_and_no_answer(
    server: Running, customer: Scalar, sources: str
) -> None:
    assert ask(server, {"amount": 20.0, "customer": customer})["sources"] == sources


@pytest.mark.parametrize("customer", [1.5, True, ""])
def test_what_can_be_no_key_is_refused_with_its_path(server: Running, customer: Scalar) -> None:
    with server.client as client:
        reply = client.post(
            "/models/risk/predict", json={"features": {"amount": 1.0, "customer": customer}}
        )
    assert reply.status_code == 422
    assert reply.json()["error"]["path"] == "rows[0].features.customer"


def test_sources_are_counted_by_view(server: Running) -> None:
    ask(server, {"amount": 20.0, "customer": "ann"})
    with server.client as client:
        text = client.get("/metrics").text
    wanted = 'ml_feature_source_total{model="risk",source="realtime",view="customers"}'
    assert any(line.startswith(wanted) for line in text.splitlines())
