"""The asynchronous client: the calls of :class:`~trimtab.client.Client`, awaited."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any, Self, TypeVar

import httpx

from trimtab.client import calls, http
from trimtab.client.calls import Call, Outcome, Row
from trimtab.client.retries import Failure, Patience, Retry
from trimtab.types import OutcomeReceipt, Prediction, RowRequest, Scalar

T = TypeVar("T")


class AsyncClient:
    """Asks a server from an event loop; arguments as those of :class:`~trimtab.client.Client`."""

    def __init__(
        self,
        url: str,
        *,
        token: str | None = None,
        deadline_ms: float | None = 10_000.0,
        retry: Retry = Retry(),  # noqa: B008 - frozen
        transport: httpx.AsyncBaseTransport | None = None,
        clock: Callable[[], float] = time.monotonic,
        wait: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._http = httpx.AsyncClient(**http.settings(url, token), transport=transport)
        self._patience = Patience(retry, deadline_ms, clock)
        self._wait = wait

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def predict(
        self,
        model: str,
        features: Mapping[str, Scalar],
        *,
        key: str | None = None,
        prediction_id: str | None = None,
        event_time: float | None = None,
        provenance: bool = False,
        deadline_ms: float | None = None,
    ) -> Prediction:
        """One row's answer.

        Raises:
            TrimtabError: as the server said it, or ``unreachable`` or ``deadline_exceeded``.
        """
        row = RowRequest(
            features=features, key=key, prediction_id=prediction_id, event_time=event_time
        )
        call = calls.predict_call(model, [row], provenance=provenance)
        return (await self._ask(call, deadline_ms))[0]

    async def batch(
        self,
        model: str,
        rows: Iterable[Row],
        *,
        chunk_rows: int = 1_000,
        deadline_ms: float | None = None,
    ) -> AsyncIterator[Prediction]:
        """Many rows' answers in their order, a request for every ``chunk_rows`` of them.

        Raises:
            TrimtabError: of the first request that failed.
        """
        for chunk in calls.chunks(rows, chunk_rows):
            for prediction in await self._ask(calls.predict_call(model, chunk), deadline_ms):
                yield prediction

    async def outcome(
        self,
        model: str,
        prediction_id: str,
        value: float | str | bool,
        *,
        event_time: float | None = None,
    ) -> OutcomeReceipt:
        """Tell what became known about one prediction; may be told again.

        Raises:
            NotFound: ``unknown_prediction``.
        """
        known = calls.outcome_of(prediction_id, value, event_time)
        return (await self.outcomes(model, [known]))[0]

    async def outcomes(self, model: str, outcomes: Sequence[Outcome]) -> tuple[OutcomeReceipt, ...]:
        """Tell many; a receipt for each, in order. Those that are ``unknown`` were not kept.

        Raises:
            NotFound: all are unknown.
        """
        return await self._ask(calls.outcomes_call(model, outcomes), None)

    async def model(self, model: str) -> dict[str, Any]:
        """What a model takes and answers, as the Open Inference Protocol tells it."""
        return await self._ask(calls.model_call(model), None)

    async def is_ready(self) -> bool:
        """Whether the server takes traffic now; asked once, without tries."""
        try:
            return (await self._http.get("/v2/health/ready", timeout=2.0)).is_success
        except httpx.TransportError:
            return False

    async def _ask(self, call: Call[T], deadline_ms: float | None) -> T:
        tries = self._patience.tries(repeatable=call.repeatable, deadline_ms=deadline_ms)
        while True:
            found = await self._try(call, tries.remaining())
            if not isinstance(found, Failure):
                return found
            await self._wait(tries.pause(found))

    async def _try(self, call: Call[T], seconds: float | None) -> T | Failure:
        try:
            return http.read(call, await self._http.request(**http.arguments(call, seconds)))
        except httpx.TransportError as error:
            return http.broken(error)
