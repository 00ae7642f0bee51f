"""`make bench-serving ARGS=follow`: what it costs the watcher to follow one record, and to compact it.

``follow.py [models=lr] [records=40000] [rounds=3] [batch=5000] [folder=DIR]``. The records are those that a worker writes when it
answers the benchmark's requests, in a segment of their own. The watcher that ``trimtab serve`` starts reads them in ticks of ``batch``
records into a state of its own, with the reference that was registered and without; then the segment is compacted. Figures are
microseconds of processor time a record, of the rounds the least; of one thread, as the watcher computes with one.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

os.environ.update(dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1"))
os.environ.setdefault("PROMETHEUS_MULTIPROC_DIR", tempfile.mkdtemp(prefix="trimtab-follow-"))

from cost import NoJournal, opened
from models import bodies, trained
from msgspec.structs import replace
from run import deployed

from trimtab.config import Config, JournalConfig, StateConfig, load
from trimtab.record import compaction
from trimtab.record.frames import scan
from trimtab.record.journal import Journal
from trimtab.store.statements import upsert
from trimtab.store.tables import versions
from trimtab.telemetry import Metrics
from trimtab.types import PredictionRecord, Signature
from trimtab.wiring.deployment import Deployment
from trimtab.wiring.recording import signatures_of
from trimtab.wiring.watching import Watching

TOGETHER = 16
STAMP_SECONDS = 40e-6
"""What a worker that is kept busy spends on a request: how far its records' times lie apart."""


class Kept(NoJournal):
    """Keeps the records that a worker would write."""

    def __init__(self) -> None:
        self.records: list[PredictionRecord] = []

    def append(self, records: Sequence[PredictionRecord]) -> None:
        self.records += records

    def put(self, records: Sequence[PredictionRecord], *, last: bool = False) -> None:
        del last
        self.records += records


def main(arguments: Sequence[str]) -> None:
    given = dict(word.split("=", 1) for word in arguments)
    folder = Path(given.get("folder", Path(tempfile.gettempdir()) / "trimtab-bench-serving"))
    folder.mkdir(parents=True, exist_ok=True)
    count, rounds = int(given.get("records", "40000")), int(given.get("rounds", "3"))
    batch = int(given.get("batch", "5000"))
    for model in given.get("models", "lr").split(","):
        config = load(deployed(folder, model, trained(folder, model)), environ={})
        records = asyncio.run(answered(config, model, count))
        found: dict[str, dict[str, float]] = {}
        for profile in (True, False):
            taken = [
                measured(config, model, records, batch, profile=profile) for _ in range(rounds)
            ]
            found["with a profile" if profile else "no profile, no held-out figures"] = {
                name: min(one[name] for one in taken) for name in taken[0]
            }
        show(model, records, found)


async def answered(config: Config, model: str, count: int) -> list[PredictionRecord]:
    """The records of so many requests."""
    deployment = Deployment.open(config)
    kept = Kept()
    ask, _ = opened(deployment, model, TOGETHER, Metrics(), kept)
    every = bodies(model, count + TOGETHER - count % TOGETHER, seed=4)
    while len(kept.records) < count:
        at = len(kept.records)
        ask(every[at : at + TOGETHER])
    deployment.close()
    begun = kept.records[0].event_time
    times = [begun + at * STAMP_SECONDS for at in range(count)]
    return [
        replace(record, event_time=at, wall_time=at)
        for record, at in zip(kept.records, times, strict=False)
    ]


def measured(
    config: Config,
    model: str,
    records: Sequence[PredictionRecord],
    batch: int,
    *,
    profile: bool,
) -> dict[str, float]:
    """Microseconds a record by part."""
    with tempfile.TemporaryDirectory() as place:
        home = Path(place) / "state"
        shutil.copytree(config.state.dir, home, ignore=shutil.ignore_patterns("journal", "run"))
        own = msgspec.structs.replace(
            config, state=StateConfig(dir=str(home)),
            watch=msgspec.structs.replace(config.watch, batch_rows=batch),
        )  # fmt: skip
        deployment = Deployment.open(own)
        if not profile:
            bare(deployment, model)
        journal = Journal(deployment.journal_dir, JournalConfig(), Metrics(), deployment.clock)
        first, rest = records[:batch], records[batch:]
        journal.append(first)
        watching = Watching.open(deployment, Metrics())
        watching.tick()  # what is done once
        for at in range(0, len(rest), TOGETHER):
            journal.append(rest[at : at + TOGETHER])
        journal.close()
        found = {"a tick": ticks(watching, len(rest))}
        deployment.close()
        found |= floors(next(deployment.journal_dir.glob("*.seg")), len(records))
        found["compaction"] = compacted(deployment, model, len(records))
        return found


def bare(deployment: Deployment, model: str) -> None:
    """Forget the reference and the held-out figures of the model's versions."""
    with deployment.state.transaction() as state:
        for version in state.registry.versions(model):
            row = {"model": model, "version": version.version}
            left = msgspec.structs.replace(
                version, profile_digest=None, promise_digest=None, metrics={}
            )
            upsert(state.registry.connection, versions, [{**row, "body": left}])  # type: ignore[attr-defined]  # the benchmark's own state


def ticks(watching: Watching, rows: int) -> float:
    began, done = time.process_time(), 0
    while done < rows:
        done += watching.tick().records
    return (time.process_time() - began) / rows * 1e6


def floors(segment: Path, rows: int) -> dict[str, float]:
    """What reading the frames, and reading and decoding them into records, costs alone."""
    decode = msgspec.msgpack.Decoder(PredictionRecord).decode

    def frames() -> None:
        with segment.open("rb") as file:
            for _ in scan(file, 0, final=True):
                pass

    def decoded() -> None:
        with segment.open("rb") as file:
            for payload, _, _ in scan(file, 0, final=True):
                if payload is not None:
                    decode(payload)

    return {
        "the frames alone": once(frames) / rows,
        "frames, and decoding them": once(decoded) / rows,
    }


def compacted(deployment: Deployment, model: str, rows: int) -> float:
    signatures: dict[int, Signature] = signatures_of(deployment, model)
    segment = next(deployment.journal_dir.glob("*.seg"))
    return once(lambda: compaction.compact(segment, lambda _, version: signatures[version])) / rows


def once(call: Callable[[], object]) -> float:
    began = time.process_time()
    call()
    return (time.process_time() - began) * 1e6


def show(
    model: str, records: Sequence[PredictionRecord], found: dict[str, dict[str, float]]
) -> None:
    size = sum(len(msgspec.msgpack.encode(record)) for record in records[:1_000]) / 1_000
    print(f"\n{model}: us a record of {size:.0f} bytes, {len(records):,} records")
    print(f"| | {' | '.join(found)} |\n|---|{'---|' * len(found)}")
    for name in next(iter(found.values())):
        print(f"| {name} | {' | '.join(f'{each[name]:.2f}' for each in found.values())} |")


if __name__ == "__main__":
    main(sys.argv[1:])
