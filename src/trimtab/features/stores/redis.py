"""Features in Redis or Valkey: one MGET of packed rows a read, one script a write."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TypeVar

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError, ResponseError

from trimtab.config import Count, Positive, Section, StoreConfig, convert
from trimtab.errors import InvalidConfig, Unavailable
from trimtab.features.flight import Asked, Reply
from trimtab.features.stores.packed import pack, unpack_all
from trimtab.features.stores.redis_cluster import RedisClusterStore
from trimtab.features.stores.redis_keys import WRITE, Keys
from trimtab.features.stores.redis_link import Address, Links, Part, Resolve, Waiting, lookup
from trimtab.protocols import Clock, FeatureStore
from trimtab.types import StoredRow

_CHUNK = 500

Rows = Mapping[str, StoredRow]
_Waiting = TypeVar("_Waiting", bound=Waiting)


class RedisOptions(Section, frozen=True):
    """What ``[features.stores.<name>.options]`` may say.

    ``prefix`` leads every key. Reads share ``links`` connections; ``connections`` bounds the pool that
    writes use. ``timeout_ms`` bounds connecting, pings and each script call of a write; a connection on
    which a reply is overdue for so long is dropped. Reads have the deadline of their caller. With
    ``cluster`` the URL is that of any node of a cluster.
    """

    prefix: str = "trimtab"
    links: Count = 2
    connections: Count = 32
    timeout_ms: Positive = 1_000.0
    cluster: bool = False


def create(config: StoreConfig, state_dir: Path, clock: Clock) -> FeatureStore:  # noqa: ARG001 - every store's form
    """The store at ``url``, for example ``redis://localhost:6379/0``.

    Raises:
        InvalidConfig: the URL or an option cannot be used.
    """
    options = convert(config.options, RedisOptions)
    if options.cluster:
        return RedisClusterStore(config.url, options.prefix, options.timeout_ms / 1e3)
    return RedisStore(config.url, options)


class RedisStore:
    """Rows under the keys ``<prefix>:<view>:<entity>``.

    Args:
        url: ``redis://``, ``rediss://`` or ``unix://``.
        options: Prefix and bounds.
        resolve: Asks the name service; it may never return.

    Raises:
        InvalidConfig: the URL cannot be used.
    """

    def __init__(self, url: str, options: RedisOptions, resolve: Resolve = lookup) -> None:
        self._keys = Keys(options.prefix)
        self._seconds = options.timeout_ms / 1e3
        try:
            self._links = Links(Address(url, resolve), options.links, self._seconds)
            pool = BlockingConnectionPool.from_url(
                url,
                max_connections=options.connections,
                timeout=None,
                socket_timeout=None,
                socket_connect_timeout=self._seconds,
                retry=Retry(NoBackoff(), 0),
                protocol=2,
            )
        except ValueError as wrong:
            raise InvalidConfig(
                f"A redis store cannot use its URL: {wrong}.",
                path="features.stores",
                hint="Write it as redis://host:port/database.",
            ) from wrong
        self._client = Redis.from_pool(pool)
        self._script = self._client.register_script(WRITE)

    def begin_many(self, asked: Sequence[Asked]) -> Sequence[Reply]:
        """Start reads of several views; one MGET, in one round trip."""
        return self._ask(asked, Reply)

    @property
    def linger(self) -> Callable[[], None]:
        """Looks for the reply to what was begun last."""
        return self._links.linger

    async def read(self, view: str, entities: Sequence[str]) -> Rows:
        """The rows of those entities that exist, in order, in one round trip.

        Raises:
            Unavailable: the server cannot be reached or answers nonsense.
        """
        if not entities:
            return {}
        with self._explained():
            (rows,) = self._ask([(view, entities)], asyncio.get_running_loop().create_future)
            found: Rows = await rows
            return found

    async def write(self, view: str, rows: Mapping[str, StoredRow]) -> int:
        """Keep rows unless a newer event is there already; how many were kept.

        Raises:
            Unavailable: the server cannot be reached or refuses; some rows may be kept already.
        """
        keys = self._keys.of(view, rows)
        blobs = [pack(row) for row in rows.values()]
        kept = 0
        for start in range(0, len(keys), _CHUNK):
            chunk = slice(start, start + _CHUNK)
            with self._explained():
                async with asyncio.timeout(self._seconds):
                    kept += int(await self._script(keys=keys[chunk], args=blobs[chunk]))
        return kept

    async def ping(self) -> None:
        """Return if the server answers.

        Raises:
            Unavailable: it does not.
        """
        with self._explained():
            async with asyncio.timeout(self._seconds):
                await self._client.ping()

    async def close(self) -> None:
        """Release the connections; idempotent."""
        await self._links.close()
        await self._client.aclose()

    def _ask(self, asked: Sequence[Asked], waiting: Callable[[], _Waiting]) -> list[_Waiting]:
        command = ["MGET"]
        replies: list[_Waiting] = []
        parts: list[Part] = []
        for view, entities in asked:
            reply = waiting()
            replies.append(reply)
            parts.append((reply, partial(_rows, command, len(command) - 1, entities)))
            command += self._keys.of(view, entities)
        self._links.post(command, parts)
        return replies

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except TimeoutError as late:
            raise self._unavailable(f"no answer within {self._seconds:g} s") from late
        except (RedisError, OSError) as wrong:
            raise self._unavailable(str(wrong) or type(wrong).__name__) from wrong

    def _unavailable(self, reason: str) -> Unavailable:
        return Unavailable(
            f"The feature store in Redis does not work: {reason}.",
            code="store_unavailable",
            hint="Is the server up, and is it the one that the store's url names?",
        )


def _rows(command: Sequence[str], start: int, entities: Sequence[str], blobs: object) -> Rows:
    """The rows of one view in a reply to the whole command, from ``start`` on.

    Raises:
        ResponseError: it is no such reply.
    """
    if not isinstance(blobs, list) or len(blobs) != len(command) - 1:
        message = "the reply is none to MGET"
        raise ResponseError(message)
    if len(entities) < len(blobs):
        blobs = blobs[start : start + len(entities)]
    return unpack_all(entities, blobs)
