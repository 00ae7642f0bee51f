"""Who is answered, who is refused and in which order, on a clock and a loop that the test owns."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest
from prometheus_client import generate_latest

from trimtab.config import ServeConfig
from trimtab.errors import Unavailable
from trimtab.serve.line import REFUSALS_PER_SECOND, Line
from trimtab.serve.overload import Turnstile
from trimtab.serve.turns import Turns
from trimtab.telemetry import Metrics
from trimtab.testing import FakeClock

ANSWER_SECONDS = 0.001
REFUSAL_SECONDS = 0.00002


class AtHand(Turns):
    """Turns that end when told."""

    def _end_soon(self) -> None: ...


class Worker:
    """A line, a clock that goes on by what is done, and what was done."""

    def __init__(self, *, max_wait_ms: float = 20.0, max_in_flight: int = 256) -> None:
        self.clock = FakeClock()
        self.metrics = Metrics()
        turns = AtHand()
        config = ServeConfig(max_wait_ms=max_wait_ms, max_in_flight=max_in_flight)
        self.turnstile = Turnstile(config, self.clock.monotonic, self.metrics, turns.soon)
        self._calls: list[Callable[[], None]] = []
        self.line = Line(self.turnstile, turns, soon=self._calls.append)
        self.answered: list[Request] = []
        self.refused: list[Request] = []
        self.leaves = True

    def arrive(self, number: int = 1) -> list[Request]:
        made = [Request(self) for _ in range(number)]
        for request in made:
            self.line.join(request)
        return made

    def turn(self) -> bool:
        """Whether there was anything to do."""
        calls, self._calls[:] = list(self._calls), []
        for call in calls:
            call()
        return bool(calls)

    def told(self, line: str) -> bool:
        return line in generate_latest(self.metrics.registry).decode().splitlines()


@dataclass(eq=False)
class Request:
    worker: Worker
    arrived: float = 0.0
    disconnected: bool = False
    reason: str = ""
    waited: float = 0.0

    def answer(self) -> None:
        worker = self.worker
        worker.turnstile.enter()
        self.waited = worker.clock.monotonic() - self.arrived
        worker.clock.advance(ANSWER_SECONDS)
        worker.answered.append(self)
        if worker.leaves:
            worker.turnstile.leave()

    def refuse(self, reason: str) -> None:
        worker = self.worker
        worker.turnstile.shed(reason)
        self.reason, self.waited = reason, worker.clock.monotonic() - self.arrived
        worker.clock.advance(REFUSAL_SECONDS)
        worker.refused.append(self)


def test_who_came_first_is_first_as_long_as_all_are_in_time() -> None:
    worker = Worker()
    asked = worker.arrive(3)
    while worker.turn():
        pass
    assert worker.answered == asked
    assert worker.refused == []


def test_a_slice_is_short_so_that_the_loop_sees_its_sockets_in_between() -> None:
    worker = Worker()
    worker.arrive(16)
    worker.turn()
    assert len(worker.answered) == 6  # at 1 ms each, the sixth begins within the 5 ms
    assert worker.turn()


def test_who_waited_too_long_gives_way_to_the_newest_and_is_refused() -> None:
    worker = Worker()
    old = worker.arrive(2)
    worker.clock.advance(0.021)
    new = worker.arrive(2)
    worker.turn()
    assert worker.answered == [new[1], new[0]]
    assert worker.refused == old
    assert [each.reason for each in old] == ["queue", "queue"]
    assert worker.told('ml_requests_shed_total{reason="queue"} 2.0')
    assert not worker.turn()


def test_at_three_times_the_capacity_it_is_answered_as_many_as_ever_and_at_once() -> None:
    """512 clients of one request each, which ask anew when they were answered or refused."""
    worker, seconds = Worker(), 10.0
    began, free, due, asked = worker.clock.monotonic(), 512, 0.0, list[Request]()
    while (now := worker.clock.monotonic()) - began < seconds:
        arriving = min(free, int((now - began) * 3 / ANSWER_SECONDS - due))
        asked += worker.arrive(arriving)
        due += arriving
        done = len(worker.answered) + len(worker.refused)
        if not worker.turn():
            worker.clock.advance(ANSWER_SECONDS)
        free += len(worker.answered) + len(worker.refused) - done - arriving
    assert len(worker.answered) > 0.9 * seconds / ANSWER_SECONDS
    assert max(each.waited for each in worker.answered) <= 0.02 + 0.006
    # Who is not answered is told so: 512 clients at so many refusals a second.
    assert max(each.waited for each in worker.refused) < 512 / REFUSALS_PER_SECOND + 0.2
    assert len(worker.refused) > 0.5 * seconds / ANSWER_SECONDS


def test_refusals_are_bounded_while_others_can_be_answered() -> None:
    worker = Worker(max_wait_ms=1_000.0)
    worker.arrive(400)
    worker.clock.advance(1.1)
    worker.arrive(64)
    began = worker.clock.monotonic()
    while len(worker.answered) < 64:
        worker.turn()
    took = worker.clock.monotonic() - began
    assert len(worker.refused) <= 64 + took * REFUSALS_PER_SECOND
    assert len(worker.refused) < 400
    while worker.turn():
        pass
    assert len(worker.refused) == 400


def test_nobody_who_has_gone_is_answered_or_refused() -> None:
    worker = Worker()
    gone, there = worker.arrive(2)
    gone.disconnected = True
    worker.turn()
    assert worker.answered == [there]
    assert worker.refused == []
    assert worker.told('ml_requests_shed_total{reason="gone"} 1.0')


def test_requests_that_wait_for_something_else_are_bounded_by_their_number() -> None:
    worker = Worker(max_in_flight=2)
    worker.leaves = False
    asked = worker.arrive(3)
    worker.turn()
    assert worker.answered == asked[:2]
    assert [each.reason for each in worker.refused] == ["in_flight"]


def test_a_deadline_counts_from_when_the_request_came() -> None:
    worker = Worker()

    class Hurried(Request):
        def answer(self) -> None:
            self.worker.turnstile.enter()
            with pytest.raises(Unavailable, match="3 ms passed"):
                self.worker.turnstile.in_time(3.0)
            self.worker.turnstile.in_time(5.0)
            super().answer()
            self.worker.turnstile.leave()

    hurried = Hurried(worker)
    worker.line.join(hurried)
    worker.clock.advance(0.004)
    worker.turn()
    assert worker.answered == [hurried]
