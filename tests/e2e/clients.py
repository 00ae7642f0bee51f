"""Clients of a running server, and how tests wait for what it does."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Self, TypeVar

import httpx
import pandas as pd
from tests.e2e.conftest import Running, frame

from trimtab.record.reader import SegmentReader
from trimtab.telemetry import Metrics
from trimtab.types import PredictionRecord

T = TypeVar("T")
Row = dict[str, Any]

THINK_SECONDS = 0.004
FEATURES = ["amount", "visits", "country"]


def eventually(look: Callable[[], T], fits: Callable[[T], bool], seconds: float = 30.0) -> T:
    """What is seen once it fits; fails with what was seen last."""
    pause, deadline = threading.Event(), time.monotonic() + seconds
    while not fits(seen := look()):
        assert time.monotonic() < deadline, f"still {seen!r} after {seconds:g} s"
        pause.wait(0.01)
    return seen


def rows_of(data: pd.DataFrame) -> list[Row]:
    """The features of a frame as a client sends them: missing is null."""
    found = data[FEATURES].astype(object)
    return [
        {str(name): value for name, value in row.items()}
        for row in found.where(found.notna(), None).to_dict("records")
    ]


def journal(config: Path) -> list[PredictionRecord]:
    """All that is recorded, read as the watcher reads it."""
    return list(SegmentReader(config.parent / "state" / "journal", Metrics()).records())


def metric(client: httpx.Client, name: str) -> float:
    """The sum of a metric's series, as scraped."""
    reply = client.get("/metrics")
    assert 200 == reply.status_code
    lines = (line for line in reply.text.splitlines() if line.startswith((f"{name}{{", f"{name} ")))
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines)


class Load:
    """Clients that predict again and again, each in its own thread, until they are told to stop.

    A connection that breaks is opened again. ``acknowledged`` has the answers of all that was
    answered with 200; ``statuses`` counts every answer.

    Args:
        url: The server's address.
        clients: How many threads.
        outcomes: Whether each fifth prediction's outcome is sent, too.
    """

    def __init__(self, url: str, *, clients: int = 2, outcomes: bool = False) -> None:
        self.acknowledged: list[dict[str, Any]] = []
        self.outcomes: list[str] = []
        self.statuses: Counter[int] = Counter()
        self._url = url
        self._with_outcomes = outcomes
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._run, args=(number,)) for number in range(clients)
        ]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    @property
    def ids(self) -> list[str]:
        """The prediction ids that were acknowledged."""
        return [answer["prediction_id"] for answer in self.acknowledged]

    def more(self, answers: int) -> None:
        """Wait until so many more predictions have been acknowledged."""
        wanted = len(self.acknowledged) + answers
        eventually(lambda: len(self.acknowledged), lambda seen: seen >= wanted)

    def _run(self, number: int) -> None:
        rows = rows_of(frame(200, seed=number))
        turn = 0
        while not self._stop.is_set():
            try:
                with httpx.Client(base_url=self._url, timeout=20.0) as client:
                    while not self._stop.wait(THINK_SECONDS):
                        turn += 1
                        self._predict(client, rows[turn % len(rows)], f"{number}-{turn % 97}", turn)
            except httpx.TransportError:
                self._stop.wait(THINK_SECONDS)

    def _predict(self, client: httpx.Client, row: Row, key: str, turn: int) -> None:
        reply = client.post("/models/risk/predict", json={"features": row, "key": key})
        self.statuses[reply.status_code] += 1
        if reply.status_code != httpx.codes.OK:
            return
        answer = reply.json()
        (made,) = answer["predictions"]
        self.acknowledged.append({**made, "key": key, "epoch": answer["epoch"]})
        if self._with_outcomes and turn % 5 == 0:
            known = {"prediction_id": made["prediction_id"], "value": turn % 2}
            if client.post("/models/risk/outcomes", json=known).status_code == httpx.codes.OK:
                self.outcomes.append(made["prediction_id"])


def overview(server: Running) -> dict[str, Any]:
    """All that the server says of the model ``risk``."""
    with server.client as client:
        reply = client.get("/api/v1/models/risk")
    assert 200 == reply.status_code
    return dict(reply.json())


def watched(server: Running) -> tuple[int, int]:
    """How many predictions and outcomes the watcher has seen."""
    versions = overview(server)["versions"]
    return sum(v["predictions"] for v in versions), sum(v["outcomes"] for v in versions)


class Traffic:
    """Predictions in event time, a batch a call, and their outcomes; counts what was sent.

    Args:
        server: Where they are sent.
        now: The event time of the first batch, Unix seconds.
    """

    def __init__(self, server: Running, now: float = 1.7e9) -> None:
        self.now = now
        self.predictions = 0
        self.outcomes = 0
        self._server = server

    def send(
        self,
        data: pd.DataFrame,
        keys: Sequence[str],
        *,
        seconds: float,
        outcomes: bool = True,
    ) -> list[dict[str, Any]]:
        """One batch over ``seconds`` of event time, then wait until the watcher has seen it."""
        step = seconds / len(data)
        rows = [
            {"features": features, "key": key, "event_time": self.now + i * step}
            for i, (features, key) in enumerate(zip(rows_of(data), keys, strict=True))
        ]
        self.now += seconds
        with self._server.client as client:
            reply = client.post("/models/risk/predict", json={"rows": rows})
            assert 200 == reply.status_code, reply.text
            answer = reply.json()
            made = [{**p, "epoch": answer["epoch"]} for p in answer["predictions"]]
            self.predictions += len(made)
            if outcomes:
                known = [
                    {"prediction_id": p["prediction_id"], "value": value, "event_time": self.now}
                    for p, value in zip(made, data["outcome"].tolist(), strict=True)
                ]
                sent = client.post("/models/risk/outcomes", json={"outcomes": known})
                assert 200 == sent.status_code, sent.text
                self.outcomes += len(known)
        wanted = (self.predictions, self.outcomes)
        eventually(lambda: watched(self._server), lambda seen: seen == wanted)
        return made
