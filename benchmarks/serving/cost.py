"""`make bench-serving ARGS=cost`: what one request costs the worker, and what each part adds.

``cost.py [models=lr,hgb,columns] [rounds=20] [requests=512] [together=16,1] [folder=DIR]``. One process: the worker's lane over
connections of the loopback interface, on each of which a body of one row waits, every one another row; so many arrive together in
a turn of the event loop. Timed is what the worker does with a turn, from its first read to its last write;
what the clients do is not. Variants of one part switched off take turns with the whole, so
that what else the machine does falls on all of them alike. Figures are microseconds a request: of each round
the median over its turns, of the rounds the least.
"""

from __future__ import annotations

import asyncio
import os
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import msgspec

os.environ.setdefault("PROMETHEUS_MULTIPROC_DIR", tempfile.mkdtemp(prefix="trimtab-cost-"))

import uvicorn
from models import bodies, trained
from run import deployed
from starlette.applications import Starlette
from uvicorn.server import ServerState

from trimtab.config import load
from trimtab.protocols import JournalWriter, LiveModel
from trimtab.record.frames import frame
from trimtab.serve.connections import Connections
from trimtab.serve.dataplane import DataPlane
from trimtab.serve.lane.protocol import LaneProtocol, lane
from trimtab.serve.line import Line
from trimtab.serve.meters import Tally
from trimtab.serve.overload import Turnstile
from trimtab.serve.turns import Turns
from trimtab.telemetry import Metrics, know_process
from trimtab.types import Assignment, PredictionRecord
from trimtab.wiring.deployment import Deployment
from trimtab.wiring.serving import Serving

Ask = Callable[[Sequence[bytes]], float]
"""The seconds that a turn takes."""


class AtHand(Turns):
    """Turns that end when told; what can wait is done between them, when it is due."""

    def __init__(self) -> None:
        super().__init__()
        self._due: list[tuple[float, Callable[[], None]]] = []

    def _end_soon(self) -> None: ...

    def finish(self) -> None:
        while self._calls or self._waiting:
            self.end()

    def sometimes(self, seconds: float, call: Callable[[], None]) -> None:
        """As the loop calls something later."""
        self._due.append((time.perf_counter() + seconds, call))

    def do_what_is_due(self) -> None:
        while self._due and self._due[0][0] <= time.perf_counter():
            self._due.pop(0)[1]()


class Wire:
    """A connection of the worker, as far as the lane uses one."""

    def __init__(self, near: socket.socket) -> None:
        self._near = near

    def write(self, data: bytes) -> None:
        self._near.send(data)

    def get_extra_info(self, _: str) -> None:
        return None

    def is_closing(self) -> bool:
        return False

    def get_write_buffer_size(self) -> int:
        return 0

    def resume_reading(self) -> None: ...


class NoJournal:
    """Keeps the last record and writes none."""

    last: Sequence[PredictionRecord] = ()

    def append(self, records: Sequence[PredictionRecord]) -> None:
        self.last = records

    def put(self, records: Sequence[PredictionRecord], *, last: bool = False) -> None:
        del last
        self.last = records

    def close(self) -> None:
        return


class NoMetrics(Metrics):
    """Counts nothing."""

    def count(self, *_: object, **__: object) -> None: ...
    def gauge(self, *_: object, **__: object) -> None: ...
    def observe(self, *_: object, **__: object) -> None: ...
    def counter(self, *_: object, **__: object) -> Callable[[float], None]:
        return _nothing

    observer = setter = stages = counter


def _nothing(*_: float) -> None:
    return


def main(arguments: Sequence[str]) -> None:
    know_process()
    given = dict(word.split("=", 1) for word in arguments)
    folder = Path(given.get("folder", Path(tempfile.gettempdir()) / "trimtab-bench-serving"))
    folder.mkdir(parents=True, exist_ok=True)
    rounds, requests = int(given.get("rounds", "20")), int(given.get("requests", "512"))
    for model in given.get("models", "lr,hgb,columns").split(","):
        for together in given.get("together", "16,1").split(","):
            found = asyncio.run(measured(folder, model, rounds, requests, int(together)))
            show(f"{model}, {together} together", found)


async def measured(
    folder: Path, model: str, rounds: int, requests: int, together: int
) -> dict[str, float]:
    """Microseconds a request by variant."""
    deployment = Deployment.open(load(deployed(folder, model, trained(folder, model)), environ={}))
    every = bodies(model, requests, seed=3)
    silent = NoJournal()
    always = Assignment(arm=0, sticky=False)
    whole, live = opened(deployment, model, together, Metrics(), None)
    variants: dict[str, Ask] = {
        "the whole request": whole,
        "without the journal": opened(deployment, model, together, Metrics(), silent)[0],
        "without metrics": opened(deployment, model, together, NoMetrics(), None)[0],
        "without routing": opened(deployment, model, together, Metrics(), None, lambda *_: always)[
            0
        ],
        "without all three": opened(
            deployment, model, together, NoMetrics(), silent, lambda *_: always
        )[0],
        **floors(live, every, silent, folder),
        "its calls to the kernel alone": kernel(together, silent, folder),
    }
    sent = [every[at : at + together] for at in range(0, requests, together)]
    taken: dict[str, list[float]] = {name: [] for name in variants}
    for _ in range(rounds):
        for name, ask in variants.items():
            taken[name].append(median(ask(turn) / len(turn) for turn in sent))
    deployment.close()
    return {name: min(times) * 1e6 for name, times in taken.items()}


