"""A topic of feature events, through the protocol of Kafka: librdkafka carries brokers of its own for tests."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest
from click.testing import CliRunner
from confluent_kafka import Consumer, Message, Producer, TopicPartition

from trimtab.cli.main import cli
from trimtab.config import ViewConfig, ViewFeature
from trimtab.errors import InvalidConfig, Unavailable
from trimtab.features.stores.memory import MemoryStore
from trimtab.features.streams import Intake, StreamOptions
from trimtab.features.streams.kafka import KafkaStream
from trimtab.features.writing import RowReader, Tally, Written
from trimtab.testing import FakeClock
from trimtab.types import StoredRow

WEATHER = ViewConfig(entity="origin", realtime="online", features=(ViewFeature(name="wind"),))
QUIET = {"log_level": 0}
PARTITIONS = 4  # of a topic that these brokers make


class Brokers:
    """Three brokers in this process, and topics that no other test has."""

    def __init__(self) -> None:
        self.producer = Producer({"bootstrap.servers": "mock", "test.mock.num.brokers": 3, **QUIET})
        found = self.producer.list_topics(timeout=10).brokers.values()
        self.servers = ",".join(f"{broker.host}:{broker.port}" for broker in found)
        self.url = f"kafka://{self.servers}"
        self._topics = 0

    def topic(self) -> str:
        """A name that no other test has; these brokers make a topic when something is sent to it."""
        self._topics += 1
        return f"weather{self._topics}"

    def send(self, topic: str, origin: str, at: float, wind: object) -> None:
        row = {"origin": origin, "event_time": at, "wind": wind}
        self.producer.produce(topic, json.dumps(row), key=origin)

    def committed(self, topic: str) -> int:
        """How many messages the group has done with."""
        group = Consumer({"bootstrap.servers": self.servers, "group.id": "trimtab", **QUIET})
        found = group.committed([TopicPartition(topic, p) for p in range(PARTITIONS)], timeout=10)
        group.close()
        return sum(max(0, part.offset) for part in found)

    def read(self, topic: str, count: int) -> list[Message]:
        reader = Consumer(
            {
                "bootstrap.servers": self.servers,
                "group.id": "test",
                "auto.offset.reset": "earliest",
                **QUIET,
            }
        )
        reader.subscribe([topic])
        found = reader.consume(count, timeout=20)
        reader.close()
        return found


@pytest.fixture(scope="module")
def brokers() -> Iterator[Brokers]:
    opened = Brokers()
    yield opened
    opened.producer.flush()


class Brittle(MemoryStore):
    """The first writes fail after they were carried out."""

    def __init__(self, failures: int = 0) -> None:
        super().__init__()
        self.failures = failures
        self.written = 0

    async def write(self, view: str, rows: Mapping[str, StoredRow]) -> int:
        kept = await super().write(view, rows)
        self.written += 1
        if self.failures:
            self.failures -= 1
            raise Unavailable("the connection broke", code="store_unavailable")
        return kept


async def consume(
    brokers: Brokers, topic: str, store: MemoryStore, settings: Mapping[str, str] | None = None
) -> Written:
    options = StreamOptions(
        url=brokers.url,
        stream=topic,
        claim_seconds=6.0,
        batch_rows=3,
        block_ms=100,
        settings=settings or {},
    )
    tally = Tally()
    reader = RowReader(WEATHER, FakeClock(), "event_time")
    stream = KafkaStream(options, Intake("weather", reader, store, tally))
    try:
        await stream.run(asyncio.Event(), until_empty=True)
    finally:
        await stream.close()
    return tally.written()


def times(store: MemoryStore, entities: Sequence[str]) -> dict[str, float]:
    return {e: row.event_time for e, row in store.read_now("weather", entities).items()}


def test_events_are_stored_in_their_order_and_committed_once(brokers: Brokers) -> None:
    topic, store = brokers.topic(), MemoryStore()
    for at in (3.0, 1.0, 2.0):
        brokers.send(topic, "JFK", at, at)
    brokers.send(topic, "LGA", 1.0, 5.0)
    brokers.producer.flush()
    written = asyncio.run(consume(brokers, topic, store))
    assert (written.rows, written.refused) == (4, 0)
    assert times(store, ["JFK", "LGA"]) == {"JFK": 3.0, "LGA": 1.0}
    assert brokers.committed(topic) == 4
    assert asyncio.run(consume(brokers, topic, store)) == Written()


def test_what_was_stored_and_not_committed_comes_again_and_changes_nothing(
    brokers: Brokers,
) -> None:
    topic, store = brokers.topic(), Brittle(failures=1)
    for at in range(7):
        brokers.send(topic, "JFK", float(at), float(at))
    brokers.producer.flush()
    with pytest.raises(Unavailable):
        asyncio.run(consume(brokers, topic, store))
    assert brokers.committed(topic) == 0
    written = asyncio.run(consume(brokers, topic, store))
    assert (written.rows, times(store, ["JFK"])) == (7, {"JFK": 6.0})
    assert brokers.committed(topic) == 7
    brokers.send(topic, "JFK", 2.0, 2.0)
    brokers.producer.flush()
    assert asyncio.run(consume(brokers, topic, store)).kept == 0
    assert times(store, ["JFK"]) == {"JFK": 6.0}


def test_what_cannot_be_stored_is_put_aside_with_its_reason(brokers: Brokers) -> None:
    topic, store = brokers.topic(), MemoryStore()
    brokers.send(topic, "JFK", 1.0, 1.0)
    for text in (b"no JSON", b'{"origin": ""}', b"\xff", None):
        brokers.producer.produce(topic, text, key="k")
    brokers.send(topic, "LGA", 1.0, "strong")
    brokers.producer.flush()
    written = asyncio.run(consume(brokers, topic, store))
    assert (written.rows, written.refused, written.values_refused) == (6, 4, {"wind": 1})
    assert times(store, ["JFK", "LGA"]) == {"JFK": 1.0, "LGA": 1.0}
    aside = brokers.read(f"{topic}.refused", 4)
    assert sorted(str(message.value()) for message in aside) == sorted(
        map(str, [b"no JSON", b'{"origin": ""}', b"\xff", None])
    )
    reasons = [dict(message.headers() or [])["reason"] for message in aside]
    assert all(isinstance(reason, bytes) and len(reason) > 20 for reason in reasons)
    assert brokers.committed(topic) == 6


def test_two_consumers_share_a_topic_and_lose_nothing(brokers: Brokers) -> None:
    topic, store = brokers.topic(), MemoryStore()
    entities = [f"o{i}" for i in range(50)]
    for number, entity in enumerate(entities * 4):
        brokers.send(topic, entity, float(number), float(number))
    brokers.producer.flush()

    async def main() -> tuple[Written, Written]:
        return await asyncio.gather(consume(brokers, topic, store), consume(brokers, topic, store))

    written = asyncio.run(main())
    assert sum(one.rows for one in written) >= 200
    assert times(store, entities) == {e: float(150 + i) for i, e in enumerate(entities)}
    assert brokers.committed(topic) == 200


def test_a_topic_that_cannot_be_read_is_an_error_that_says_so(brokers: Brokers) -> None:
    nowhere = {"bootstrap.servers": "127.0.0.1:1", "socket.connection.setup.timeout.ms": "1000"}
    with pytest.raises(Unavailable) as caught:
        asyncio.run(consume(brokers, "weather", MemoryStore(), nowhere))
    assert caught.value.code == "stream_unavailable"
    with pytest.raises(InvalidConfig):
        asyncio.run(consume(brokers, "weather", MemoryStore(), {"no.such.setting": "1"}))


def test_the_command_reads_a_topic(
    brokers: Brokers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("trimtab.toml").write_text(
        '[features.stores.online]\nkind = "sqlite"\n'
        '[features.views.weather]\nentity = "origin"\nrealtime = "online"\n'
        'features = [{ name = "wind" }]\n'
    )
    topic = brokers.topic()
    brokers.send(topic, "JFK", 5.0, 7.5)
    brokers.producer.flush()
    asked = [
        "features",
        "consume",
        "weather",
        "--stream",
        topic,
        "--until-empty",
        "--json",
        "--claim-seconds",
        "6",
    ]
    ran = CliRunner().invoke(cli, [*asked, "--url", brokers.url, "--set", "log_level=0"])
    assert (ran.exit_code, json.loads(ran.stdout)["kept"]) == (0, 1)
    got = CliRunner().invoke(cli, ["features", "get", "weather", "JFK", "--json"])
    assert json.loads(got.stdout)["online"] == {"values": {"wind": 7.5}, "event_time": 5.0}
    wrong = CliRunner().invoke(cli, [*asked, "--url", "amqp://127.0.0.1"])
    assert wrong.exit_code != 0
    assert "kafka://" in wrong.output
