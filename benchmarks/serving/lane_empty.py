"""Trimtab's own server around nothing: ``lane_empty.py PORT [SPIN]`` answers predictions in the lane without reading them.

With SPIN the core is kept busy for so many seconds with each turn's requests, as a model would.
"""

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
    def __init__(self, spin_seconds: float) -> None:
        self._spin_seconds = spin_seconds

    async def predict(self, *_: object) -> Reply:
        return EMPTY

    async def together(self, _: str, sent: Sequence[object]) -> Sequence[Reply]:
        until = time.perf_counter() + self._spin_seconds
        while time.perf_counter() < until:
            pass
        return [EMPTY] * len(sent)

    features_together = tensors_together = together

    async def infer(self, *_: object) -> Reply:
        return EMPTY

    def shed(self, *_: object) -> Reply:
        return Reply(503, b"")


def main() -> None:
    spin_seconds = float(sys.argv[2]) if len(sys.argv) > 2 else 0.0
    config = ServeConfig(max_wait_ms=60_000)  # a busy machine refuses nothing

    def later(seconds: float, call: object) -> object:
        return asyncio.get_running_loop().call_later(seconds, call)  # type: ignore[arg-type]

    turns, metrics = Turns(), Metrics()
    connections = Connections(config, time.monotonic, metrics, later)
    line = Line(Turnstile(config, time.monotonic, metrics, turns.soon), turns)
    http = lane(Empty(spin_seconds), config.max_body_bytes, connections, turns, line)
    uvicorn.run(Starlette(), http=http, port=int(sys.argv[1]), log_config=None, access_log=False)


if __name__ == "__main__":
    main()
