"""Plain predictions that arrived together: who is answered at once, who is asked alone, and what is counted."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import pytest
from prometheus_client import generate_latest

from trimtab.config import ServeConfig
from trimtab.errors import NotFound, Unavailable
from trimtab.predict import PredictFlow
from trimtab.protocols import LiveModel
from trimtab.schema.plain import PlainBodies
from trimtab.serve.lane.driving import Broken
from trimtab.serve.lane.gather import Gatherer, Plain
from trimtab.serve.lane.heads import Head
from trimtab.serve.lane.protocol import LaneProtocol, Turn
from trimtab.serve.line import Line
from trimtab.serve.meters import Meters
from trimtab.serve.overload import Turnstile
from trimtab.serve.plain import Alone, JsonForm, PlainPredictions
from trimtab.serve.reply import Reply
from trimtab.serve.turns import Turns
from trimtab.telemetry import Metrics
from trimtab.testing import FakeClock
from trimtab.types import FeatureKind, FeatureSpec, PlainRow, PredictAnswer


class Flow:
    """Answers rows but the negative ones, which it names; raises what it is given."""

    def __init__(self, error: Exception | None = None) -> None:
        self.asked: list[Sequence[PlainRow]] = []
        self.error = error

    async def plain(
        self, _: LiveModel, rows: Sequence[PlainRow], began: float
    ) -> Sequence[PredictAnswer | str]:
        assert began == 0.0
        self.asked.append(rows)
        if self.error is not None:
            raise self.error
        answer = PredictAnswer(model="m", epoch=1, predictions=())
        return [f"p{row.values[0]}" if row.values[0] < 0 else answer for row in rows]  # type: ignore[operator]  # numbers


class Live:
    """A model whose rows have one number."""

    plain = True

    class route:  # noqa: N801 - as the record's field
        model = "m"

    class champion:  # noqa: N801 - as the record's field
        read = PlainBodies((FeatureSpec(name="x", kind=FeatureKind.NUMERIC),))


def live(model: str) -> LiveModel:
    if model != "m":
        raise NotFound("No such model.", code="unknown_model")
    return cast("LiveModel", Live())


def counted(metrics: Metrics) -> list[str]:
    told = generate_latest(metrics.registry).decode().splitlines()
    return [line for line in told if line.startswith("ml_requests_total{")]


def asked(
    flow: Flow,
    bodies: Sequence[bytes],
    model: str = "m",
    metrics: Metrics | None = None,
    **limits: Any,
) -> tuple[Sequence[Reply | Alone], list[str]]:
    clock = FakeClock()
    metrics = Metrics() if metrics is None else metrics
    turnstile = Turnstile(ServeConfig(**limits), clock.monotonic, metrics, lambda _: None)
    meters = Meters(metrics, {"m"}.__contains__)
    plain = PlainPredictions(JsonForm(), cast("PredictFlow", flow), live, clock, meters, turnstile)
    found = asyncio.run(plain.answer(model, [(body, 0.0) for body in bodies]))
    assert turnstile.let_in(ServeConfig(**limits).max_in_flight)  # all have left
    return found, counted(metrics)


def row(x: float) -> bytes:
    return b'{"features": {"x": %f}}' % x


def test_plain_bodies_are_answered_at_once_and_others_asked_alone() -> None:
    flow = Flow()
    found, seen = asked(flow, [row(1), b"{}", row(-2), row(3)])
    assert [200, Alone(), Alone("p-2.0"), 200] == [
        each.status if isinstance(each, Reply) else each for each in found
    ]
    assert [[(1.0,), (-2.0,), (3.0,)]] == [[one.values for one in rows] for rows in flow.asked]
    assert ['ml_requests_total{code="200",model="m"} 2.0'] == seen


def test_what_the_journal_refuses_is_refused_for_all_whose_records_it_had() -> None:
    flow = Flow(Unavailable("Full.", code="journal_unavailable"))
    found, seen = asked(flow, [row(1), b"[]", row(2)])
    assert [503, Alone(), 503] == [e.status if isinstance(e, Reply) else e for e in found]
    assert ['ml_requests_total{code="503",model="m"} 2.0'] == seen


def test_what_nobody_foresaw_is_counted_for_each() -> None:
    metrics = Metrics()
    with pytest.raises(ValueError, match="Odd"):
        asked(Flow(ValueError("Odd.")), [row(1), b"[]", row(2)], metrics=metrics)
    assert ['ml_requests_total{code="500",model="m"} 2.0'] == counted(metrics)


@pytest.mark.parametrize("model", ["m", "other"])
def test_those_for_whom_there_is_no_room_and_no_model_are_asked_alone(model: str) -> None:
    flow = Flow()
    found, seen = asked(flow, [row(1), row(2)], model, max_in_flight=1)
    assert ([Alone(), Alone()], [], []) == (found, seen, flow.asked)


class Request:
    """Notes what becomes of it."""

    def __init__(self, name: str, body: bytes, told: list[tuple[str, object]]) -> None:
        self._name, self._told = name, told
        self.body: bytearray | bytes = body
        self.arrived = 0.0
        self.ended = asyncio.Event()

    def ask(self, prediction_id: str | None = None) -> None:
        self._told.append((self._name, prediction_id))

    def end(self, reply: Reply | Broken) -> None:
        self._told.append((self._name, reply))
        self.ended.set()


class AtHand(Turns):
    """Turns that end when told."""

    def _end_soon(self) -> None: ...


def gathered(
    answer: Callable[[str, bytes], Reply | Alone],
) -> tuple[Gatherer, Callable[[str], Plain], Turns, list[tuple[str, list[bytes]]]]:
    calls: list[tuple[str, list[bytes]]] = []

    async def together(model: str, sent: Sequence[tuple[bytes, float]]) -> Sequence[Reply | Alone]:
        calls.append((model, [body for body, _ in sent]))
        await asyncio.sleep(0) if model == "slow" else None
        return [answer(model, body) for body, _ in sent]

    turns = AtHand()
    return Gatherer(turns), lambda model: Plain(together, model), turns, calls


def test_bodies_of_a_turn_are_answered_in_their_order_once_a_model() -> None:
    gatherer, of, turns, calls = gathered(
        lambda model, body: Alone("p") if body == b"odd" else Reply(200, model.encode() + body)
    )
    told: list[tuple[str, object]] = []
    for name, model, body in (("1", "a", b"x"), ("2", "b", b"y"), ("3", "a", b"odd")):
        gatherer.take(of(model), Request(name, body, told))
    assert calls == []
    turns.end()
    assert calls == [("a", [b"x", b"odd"]), ("b", [b"y"])]
    assert told == [("1", Reply(200, b"ax")), ("3", "p"), ("2", Reply(200, b"by"))]
    gatherer.take(of("a"), Request("4", b"", told))
    turns.end()
    assert calls[2:] == [("a", [b""])]


def test_where_the_answer_breaks_off_each_of_them_is_told() -> None:
    def broken(*_: object) -> Reply:
        raise ValueError

    gatherer, of, turns, _ = gathered(broken)
    told: list[tuple[str, object]] = []
    for name in "12":
        gatherer.take(of("a"), Request(name, b"", told))
    turns.end()
    assert told == [("1", Broken.RAISED), ("2", Broken.RAISED)]


@pytest.mark.anyio
async def test_where_the_answer_waits_a_task_goes_on() -> None:
    gatherer, of, turns, _ = gathered(lambda *_: Reply(200, b""))
    told: list[tuple[str, object]] = []
    request = Request("1", b"", told)
    gatherer.take(of("slow"), request)
    turns.end()
    assert told == []
    async with asyncio.timeout(10):
        await request.ended.wait()
    assert told == [("1", Reply(200, b""))]


@dataclass
class Connection:
    """Takes the answers to what is asked of it."""

    turns: Turns
    line: Line
    gatherer: Gatherer
    tasks: set[Any] = field(default_factory=set)
    told: list[Reply] = field(default_factory=list)

    def answer(self, _: Turn, reply: Reply) -> None:
        self.told.append(reply)


def test_a_deadline_of_a_body_that_is_asked_alone_counts_from_when_it_came() -> None:
    clock, calls = FakeClock(), list[Callable[[], None]]()
    gatherer, of, turns, _ = gathered(lambda *_: Alone())
    turnstile = Turnstile(ServeConfig(), clock.monotonic, Metrics(), turns.soon)
    connection = Connection(turns, Line(turnstile, turns, soon=calls.append), gatherer)

    async def ask(body: bytes, _: str | None) -> Reply:
        turnstile.enter()
        try:
            turnstile.in_time(float(body))
        except Unavailable as late:
            return Reply(503, late.code.encode())
        finally:
            turnstile.leave()
        return Reply(200, body)

    head = Head(ask, lambda _: Reply(503, b""), 1, keep_alive=True, plain=of("m"))
    for milliseconds in (b"3", b"5"):
        turn = Turn(head, True, True, cast("LaneProtocol", connection))
        turn.body = milliseconds
        connection.line.join(turn)
    clock.advance(0.004)
    calls.pop()()
    assert connection.told == [Reply(503, b"deadline_passed"), Reply(200, b"5")]
