"""Every change of traffic reaches a webhook: signed, at least once, and only if it was committed."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.registered import register, version

from trimtab.act.alerts import Deliverer
from trimtab.act.channels import webhook
from trimtab.config import ChannelConfig
from trimtab.errors import Conflict
from trimtab.protocols import StateStore
from trimtab.rollout import audit, controller
from trimtab.rollout.change import Change
from trimtab.store.state import open_state
from trimtab.telemetry import Metrics
from trimtab.testing import FakeClock
from trimtab.types import (
    GuardrailSpec,
    RampStep,
    RolloutPlan,
    UnitEvent,
)

PLAN = RolloutPlan(
    steps=(
        RampStep(share=0.1, bake_seconds=900.0),
        RampStep(share=0.5, bake_seconds=900.0, approval="operator"),
    ),
    guardrails=(GuardrailSpec(name="errors", event=UnitEvent.ERROR),),
)
ACTIONS = [
    "deploy",
    "start",
    "pause",
    "resume",
    "approve",
    "ramp",
    "promote",
    "roll_back",
    "start",
    "roll_back",
]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[StateStore]:
    opened = open_state(f"sqlite:///{tmp_path}/state.db")
    with opened.transaction() as state:
        register(state, (version("flights", number, "distance") for number in (1, 2)))
    yield opened
    opened.close()


def change_everything(store: StateStore, clock: FakeClock) -> None:
    """Every kind of change once, each in a transaction of its own; the last two by Trimtab."""
    who: dict[str, Any] = {"actor": "ada", "reason": "because", "clock": clock}
    system = who | {"actor": audit.SYSTEM}
    steps = (
        lambda state: controller.deploy_first(Change(state, **who), "flights", 1),
        lambda state: controller.start(Change(state, **who), "flights", PLAN, 2),
        lambda state: controller.pause(Change(state, **who), "flights"),
        lambda state: controller.resume(Change(state, **who), "flights"),
        lambda state: controller.approve(Change(state, **who), "flights", role="operator"),
        lambda state: controller.advance(Change(state, **who), "flights"),
        lambda state: controller.promote(Change(state, **who), "flights"),
        lambda state: controller.roll_back(Change(state, **who), "flights"),
        lambda state: controller.start(Change(state, **system), "flights", PLAN, 2),
        lambda state: controller.roll_back(Change(state, **system), "flights"),
    )
    for step in steps:
        with store.transaction() as state:
            step(state)


class Receiver:
    """Answers posts from a list of statuses, then 200; keeps what it accepted."""

    def __init__(self, *statuses: int) -> None:
        self.statuses = list(statuses)
        self.got: list[tuple[dict[str, str], bytes]] = []
        self.url = ""

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[Receiver]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        async with server:
            self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/hook"
            yield self

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        lines = (await reader.readuntil(b"\r\n\r\n")).decode().lower().split("\r\n")[1:]
        headers = dict(line.split(": ", 1) for line in lines if line)
        body = await reader.readexactly(int(headers["content-length"]))
        status = self.statuses.pop() if self.statuses else 200
        if status == 200:
            self.got.append((headers, body))
        writer.write(f"HTTP/1.1 {status} X\r\ncontent-length: 0\r\n\r\n".encode())
        await writer.drain()
        writer.close()


def deliverer(store: StateStore, receiver: Receiver, clock: FakeClock) -> Deliverer:
    hook = webhook.Webhook("hook", receiver.url, 5.0, b"s3cret")
    settings = {"hook": ChannelConfig(kind="webhook")}
    return Deliverer(store, {"hook": hook}, settings, clock, Metrics(), jitter=lambda: 1.0)


@pytest.mark.anyio
async def test_every_change_is_posted_signed_and_tells_its_line_of_the_audit_log(
    store: StateStore,
) -> None:
    clock = FakeClock(1_000.0)
    change_everything(store, clock)
    async with Receiver().listening() as receiver:
        assert len(ACTIONS) == await deliverer(store, receiver, clock).deliver_due()
    with store.reading() as state:
        entries = {entry.seq: entry for entry in state.audit.entries()}
    bodies = sorted((json.loads(body) for _, body in receiver.got), key=_seq)
    assert ACTIONS == [body["change"]["action"] for body in bodies]
    assert [entries[_seq(body)].hash for body in bodies] == [b["change"]["hash"] for b in bodies]
    assert ["info"] * 9 + ["ticket"] == [body["severity"] for body in bodies]
    for headers, body in receiver.got:
        assert f"sha256={webhook.signature(b's3cret', body)}" == headers["x-trimtab-signature"]
    assert len(ACTIONS) == len({headers["x-trimtab-alert-id"] for headers, _ in receiver.got})


@pytest.mark.anyio
async def test_what_a_receiver_refused_is_posted_again_by_the_next_process(
    store: StateStore,
) -> None:
    clock = FakeClock(1_000.0)
    change_everything(store, clock)
    async with Receiver(500, 503, 429).listening() as receiver:
        first = await deliverer(store, receiver, clock).deliver_due()
        clock.advance(1.0)
        then = await deliverer(store, receiver, clock).deliver_due()
    assert (len(ACTIONS) - 3, 3) == (first, then)
    assert sorted(ACTIONS) == sorted(json.loads(b)["change"]["action"] for _, b in receiver.got)


@pytest.mark.anyio
async def test_a_change_that_was_not_committed_is_told_to_nobody(store: StateStore) -> None:
    clock = FakeClock(1_000.0)
    who: dict[str, Any] = {"actor": "ada", "reason": "because", "clock": clock}
    with store.transaction() as state:
        controller.deploy_first(Change(state, **who), "flights", 1)

    def start_and_lose() -> None:
        with store.transaction() as state:
            controller.start(Change(state, **who), "flights", PLAN, 2)
            controller.pause(Change(state, expected_epoch=1, **who), "flights")

    with pytest.raises(Conflict):
        start_and_lose()
    async with Receiver().listening() as receiver:
        assert 1 == await deliverer(store, receiver, clock).deliver_due()
    assert ["deploy"] == [json.loads(body)["change"]["action"] for _, body in receiver.got]


def _seq(body: dict[str, Any]) -> int:
    seq: int = body["change"]["seq"]
    return seq
