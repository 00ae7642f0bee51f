"""Rows pushed over HTTP reach the realtime store, with a token and within bounds."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette

from trimtab.config import (
    AuthConfig,
    Config,
    FeaturesConfig,
    ServeConfig,
    StateConfig,
    StoreConfig,
    TokenConfig,
    ViewConfig,
    ViewFeature,
)
from trimtab.serve.features import FeatureDesk
from trimtab.serve.refusals import refusals
from trimtab.telemetry import Metrics
from trimtab.wiring.deployment import Deployment
from trimtab.wiring.serving import open_store

ROW = {"origin": "JFK", "wind": 3.0, "at": 100.0}


class World:
    def __init__(self, folder: Path) -> None:
        for name in ("operator", "viewer"):
            (folder / name).write_text(f"secret-{name}")
        tokens = (
            TokenConfig(name="pipeline", role="operator", secret=f"file:{folder / 'operator'}"),
            TokenConfig(name="reader", role="viewer", secret=f"file:{folder / 'viewer'}"),
        )
        view = ViewConfig(
            entity="origin", realtime="online", features=(ViewFeature(name="wind", maximum=200.0),)
        )
        bare = ViewConfig(entity="origin", features=view.features)
        self.deployment = Deployment.open(
            Config(
                state=StateConfig(dir=str(folder / "state")),
                serve=ServeConfig(max_rows=3),
                features=FeaturesConfig(
                    stores={"online": StoreConfig(kind="sqlite")},
                    views={"weather": view, "bare": bare},
                ),
                auth=AuthConfig(tokens=tokens),
            )
        )
        self.metrics = Metrics()
        self.desk = FeatureDesk(self.deployment, self.metrics)
        self.app = Starlette(
            routes=self.desk.routes, exception_handlers=refusals(lambda _model, _status: None)
        )

    def push(
        self, body: Any, view: str = "weather", who: str = "operator"
    ) -> tuple[int, dict[str, Any]]:
        async def main() -> httpx.Response:
            transport = httpx.ASGITransport(app=self.app)
            headers = {"authorization": f"Bearer secret-{who}"} if who else {}
            async with httpx.AsyncClient(transport=transport, base_url="http://x") as client:
                return await client.post(f"/api/v1/features/{view}", json=body, headers=headers)

        answer = asyncio.run(main())
        return answer.status_code, answer.json()

    def read(self, entity: str) -> Any:
        async def main() -> Any:
            store = open_store(self.deployment, "online")
            found = await store.read("weather", [entity])
            await store.close()
            return found.get(entity)

        return asyncio.run(main())


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    asyncio.run(made.desk.close())
    made.deployment.close()


def test_rows_are_written_and_counted(world: World) -> None:
    rows = [ROW, {**ROW, "at": 90.0, "origin": "LGA"}, {"wind": 1.0, "at": 1.0}]
    status, answer = world.push({"rows": rows, "time": "at"})
    assert (status, answer["rows"], answer["kept"], answer["refused"]) == (200, 3, 2, 1)
    assert world.read("JFK").values == {"wind": 3.0}
    status, answer = world.push({"rows": [{**ROW, "at": 50.0, "wind": 9.0}], "time": "at"})
    assert (status, answer["kept"]) == (200, 0)
    assert world.read("JFK").values == {"wind": 3.0}
    counted = world.metrics.registry.get_sample_value
    labels = {"view": "weather"}
    name = "ml_feature_rows_written_total"
    assert [counted(name, {**labels, "status": s}) for s in ("kept", "older", "refused")] == [
        2,
        1,
        1,
    ]


def test_a_type_that_changed_upstream_is_refused_and_not_an_error(world: World) -> None:
    status, answer = world.push({"rows": [{**ROW, "wind": "3"}], "time": "at"})
    assert (status, answer["kept"], answer["values_refused"]) == (200, 1, {"wind": 1})
    assert world.read("JFK").values == {}


@pytest.mark.parametrize(
    ("who", "view", "body", "status", "code"),
    [
        ("", "weather", {"rows": [ROW]}, 401, "unauthorized"),
        ("nobody", "weather", {"rows": [ROW]}, 401, "unauthorized"),
        ("viewer", "weather", {"rows": [ROW]}, 403, "refused"),
        ("operator", "nothing", {"rows": [ROW]}, 404, "unknown_view"),
        ("operator", "bare", {"rows": [ROW]}, 422, "no_realtime_store"),
        ("operator", "weather", {"rows": [ROW] * 4}, 413, "too_many_rows"),
        ("operator", "weather", {"rows": ROW}, 400, "invalid_shape"),
        ("operator", "weather", {"row": [ROW]}, 400, "invalid_shape"),
    ],
)
def test_what_is_refused(
    world: World, who: str, view: str, body: Any, status: int, code: str
) -> None:
    answered, answer = world.push(body, view, who)
    assert (answered, answer["error"]["code"]) == (status, code)
