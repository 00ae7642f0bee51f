"""Plain requests of a turn are gathered, and answered together at its end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from typing import Any, NamedTuple, Protocol

from trimtab.serve.lane.driving import Broken, Driven
from trimtab.serve.plain import Alone
from trimtab.serve.reply import Reply
from trimtab.serve.turns import Turns

Together = Callable[
    [str, Sequence[tuple[bytes, float]]], Coroutine[Any, Any, Sequence[Reply | Alone]]
]
"""Answers bodies of one model, each with its time in monotonic seconds."""


class Plain(NamedTuple):
    """What answers a request together with others of its kind, and the model that they ask."""

    together: Together
    model: str


class Waiting(Protocol):
    """A request that waits for its answer."""

    body: bytearray | bytes
    arrived: float

    def ask(self, prediction_id: str | None = None) -> None:
        """Answer it alone."""
        ...

    def end(self, reply: Reply | Broken) -> None:
        """Give the answer."""
        ...


class Gatherer:
    """Gathers requests by what they ask until the turn ends.

    Args:
        turns: The turns of the loop.
    """

    def __init__(self, turns: Turns) -> None:
        self._turns = turns
        self._tasks: set[asyncio.Task[Any]] = set()
        self._waiting: dict[Plain, list[Waiting]] = {}

    def take(self, asked: Plain, request: Waiting) -> None:
        """Gather a request."""
        if not self._waiting:
            self._turns.soon(self._answer)
        self._waiting.setdefault(asked, []).append(request)

    def _answer(self) -> None:
        gathered, self._waiting = self._waiting, {}
        for (together, model), waiting in gathered.items():
            work = together(model, [(bytes(one.body), one.arrived) for one in waiting])
            Driven(work, self._turns, self._tasks, partial(_replied, waiting)).go_on()


def _replied(waiting: Sequence[Waiting], replies: Sequence[Reply | Alone] | Broken) -> None:
    if isinstance(replies, Broken):
        for one in waiting:
            one.end(replies)
        return
    for one, reply in zip(waiting, replies, strict=True):
        if isinstance(reply, Reply):
            one.end(reply)
        else:
            one.ask(reply.prediction_id)
