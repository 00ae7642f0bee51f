"""When the loop looks at its sockets once more, on times that the test makes up."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from trimtab.config import ServeConfig
from trimtab.serve.line import Line
from trimtab.serve.looks import MOST_LOOKS, TRIED_EVERY, Looks
from trimtab.serve.overload import Turnstile
from trimtab.serve.turns import Turns
from trimtab.telemetry import Metrics
from trimtab.testing import FakeClock

LOOK_SECONDS = 4e-6


def priced(price: float = 60e-6, row: float = 20e-6, size: int = 10) -> Looks:
    """After turns of which a request was alone, and of that size."""
    looks = Looks()
    for requests in (1, size):
        looks.answered(requests, price + requests * row)
    return looks


def looked(looks: Looks, waiting: int, brings: int) -> int:
    """How many looks a turn begins with, each of which brings so many, up to ten in all."""
    now, made = 0.0, 0
    while looks.again(min(10, waiting + made * brings), now):
        now, made = now + LOOK_SECONDS, made + 1
    return made


@pytest.mark.parametrize("size", [2, 10, 64])
def test_the_price_of_a_turn_is_what_its_requests_do_not_take(size: int) -> None:
    looks = priced(size=size)
    assert looks.price == pytest.approx(60e-6)
    looks.answered(size, 0.5)  # a busy machine
    assert looks.price == pytest.approx(60e-6)


def test_a_request_that_is_always_alone_waits_for_nobody() -> None:
    looks = Looks()
    for _ in range(1_000):
        assert not looks.again(1, 0.0)
        looks.answered(1, 80e-6)


def test_who_waits_with_fewer_than_last_is_joined_by_what_comes_meanwhile() -> None:
    assert looked(priced(), waiting=6, brings=2) == MOST_LOOKS
    assert looked(priced(), waiting=9, brings=2) == 1  # then there are as many as last
    assert looked(priced(), waiting=10, brings=2) == 0


def test_nobody_looks_where_turns_have_no_price_of_their_own() -> None:
    assert looked(priced(price=0.0), waiting=6, brings=2) == 0
    assert looked(Looks(), waiting=6, brings=2) == 0


@pytest.mark.parametrize(("brings", "pays"), [(0, False), (1, True)])
def test_looks_are_left_out_when_they_do_not_pay_and_tried_again(brings: int, pays: bool) -> None:
    looks = priced()
    looked(looks, 6, 0)
    made = [looked(looks, 6, brings) for _ in range(4 * TRIED_EVERY)]
    rate = sum(made) / len(made)
    assert (rate == MOST_LOOKS) if pays else (0 < rate < 0.1)


def test_looks_are_made_again_once_they_pay() -> None:
    looks = priced()
    for _ in range(100):
        looked(looks, 6, 0)
    assert looked(looks, 6, 2) == 0
    made = [looked(looks, 6, 2) for _ in range(8 * TRIED_EVERY)]
    assert made[-1] == MOST_LOOKS


class Request:
    """Notes that it was answered."""

    def __init__(self, told: list[Request]) -> None:
        self.arrived, self.disconnected, self._told = 0.0, False, told

    def answer(self) -> None:
        self._told.append(self)

    def refuse(self, reason: str) -> None:
        raise AssertionError(reason)


def test_the_line_waits_for_a_look_and_answers_all_together() -> None:
    clock, calls, told = FakeClock(), list[Callable[[], None]](), list[Request]()
    turns = Turns()
    turnstile = Turnstile(ServeConfig(), clock.monotonic, Metrics(), turns.soon)
    line = Line(turnstile, turns, soon=calls.append)
    line.looks = priced(size=4)
    for expected in (0, 0, 4):
        for _ in range(1 if calls else 2):
            line.join(Request(told))
        calls.pop(0)()
        assert len(told) == expected
    assert calls == []


def test_who_has_waited_too_long_does_not_wait_for_a_look() -> None:
    clock, calls = FakeClock(), list[Callable[[], None]]()
    turns = Turns()
    turnstile = Turnstile(ServeConfig(max_wait_ms=20), clock.monotonic, Metrics(), turns.soon)
    line = Line(turnstile, turns, soon=calls.append)
    line.looks = priced()
    late, told = Request([]), list[Request]()
    line.join(late)
    clock.advance(0.021)
    line.join(Request(told))
    with pytest.raises(AssertionError, match="queue"):
        calls.pop(0)()
    assert len(told) == 1
