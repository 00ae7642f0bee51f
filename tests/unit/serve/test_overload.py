"""The shedding rule, on a clock and a loop that the test owns."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from prometheus_client import generate_latest

from trimtab.config import ServeConfig
from trimtab.errors import Unavailable
from trimtab.serve.overload import Turnstile
from trimtab.telemetry import Metrics
from trimtab.testing import FakeClock


class Loop:
    """Turns when told."""

    def __init__(self, *, max_wait_ms: float = 20.0, max_in_flight: int = 4) -> None:
        self.clock = FakeClock()
        self.metrics = Metrics()
        self._calls: list[Callable[[], None]] = []
        config = ServeConfig(max_wait_ms=max_wait_ms, max_in_flight=max_in_flight)
        self.turnstile = Turnstile(config, self.clock.monotonic, self.metrics, self._calls.append)

    def turn(self) -> None:
        calls, self._calls[:] = list(self._calls), []
        for call in calls:
            call()

    def answer(self, seconds: float) -> str:
        """One request that takes so long; the code it was refused with, or nothing."""
        try:
            self.turnstile.enter()
        except Unavailable as refused:
            return refused.code
        self.clock.advance(seconds)
        self.turnstile.leave()
        return ""

    def told(self, line: str) -> bool:
        return line in generate_latest(self.metrics.registry).decode().splitlines()


def test_what_arrived_together_is_answered_as_long_as_it_did_not_wait_too_long() -> None:
    loop = Loop(max_wait_ms=20.0)
    codes = [loop.answer(0.004) for _ in range(10)]
    # The request that begins after 24 ms is the first to have waited more than 20.
    assert ["", "", "", "", "", ""] + ["overloaded"] * 4 == codes
    assert loop.told('ml_requests_shed_total{reason="queue"} 4.0')


def test_the_next_turn_begins_anew() -> None:
    loop = Loop(max_wait_ms=20.0)
    assert [loop.answer(0.03), loop.answer(0.001)] == ["", "overloaded"]
    loop.turn()
    assert loop.answer(0.001) == ""


def test_at_three_times_the_capacity_a_third_is_answered_and_none_waits_longer() -> None:
    loop, answered, refused = Loop(max_wait_ms=20.0), 0, 0
    cost, refusal = 0.002, 0.0001
    waiting, longest, began = 30, 0.0, loop.clock.monotonic()
    while loop.clock.monotonic() - began < 10.0:
        start = loop.clock.monotonic()
        for _ in range(waiting):
            waited = loop.clock.monotonic() - start
            if loop.answer(cost):
                loop.clock.advance(refusal)
                refused += 1
            else:
                answered += 1
                longest = max(longest, waited)
        loop.turn()
        waiting = max(1, round(3 * (loop.clock.monotonic() - start) / cost))  # arrivals meanwhile
    capacity = 10.0 / cost
    assert answered + refused > 2.5 * capacity * 0.9
    # Refusals cost a twentieth of an answer: of 3 C that arrive, (1 - 3/20) / (1 - 1/20) C are answered.
    assert answered > 0.88 * capacity
    assert longest <= 0.020 + cost


def test_requests_that_wait_for_something_else_are_bounded_by_their_number() -> None:
    loop = Loop(max_in_flight=2)
    loop.turnstile.enter()
    loop.turnstile.enter()
    with pytest.raises(Unavailable, match="2 requests are in flight"):
        loop.turnstile.enter()
    loop.turnstile.leave()
    loop.turnstile.enter()
    assert loop.told('ml_requests_shed_total{reason="in_flight"} 1.0')


def test_open_requests_are_shown_once_a_turn() -> None:
    loop = Loop()
    loop.turnstile.enter()
    assert loop.told("ml_requests_in_flight 0.0")
    loop.turn()
    assert loop.told("ml_requests_in_flight 1.0")
    loop.turnstile.leave()
    loop.turn()
    assert loop.told("ml_requests_in_flight 0.0")


def test_nobody_is_answered_who_has_stopped_waiting() -> None:
    loop = Loop(max_wait_ms=1_000.0)
    loop.turnstile.enter()
    loop.turnstile.in_time(None)
    loop.turnstile.in_time(5.0)
    loop.clock.advance(0.005)
    loop.turnstile.in_time(50.0)
    with pytest.raises(Unavailable) as refused:
        loop.turnstile.in_time(5.0)
    assert refused.value.code == "deadline_passed"
    assert loop.told('ml_requests_shed_total{reason="deadline"} 1.0')
