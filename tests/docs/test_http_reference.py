"""docs/reference/http.md and the server name the same routes, codes and statuses."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import pytest
from starlette.applications import Starlette
from starlette.routing import Route

from trimtab.serve.app import build_app
from trimtab.serve.control import control_routes
from trimtab.serve.dataplane import DataPlane
from trimtab.serve.explorer import explorer_route
from trimtab.serve.features import FeatureDesk, PushBody
from trimtab.serve.openapi import openapi_route
from trimtab.serve.status import STATUS, STATUS_BY_CODE
from trimtab.serve.v2.repository import Repository, repository_routes
from trimtab.serve.v2.routes import inference_routes
from trimtab.serve.wire import OutcomeBody, PredictBody
from trimtab.telemetry import Metrics
from trimtab.ui.pages import page_routes
from trimtab.wiring.deployment import Deployment

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def text() -> str:
    return (ROOT / "docs" / "reference" / "http.md").read_text("utf-8")


def rows(text: str, cells: int) -> list[list[str]]:
    """The rows of the page's tables of so many columns, without their heads."""
    found = [
        [cell.strip() for cell in line.strip("|").split(" | ")]
        for line in text.splitlines()
        if line.startswith("| `")
    ]
    return [row for row in found if len(row) == cells]


class Nothing:
    """Stands where routes are only listed, and nothing is called."""

    def __getattr__(self, name: str) -> Any:
        return self


@asynccontextmanager
async def never(_: Starlette) -> AsyncIterator[None]:
    yield


def served() -> set[str]:
    deployment = cast("Deployment", Nothing())
    data_plane = cast("DataPlane", Nothing())
    app = build_app(
        data_plane=data_plane,
        ready=lambda: True,
        metrics=lambda: b"",
        routes=[
            *inference_routes(data_plane, cast("Any", Nothing()), 1),
            *repository_routes(cast("Repository", Nothing()), 1),
            openapi_route(tuple),
            explorer_route(tuple),
            *control_routes(deployment),
            *FeatureDesk(deployment, Metrics()).routes,
            *page_routes(deployment),
        ],
        max_body_bytes=1,
        lifespan=never,
    )
    return {
        f"{'POST' if 'POST' in (route.methods or ()) else 'GET'} {route.path}"
        for route in app.routes
        if isinstance(route, Route)
    }


def test_every_route_is_documented_and_there_are_no_others(text: str) -> None:
    documented = set(re.findall(r"^\| `((?:GET|POST) [^`]+)` \|", text, re.MULTILINE))
    assert served() == documented


def test_the_status_of_each_kind_of_error(text: str) -> None:
    documented = {
        name: int(status)
        for names, status in rows(text, 2)
        if re.fullmatch(r"\d{3}(?: \|)?", status)
        for name in re.findall(r"`([A-Z]\w+)`", names)
    }
    assert {kind.__name__: status for kind, status in STATUS.items()} == documented


def test_codes_exist_and_have_the_status_that_is_documented(text: str) -> None:
    sources = "\n".join(path.read_text("utf-8") for path in (ROOT / "src").rglob("*.py"))
    kinds = {kind.code for kind in STATUS}
    codes = {
        code: int(status)
        for names, status, _ in rows(text, 3)
        if status.isdecimal()
        for code in re.findall(r"`(\w+)`", names)
    }
    assert len(codes) > 40
    assert [] == [code for code in codes if f'"{code}"' not in sources and code not in kinds]
    assert STATUS_BY_CODE == {code: codes[code] for code in STATUS_BY_CODE}


def test_every_field_of_a_request_is_documented(text: str) -> None:
    known = {*PredictBody.__struct_fields__, *OutcomeBody.__struct_fields__, "outcomes"}
    known |= {*PushBody.__struct_fields__}
    shown = set(re.findall(r'"(\w+)":', text)) | set(re.findall(r"`(\w+)`", text))
    assert set() == known - shown
