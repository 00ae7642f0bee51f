"""Rows of requests that arrived together are filled in one go: one read a store for all of them."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from itertools import chain

from trimtab.features.resolver import Filled, Resolver
from trimtab.protocols import Clock, Turn
from trimtab.types import Resolved, Scalar

MOST_ROWS = 16
"""A request of more rows reads for itself: there is little to gain, and others would wait for it."""

MOST_REQUESTS = 64


Answer = tuple[Filled, int] | None
"""The rows of all and where one's own begin; None leaves it to each to read for itself."""


class _Part:
    """One request's rows among those that are filled together, and who waits for them."""

    __slots__ = ("answer", "entities", "event_times", "rows")

    def __init__(
        self,
        rows: Sequence[Sequence[Scalar]],
        entities: Sequence[Mapping[str, str]],
        event_times: Sequence[float],
        answer: asyncio.Future[Answer] | None,
    ) -> None:
        self.rows = rows
        self.entities = entities
        self.event_times = event_times
        self.answer = answer


class Gathered:
    """A resolver that fills together what requests of one turn of the event loop lack; for one loop.

    The first who asks waits for the end of the turn, and resolves for all who have come until then with
    the same deadline. What passed until then is taken off it.

    Args:
        inner: Fills rows.
        turn: What requests that arrived together share.
        clock: Monotonic time.
    """

    def __init__(self, inner: Resolver, turn: Turn, clock: Clock) -> None:
        self._inner = inner
        self._turn = turn
        self._clock = clock
        self._waiting: dict[float, list[_Part]] = {}
        self.whole = inner.whole

    async def resolve(
        self,
        rows: Sequence[Sequence[Scalar]],
        entities: Sequence[Mapping[str, str]],
        event_times: Sequence[float],
        deadline_ms: float,
    ) -> Sequence[Resolved]:
        """As the inner resolver does, which is asked once for all.

        Raises:
            InvalidRow: a feature without a default that no source has, named.
        """
        if len(rows) > MOST_ROWS:
            return await self._inner.resolve(rows, entities, event_times, deadline_ms)
        began = self._clock.monotonic()
        parts = self._waiting.get(deadline_ms)
        if parts is None or len(parts) == MOST_REQUESTS:
            first = _Part(rows, entities, event_times, None)
            answer = await self._lead(first, began, deadline_ms)
        else:
            future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
            parts.append(_Part(rows, entities, event_times, future))
            answer = await future
        if answer is None:  # alone, or whoever led the others was cancelled
            left_ms = deadline_ms - (self._clock.monotonic() - began) * 1e3
            return await self._inner.resolve(rows, entities, event_times, left_ms)
        filled, start = answer
        if filled.lacking:
            for row in range(len(rows)):
                if start + row in filled.lacking:
                    raise self._inner.unavailable(filled.lacking[start + row], row)
        return filled.rows[start : start + len(rows)]

    async def _lead(self, first: _Part, began: float, deadline_ms: float) -> Answer:
        """Fill the rows of all who come in this turn, and give each their own."""
        parts = self._waiting[deadline_ms] = [first]
        try:
            await self._turn.ended()
            self._close(parts, deadline_ms)
            if len(parts) == 1:
                return None
            left_ms = deadline_ms - (self._clock.monotonic() - began) * 1e3
            filled = await self._inner.fill(
                [*chain.from_iterable([part.rows for part in parts])],
                [*chain.from_iterable([part.entities for part in parts])],
                [*chain.from_iterable([part.event_times for part in parts])],
                left_ms,
            )
            start = 0
            for part in parts:
                if part.answer is not None and not part.answer.done():
                    part.answer.set_result((filled, start))
                start += len(part.rows)
        finally:
            self._close(parts, deadline_ms)
            for part in parts:  # whatever was raised, nobody may wait for ever
                if part.answer is not None and not part.answer.done():
                    part.answer.set_result(None)
        return filled, 0

    def _close(self, parts: Sequence[_Part], deadline_ms: float) -> None:
        """Let nobody join any more."""
        if self._waiting.get(deadline_ms) is parts:
            del self._waiting[deadline_ms]
