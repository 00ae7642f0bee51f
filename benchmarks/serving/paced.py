"""An open load, a process of its own: ``paced.py PORT PATH CONNECTIONS SECONDS BODIES RATE [RETRY_AFTER]``.

Requests are due at a fixed rate whatever the server does; each takes an idle connection, up to so many. After a
refusal a connection stays idle for RETRY_AFTER seconds, 0 if not given: a client that does as it is told.
Latencies count from when a request was due. Prints a line of JSON: answers and refusals (503) a second,
latencies of answers in milliseconds, also from when they were sent (``sent_p99_ms``), how late that was (``late_p99_ms``) and for
which part of the time this process waited for its core (``held_up``), the median of the p99 of tenths of a second
(``tenth_p99_ms``: what holds up a core once a second is in few of them), requests that found no connection
(``starved``), the time after which all answers of a tenth of a second took less than 50 ms (``settled_s``), and the
share of a core that it took.
"""

from __future__ import annotations

import asyncio
import gc
import json
import sys
import time
from collections.abc import Sequence
from itertools import cycle
from pathlib import Path
from typing import cast

import numpy as np
import uvloop
from numpy.typing import NDArray

CALM_MS = 50.0
Floats = NDArray[np.float64]


class Connection(asyncio.Protocol):
    def __init__(self, load: Load) -> None:
        self._load = load
        self._buffer = b""
        self._due = self._sent = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def ask(self, request: bytes, due: float) -> None:
        self._due, self._sent = due, time.perf_counter()
        self.transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head = self._buffer.find(b"\r\n\r\n")
        if head < 0:
            return
        at = self._buffer.lower().index(b"content-length:", 0, head + 2) + 15
        length = int(self._buffer[at : self._buffer.index(b"\r", at)])
        if len(self._buffer) < head + 4 + length:
            return
        status, self._buffer = self._buffer[9:12], b""
        if self._load.answered(status, self._due, self._sent):
            self._load.idle.append(self)
        else:
            asyncio.get_running_loop().call_later(
                self._load.retry_after, self._load.idle.append, self
            )

    def connection_lost(self, _: Exception | None) -> None:
        self._load.lost(self)


class Load:
    def __init__(
        self, port: int, most: int, requests: list[bytes], retry_after: float = 0.0
    ) -> None:
        self.retry_after = retry_after
        self._port, self._most = port, most
        self._requests = cycle(requests)
        self.idle: list[Connection] = []
        self.taken: list[tuple[float, float, float]] = []
        self.until_refused: list[float] = []
        self.refused = self.starved = self.other = self.open = 0

    def answered(self, status: bytes, due: float, sent: float) -> bool:
        """Note an answer; whether its connection may ask again at once."""
        now = time.perf_counter()
        if status == b"200":
            self.taken.append((now, now - due, now - sent))
        elif status == b"503":
            self.refused += 1
            self.until_refused.append(now - due)
            return not self.retry_after
        else:
            self.other += 1
        return True

    def lost(self, connection: Connection) -> None:
        self.open -= 1
        if connection in self.idle:
            self.idle.remove(connection)

    async def run(self, rate: float, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        for _ in range(self._most):
            _, connection = await loop.create_connection(
                lambda: Connection(self), "127.0.0.1", self._port
            )
            self.idle.append(connection)
        self.open = self._most
        self._held_up = core_wait_seconds()
        began, sent = time.perf_counter(), 0
        while (now := time.perf_counter()) - began < seconds:
            while sent < (now - began) * rate:
                sent += 1
                if self.idle:
                    self.idle.pop().ask(next(self._requests), began + (sent - 1) / rate)
                else:
                    self.starved += 1
            await asyncio.sleep(0.0005)
        await asyncio.sleep(1)  # for what is still on its way
        self.show(began, seconds)

    def show(self, began: float, seconds: float) -> None:
        when = np.array([at - began for at, _, _ in self.taken])
        ms = np.array([took for _, took, _ in self.taken]) * 1e3
        since_sent = np.array([took for _, _, took in self.taken]) * 1e3
        slow = when[ms > CALM_MS]
        print(
            json.dumps(
                {
                    "per_second": float((when < seconds).sum() / seconds),
                    "refused_per_second": self.refused / seconds,
                    "starved": self.starved,
                    "other": self.other,
                    "refused_p99_ms": percentile(self.until_refused, 99) * 1e3,
                    "p50_ms": percentile(ms, 50),
                    "p99_ms": percentile(ms, 99),
                    "tenth_p99_ms": tenth_p99(when - ms / 1e3, ms),
                    "sent_p50_ms": percentile(since_sent, 50),
                    "sent_p99_ms": percentile(since_sent, 99),
                    "late_p99_ms": percentile(ms - since_sent, 99),
                    "held_up": (core_wait_seconds() - self._held_up) / seconds,
                    "settled_s": float(slow.max()) if len(slow) else 0.0,
                    "busy": time.process_time() / (time.perf_counter() - began),
                }
            )
        )


def tenth_p99(due: Floats, ms: Floats) -> float:
    """Median over tenths of a second of the p99 of what was due in each."""
    tenths = (due * 10).astype(int)
    return percentile([percentile(ms[tenths == one], 99) for one in np.unique(tenths)], 50)


def percentile(found: Sequence[float] | Floats, percent: float) -> float:
    """A percentile, 0 of nothing."""
    return float(np.percentile(found, percent)) if len(found) else 0.0


def core_wait_seconds() -> float:
    """How long this process has waited for its core while others ran on it."""
    return int(Path("/proc/self/schedstat").read_text().split()[1]) / 1e9


if __name__ == "__main__":
    sent = [
        f"POST {sys.argv[2]} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n".encode()
        + body
        for body in Path(sys.argv[5]).read_bytes().splitlines()
    ]
    gc.disable()  # nothing here goes round in circles, and a collection would count as the server's delay
    told = float(sys.argv[7]) if len(sys.argv) > 7 else 0.0
    load = Load(int(sys.argv[1]), int(sys.argv[3]), sent, told)
    uvloop.run(load.run(float(sys.argv[6]), float(sys.argv[4])))
