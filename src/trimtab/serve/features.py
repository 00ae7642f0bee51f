"""``POST /api/v1/features/{view}``: rows for a view's realtime store, with a token."""

from __future__ import annotations

from typing import Any

import msgspec
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from trimtab.config import ViewConfig
from trimtab.errors import InvalidRequest, NotFound
from trimtab.features.writing import RowReader, Tally, Written, writable, write_rows
from trimtab.protocols import FeatureStore
from trimtab.serve.body import read_body
from trimtab.serve.control import authorize
from trimtab.serve.decoding import decode
from trimtab.serve.reply import JSON
from trimtab.telemetry import Metrics
from trimtab.wiring.deployment import Deployment
from trimtab.wiring.serving import open_store
from trimtab.wiring.views import served_features

_encode = msgspec.json.Encoder().encode


class PushBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Rows with the view's keys and features; ``time`` names the field of event times."""

    rows: list[dict[str, Any]]
    time: str | None = None


_push = msgspec.json.Decoder(PushBody)


class FeatureDesk:
    """What one worker holds for writing features: each store, opened at its first row."""

    def __init__(self, deployment: Deployment, metrics: Metrics) -> None:
        self._deployment = deployment
        self._metrics = metrics
        self._stores: dict[str, FeatureStore] = {}

    @property
    def routes(self) -> list[BaseRoute]:
        """The routes on features."""
        return [Route("/api/v1/features/{view}", self.push, methods=["POST"])]

    async def close(self) -> None:
        """Release the stores; idempotent."""
        while self._stores:
            _, store = self._stores.popitem()
            await store.close()

    async def push(self, request: Request) -> Response:
        """Write the rows of a request; what was kept, and what was refused and why."""
        config = self._deployment.config
        authorize(request.headers.get("authorization", ""), config.auth)
        body = await read_body(request, config.serve.max_body_bytes)
        asked = decode(_push, body)
        if len(asked.rows) > config.serve.max_rows:
            raise InvalidRequest(
                f"{len(asked.rows):,} rows are more than {config.serve.max_rows:,}.",
                code="too_many_rows",
                path="rows",
                hint="Split the request; the limit is [serve] max_rows.",
            )
        view = request.path_params["view"]
        written = await self._write(view, await run_in_threadpool(self._find, view), asked)
        return Response(_encode(written), media_type=JSON)

    def _find(self, name: str) -> ViewConfig:
        views = served_features(self._deployment).views
        if name not in views:
            raise NotFound(
                f"There is no feature view {name!r}.",
                code="unknown_view",
                hint=f"Views: {', '.join(sorted(views)) or 'none'}.",
            )
        return views[name]

    async def _write(self, name: str, view: ViewConfig, asked: PushBody) -> Written:
        store_name = writable(view, name)
        store = self._stores.get(store_name)
        if store is None:
            store = self._stores.setdefault(store_name, open_store(self._deployment, store_name))
        tally = Tally()
        reader = RowReader(view, self._deployment.clock, asked.time)
        await write_rows(store, name, asked.rows, reader, tally)
        found = tally.written()
        counts = {
            "kept": found.kept,
            "older": found.rows - found.kept - found.refused,
            "refused": found.refused,
        }
        for status, rows in counts.items():
            if rows:
                self._metrics.count("ml_feature_rows_written_total", rows, view=name, status=status)
        return found
