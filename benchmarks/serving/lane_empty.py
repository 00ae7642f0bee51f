"""Trimtab's own server around nothing: ``lane_empty.py PORT`` answers predictions in the lane without reading them."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Sequence

import uvicorn
from starlette.applications import Starlette

from trimtab.config import ServeConfig
from trimtab.serve.connections import Connections
from trimtab.serve.lane.protocol import lane
from trimtab.serve.line import Line
from trimtab.serve.overload import Turnstile
from trimtab.serve.reply import Reply
from trimtab.serve.turns import Turns
from trimtab.telemetry import Metrics

EMPTY = Reply(200, b"{}")


class Empty:
    async def predict(self, *_: object) -> Reply:
        return EMPTY

    async def together(self, _: str, sent: Sequence[object]) -> Sequence[Reply]:
        return [EMPTY] * len(sent)

    features_together = tensors_together = together

    async def infer(self, *_: object) -> Reply:
        return EMPTY

    def shed(self, *_: object) -> Reply:
        return Reply(503, b"")


def main() -> None:
    config = ServeConfig()

    def later(seconds: float, call: object) -> object:
        return asyncio.get_running_loop().call_later(seconds, call)  # type: ignore[arg-type]

    turns, metrics = Turns(), Metrics()
    connections = Connections(config, time.monotonic, metrics, later)
    line = Line(Turnstile(config, time.monotonic, metrics, turns.soon), turns)
    http = lane(Empty(), config.max_body_bytes, connections, turns, line)
    uvicorn.run(Starlette(), http=http, port=int(sys.argv[1]), log_config=None, access_log=False)


if __name__ == "__main__":
    main()
