"""Bytes in, bytes out: predictions and outcomes, free of any HTTP server."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

import msgspec

from trimtab.config import ServeConfig
from trimtab.errors import InvalidRequest, NotFound, TrimtabError, Unavailable
from trimtab.outcomes import OutcomeDesk
from trimtab.predict import PredictFlow
from trimtab.protocols import Clock
from trimtab.serve import wire
from trimtab.serve.status import body_of, status_of
from trimtab.telemetry import Event, Metrics
from trimtab.types import OutcomeReceipt, PredictAnswer

logger = logging.getLogger(__name__)
_encode = msgspec.json.Encoder().encode
JSON = "application/json"


@dataclass(frozen=True, slots=True)
class Reply:
    """A status, a body and its type, and extra headers."""

    status: int
    body: bytes
    content_type: str = JSON
    headers: tuple[tuple[str, str], ...] = ()


class OutcomesAnswer(msgspec.Struct, frozen=True):
    """One receipt for each outcome, in order."""

    outcomes: tuple[OutcomeReceipt, ...]


class DataPlane:
    """Answers the data plane's two routes.

    Args:
        flow: Flow 1.
        outcomes: Takes outcomes.
        config: Limits.
        clock: For latencies.
        metrics: Counters.
        known: Whether a model of that name is live; a name that nothing bears must not become a
            label value, since anybody can make up any number of them.
        in_thread: Runs a blocking call away from the event loop.
    """

    def __init__(
        self,
        *,
        flow: PredictFlow,
        outcomes: OutcomeDesk,
        config: ServeConfig,
        clock: Clock,
        metrics: Metrics,
        known: Callable[[str], bool],
        in_thread: Callable[..., Awaitable[Sequence[OutcomeReceipt]]],
    ) -> None:
        self._flow = flow
        self._outcomes = outcomes
        self._config = config
        self._clock = clock
        self._metrics = metrics
        self._known = known
        self._in_thread = in_thread
        self._in_flight = 0

    async def predict(self, model: str, body: bytes, content_type: str = JSON) -> Reply:
        """``POST /models/{model}/predict``."""
        started = self._clock.monotonic()
        reply = await self._guarded(model, body, content_type, self._predict)
        if reply.status == 200:
            self._metrics.observe(
                "ml_prediction_duration_seconds", self._clock.monotonic() - started, model=model
            )
        return reply

    async def outcomes(self, model: str, body: bytes, content_type: str = JSON) -> Reply:
        """``POST /models/{model}/outcomes``."""
        return await self._guarded(model, body, content_type, self._receive)

    async def _guarded(
        self,
        model: str,
        body: bytes,
        content_type: str,
        handle: Callable[[str, bytes], Awaitable[Reply]],
    ) -> Reply:
        """Refuse what is too much, answer errors with their status, and count."""
        self._in_flight += 1
        self._metrics.gauge("ml_requests_in_flight", self._in_flight)
        try:
            self._admit(content_type)
            reply = await handle(model, body)
        except TrimtabError as error:
            reply = failure(error)
        finally:
            self._in_flight -= 1
            self._metrics.gauge("ml_requests_in_flight", self._in_flight)
        return self._counted(model, reply)

    def refuse(self, model: str, error: TrimtabError) -> Reply:
        """Answer a request whose body could not be taken."""
        return self._counted(model, failure(error))

    def _counted(self, model: str, reply: Reply) -> Reply:
        label = model if self._known(model) else "unknown"
        self._metrics.count("ml_requests_total", model=label, code=reply.status)
        return reply

    def _admit(self, content_type: str) -> None:
        if self._in_flight > self._config.max_in_flight:
            raise Unavailable(
                f"{self._config.max_in_flight} requests are in flight already.",
                code="overloaded",
                hint="Wait as Retry-After says, and try again.",
            )
        if content_type.partition(";")[0].strip().lower() not in {JSON, ""}:
            raise InvalidRequest(
                f"The content type {content_type!r} is not understood here.",
                code="unsupported_media_type",
                hint=f"Send {JSON}.",
            )

    async def _predict(self, model: str, body: bytes) -> Reply:
        asked = wire.predict_request(body, self._config.max_rows)
        answer: PredictAnswer = await self._flow.predict(model, asked)
        return Reply(200, _encode(answer))

    async def _receive(self, model: str, body: bytes) -> Reply:
        sent = wire.outcome_bodies(body)
        receipts = await self._in_thread(
            self._outcomes.receive,
            model,
            [
                (o.prediction_id, o.value, wire.seconds(o.event_time, f"outcomes[{i}].event_time"))
                for i, o in enumerate(sent)
            ],
        )
        unknown = [receipt for receipt in receipts if receipt.status == "unknown"]
        if unknown and len(unknown) == len(receipts):
            raise NotFound(unknown[0].message, code="unknown_prediction", hint=unknown[0].hint)
        return Reply(207 if unknown else 200, _encode(OutcomesAnswer(tuple(receipts))))


def failure(error: TrimtabError) -> Reply:
    """The reply that tells a client about an error."""
    status = status_of(error)
    if status >= 500:
        logger.error(Event.REQUEST_FAILED, exc_info=error, extra={"code": error.code})
    headers = (("retry-after", "1"),) if status == 503 else ()
    return Reply(status, _encode(body_of(error)), headers=headers)
