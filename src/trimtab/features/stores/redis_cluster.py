"""Features in a Redis or Valkey cluster: one pipelined round trip to each node that has some of the keys."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import accumulate

from redis.asyncio.cluster import RedisCluster
from redis.exceptions import RedisError

from trimtab.errors import InvalidConfig, Unavailable
from trimtab.features.flight import Asked, Rows, share
from trimtab.features.stores.packed import pack, unpack_all
from trimtab.features.stores.redis_keys import WRITE, Keys
from trimtab.types import StoredRow

_CHUNK = 500


class RedisClusterStore:
    """Rows under the same keys as in a single server, spread over the nodes by their slots.

    Args:
        url: Of any node; the others are found from there.
        prefix: Leads every key.
        seconds: Bounds connecting, pings and each step of a write.

    Raises:
        InvalidConfig: the URL cannot be used.
    """

    def __init__(self, url: str, prefix: str, seconds: float) -> None:
        self._keys = Keys(prefix)
        self._seconds = seconds
        try:
            self._client = RedisCluster.from_url(
                url, socket_connect_timeout=seconds, socket_timeout=None, protocol=2
            )
        except (ValueError, RedisError) as wrong:
            raise InvalidConfig(
                f"A redis store cannot use its URL: {wrong}.",
                path="features.stores",
                hint="Write it as redis://host:port, without a database: a cluster has one.",
            ) from wrong

    def begin_many(self, asked: Sequence[Asked]) -> Sequence[asyncio.Future[Rows]]:
        """Start reads of several views; one round trip to each node."""
        return share(self._read_many(asked), len(asked))

    async def read(self, view: str, entities: Sequence[str]) -> Rows:
        """The rows of those entities that exist, in order.

        Raises:
            Unavailable: a node cannot be reached or answers nonsense.
        """
        return (await self._read_many([(view, entities)]))[0] if entities else {}

    async def write(self, view: str, rows: Mapping[str, StoredRow]) -> int:
        """Keep rows unless a newer event is there already; how many were kept.

        Raises:
            Unavailable: a node cannot be reached or refuses; some rows may be kept already.
        """
        keys = self._keys.of(view, rows)
        blobs = [pack(row) for row in rows.values()]
        kept = 0
        for start in range(0, len(keys), _CHUNK):
            with self._explained():
                async with asyncio.timeout(self._seconds):
                    pipeline = self._client.pipeline()
                    for key, blob in zip(
                        keys[start : start + _CHUNK], blobs[start : start + _CHUNK], strict=True
                    ):
                        pipeline.execute_command("EVAL", WRITE, 1, key, blob)
                    kept += sum(map(int, await pipeline.execute()))
        return kept

    async def ping(self) -> None:
        """Return if a node answers.

        Raises:
            Unavailable: none does.
        """
        with self._explained():
            async with asyncio.timeout(self._seconds):
                await self._client.ping()

    async def close(self) -> None:
        """Release the connections; idempotent."""
        await self._client.aclose()

    async def _read_many(self, asked: Sequence[Asked]) -> Sequence[Rows]:
        with self._explained():
            pipeline = self._client.pipeline()
            for view, entities in asked:
                for key in self._keys.of(view, entities):
                    pipeline.get(key)
            blobs = await pipeline.execute()
        ends = accumulate(len(entities) for _, entities in asked)
        return [
            unpack_all(entities, blobs[end - len(entities) : end])
            for (_, entities), end in zip(asked, ends, strict=True)
        ]

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except TimeoutError as late:
            raise _unavailable(f"no answer within {self._seconds:g} s") from late
        except (RedisError, OSError) as wrong:
            raise _unavailable(str(wrong) or type(wrong).__name__) from wrong


def _unavailable(reason: str) -> Unavailable:
    return Unavailable(
        f"The feature store in the Redis cluster does not work: {reason}.",
        code="store_unavailable",
        hint="Are all nodes up, and do they know each other?",
    )
