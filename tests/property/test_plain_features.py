"""What is plain about a request of features alone changes its cost, and not its answer."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import generate_latest

from trimtab.config import FeaturesConfig, ServeConfig, StoreConfig, ViewConfig, ViewFeature
from trimtab.errors import NotFound
from trimtab.features.gather import Gathered
from trimtab.features.guard import Guard
from trimtab.features.resolver import Resolver
from trimtab.features.stores.memory import MemoryStore
from trimtab.features.views import compile_plan
from trimtab.outcomes import OutcomeDesk
from trimtab.predict import PredictFlow
from trimtab.protocols import LiveArm, LiveModel
from trimtab.schema import Checker
from trimtab.serve.dataplane import DataPlane
from trimtab.serve.overload import Turnstile
from trimtab.serve.plain import Alone
from trimtab.serve.reply import Reply
from trimtab.serve.turns import Turns
from trimtab.telemetry import Metrics
from trimtab.testing import FakeClock
from trimtab.types import (
    Arm,
    FeatureKind,
    FeatureSpec,
    Resolved,
    Route,
    Signature,
    StoredRow,
    Task,
)

SIGNATURE = Signature(
    features=(
        FeatureSpec(name="amount", kind=FeatureKind.NUMERIC, nullable=True),
        FeatureSpec(name="visits", kind=FeatureKind.INTEGER),
        FeatureSpec(name="country", kind=FeatureKind.CATEGORICAL),
    ),
    task=Task.BINARY,
)
USERS = ("ann", "eve", "a:b", "Zoë")


class Store(MemoryStore):
    """Counts how often it is asked, and raises what it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = 0
        self.error: Exception | None = None

    def read_now(self, view: str, entities: Sequence[str]) -> Mapping[str, StoredRow]:
        self.asked += 1
        return super().read_now(view, entities)


class World:
    """A model over two stored features, one of which has no default; ``ann``, ``a:b`` and ``Zoë`` are known.

    A worker has one event loop for all that it is asked, and so has a world.
    """

    run: ClassVar[Callable[[Coroutine[Any, Any, Any]], Any]]

    def __init__(self, **limits: Any) -> None:
        features = (
            ViewFeature(name="visits", kind="integer"),
            ViewFeature(name="country", kind="categorical", default="xx"),
        )
        view = ViewConfig(entity="user", realtime="online", features=features)
        config = FeaturesConfig(
            stores={"online": StoreConfig(kind="memory")}, views={"users": view}
        )
        clock, self.metrics, self.store = FakeClock(), Metrics(), Store()
        rows = {
            user: StoredRow(values={"visits": at, "country": "fr"}, event_time=clock.now() - at)
            for at, user in enumerate(USERS)
            if user != "eve"
        }
        World.run(self.store.write("users", rows))
        guards = {"online": Guard("online", self.store, self.metrics, clock, config)}
        plan = compile_plan(config, SIGNATURE, ["users"])
        inner = Resolver(plan, SIGNATURE, guards, self.metrics, clock, config, "m")
        turns = Turns()
        gathered = Gathered(inner, turns, clock)
        checker = Checker(SIGNATURE, provided=plan.provided, entities=plan.entities)
        champion = LiveArm(
            version=3, digest="sha256:1", signature=SIGNATURE, predictor=cast("Any", None),
            checker=checker, pick=(0, 1, 2), read=checker.read,
        )  # fmt: skip
        self.model = LiveModel(
            route=Route(model="m", epoch=7, arms=(Arm(name="champion", version=3, share=1.0),),
                        slots=bytes(10_000), salt="s", rollout="r", strategy="champion_only"),
            arms=(champion,), champion=champion, resolver=inner, deadline_ms=20.0,
            feature_deadline_ms=10.0, each=gathered.each,
        )  # fmt: skip
        flow = PredictFlow(
            board=self, assign=cast("Any", None), unit=str, isolate=cast("Any", None),
            journal=cast("Any", None), new_id=str, clock=clock, metrics=self.metrics,
            max_future_seconds=300.0,
        )  # fmt: skip
        serve = ServeConfig(**limits)
        self.most = serve.max_in_flight
        self.turnstile = Turnstile(serve, clock.monotonic, self.metrics, turns.soon)
        self.plane = DataPlane(
            flow=flow, live=self.live, outcomes=cast("OutcomeDesk", None), config=serve, clock=clock,
            metrics=self.metrics, turnstile=self.turnstile, known={"m"}.__contains__,
            in_thread=cast("Any", None),
        )  # fmt: skip

    def live(self, model: str) -> LiveModel:
        if model != "m":
            raise NotFound("unknown", code="unknown_model")
        return self.model

    def together(self, *bodies: bytes, model: str = "m") -> Sequence[Reply | Alone]:
        async def ask() -> Sequence[Reply | Alone]:
            found = await self.plane.features_together(model, [(body, 0.0) for body in bodies])
            assert self.turnstile.let_in(self.most)  # all have left
            self.turnstile.let_out(self.most)
            return found

        return World.run(ask())

    def alone(self, body: bytes, deadline: str = "") -> Reply:
        """The answer to one; with a deadline no way is short."""

        async def ask() -> Reply:
            return await self.plane.features("m", body, deadline=deadline)

        return World.run(ask())

    def counted(self) -> set[str]:
        told = generate_latest(self.metrics.registry).decode().splitlines()
        return {line for line in told if line.startswith("ml_requests_total{")}


@pytest.fixture(scope="module", autouse=True)
def loop() -> Iterator[None]:
    with asyncio.Runner() as runner:
        World.run = staticmethod(runner.run)
        yield


def body(user: object, **features: object) -> bytes:
    return json.dumps({"features": {"user": user, **features}}, ensure_ascii=False).encode()


