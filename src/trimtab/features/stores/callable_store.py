"""Features from any function: what a team has already that answers rows by entity."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from inspect import isawaitable, iscoroutinefunction
from pathlib import Path

from trimtab import plugins
from trimtab.config import StoreConfig
from trimtab.errors import InvalidConfig, Refused
from trimtab.features.threads import DaemonPool
from trimtab.protocols import Clock
from trimtab.types import Scalar, StoredRow

Answer = Mapping[str, StoredRow | Mapping[str, Scalar]]
Function = Callable[[str, Sequence[str]], Answer | Awaitable[Answer]]


def create(config: StoreConfig, state_dir: Path, clock: Clock) -> CallableStore:  # noqa: ARG001 - every store's form
    """The store behind the function that ``url`` names, as ``package.module:function``.

    Raises:
        InvalidConfig: it does not exist or cannot be called.
    """
    function = plugins.by_path(config.url)
    if not callable(function):
        raise InvalidConfig(
            f"{config.url!r} cannot be called.",
            path="features.stores",
            hint="Name a function of a view and its entities.",
        )
    return CallableStore(function, clock)


class CallableStore:
    """Asks ``function(view, entities)``, async or not, for a mapping from entities to rows.

    A row is a :class:`~trimtab.types.StoredRow`, or a plain mapping of values, which is as old as
    the read. A function that is not ``async`` runs in a thread.

    Args:
        function: The function.
        clock: Wall time, for rows without an event time.
    """

    def __init__(self, function: Function, clock: Clock) -> None:
        self._function = function
        self._clock = clock
        self._pool = (
            None
            if iscoroutinefunction(function)
            else DaemonPool("callable", lambda _: None, threads=16)
        )

    async def read(self, view: str, entities: Sequence[str]) -> Mapping[str, StoredRow]:
        """The rows of those entities that the function answers, in order."""
        if not entities:
            return {}
        answer = await self._ask(view, list(entities))
        now = self._clock.now()
        found: dict[str, StoredRow] = {}
        for entity in entities:
            row = answer.get(entity)
            if isinstance(row, StoredRow):
                found[entity] = row
            elif row is not None:
                found[entity] = StoredRow(values=dict(row), event_time=now)
        return found

    async def write(self, view: str, rows: Mapping[str, StoredRow]) -> int:
        """Refuse: a function is asked, not written to.

        Raises:
            Refused: always.
        """
        raise Refused(
            f"{len(rows)} rows of the view {view!r} cannot be written to a function.",
            code="store_read_only",
            hint="Write to what the function reads from.",
        )

    async def ping(self) -> None:
        """It is there; whether it answers is seen when it is asked."""

    async def close(self) -> None:
        """Let the threads end; idempotent."""
        if self._pool is not None:
            self._pool.close()

    async def _ask(self, view: str, entities: Sequence[str]) -> Answer:
        if self._pool is None:
            answer = self._function(view, entities)
        else:
            future = self._pool.submit(self._function, view, entities)
            try:
                answer = await asyncio.wrap_future(future)
            except asyncio.CancelledError:
                self._pool.give_up(future)
                raise
        return await answer if isawaitable(answer) else answer
