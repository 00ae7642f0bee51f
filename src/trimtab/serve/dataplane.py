"""Bytes in, bytes out: predictions and outcomes, free of any HTTP server."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Coroutine, Sequence
from dataclasses import replace
from functools import partial

import msgspec

from trimtab.config import ServeConfig
from trimtab.errors import InvalidRequest, NotFound, TrimtabError, Unavailable
from trimtab.outcomes import OutcomeDesk
from trimtab.predict import PredictFlow
from trimtab.protocols import Clock, LiveModel
from trimtab.serve import wire
from trimtab.serve.invocations import CSV, invocation_reply, invocation_request
from trimtab.serve.meters import Meters
from trimtab.serve.overload import Turnstile
from trimtab.serve.plain import Alone, JsonForm, PlainPredictions
from trimtab.serve.plain_features import PlainFeatures
from trimtab.serve.reply import JSON, Failed, Reply, failure, inference_failure
from trimtab.serve.v2.plain import TensorsForm
from trimtab.serve.v2.reply import BINARY, check_outputs, tensors_reply, told_of
from trimtab.serve.v2.request import Asked as AskedTensors
from trimtab.serve.v2.request import infer_request
from trimtab.telemetry import Metrics
from trimtab.types import OutcomeReceipt, PlainRow, PredictAnswer, PredictRequest, Signature

_encode = msgspec.json.Encoder().encode
ARROW = "application/vnd.apache.arrow.stream"
_JSON_ALONE = frozenset({JSON, ""})
_ROWS = frozenset({JSON, ARROW, ""})
_TENSORS = frozenset({JSON, BINARY, ""})
_NOTHING = PredictRequest(rows=())
_FRAMES = frozenset({JSON, CSV, ""})


class OutcomesAnswer(msgspec.Struct, frozen=True):
    """One receipt for each outcome, in order."""

    outcomes: tuple[OutcomeReceipt, ...]


class DataPlane:
    """Answers the data plane's routes, whatever the wire format.

    Args:
        flow: Flow 1.
        live: A live model by its name, for the formats that need its signature.
        outcomes: Takes outcomes.
        config: Limits.
        clock: For latencies.
        metrics: Counters.
        turnstile: Refuses what cannot be answered in time.
        known: Whether a model of that name is live.
        in_thread: Runs a blocking call away from the event loop.
    """

    def __init__(
        self,
        *,
        flow: PredictFlow,
        live: Callable[[str], LiveModel],
        outcomes: OutcomeDesk,
        config: ServeConfig,
        clock: Clock,
        metrics: Metrics,
        turnstile: Turnstile,
        known: Callable[[str], bool],
        in_thread: Callable[..., Awaitable[Sequence[OutcomeReceipt]]],
    ) -> None:
        self._flow = flow
        self._live = live
        self._outcomes = outcomes
        self._config = config
        self._clock = clock
        self.monotonic = clock.monotonic
        self._meters = Meters(metrics, known)
        self._in_thread = in_thread
        self._turnstile = turnstile
        self._sheds: dict[tuple[bool, str], Reply] = {}
        self._tensors = TensorsForm()
        self._together = partial(
            PlainPredictions,
            flow=flow,
            live=live,
            clock=clock,
            meters=self._meters,
            turnstile=turnstile,
        )
        self._plain = self._together(JsonForm())
        self._plain_tensors = self._together(self._tensors)
        self._plain_features = PlainFeatures(live, clock, self._meters, turnstile)

    async def predict(
        self,
        model: str,
        body: bytes,
        content_type: str = JSON,
        deadline: str = "",
        prediction_id: str | None = None,
    ) -> Reply:
        """``POST /models/{model}/predict``.

        Args:
            model: Its name.
            body: Of one row or many.
            content_type: As the client sent it.
            deadline: As its header says it.
            prediction_id: What its only row is called, if the client does not say.
        """
        work = self._predict(model, body, content_type, deadline, prediction_id)
        return await self._predicted(model, content_type, _ROWS, work)

    def together(
        self, model: str, sent: Sequence[tuple[bytes, float]]
    ) -> Coroutine[None, None, Sequence[Reply | Alone]]:
        """The same for JSON bodies that arrived together, each of a request of its own.

        Args:
            model: Its name.
            sent: Bodies, and when each was there in monotonic seconds.

        Returns:
            For each body a reply, or that ``predict`` is to be asked.
        """
        return self._plain.answer(model, sent)

    def tensors_together(
        self,
        model: str,
        sent: Sequence[tuple[bytes, float]],
        header_length: int | None = None,
    ) -> Coroutine[None, None, Sequence[Reply | Alone]]:
        """``infer`` for bodies that arrived together, likewise; ``header_length`` as there, of each."""
        if header_length is None:
            return self._plain_tensors.answer(model, sent)
        return self._together(self._tensors.followed(header_length)).answer(model, sent)

    async def features_together(
        self, model: str, sent: Sequence[tuple[bytes, float]]
    ) -> Sequence[Reply | Alone]:
        """``features`` for JSON bodies that arrived together, likewise."""
        return await self._plain_features.answer(model, sent)

    async def infer(
        self,
        model: str,
        body: bytes,
        content_type: str = JSON,
        version: int | None = None,
        header_length: int | None = None,
        deadline: str = "",
        prediction_id: str | None = None,
    ) -> Reply:
        """``POST /v2/models/{model}[/versions/{version}]/infer``.

        Args:
            model: Its name.
            body: JSON, followed by binary tensors if ``header_length`` is given.
            content_type: As the client sent it.
            version: The live version that is to answer, None for the one that routing chooses.
            header_length: Bytes of the JSON part.
            deadline: As its header says it.
            prediction_id: What its only row is called, if the client does not say.
        """
        work = self._infer(model, body, version, header_length, deadline, prediction_id)
        return await self._predicted(model, content_type, _TENSORS, work, inference_failure)

    async def invocations(
        self, model: str, body: bytes, content_type: str = JSON, deadline: str = ""
    ) -> Reply:
        """``POST /models/{model}/invocations``, in MLflow's formats."""
        work = self._invocations(model, body, content_type, deadline)
        return await self._predicted(model, content_type, _FRAMES, work)

    async def answer(self, model: str, work: Coroutine[None, None, Reply], failed: Failed) -> Reply:
        """Another wire's prediction: admitted, timed and counted as all are."""
        return await self._predicted(model, "", _TENSORS, work, failed)

    async def predicted(
        self,
        model: str,
        asked: AskedTensors,
        signature: Signature,
        deadline: str,
        began: float | None = None,
    ) -> PredictAnswer:
        """The answer to tensors, once their outputs are known to be there; ``began`` is when they began to be read.

        Raises:
            TrimtabError: as flow 1 does.
        """
        check_outputs(asked, signature)
        request = wire.within(asked.request, deadline)
        self._turnstile.in_time(request.deadline_ms)
        return await self._flow.predict(model, request, began)

    async def predicted_plainly(
        self, live: LiveModel, row: PlainRow, deadline: str
    ) -> PredictAnswer | str:
        """The answer to a row alone of which nothing is unusual, for a model that takes such; as flow 1 has it.

        Raises:
            TrimtabError: as flow 1 does.
        """
        self._turnstile.in_time(wire.within(_NOTHING, deadline).deadline_ms)
        (found,) = await self._flow.plain(live, (row,), row.began, requests=1)
        return found

    async def features(
        self, model: str, body: bytes, content_type: str = JSON, deadline: str = ""
    ) -> Reply:
        """``POST /models/{model}/features``."""
        work = self._features(model, body, deadline)
        return await self._guarded(model, content_type, _JSON_ALONE, work)

    async def outcomes(
        self, model: str, body: bytes, content_type: str = JSON, _deadline: str = ""
    ) -> Reply:
        """``POST /models/{model}/outcomes``; once taken, outcomes are kept whoever still waits."""
        return await self._guarded(model, content_type, _JSON_ALONE, self._receive(model, body))

    async def _predicted(
        self,
        model: str,
        content_type: str,
        taken: Collection[str],
        work: Coroutine[None, None, Reply],
        failed: Failed | None = None,
    ) -> Reply:
        started = self._clock.monotonic()
        reply = await self._guarded(model, content_type, taken, work, failed)
        if reply.status == 200:
            self._meters.took(model, self._clock.monotonic() - started)
        return reply

    async def _guarded(
        self,
        model: str,
        content_type: str,
        taken: Collection[str],
        work: Coroutine[None, None, Reply],
        failed: Failed | None = None,
    ) -> Reply:
        """Refuse what is too much, answer errors with their status, and count."""
        try:
            self._turnstile.enter()
        except Unavailable as error:
            work.close()
            return self.refuse(model, error, failed)
        status = 500  # what the server answers when anything but an error of ours is raised
        try:
            _check_type(content_type, taken)
            reply = await work
            status = reply.status
        except TrimtabError as error:
            reply = (failed or failure)(error)
            status = reply.status
        finally:
            work.close()
            self._turnstile.leave()
            self._meters.answered(model, status)
        return reply

    def refuse(self, model: str, error: TrimtabError, failed: Failed | None = None) -> Reply:
        """Answer a request whose body could not be taken."""
        reply = (failed or failure)(error)
        self._meters.answered(model, reply.status)
        return reply

    def shed(self, model: str, tensors: bool, reason: str) -> Reply:
        """Refuse a prediction unread: counted, with the same reply for all of its wire."""
        self._turnstile.shed(reason)
        reply = self._sheds.get((tensors, reason))
        if reply is None:
            reply = (inference_failure if tensors else failure)(self._turnstile.refusal(reason))
            self._sheds[tensors, reason] = reply
        self._meters.answered(model, reply.status)
        return reply

    def answered(self, model: str, status: int) -> None:
        """Count a request that others answered."""
        self._meters.answered(model, status)

    async def _predict(
        self, model: str, body: bytes, content_type: str, deadline: str, named: str | None
    ) -> Reply:
        began = self._clock.monotonic()
        if content_type.startswith(ARROW):
            return await self._arrow(model, body, deadline, began)
        asked, columnar = wire.predict_request(body, self._config.max_rows)
        if named is not None:
            asked = wire.named(asked, named)
        asked = wire.within(asked, deadline)
        self._turnstile.in_time(asked.deadline_ms)
        answer = await self._flow.predict(model, asked, began)
        if columnar:
            return Reply(200, _encode(wire.in_columns(answer, provenance=asked.provenance)))
        return Reply(200, _encode(answer))

    async def _arrow(self, model: str, body: bytes, deadline: str, began: float) -> Reply:
        from trimtab.serve.arrow import arrow_reply, arrow_request, record_batches
        from trimtab.serve.arrow_plain import plain_rows

        batches = record_batches(body, self._config.max_rows)
        live = self._live(model)
        if batches and (rows := plain_rows(batches, live, began)):
            self._turnstile.in_time(wire.within(_NOTHING, deadline).deadline_ms)
            found = await self._flow.plain(live, rows, began, requests=1)
            answers = [answer for answer in found if not isinstance(answer, str)]
            if answers:  # without candidates that is all of them, or none
                return Reply(200, arrow_reply(answers), ARROW)
        asked = wire.within(arrow_request(batches, self._config.max_rows), deadline)
        self._turnstile.in_time(asked.deadline_ms)
        return Reply(200, arrow_reply([await self._flow.predict(model, asked, began)]), ARROW)

    async def _features(self, model: str, body: bytes, deadline: str) -> Reply:
        if not deadline:
            plain = await self._plain_features.table(model, body, self._config.max_rows)
            if plain is not None:
                return plain
        asked, _ = wire.predict_request(body, self._config.max_rows)
        asked = wire.within(asked, deadline)
        self._turnstile.in_time(asked.deadline_ms)
        return Reply(200, _encode(await self._flow.features(model, asked)))

    async def _infer(
        self,
        model: str,
        body: bytes,
        version: int | None,
        header_length: int | None,
        deadline: str,
        named: str | None,
    ) -> Reply:
        began = self._clock.monotonic()
        signature = self._live(model).champion.signature
        asked = infer_request(body, header_length, signature, version, self._config.max_rows)
        if named is not None:
            asked = replace(asked, request=wire.named(asked.request, named))
        answer = await self.predicted(model, asked, signature, deadline, began)
        return tensors_reply(told_of(answer, asked, signature))

    async def _invocations(
        self, model: str, body: bytes, content_type: str, deadline: str
    ) -> Reply:
        began = self._clock.monotonic()
        signature = self._live(model).champion.signature
        rows = invocation_request(body, content_type, signature, self._config.max_rows)
        asked = wire.within(rows, deadline)
        self._turnstile.in_time(asked.deadline_ms)
        answer = await self._flow.predict(model, asked, began)
        return Reply(200, _encode(invocation_reply(answer, signature)))

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


def _check_type(content_type: str, taken: Collection[str]) -> None:
    if content_type in taken or content_type.partition(";")[0].strip().lower() in taken:
        return
    raise InvalidRequest(
        f"The content type {content_type!r} is not understood here.",
        code="unsupported_media_type",
        hint=f"Send {' or '.join(sorted(filter(None, taken)))}.",
    )
