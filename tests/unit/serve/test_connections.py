from __future__ import annotations

from collections.abc import Callable

import pytest
from prometheus_client import generate_latest

from trimtab.config import ServeConfig
from trimtab.serve.connections import Connections
from trimtab.telemetry import Metrics
from trimtab.testing import FakeClock


class Client:
    """A connection that remembers whether it was cut."""

    def __init__(self, began: float | None = None) -> None:
        self.began = began
        self.behind: float | None = None
        self.quiet: float | None = None
        self.has_left = False
        self.bytes_left = 0
        self.was_cut = False

    def owes_bytes(self) -> bool:
        return self.bytes_left > 0

    def cut(self) -> None:
        self.was_cut = True

    def leave(self) -> None:
        self.has_left = True


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


def connections(clock: FakeClock, calls: list[Callable[[], None]]) -> tuple[Connections, Metrics]:
    metrics = Metrics()
    config = ServeConfig(max_connections=2, request_seconds=30.0)
    return (
        Connections(config, clock.monotonic, metrics, lambda _, call: calls.append(call)),
        metrics,
    )


def test_a_client_that_takes_no_answers_is_cut_and_one_that_takes_them_slowly_is_not(
    clock: FakeClock,
) -> None:
    held, metrics = connections(clock, [])
    stuck, slow = Client(), Client()
    assert held.take(stuck)
    assert held.take(slow)
    stuck.bytes_left = slow.bytes_left = 1_000
    held.sweep()
    clock.advance(20.0)
    slow.bytes_left = 0
    held.sweep()
    slow.bytes_left = 1_000
    clock.advance(11.0)
    held.sweep()
    assert (stuck.was_cut, slow.was_cut) == (True, False)
    assert b'ml_connections_cut_total{reason="slow"} 1.0' in generate_latest(metrics.registry)


def test_an_idle_connection_is_not_cut(clock: FakeClock) -> None:
    held, _ = connections(clock, [])
    idle, arriving = Client(), Client(began=clock.monotonic())
    held.take(idle)
    held.take(arriving)
    clock.advance(31.0)
    held.sweep()
    assert (idle.was_cut, arriving.was_cut) == (False, True)


def test_a_connection_that_is_not_used_any_more_is_closed_and_counts_as_no_slow_one(
    clock: FakeClock,
) -> None:
    held, metrics = connections(clock, [])
    unused, used = Client(), Client()
    held.take(unused)
    held.take(used)
    unused.quiet = clock.monotonic()
    clock.advance(4.0)
    used.quiet = clock.monotonic()
    held.sweep()
    assert (unused.has_left, used.has_left) == (False, False)
    clock.advance(2.0)
    held.sweep()
    assert (unused.has_left, used.has_left) == (True, False)
    assert not unused.was_cut
    assert b'ml_connections_cut_total{reason="slow"} 0.0' in generate_latest(metrics.registry)


def test_sweeps_go_on_as_long_as_a_connection_is_open(clock: FakeClock) -> None:
    calls: list[Callable[[], None]] = []
    held, _ = connections(clock, calls)
    one, two = Client(), Client()
    held.take(one)
    held.take(two)
    assert len(calls) == 1
    calls.pop()()
    assert len(calls) == 1
    held.gone(one)
    held.gone(two)
    calls.pop()()
    assert calls == []
    held.take(one)
    assert len(calls) == 1


def test_there_is_room_again_once_a_connection_is_gone(clock: FakeClock) -> None:
    held, metrics = connections(clock, [])
    one, two, three = Client(), Client(), Client()
    assert [held.take(one), held.take(two), held.take(three)] == [True, True, False]
    held.gone(three)
    assert b"ml_connections_open 2.0" in generate_latest(metrics.registry)
    held.gone(one)
    assert held.take(three)
    assert b'ml_connections_cut_total{reason="limit"} 1.0' in generate_latest(metrics.registry)


def test_bytes_are_held_up_to_the_limit_and_room_comes_back(clock: FakeClock) -> None:
    metrics = Metrics()
    config = ServeConfig(max_body_bytes=60, max_held_bytes=100)
    held = Connections(config, clock.monotonic, metrics, lambda _, call: call())
    assert [held.hold(60), held.hold(40), held.hold(1)] == [True, True, False]
    held.release(1)
    held.release(60)
    assert held.hold(60)
    assert b'ml_connections_cut_total{reason="bytes"} 1.0' in generate_latest(metrics.registry)


def test_one_body_of_the_most_there_may_be_has_room_in_any_case(clock: FakeClock) -> None:
    config = ServeConfig(max_body_bytes=200, max_held_bytes=100)
    held = Connections(config, clock.monotonic, Metrics(), lambda _, call: call())
    assert held.hold(200)
    assert not held.hold(1)
