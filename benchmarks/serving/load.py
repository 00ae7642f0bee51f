"""The load generator, a process of its own: ``load.py PORT PATH CONNECTIONS SECONDS BODIES``.

Each connection sends the next request as soon as the answer to its last is there. Prints a line of JSON;
``busy`` is the share of a core that the generator took: near 1 it was the generator that was measured.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Iterator
from itertools import cycle
from pathlib import Path
from typing import cast

import numpy as np
import uvloop


class Connection(asyncio.Protocol):
    """Sends and counts. Of an answer only the head is looked at; what follows is not even put together."""

    def __init__(self, requests: Iterator[bytes], taken: list[float], until: float) -> None:
        self._requests, self._taken, self._until = requests, taken, until
        self._head = b""
        self._missing = 0
        self.failed = ""
        self.done = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._send()

    def _send(self) -> None:
        self._began = time.perf_counter()
        self._transport.write(next(self._requests))

    def data_received(self, data: bytes) -> None:
        if self._missing:
            self._missing -= len(data)
        else:
            data = self._head + data
            end = data.find(b"\r\n\r\n") + 4
            if end < 4:
                self._head = data
                return
            head, self._head = data[:end].lower(), b""
            at = head.index(b"content-length:") + 15
            self._missing = int(head[at : head.index(b"\r", at)]) - (len(data) - end)
            if head[9:12] != b"200":
                self.failed = data.decode(errors="replace")
        if self._missing:
            return
        now = time.perf_counter()
        self._taken.append(now - self._began)
        if now < self._until and not self.failed:
            self._send()
        else:
            self._transport.close()

    def connection_lost(self, _: Exception | None) -> None:
        if not self.done.done():
            self.done.set_result(None)


async def load(port: int, path: str, connections: int, seconds: float, bodies: list[bytes]) -> None:
    requests = cycle(
        [
            f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n\r\n".encode()
            + body
            for body in bodies
        ]
    )
    taken: list[float] = []
    loop = asyncio.get_running_loop()
    began, busy = time.perf_counter(), time.process_time()
    opened = [
        await loop.create_connection(
            lambda: Connection(requests, taken, began + seconds), "127.0.0.1", port
        )
        for _ in range(connections)
    ]
    for _, connection in opened:
        await connection.done
    wall = time.perf_counter() - began
    for _, connection in opened:
        if connection.failed:
            raise SystemExit(connection.failed)
    p50, p99 = np.percentile(taken, [50, 99]) * 1e3
    print(
        json.dumps(
            {
                "per_second": len(taken) / wall,
                "p50_ms": float(p50),
                "p99_ms": float(p99),
                "busy": (time.process_time() - busy) / wall,
            }
        )
    )


if __name__ == "__main__":
    uvloop.run(
        load(
            int(sys.argv[1]),
            sys.argv[2],
            int(sys.argv[3]),
            float(sys.argv[4]),
            Path(sys.argv[5]).read_bytes().splitlines(),
        )
    )