def opened(
    deployment: Deployment,
    model: str,
    together: int,
    metrics: Metrics,
    journal: JournalWriter | None,
    assign: Callable[..., Assignment] | None = None,
) -> tuple[Ask, LiveModel]:
    """A worker with connections, and its live model."""
    turns, config = AtHand(), deployment.config.serve
    tally = Tally(turns.sometimes)
    metrics.gather(tally.soon)
    serving = Serving.open(deployment, metrics, journal, turns)
    serving.board.refresh()
    if assign is not None:
        serving.flow._assign = assign  # noqa: SLF001 - one part is switched off
    turnstile = Turnstile(config, deployment.clock.monotonic, metrics, turns.soon, tally.soon)
    plane = DataPlane(
        flow=serving.flow, live=serving.board.live, outcomes=serving.outcomes, config=config,
        clock=deployment.clock, metrics=metrics, turnstile=turnstile, known=serving.board.knows,
        in_thread=None,  # type: ignore[arg-type]  # outcomes are not asked
    )  # fmt: skip
    due: list[Callable[[], None]] = []
    line = Line(turnstile, turns, soon=due.append)
    connections = Connections(config, time.monotonic, metrics, lambda *_: None)
    http = lane(plane, config.max_body_bytes, connections, turns, line)
    near, far = joined(http, together)
    head = (
        f"POST /models/{model}/predict HTTP/1.1\r\nHost: localhost\r\n"
        "Content-Type: application/json\r\nContent-Length: %d\r\n\r\n"
    )

    def ask(turn: Sequence[bytes]) -> float:
        for client, body in zip(far, turn, strict=True):
            client.send((head % len(body)).encode() + body)
        began = time.perf_counter()
        for protocol, connection in near:
            protocol.data_received(connection.recv(65_536))
        while due:
            due.pop()()
        turns.finish()
        seconds = time.perf_counter() - began
        for client in far:
            if not client.recv(65_536).startswith(b"HTTP/1.1 200"):
                raise SystemExit("A request was not answered.")
        turns.do_what_is_due()
        return seconds

    return ask, serving.board.live(model)


def joined(
    http: type[LaneProtocol], count: int
) -> tuple[list[tuple[LaneProtocol, socket.socket]], list[socket.socket]]:
    """Connections, as the worker and as its clients have them."""
    config = uvicorn.Config(Starlette(), http=http, log_config=None, server_header=False)
    config.load()
    state, listener = ServerState(), socket.create_server(("127.0.0.1", 0))
    near, far = [], []
    for _ in range(count):
        far.append(socket.create_connection(listener.getsockname()))
        connection, _ = listener.accept()
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        protocol = http(config=config, server_state=state, app_state={})
        protocol.connection_made(Wire(connection))  # type: ignore[arg-type]  # what the lane uses is there
        near.append((protocol, connection))
    listener.close()
    return near, far


def floors(
    live: LiveModel, sent: Sequence[bytes], silent: NoJournal, folder: Path
) -> dict[str, Ask]:
    """The model alone, and the least that decoding, encoding and writing such a request can cost."""
    arm = live.champion
    asked = msgspec.json.Decoder(dict[str, dict[str, float | str | None]])
    rows = {body: _values(arm, asked.decode(body)["features"]) for body in sent}
    columns = {body: arm.checker.columns([values]) for body, values in rows.items()}
    record = silent.last[0] if silent.last else None
    names = msgspec.defstruct("Names", [(f"f{i}", Any, None) for i in range(30)])
    decode = msgspec.json.Decoder(msgspec.defstruct("Body", [("features", names)])).decode
    raw = os.open(folder / "raw", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    data = frame(b"x" * 700) if record is None else frame(msgspec.msgpack.encode(record))

    def timed(call: Callable[[Sequence[bytes]], object]) -> Ask:
        def ask(turn: Sequence[bytes]) -> float:
            began = time.perf_counter()
            call(turn)
            return time.perf_counter() - began

        return ask

    def each(call: Callable[[bytes], object]) -> Ask:
        return timed(lambda turn: [call(body) for body in turn])

    return {
        "the model alone": each(
            (lambda body: arm.one(rows[body]))
            if arm.one is not None
            else (lambda body: arm.predictor.predict(columns[body]))
        ),
        "decoding such a body": each(decode),
        "one write of them all to the kernel": timed(lambda turn: os.write(raw, data * len(turn))),
    }


def kernel(together: int, silent: NoJournal, folder: Path) -> Ask:
    """What a worker that did nothing would pay: a read and a send of each request, and one write of their records."""
    raw = os.open(folder / "raw", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    data = frame(msgspec.msgpack.encode(silent.last[0])) if silent.last else b"x" * 700
    listener = socket.create_server(("127.0.0.1", 0))
    far = [socket.create_connection(listener.getsockname()) for _ in range(together)]
    near = [listener.accept()[0] for _ in far]
    listener.close()
    for connection in near:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    reply = b"x" * 400

    def ask(turn: Sequence[bytes]) -> float:
        for client, body in zip(far, turn, strict=True):
            client.send(body)
        began = time.perf_counter()
        for connection in near:
            connection.recv(65_536)
        os.write(raw, data * len(turn))
        for connection in near:
            connection.send(reply)
        seconds = time.perf_counter() - began
        for client in far:
            client.recv(65_536)
        return seconds

    return ask


def _values(arm: Any, features: dict[str, Any]) -> list[Any]:
    return [features.get(name) for name in arm.signature.names]


def show(model: str, found: dict[str, float]) -> None:
    whole, alone = found["the whole request"], found["the model alone"]
    parts = (whole - found["without all three"]) / whole
    print(f"\n{model}: {whole - alone:.1f} us over the model; routing, journal and metrics {parts:.0%}\n| | us a request | whole minus this |"
          "\n|---|---|---|")  # fmt: skip
    for name, each in found.items():
        print(f"| {name} | {each:.1f} | {whole - each:.1f} |", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
