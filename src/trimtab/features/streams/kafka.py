"""Feature events from a topic of Kafka, at least once, through a consumer group."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from confluent_kafka import (
    Consumer,
    KafkaError,
    KafkaException,
    Message,
    Producer,
    TopicPartition,
)

from trimtab.errors import InvalidConfig, Unavailable
from trimtab.features.streams import Intake, StreamOptions

SCHEME = "kafka://"
_JOIN_SECONDS = 10.0
_FLUSH_SECONDS = 30.0
_AT_HAND_SECONDS = 0.01
_LEAST_SESSION_MS = 6_000  # brokers allow no less, unless they are told to
_OTHERS_TURN = frozenset(
    {
        KafkaError.ILLEGAL_GENERATION,
        KafkaError.UNKNOWN_MEMBER_ID,
        KafkaError.REBALANCE_IN_PROGRESS,
        KafkaError._ASSIGNMENT_LOST,  # noqa: SLF001 - so it is named
    }
)


class KafkaStream:
    """Writes a topic's events to a store, and commits their offsets after that.

    A message's value is a JSON object: the view's keys, its features, and the event time. Messages are
    delivered at least once: one that is delivered twice changes nothing, because the store keeps the
    newest event of each entity. One that cannot be stored at all goes to the topic ``<topic>.refused``
    with the reason in a header. Connections that break are made again by the client.

    Args:
        options: ``kafka://host:port,host:port``, topic, group and bounds; ``settings`` are those of
            librdkafka, for example ``security.protocol``.
        intake: Where its events go.

    Raises:
        InvalidConfig: a setting cannot be used.
    """

    def __init__(self, options: StreamOptions, intake: Intake) -> None:
        self._options = options
        self._intake = intake
        self._ended: set[int] = set()
        self._assigned: set[int] | None = None
        session_ms = max(_LEAST_SESSION_MS, int(options.claim_seconds * 1e3))
        common: dict[str, Any] = {
            "bootstrap.servers": options.url.removeprefix(SCHEME),
            "client.id": options.consumer,
            "log_level": 0,
            **options.settings,
        }
        try:
            self._consumer = Consumer(
                {
                    **common,
                    "group.id": options.group,
                    "session.timeout.ms": session_ms,
                    "max.poll.interval.ms": max(300_000, session_ms),
                    "auto.offset.reset": "earliest",
                    "enable.auto.commit": False,
                    "enable.partition.eof": True,
                }
            )
            self._producer = Producer({**common, "enable.idempotence": True})
        except KafkaException as wrong:
            raise InvalidConfig(
                f"A consumer of Kafka cannot be made so: {_said(wrong)}.",
                hint="The URL is kafka://host:port; settings are those of librdkafka.",
            ) from wrong

    async def run(self, stop: asyncio.Event, *, until_empty: bool = False) -> None:
        """Consume until ``stop`` is set, or until nothing waits.

        Raises:
            Unavailable: the topic or the store cannot be reached; nothing is lost, run it again.
        """
        with _explained(self._options.stream):
            await asyncio.to_thread(self._join)
            while not stop.is_set():
                messages = await asyncio.to_thread(self._next)
                if messages:
                    await self._take(messages)
                elif until_empty and self._assigned is not None and self._assigned <= self._ended:
                    return

    async def close(self) -> None:
        """Leave the group, so that others take over at once; idempotent."""
        await asyncio.to_thread(self._consumer.close)

    def _join(self) -> None:
        topic = self._options.stream
        found = self._consumer.list_topics(topic, timeout=_JOIN_SECONDS).topics[topic]
        if found.error is not None:
            raise KafkaException(found.error)
        self._consumer.subscribe([topic], on_assign=self._assign, on_revoke=self._revoke)

    def _assign(self, consumer: Consumer, parts: Sequence[TopicPartition]) -> None:
        del consumer
        self._assigned = {part.partition for part in parts}
        self._ended = set()

    def _revoke(self, consumer: Consumer, parts: Sequence[TopicPartition]) -> None:
        del consumer, parts
        self._assigned = None

    def _next(self) -> list[Message]:
        """What is there: waits for the first message only."""
        first = self._consumer.poll(self._options.block_ms / 1e3)
        if first is None:
            return []
        found = [first, *self._consumer.consume(self._options.batch_rows - 1, _AT_HAND_SECONDS)]
        messages = []
        for message in found:
            wrong = message.error()
            if wrong is None:
                self._ended.discard(_place(message)[0])
                messages.append(message)
            elif wrong.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001 - so it is named
                self._ended.add(_place(message)[0])
            elif not wrong.retriable():
                raise KafkaException(wrong)
        # What came before another consumer took its partition over is read again by that one.
        return [message for message in messages if _place(message)[0] in (self._assigned or ())]

    async def _take(self, messages: Sequence[Message]) -> None:
        """Store a batch, put aside what cannot be stored, then commit all of it."""
        entries = [
            (f"{partition}:{offset}", message.value() or b"")
            for message in messages
            for partition, offset in (_place(message),)
        ]
        refused = await self._intake.take(entries)
        if refused:
            aside = [(messages[place], entries[place][0], why) for place, why in refused]
            await asyncio.to_thread(self._put_aside, aside)
        behind: dict[int, int] = {}
        for partition, offset in map(_place, messages):
            behind[partition] = max(offset + 1, behind.get(partition, 0))
        await asyncio.to_thread(self._commit, behind)

    def _put_aside(self, aside: Sequence[tuple[Message, str, str]]) -> None:
        topic, wrongs = f"{self._options.stream}.refused", list[KafkaError]()

        def told(wrong: KafkaError | None, _: Message) -> None:
            if wrong is not None:
                wrongs.append(wrong)

        for message, entry, reason in aside:
            headers: Mapping[str, bytes] = {"reason": reason.encode(), "entry": entry.encode()}
            self._producer.produce(
                topic,
                value=message.value(),
                key=message.key(),
                headers=dict(headers),
                on_delivery=told,
            )
        left = self._producer.flush(_FLUSH_SECONDS)
        if wrongs or left:
            late = KafkaError(KafkaError._TIMED_OUT)  # noqa: SLF001 - the library's own code for it
            raise KafkaException(wrongs[0] if wrongs else late)

    def _commit(self, behind: Mapping[int, int]) -> None:
        parts = [TopicPartition(self._options.stream, p, offset) for p, offset in behind.items()]
        try:
            self._consumer.commit(offsets=parts, asynchronous=False)
        except KafkaException as wrong:
            # Somebody else has the partition now, and reads again what was stored already.
            if wrong.args[0].code() not in _OTHERS_TURN:
                raise
            self._assigned = None  # the next assignment says what is this consumer's


def _place(message: Message) -> tuple[int, int]:
    """Partition and offset."""
    partition, offset = message.partition(), message.offset()
    return -1 if partition is None else partition, -1 if offset is None else offset


@contextmanager
def _explained(topic: str) -> Iterator[None]:
    try:
        yield
    except KafkaException as wrong:
        raise Unavailable(
            f"The topic {topic!r} does not work: {_said(wrong)}.",
            code="stream_unavailable",
            hint="Are the brokers up, does the topic exist, and may this group read it?",
        ) from wrong


def _said(wrong: KafkaException) -> str:
    error = wrong.args[0] if wrong.args else wrong
    return error.str() if isinstance(error, KafkaError) else str(error)
