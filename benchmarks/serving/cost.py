"""`make bench-serving ARGS=cost`: what one request costs inside the worker, and what each part adds.

``cost.py [models=lr,hgb,columns] [rounds=40] [requests=512] [together=16] [folder=DIR]``. One process, no
network: the worker's data plane answers bodies of one row each, every one another row, of which so many
arrive together in a turn of the event loop. Variants of one part switched off take turns with the whole, so
that what else the machine does falls on all of them alike. Figures are microseconds a request: of each round
the median over its turns, of the rounds the least.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import msgspec

os.environ.setdefault("PROMETHEUS_MULTIPROC_DIR", tempfile.mkdtemp(prefix="trimtab-cost-"))

from models import bodies, trained
from run import deployed

from trimtab.config import load
from trimtab.protocols import JournalWriter, LiveModel
from trimtab.record.frames import frame
from trimtab.serve.dataplane import DataPlane
from trimtab.serve.meters import Tally
from trimtab.serve.overload import Turnstile
from trimtab.serve.reply import Reply
from trimtab.serve.turns import Turns
from trimtab.telemetry import Metrics
from trimtab.types import Assignment, PredictionRecord
from trimtab.wiring.deployment import Deployment
from trimtab.wiring.serving import Serving

Ask = Callable[[Sequence[bytes]], object]


class AtHand(Turns):
    """Turns that end when told, with coroutines driven as the lane does."""

    _at = 0.0
    _due: Callable[[], None] | None = None

    def _end_soon(self) -> None: ...

    def drive(self, work: Coroutine[Any, Any, Reply]) -> None:
        self.waits = None
        try:
            work.send(None)
        except StopIteration as done:
            if done.value.status != 200:
                raise SystemExit(done.value.body) from None
            return
        if self.waits is None:
            raise SystemExit("The request waits for something.")
        self.waits(partial(self.drive, work))

    def finish(self) -> None:
        while self._calls or self._waiting:
            self.end()
        if self._due and time.monotonic() >= self._at:
            due, self._due = self._due, None
            due()

    def sometimes(self, seconds: float, call: Callable[[], None]) -> None:
        """As the loop calls something later."""
        self._at, self._due = time.monotonic() + seconds, call


class NoJournal:
    """Keeps the last record and writes none."""

    last: Sequence[PredictionRecord] = ()

    def append(self, records: Sequence[PredictionRecord]) -> None:
        self.last = records

    def put(self, records: Sequence[PredictionRecord]) -> None:
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

    observer = setter = counter


def _nothing(_: float = 1.0) -> None:
    return


def main(arguments: Sequence[str]) -> None:
    given = dict(word.split("=", 1) for word in arguments)
    folder = Path(given.get("folder", Path(tempfile.gettempdir()) / "trimtab-bench-serving"))
    folder.mkdir(parents=True, exist_ok=True)
    rounds, requests = int(given.get("rounds", "40")), int(given.get("requests", "512"))
    together = int(given.get("together", "16"))
    for model in given.get("models", "lr,hgb,columns").split(","):
        show(model, measured(folder, model, rounds, requests, together))


def measured(
    folder: Path, model: str, rounds: int, requests: int, together: int
) -> dict[str, float]:
    """Microseconds a request by variant."""
    deployment = Deployment.open(load(deployed(folder, model, trained(folder, model)), environ={}))
    every = bodies(model, requests, seed=3)
    sent = [every[at : at + together] for at in range(0, requests, together)]
    silent = NoJournal()
    always = Assignment(arm=0, sticky=False)
    whole, live = opened(deployment, model, Metrics(), None)
    variants: dict[str, Ask] = {
        "the whole request": whole,
        "without the journal": opened(deployment, model, Metrics(), silent)[0],
        "without metrics": opened(deployment, model, NoMetrics(), None)[0],
        "without routing": opened(deployment, model, Metrics(), None, lambda *_: always)[0],
        "without all three": opened(deployment, model, NoMetrics(), silent, lambda *_: always)[0],
        **floors(live, every, silent, folder),
    }
    taken: dict[str, list[float]] = {name: [] for name in variants}
    for _ in range(rounds):
        for name, ask in variants.items():
            taken[name].append(round_of(ask, sent))
    deployment.close()
    return {name: min(times) * 1e6 for name, times in taken.items()}


def opened(
    deployment: Deployment,
    model: str,
    metrics: Metrics,
    journal: JournalWriter | None,
    assign: Callable[..., Assignment] | None = None,
) -> tuple[Ask, LiveModel]:
    """A worker's data plane, and its live model."""
    turns = AtHand()
    tally = Tally(turns.sometimes)
    metrics.gather(turns.soon, tally.soon)
    serving = Serving.open(deployment, metrics, journal, turns)
    serving.board.refresh()
    if assign is not None:
        serving.flow._assign = assign  # noqa: SLF001 - one part is switched off
    plane = DataPlane(
        flow=serving.flow, live=serving.board.live, outcomes=serving.outcomes,
        config=deployment.config.serve, clock=deployment.clock, metrics=metrics,
        turnstile=Turnstile(deployment.config.serve, deployment.clock.monotonic, metrics, turns.soon),
        known=serving.board.knows, in_thread=None,  # type: ignore[arg-type]  # outcomes are not asked
    )  # fmt: skip

    def ask(turn: Sequence[bytes]) -> None:
        for body in turn:
            turns.drive(plane.predict(model, body, "application/json"))
        turns.finish()

    return ask, serving.board.live(model)


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

    def each(call: Callable[[bytes], object]) -> Ask:
        return lambda turn: [call(body) for body in turn]

    return {
        "the model alone": each(
            (lambda body: arm.one(rows[body]))
            if arm.one is not None
            else (lambda body: arm.predictor.predict(columns[body]))
        ),
        "decoding such a body": each(decode),
        "one write of them all to the kernel": lambda turn: os.write(raw, data * len(turn)),
    }


def _values(arm: Any, features: dict[str, Any]) -> list[Any]:
    return [features.get(name) for name in arm.signature.names]


def round_of(ask: Ask, sent: Sequence[Sequence[bytes]]) -> float:
    """The median seconds of a request: a turn's time over its requests."""
    taken = []
    for turn in sent:
        began = time.perf_counter()
        ask(turn)
        taken.append((time.perf_counter() - began) / len(turn))
    return median(taken)


def show(model: str, found: dict[str, float]) -> None:
    whole, alone = found["the whole request"], found["the model alone"]
    print(f"\n{model}: {whole - alone:.1f} us over the model\n| | us a request | whole minus this |"
          "\n|---|---|---|")  # fmt: skip
    for name, each in found.items():
        print(f"| {name} | {each:.1f} | {whole - each:.1f} |", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
