"""Beside Feast with the same Redis: 20 features of one entity and of 100, and requests a second.

Feast runs in an environment of its own. Its feature server is compared over HTTP with `trimtab serve`, each
with one worker and asked by the same client: ours also runs a model on what it read and writes the journal,
and answers with all values and their sources. The rate of the feature step alone, in process, stands beside.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import uvloop
from http_client import rate
from served import PATH, served
from support import (
    NAMES,
    RedisServer,
    SystemTime,
    alternating,
    free_port,
    numbers_config,
    resolver,
    rows_of,
)

from trimtab.config import StoreConfig
from trimtab.features.guard import Guard
from trimtab.features.stores import redis
from trimtab.telemetry import Metrics

ROOT = Path(__file__).parents[2]
AT_A_TIME = 8
REQUESTS = 20_000


async def ours(server: RedisServer) -> dict[str, float]:
    store = redis.create(StoreConfig(kind="redis", url=server.url), Path(), SystemTime())
    await store.write("numbers", rows_of(1_000))
    clock, metrics, config = SystemTime(), Metrics(), numbers_config()
    model = resolver(
        config, {"online": Guard("online", store, metrics, clock, config)}, metrics, clock
    )

    async def ask(count: int) -> object:
        missing = [[None] * len(NAMES) for _ in range(count)]
        entities = [{"user": f"e{at}"} for at in range(count)]
        return await model.resolve(missing, entities, [10.0] * count, 100.0)

    async def keep_asking(number: int) -> None:
        for turn in range(REQUESTS // AT_A_TIME):
            missing = [[None] * len(NAMES)]
            entity = f"e{(number * 100 + turn) % 1_000}"
            await model.resolve(missing, [{"user": entity}], [10.0], 100.0)

    medians = await alternating({"one": lambda: ask(1), "hundred": lambda: ask(100)}, 10, 50)
    began = time.perf_counter()
    await asyncio.gather(*(keep_asking(number) for number in range(AT_A_TIME)))
    medians["rate"] = REQUESTS / (time.perf_counter() - began)
    await store.close()
    return medians


def over_http(server: RedisServer, folder: Path) -> dict[str, float]:
    """Answers a second of one worker over HTTP, values and sources included."""
    with served(folder, server.url) as port:
        rows = [{"features": {"user": f"e{at}"}} for at in range(100)]
        return {
            name: rate(sys.executable, port, PATH, {"rows": asked, "provenance": True}, AT_A_TIME)
            for name, asked in (("one", rows[:1]), ("hundred", rows))
        }


def main() -> None:
    made = subprocess.run(
        [ROOT / "scripts" / "peer-env.sh", "feast"], check=True, stdout=subprocess.PIPE, text=True
    )
    with RedisServer() as server, tempfile.TemporaryDirectory() as folder:
        mine = uvloop.run(ours(server))
        served_rates = over_http(server, Path(folder) / "trimtab")
        peer = Path(__file__).with_name("feast_peer.py")
        ran = subprocess.run(
            [made.stdout.strip(), peer, folder, str(server.port), str(free_port()), sys.executable],
            check=True,
            stdout=subprocess.PIPE,
            text=True,
        )
    theirs = json.loads(ran.stdout.splitlines()[-1])
    for name in ("one", "hundred"):
        for online in ("redis", "sqlite"):
            taken = theirs[online][name]
            print(
                f"20 features of {name}: trimtab {mine[name] * 1e6:.0f} us on Redis, Feast on {online} "
                f"{taken * 1e6:.0f} us: {taken / mine[name]:.0f} x   aim >= 10"
            )
    for name, count in (("one", 1), ("hundred", 100)):
        mine_rate, theirs_rate = served_rates[name], theirs["server"][name]
        print(
            f"requests of {count} a second over HTTP, {AT_A_TIME} at a time, one worker: trimtab serve "
            f"{mine_rate:,.0f}, Feast's feature server {theirs_rate:,.0f}: "
            f"{mine_rate / theirs_rate:.1f} x   aim >= 20"
        )
    theirs_rate = theirs["server"]["one"]
    print(
        f"the feature step alone, in process, without HTTP: {mine['rate']:,.0f}: {mine['rate'] / theirs_rate:.0f} x"
    )


if __name__ == "__main__":
    main()
