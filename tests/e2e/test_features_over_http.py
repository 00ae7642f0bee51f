"""Features of a running server: provenance for those who ask, and bad input that costs no answer."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from tests.e2e.conftest import CONFIG, Running, fitted, frame, start_server, stop

from trimtab.config import load
from trimtab.errors import Conflict
from trimtab.features.stores.sqlite import SqliteStore
from trimtab.types import Scalar, StoredRow, Task
from trimtab.wiring.deployment import Deployment
from trimtab.wiring.registration import Training, register
from trimtab.wiring.views import apply_views

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

[features.views.money]
request = [{ name = "cents" }]
transforms = [
  { name = "amount", function = "math:sqrt", inputs = ["cents"], default = 1.5, maximum = 100 },
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
def config_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("features") / "trimtab.toml"


@pytest.fixture(scope="module")
def server(config_path: Path) -> Iterator[Running]:
    folder, path = config_path.parent, config_path
    path.write_text(CONFIG.format(state=(folder / "state").as_posix(), workers=1) + FEATURES)
    deployment = Deployment.open(load(path, environ={}))
    data = frame()
    training = Training(
        reference=data, outcome="outcome", time="time", task=Task.BINARY, labels=("good", "bad")
    )
    version = register(
        deployment,
        "risk",
        fitted(data),
        training,
        author="test",
        views=["customers", "money"],
        trust=True,
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


def test_the_features_of_a_model_are_told_as_it_would_be_given_them(server: Running) -> None:
    rows = [
        {"features": {"cents": 400.0, "customer": "ann"}, "event_time": NOW},
        {"features": {"amount": 7.0, "customer": "nobody"}, "event_time": NOW},
    ]
    with server.client as client:
        told = client.post("/models/risk/features", json={"rows": rows, "provenance": True}).json()
        short = client.post("/models/risk/features", json=rows[0])
        before = client.get("/metrics").text
        client.post("/models/risk/features", json={"rows": rows})
        after = client.get("/metrics").text
    age = pytest.approx(60.0, abs=0.01)
    assert told == {
        "model": "risk",
        "version": 1,
        "features": ["amount", "visits", "country"],
        "values": [[20.0, 7, "fr"], [7.0, 1, "nl"]],
        "sources": ["qrr", "qdd"],
        "ages_seconds": [[None, age, age], [None, None, None]],
    }
    assert [[20.0, 7, "fr"]] == short.json()["values"]
    assert "ages_seconds" not in short.json()
    scored = 'ml_predictions_total{model="risk"'
    assert [line for line in before.splitlines() if line.startswith(scored)] == [
        line for line in after.splitlines() if line.startswith(scored)
    ]


@pytest.mark.parametrize("route", ["predict", "features"])
@pytest.mark.parametrize("customer", [1.5, True, ""])
def test_what_can_be_no_key_is_refused_with_its_path(
    server: Running, customer: Scalar, route: str
) -> None:
    with server.client as client:
        reply = client.post(
            f"/models/risk/{route}", json={"features": {"amount": 1.0, "customer": customer}}
        )
    assert reply.status_code == 422
    assert reply.json()["error"]["path"] == "rows[0].features.customer"


def test_sources_are_counted_by_view(server: Running) -> None:
    ask(server, {"amount": 20.0, "customer": "ann"})
    with server.client as client:
        text = client.get("/metrics").text
    wanted = 'ml_feature_source_total{model="risk",source="realtime",view="customers"}'
    assert any(line.startswith(wanted) for line in text.splitlines())


@pytest.mark.parametrize(
    ("cents", "amount", "source"),
    [
        (400.0, 20.0, "request"),
        (400, 20.0, "request"),
        (-1.0, 1.5, "default"),
        (1e9, 1.5, "default"),
        (None, 1.5, "default"),
    ],
)
def test_a_transform_computes_what_a_request_leaves_out(
    server: Running, cents: Scalar, amount: float, source: str
) -> None:
    told = ask(server, {"cents": cents, "customer": "ann"}, provenance=True)
    assert told["features"]["amount"] == {"source": source, "value": amount}
    sent = ask(server, {"amount": 7.0, "cents": cents, "customer": "ann"}, provenance=True)
    assert sent["features"]["amount"] == {"source": "request", "value": 7.0}


def test_a_view_that_changes_while_it_is_served_costs_no_answer(
    server: Running, config_path: Path
) -> None:
    """Every answer is of the old definition or of the new one, and soon of the new one alone."""
    deployment = Deployment.open(load(config_path, environ={}))
    customers = deployment.config.features.views["customers"]
    seen = []

    def default() -> Any:
        told = ask(server, {"amount": 20.0, "customer": "nobody"}, provenance=True)
        return told["features"]["visits"]["value"]

    assert default() == 1
    for value in (2, 3):
        features = tuple(
            replace(feature, default=value) if feature.name == "visits" else feature
            for feature in customers.features
        )
        changed = {"customers": replace(customers, features=features)}
        apply_views(deployment, changed, actor="test", reason="another default")
        while (found := default()) != value:
            seen.append(found)
            assert len(seen) < 3_000, value
    assert set(seen) <= {1, 2}
    lost = {"customers": replace(customers, features=customers.features[1:])}
    with pytest.raises(Conflict):
        apply_views(deployment, lost, actor="test", reason="a feature goes away")
    assert default() == 3
    deployment.close()
