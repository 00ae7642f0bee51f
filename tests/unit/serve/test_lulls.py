"""When a busy loop waits before it answers: a loop of made-up prices on a clock that the test owns."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from trimtab.config import ServeConfig
from trimtab.serve.line import Line
from trimtab.serve.lulls import FEW, LULL_SECONDS, Block, Lulls, pay
from trimtab.serve.overload import Turnstile
from trimtab.serve.turns import Turns
from trimtab.telemetry import Metrics
from trimtab.testing import FakeClock


class Loop:
    """A worker whose turns take so long, and so much more for each request."""

    def __init__(self, *, turn: float = 50e-6, each: float = 23e-6, lulls: bool = True) -> None:
        self.now = self.ran = 0.0
        self.turns = self.answered = self.slept = 0
        self._turn, self._each, self._with_lulls = turn, each, lulls
        self._lulls = Lulls(ran=lambda: self.ran, sleep=self._sleep)

    def _sleep(self, seconds: float) -> None:
        self.now += 1.5 * seconds  # as long as the kernel takes
        self.slept += 1

    def work(self, seconds: float) -> None:
        self.now += seconds
        self.ran += seconds

    def wait_until(self, at: float) -> None:
        self.now = max(self.now, at)

    def serve(self, waiting: Callable[[float], int]) -> int:
        """A turn: how many it answered of those who waited by then."""
        if self._with_lulls and self._lulls.waited(waiting(self.now)):
            assert not self._lulls.waited(waiting(self.now))
        taken = waiting(self.now)
        self.work(self._turn + taken * self._each)
        self.turns += 1
        self.answered += taken
        self._lulls.answered(taken, self.now)
        return taken


def open_load(loop: Loop, rate: float, seconds: float, seed: int | None = None) -> None:
    """Requests at a rate, whatever the loop does; evenly, or as it happens."""
    chance = random.Random(seed)  # noqa: S311 - arrivals, not secrets
    until, due = loop.now + seconds, [loop.now]

    def waiting(now: float) -> int:
        while due[-1] <= now:
            due.append(due[-1] + (chance.expovariate(rate) if seed is not None else 1 / rate))
        return len(due) - 1

    while loop.now < until:
        loop.wait_until(due[0])
        del due[: loop.serve(waiting)]


def closed_load(loop: Loop, connections: int, seconds: float, think: float = 40e-6) -> None:
    """Connections each of which asks as soon as it has its answer and a client has worked on it."""
    until, due = loop.now + seconds, [loop.now] * connections
    while loop.now < until:
        loop.wait_until(min(due))
        due.sort()
        taken = loop.serve(lambda now: sum(at <= now for at in due))
        due[:taken] = [loop.now + think * (number + 1) for number in range(taken)]


def test_requests_that_come_as_they_come_are_gathered_when_the_loop_is_busy() -> None:
    loop = Loop()
    open_load(loop, 14_000, 1.0)
    ran, turns, slept = loop.ran, loop.turns, loop.slept
    open_load(loop, 14_000, 1.0)
    assert loop.slept - slept > 0.9 * (loop.turns - turns)
    assert loop.ran - ran < 0.7
    assert loop.answered == pytest.approx(28_000, rel=0.01)


@pytest.mark.parametrize("seed", range(5))
def test_so_are_those_that_come_by_chance(seed: int) -> None:
    loop, peer = Loop(), Loop(lulls=False)
    for each in (loop, peer):
        open_load(each, 14_000, 2.0, seed)
    assert loop.ran < 0.9 * peer.ran


@pytest.mark.parametrize("connections", [1, 2, 4, 8, 16, 64])
def test_clients_that_wait_for_their_answers_are_not_kept_waiting(connections: int) -> None:
    loop, peer = Loop(), Loop(lulls=False)
    closed_load(loop, connections, 10.0)
    closed_load(peer, connections, 10.0)
    assert loop.answered > 0.99 * peer.answered


def test_a_client_that_is_alone_never_waits_however_fast_it_asks() -> None:
    loop = Loop()
    closed_load(loop, 1, 2.0, think=2e-6)
    assert loop.ran > 0.95 * loop.now
    assert loop.slept == 0


@pytest.mark.parametrize("rate", [10.0, 1_000.0, 6_000.0])
def test_a_loop_that_sleeps_anyway_keeps_nobody_waiting(rate: float) -> None:
    loop = Loop()
    open_load(loop, rate, 2.0)
    assert loop.slept == 0


def test_nobody_waits_where_requests_cost_what_they_cost() -> None:
    loop = Loop(turn=5e-6, each=400e-6)
    open_load(loop, 2_200, 10.0)
    assert loop.slept < 0.05 * loop.turns


def test_lulls_end_with_the_rush() -> None:
    loop = Loop()
    open_load(loop, 14_000, 1.0)
    open_load(loop, 100, 0.2)
    slept = loop.slept
    open_load(loop, 100, 2.0)
    assert loop.slept == slept


def test_who_has_company_does_not_wait() -> None:
    loop = Loop()
    open_load(loop, 14_000, 1.0)
    slept = loop.slept
    loop.serve(lambda _: FEW + 1)
    assert loop.slept == slept
    loop.serve(lambda _: FEW)
    assert loop.slept == slept + 1


def test_nothing_pays_where_nobody_was_answered() -> None:
    """As when all are refused."""
    assert not pay([Block(1.0, 0.0, 1.0, 0.0)], [Block(2.0, 0.0, 1.0, 0.0)], 0.9)


def test_who_has_waited_too_long_does_not_wait_for_a_lull() -> None:
    clock, calls, told, slept = FakeClock(), list[Callable[[], None]](), list[str](), list[float]()
    turns = Turns()
    turnstile = Turnstile(ServeConfig(max_wait_ms=20), clock.monotonic, Metrics(), turns.soon)
    line = Line(turnstile, turns, soon=calls.append)

    class Request:
        arrived, disconnected = 0.0, False

        def answer(self) -> None:
            told.append("answered")

        def refuse(self, reason: str) -> None:
            told.append(reason)

    class Always(Lulls):
        def __init__(self) -> None:
            super().__init__(sleep=slept.append)
            self._on = True

    line.lulls = Always()
    line.join(Request())
    clock.advance(0.021)
    calls.pop(0)()
    assert (told, slept) == (["queue"], [])
    line.join(Request())
    for _ in range(2):
        calls.pop(0)()
    assert (told, slept) == (["queue", "answered"], [LULL_SECONDS])
