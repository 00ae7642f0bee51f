"""The outside world: flights that ask for predictions, weather that arrives, outcomes that come late."""

from __future__ import annotations

import asyncio
import heapq
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import msgspec
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from trimtab.cli.demo import flights
from trimtab.errors import Unavailable
from trimtab.protocols import FeatureStore
from trimtab.types import PredictAnswer, Scalar, StoredRow

MODEL = "flights_late"
HOUR = 3600
REQUEST_FEATURES = [*flights.CATEGORIES, *flights.REQUEST_NUMERIC]
_encode = msgspec.json.Encoder().encode
_answer = msgspec.json.Decoder(PredictAnswer)


class Flight(msgspec.Struct, frozen=True):
    """A scheduled departure; ``outcome_time`` is None for a flight without an arrival."""

    flight_id: str
    event_time: float
    features: dict[str, Scalar]
    outcome_time: float | None
    late: float | None


@dataclass(slots=True)
class Tally:
    """What a stretch of replay sent and got."""

    flights: int = 0
    requests: int = 0
    failed: int = 0
    outcomes: int = 0
    sources: Counter[str] = field(default_factory=Counter)
    by_version: Counter[int] = field(default_factory=Counter)


@dataclass(slots=True)
class Replay:
    """Replays flights in time order over HTTP, as fast as the server answers.

    Flights that share a weather observation share a request stretch (observations appear at 51
    minutes past the hour), which is sent as two requests at a time.

    Args:
        client: An HTTP client whose base URL is the server.
        online: The online feature store, fed with the newest observation.
        batch_file: The batch fallback, rewritten at each month's start.
    """

    client: httpx.AsyncClient
    online: FeatureStore
    batch_file: Path
    queue: list[Flight]
    position: int = 0
    sent: Tally = field(default_factory=Tally)
    _due: list[tuple[float, str, float]] = field(default_factory=list)
    _observations: dict[float, dict[str, StoredRow]] = field(default_factory=dict)
    _times: list[float] = field(default_factory=list)
    _fed: int = 0
    _month: int = 0

    def __post_init__(self) -> None:
        self._observations = _observations()
        self._times = sorted(self._observations)

    async def until(
        self, event_time: float, progress: Callable[[int, float], None] | None = None
    ) -> Tally:
        """Send everything scheduled before ``event_time``, then the outcomes known by then."""
        tally = Tally()
        for start, batch in self._stretches(event_time):
            await self._feed(start)
            half = (len(batch) + 1) // 2
            await asyncio.gather(
                *(self._ask(part, tally) for part in (batch[:half], batch[half:]) if part),
                self._tell(start, tally),
            )
            if progress is not None:
                progress(len(batch), start)
        await self._tell(event_time, tally)
        self.sent.flights += tally.flights
        self.sent.requests += tally.requests
        self.sent.failed += tally.failed
        self.sent.outcomes += tally.outcomes
        return tally

    def flights_before(self, event_time: float) -> int:
        """How many flights ``until`` would send."""
        end = self.position
        while end < len(self.queue) and self.queue[end].event_time < event_time:
            end += 1
        return end - self.position

    def _stretches(self, event_time: float) -> Iterator[tuple[float, list[Flight]]]:
        while self.position < len(self.queue):
            first = self.queue[self.position].event_time
            if first >= event_time:
                return
            start = first - (first - flights.WEATHER_OBSERVED_SECONDS) % HOUR
            end = self.position
            while end < len(self.queue) and self.queue[end].event_time < min(
                start + HOUR, event_time
            ):
                end += 1
            batch = self.queue[self.position : end]
            self.position = end
            yield start, batch

    async def _feed(self, now: float) -> None:
        """Bring the stores up to ``now``: the newest observations, and last month's averages."""
        self._batch(now)
        newest: dict[str, StoredRow] = {}
        while self._fed < len(self._times) and self._times[self._fed] <= now:
            newest |= self._observations[self._times[self._fed]]
            self._fed += 1
        if newest:
            try:
                await self.online.write("weather", newest)
            except Unavailable:
                return

    def _batch(self, now: float) -> None:
        month = pd.Timestamp(now, unit="s", tz=flights.NEW_YORK).month
        if month == self._month:
            return
        self._month = month
        averages = flights.monthly_weather()
        last = averages[averages["month"] == month - 1].drop(columns="month")
        table = pa.Table.from_pandas(last.assign(event_time=now), preserve_index=False)
        self.batch_file.parent.mkdir(parents=True, exist_ok=True)
        waiting = self.batch_file.with_suffix(".new")
        pq.write_table(table, waiting)
        waiting.replace(self.batch_file)

    async def _ask(self, batch: list[Flight], tally: Tally) -> None:
        body = {
            "rows": [
                {"key": f.flight_id, "event_time": f.event_time, "features": f.features}
                for f in batch
            ]
        }
        reply = await self.client.post(f"/models/{MODEL}/predict", content=_encode(body))
        tally.requests += 1
        if reply.status_code != 200:
            tally.failed += len(batch)
            return
        answer = _answer.decode(reply.content)
        for flight, prediction in zip(batch, answer.predictions, strict=True):
            tally.flights += 1
            tally.by_version[prediction.version] += 1
            tally.sources.update(prediction.sources)
            if flight.outcome_time is not None and flight.late is not None:
                heapq.heappush(
                    self._due, (flight.outcome_time, prediction.prediction_id, flight.late)
                )

    async def _tell(self, now: float, tally: Tally) -> None:
        """Send the outcomes of flights that have arrived by ``now``."""
        known = []
        while self._due and self._due[0][0] <= now:
            when, prediction_id, late = heapq.heappop(self._due)
            known.append({"prediction_id": prediction_id, "value": late, "event_time": when})
        if known:
            reply = await self.client.post(
                f"/models/{MODEL}/outcomes", content=_encode({"outcomes": known})
            )
            reply.raise_for_status()
            tally.outcomes += len(known)


def flight_queue(frame: pd.DataFrame) -> list[Flight]:
    """The frame's flights in its order, missing values left out of the features."""
    columns = [frame[name].tolist() for name in REQUEST_FEATURES]
    facts = (
        frame["flight_id"].tolist(),
        frame["event_time"].tolist(),
        frame["outcome_time"].tolist(),
        frame["late"].tolist(),
    )
    return [
        Flight(
            flight_id=flight_id,
            event_time=float(event_time),
            features={
                name: value
                for name, value in zip(REQUEST_FEATURES, values, strict=True)
                if value == value  # noqa: PLR0124 - false for NaN alone
            },
            outcome_time=outcome_time if outcome_time == outcome_time else None,  # noqa: PLR0124 - NaN
            late=late if late == late else None,  # noqa: PLR0124 - NaN
        )
        for flight_id, event_time, outcome_time, late, *values in zip(*facts, *columns, strict=True)
    ]


def _observations() -> dict[float, dict[str, StoredRow]]:
    """Observations by the time they were published, then by airport."""
    found: dict[float, dict[str, StoredRow]] = {}
    for row in flights.weather().to_dict("records"):
        when = float(row["event_time"])
        values: dict[str, Scalar] = {
            name: row[name] for name in flights.WEATHER if row[name] == row[name]
        }
        found.setdefault(when, {})[row["airport"]] = StoredRow(values=values, event_time=when)
    return found
