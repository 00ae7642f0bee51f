"""The blocking client; safe to share between threads."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Self, TypeVar

import httpx

from trimtab.client import calls, http
from trimtab.client.calls import Call, Outcome, Row
from trimtab.client.retries import Failure, Patience, Retry
from trimtab.types import OutcomeReceipt, Prediction, RowRequest, Scalar

T = TypeVar("T")


def _wait(seconds: float) -> None:
    threading.Event().wait(seconds)


class Client:
    """Asks a server.

    Args:
        url: Its address, for example ``http://127.0.0.1:8400``.
        token: For changes; predictions and outcomes need none.
        deadline_ms: Time for a call with all its tries, None for no end; sent along, so that the
            server does not work for nobody.
        retry: When failed requests are repeated.
        transport: httpx's, for proxies, certificates and tests.
        clock: Monotonic seconds.
        wait: Waits for so many seconds.
    """

    def __init__(
        self,
        url: str,
        *,
        token: str | None = None,
        deadline_ms: float | None = 10_000.0,
        retry: Retry = Retry(),  # noqa: B008 - frozen
        transport: httpx.BaseTransport | None = None,
        clock: Callable[[], float] = time.monotonic,
        wait: Callable[[float], None] = _wait,
    ) -> None:
        self._http = httpx.Client(**http.settings(url, token), transport=transport)
        self._patience = Patience(retry, deadline_ms, clock)
        self._wait = wait

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def predict(
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

        Args:
            model: Its name.
            features: Values by name; None and absent are missing.
            key: Routing key, for example the user.
            prediction_id: Yours. With one the request may also be repeated when a connection broke
                half-way, since it is then counted once however often it arrives.
            event_time: When the thing happened, Unix seconds.
            provenance: Also answer where each feature's value came from.
            deadline_ms: Instead of the client's.

        Raises:
            TrimtabError: as the server said it, or ``unreachable`` or ``deadline_exceeded``.
        """
        row = RowRequest(
            features=features, key=key, prediction_id=prediction_id, event_time=event_time
        )
        call = calls.predict_call(model, [row], provenance=provenance)
        return self._ask(call, deadline_ms)[0]

    def batch(
        self,
        model: str,
        rows: Iterable[Row],
        *,
        chunk_rows: int = 1_000,
        deadline_ms: float | None = None,
    ) -> Iterator[Prediction]:
        """Many rows' answers in their order, a request for every ``chunk_rows`` of them.

        Args:
            model: Its name.
            rows: Features by name, or :class:`RowRequest` with what stands beside them; read as
                answers are taken.
            chunk_rows: At most ``max_rows`` of the server.
            deadline_ms: For each request, instead of the client's.

        Raises:
            TrimtabError: of the first request that failed.
        """
        for chunk in calls.chunks(rows, chunk_rows):
            yield from self._ask(calls.predict_call(model, chunk), deadline_ms)

    def outcome(
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
        return self.outcomes(model, [known])[0]

    def outcomes(self, model: str, outcomes: Sequence[Outcome]) -> tuple[OutcomeReceipt, ...]:
        """Tell many; a receipt for each, in order. Those that are ``unknown`` were not kept.

        Raises:
            NotFound: all are unknown.
        """
        return self._ask(calls.outcomes_call(model, outcomes), None)

    def model(self, model: str) -> dict[str, Any]:
        """What a model takes and answers, as the Open Inference Protocol tells it."""
        return self._ask(calls.model_call(model), None)

    def is_ready(self) -> bool:
        """Whether the server takes traffic now; asked once, without tries."""
        try:
            return self._http.get("/v2/health/ready", timeout=2.0).is_success
        except httpx.TransportError:
            return False

    def _ask(self, call: Call[T], deadline_ms: float | None) -> T:
        tries = self._patience.tries(repeatable=call.repeatable, deadline_ms=deadline_ms)
        while True:
            found = self._try(call, tries.remaining())
            if not isinstance(found, Failure):
                return found
            self._wait(tries.pause(found))

    def _try(self, call: Call[T], seconds: float | None) -> T | Failure:
        try:
            return http.read(call, self._http.request(**http.arguments(call, seconds)))
        except httpx.TransportError as error:
            return http.broken(error)
