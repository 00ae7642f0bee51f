"""What clients of `trimtab serve` see while its Redis is killed and started again, over HTTP."""

from __future__ import annotations

import asyncio
import json
import math
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from pathlib import Path
from threading import Timer

from served import PATH, served
from support import RedisServer, rows_of

from trimtab.features.stores.redis import RedisOptions, RedisStore
from trimtab.features.stores.sqlite import SqliteStore
from trimtab.protocols import FeatureStore

CLIENTS = 8
SECONDS = 12.0
DIES_AT, BACK_AT = 3.0, 7.0
ENTITIES = 1_000

Answer = tuple[float, float, str]
"""When it came, how long it took from when it was due in ms, and its sources; none if it failed."""


def keep_asking(port: int, number: int, requests: int, began: float) -> list[Answer]:
    """One client of many, at a steady rate; a request is timed from when it was due."""
    line, seen = HTTPConnection("127.0.0.1", port), []
    each = SECONDS / requests
    for turn in range(requests):
        due = began + (turn + number / CLIENTS) * each
        time.sleep(max(0.0, due - time.perf_counter()))  # noqa: TID251 - a rate in real time
        entity = f"e{(number * 131 + turn) % ENTITIES}"
        body = json.dumps({"features": {"user": entity}})
        sources = ""
        try:
            line.request("POST", PATH, body, {"content-type": "application/json"})
            reply = line.getresponse()
            told = reply.read()
            if reply.status == 200:
                sources = json.loads(told)["predictions"][0]["sources"]
        except OSError:
            line.close()
        now = time.perf_counter()
        seen.append((now, (now - due) * 1e3, sources))
    line.close()
    return seen


async def fill(store: FeatureStore, plus: float = 0.0) -> None:
    await store.write("numbers", rows_of(ENTITIES, plus))
    await store.close()


def again(server: RedisServer, back: list[float]) -> None:
    """Start Redis with its rows, and note when it was whole."""
    server.start_again()
    asyncio.run(fill(RedisStore(server.url, RedisOptions())))
    back.append(time.perf_counter())


def recovery(requests: int, breaker_seconds: float) -> dict[str, object]:
    """A line of the table of faults."""
    back: list[float] = []
    settings = f"breaker_seconds = {breaker_seconds}"
    with RedisServer() as server, tempfile.TemporaryDirectory() as folder:
        asyncio.run(fill(RedisStore(server.url, RedisOptions())))
        state = Path(folder) / "trimtab" / "state"
        with served(state.parent, server.url, batch=True, settings=settings) as (port, _):
            asyncio.run(fill(SqliteStore(state / "features.sqlite"), plus=1_000.0))
            keep_asking(port, 0, 200, time.perf_counter() - SECONDS)
            began = time.perf_counter()
            died = began + DIES_AT
            timers = [Timer(DIES_AT, server.kill), Timer(BACK_AT, again, (server, back))]
            for timer in timers:
                timer.start()
            with ThreadPoolExecutor(CLIENTS) as pool:
                asking = [
                    pool.submit(keep_asking, port, number, requests // CLIENTS, began)
                    for number in range(CLIENTS)
                ]
            seen = sorted(answer for client in asking for answer in client.result())
            for timer in timers:
                timer.join()
    (whole,) = back
    down = [one for one in seen if died <= one[0] <= whole]
    took = sorted(ms for _, ms, _ in down)
    codes = "".join(sources for _, _, sources in down)
    late = max((at for at, _, sources in seen if set(sources) != {"r"}), default=-math.inf)
    calm = sorted(ms for at, ms, _ in seen if at < died)
    return {
        "fault": "killed and started again, over HTTP",
        "requests": len(seen),
        "failed": sum(not sources for _, _, sources in seen),
        "p50_ms": round(took[len(took) // 2], 2),
        "p99_ms": round(took[int(len(took) * 0.99)], 1),
        "max_ms": round(took[-1], 1),
        "sources": {code: round(codes.count(code) / len(codes), 4) for code in sorted(set(codes))},
        "wrong_sources": sum(code not in "rb" for code in codes),
        "breaker": [True, late < seen[-1][0]],
        "back_seconds": round(max(0.0, late - whole), 2),
        "other_p99_ms": [
            round(calm[int(len(calm) * 0.99)], 2),
            round(took[int(len(took) * 0.99)], 2),
        ],
        "after": {},
    }