MEMBERS = {
    "user": [json.dumps(user, ensure_ascii=False) for user in USERS] + ['"\\u003a"', "7", '""', "null"],
    "amount": ["1.5", "2", "null", '"x"', "1e400"],
    "visits": ["3", "3.5", "null", "9007199254740993"],
    "country": ['"de"', '"d:e"', "null", "[1]"],
    "unknown": ["1"],
}  # fmt: skip
BESIDE = ("", ', "provenance": true', ', "provenance": false', ', "key": "u"', ', "event_time": 5.0',
          ', "deadline_ms": 5', ', "x": 1', ', "provenance": true, "provenance": true', ", ")  # fmt: skip
member = st.one_of(
    *(st.tuples(st.just(name), st.sampled_from(values)) for name, values in MEMBERS.items())
)
bodies = st.builds(
    lambda members, more: (
        '{"features": {' + ", ".join(f'"{k}": {v}' for k, v in members) + "}" + more + "}"
    ).encode(),
    st.lists(member, max_size=4),
    st.sampled_from(BESIDE),
)


@settings(deadline=None, max_examples=300)
@given(st.lists(bodies, max_size=20))
def test_requests_that_are_answered_together_are_answered_as_each_alone(
    sent: Sequence[bytes],
) -> None:
    world = World()
    for one, reply in zip(sent, world.together(*sent), strict=True):
        if isinstance(reply, Reply):
            assert world.alone(one) == reply


texts = st.lists(st.sampled_from([*MEMBERS["user"], '"u"']), min_size=1, max_size=3)
tables = st.builds(
    lambda columns, more: (
        '{"columns": {'
        + ", ".join(f'"{k}": [{", ".join(v)}]' for k, v in columns)
        + "}"
        + more
        + "}"
    ).encode(),
    st.lists(
        st.tuples(st.sampled_from(["user", "user", "user", "country", "x"]), texts), max_size=2
    ),
    st.sampled_from((*BESIDE, ', "keys": ["u"]')),
)


@settings(deadline=None, max_examples=300)
@given(tables)
def test_a_table_of_keys_alone_is_answered_as_any_other(sent: bytes) -> None:
    world = World(max_rows=2)
    assert world.alone(sent, "10000") == world.alone(sent)


def test_a_table_of_keys_alone_takes_the_short_way() -> None:
    world = World()
    sent = b'{"columns": {"user": ["ann", "a:b"]}, "provenance": true}'
    found = World.run(world.plane._plain_features.table("m", sent, 2))
    assert found == world.alone(sent, "10000")
    assert World.run(world.plane._plain_features.table("m", sent, 1)) is None


class Aged:
    """Fills rows, some of which share their ages."""

    def __init__(self, ages: Sequence[float | None], kinds: Sequence[int]) -> None:
        self._ages = [(age, None, age) for age in ages]
        self._kinds = kinds

    async def resolve(self, rows: Sequence[Any], *_: object) -> Sequence[Resolved]:
        ages = [self._ages[kind % len(self._ages)] for kind in self._kinds[: len(rows)]]
        return [Resolved(values=(1.5, 2, "fr"), sources="rdr", ages_seconds=one) for one in ages]


@settings(deadline=None, max_examples=100)
@given(
    st.lists(st.floats(0.0, 1e9) | st.none(), min_size=1, max_size=8),
    st.lists(st.integers(0, 7), min_size=1, max_size=40),
)
def test_ages_that_rows_share_read_like_any_others(
    ages: list[float | None], kinds: list[int]
) -> None:
    world = World()
    world.model = replace(world.model, resolver=cast("Any", Aged(ages, kinds)))
    sent = json.dumps({"columns": {"user": ["ann"] * len(kinds)}, "provenance": True}).encode()
    found = World.run(world.plane._plain_features.table("m", sent, 100))
    assert found == world.alone(sent, "10000")
    assert [ages[kind % len(ages)] for kind in kinds] == [
        first for first, *_ in json.loads(world.alone(sent).body)["ages_seconds"]
    ]


def test_usual_bodies_share_a_read_and_odd_ones_are_asked_alone() -> None:
    world = World()
    odd = [b"{}", body("ann", visits="x"), b'{"features": {"user": "ann", "user": "ann"}}']
    found = world.together(body("ann"), *odd, body("a:b", amount=2.0), body(7, visits=1))
    assert [200, Alone(), Alone(), Alone(), 200, 200] == [
        reply.status if isinstance(reply, Reply) else reply for reply in found
    ]
    assert 1 == world.store.asked
    assert {'ml_requests_total{code="200",model="m"} 3.0'} == world.counted()


def test_a_request_that_cannot_be_filled_is_refused_alone_and_counted() -> None:
    world = World()
    first, second = world.together(body("eve"), body("ann"))
    assert isinstance(first, Reply)
    assert isinstance(second, Reply)
    assert b'"path":"rows[0].features.visits"' in first.body
    assert (422, 200) == (first.status, second.status)
    assert {
        f'ml_requests_total{{code="{code}",model="m"}} 1.0' for code in (200, 422)
    } == world.counted()


def test_those_for_whom_there_is_no_room_and_no_model_are_asked_alone() -> None:
    world = World(max_in_flight=1)
    for model in ("m", "other"):
        assert [Alone(), Alone()] == world.together(body("ann"), body("ann"), model=model)
    assert (0, set()) == (world.store.asked, world.counted())


def test_what_nobody_foresaw_is_counted_for_each() -> None:
    world = World()

    async def broken(*_: object) -> Any:
        raise ValueError("Odd.")

    object.__setattr__(world.model, "each", broken)
    with pytest.raises(ValueError, match="Odd"):
        world.together(body("ann"), body("ann"))
    assert {'ml_requests_total{code="500",model="m"} 2.0'} == world.counted()
