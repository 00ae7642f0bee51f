"""Rows of requests that arrived together are filled in one go: one read a store for all of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from typing import NamedTuple

from trimtab.features.resolver import Filled, Resolver
from trimtab.protocols import Clock, Turn
from trimtab.types import Resolved, Scalar

MOST_ROWS = 16
"""A request of more rows reads for itself: there is little to gain, and others would wait for it."""

MOST_REQUESTS = 64


class _Part:
    """One request's rows among those that are filled together."""

    __slots__ = ("entities", "event_times", "filled", "rows", "start")

    def __init__(
        self,
        rows: Sequence[Sequence[Scalar]],
        entities: Sequence[Mapping[str, str]],
        event_times: Sequence[float],
    ) -> None:
        self.rows = rows
        self.entities = entities
        self.event_times = event_times
        self.filled: Filled | None = None
        self.start = 0


class _Group(NamedTuple):
    """Requests whose rows are filled together, since when, and what lets all but the first go on."""

    began: float
    parts: list[_Part]
    waiting: list[Callable[[], None]]


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
        self._waiting: dict[float, _Group] = {}
        self.whole, self.each = inner.whole, inner.each

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
        part = _Part(rows, entities, event_times)
        group = self._waiting.get(deadline_ms)
        if group is None or len(group.parts) == MOST_REQUESTS:
            group = _Group(self._clock.monotonic(), [part], [])
            await self._lead(group, deadline_ms)
        else:
            group.parts.append(part)
            await self._turn.until(group.waiting)
        filled, start = part.filled, part.start
        if filled is None:  # alone, or whoever led the others was cancelled
            left_ms = self._left_ms(group, deadline_ms)
            return await self._inner.resolve(rows, entities, event_times, left_ms)
        if filled.lacking:
            for row in range(len(rows)):
                if start + row in filled.lacking:
                    raise self._inner.unavailable(filled.lacking[start + row], row)
        return filled.rows[start : start + len(rows)]

    async def _lead(self, group: _Group, deadline_ms: float) -> None:
        """Fill the rows of all who come in this turn, and tell each where its own are."""
        parts = group.parts
        self._waiting[deadline_ms] = group
        try:
            await self._turn.ended()
            self._close(group, deadline_ms)
            if len(parts) == 1:
                return
            filled = await self._inner.fill(
                [*chain.from_iterable([part.rows for part in parts])],
                [*chain.from_iterable([part.entities for part in parts])],
                [*chain.from_iterable([part.event_times for part in parts])],
                self._left_ms(group, deadline_ms),
            )
            start = 0
            for part in parts:
                part.filled, part.start = filled, start
                start += len(part.rows)
        finally:
            self._close(group, deadline_ms)
            for go_on in group.waiting:  # whatever was raised, nobody may wait for ever
                self._turn.soon(go_on)

    def _left_ms(self, group: _Group, deadline_ms: float) -> float:
        return deadline_ms - (self._clock.monotonic() - group.began) * 1e3

    def _close(self, group: _Group, deadline_ms: float) -> None:
        """Let nobody join any more."""
        if self._waiting.get(deadline_ms) is group:
            del self._waiting[deadline_ms]
