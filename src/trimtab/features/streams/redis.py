"""Feature events from a Redis Stream, at least once, through a consumer group."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import RedisError, ResponseError

from trimtab.errors import InvalidConfig, Unavailable
from trimtab.features.streams import Intake, StreamOptions

FIELD = b"row"

Entry = tuple[bytes, Mapping[bytes, bytes]]


class RedisStream:
    """Writes a stream's events to a store and acknowledges them after that.

    An entry has one field, ``row``, with a JSON object: the view's keys, its features, and the event
    time. Entries are delivered at least once: one that is delivered twice changes nothing, because the
    store keeps the newest event of each entity. One that cannot be stored at all is moved to the stream
    ``<stream>:refused`` with the reason.

    Args:
        options: Server, stream, group and bounds.
        intake: Where its events go.

    Raises:
        InvalidConfig: the URL cannot be used.
    """

    def __init__(self, options: StreamOptions, intake: Intake) -> None:
        self._options = options
        self._intake = intake
        try:
            self._client = Redis.from_url(options.url, protocol=2)
        except ValueError as wrong:
            raise InvalidConfig(
                f"A stream cannot use this URL: {wrong}.",
                hint="Write it as redis://host:port/database.",
            ) from wrong

    async def run(self, stop: asyncio.Event, *, until_empty: bool = False) -> None:
        """Consume until ``stop`` is set, or until nothing waits.

        Raises:
            Unavailable: the stream or the store cannot be reached; nothing is lost, run it again.
        """
        await self._join()
        async for entries in self._batches(stop, until_empty=until_empty):
            await self._take(entries)

    async def close(self) -> None:
        """Release the connection; idempotent."""
        await self._client.aclose()

    async def _join(self) -> None:
        """Make the group if it is not there; it begins at the stream's oldest entry."""
        options = self._options
        with _explained(options.stream):
            try:
                await self._client.xgroup_create(options.stream, options.group, "0", mkstream=True)
            except ResponseError as known:
                if "BUSYGROUP" not in str(known):
                    raise

    async def _batches(
        self, stop: asyncio.Event, *, until_empty: bool
    ) -> AsyncIterator[list[Entry]]:
        """What others left behind, then what is new, over and over."""
        while not stop.is_set():
            with _explained(self._options.stream):
                entries = await self._claimed() or await self._new(wait=not until_empty)
            if entries:
                yield entries
            elif until_empty:
                return

    async def _claimed(self) -> list[Entry]:
        options = self._options
        answer: Any = await self._client.xautoclaim(
            options.stream,
            options.group,
            options.consumer,
            min_idle_time=int(options.claim_seconds * 1e3),
            start_id="0-0",
            count=options.batch_rows,
        )
        return [(name, fields or {}) for name, fields in answer[1]]

    async def _new(self, *, wait: bool) -> list[Entry]:
        options = self._options
        answer: Any = await self._client.xreadgroup(
            options.group,
            options.consumer,
            {options.stream: ">"},
            count=options.batch_rows,
            block=options.block_ms if wait else None,
        )
        return [(name, fields or {}) for _, entries in answer or () for name, fields in entries]

    async def _take(self, entries: list[Entry]) -> None:
        """Store a batch, put aside what cannot be stored, then acknowledge all of it."""
        refused = await self._intake.take(
            (name.decode(), fields.get(FIELD, b"")) for name, fields in entries
        )
        options = self._options
        with _explained(options.stream):
            async with self._client.pipeline(transaction=True) as pipe:
                for place, reason in refused:
                    name, fields = entries[place]
                    told: dict[Any, Any] = {**fields, b"reason": reason.encode(), b"entry": name}
                    pipe.xadd(f"{options.stream}:refused", told)
                pipe.xack(options.stream, options.group, *(name for name, _ in entries))
                await pipe.execute()


@contextmanager
def _explained(stream: str) -> Iterator[None]:
    try:
        yield
    except (RedisError, OSError) as wrong:
        raise Unavailable(
            f"The stream {stream!r} does not work: {str(wrong).rstrip('.') or type(wrong).__name__}.",
            code="stream_unavailable",
            hint="Is the server up, and does it have this stream? Redis 6.2 or newer is needed.",
        ) from wrong
