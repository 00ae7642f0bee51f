"""Outcomes: what became known later, joined to predictions by their id.

An id that this deployment issued proves itself; its outcome is kept even before the watcher has seen
the prediction. An id that the client chose cannot prove itself: it is kept too, and waits for its
prediction. Only an id that has the shape of an issued one (32 hex digits), was not issued here and
belongs to no known prediction is refused as ``unknown``, for it is a typing error or another
deployment's.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress

import msgspec

from trimtab.errors import InvalidRequest, NotFound
from trimtab.protocols import Clock, StateStore, StateTx
from trimtab.telemetry import Metrics
from trimtab.types import OutcomeReceipt, OutcomeRecord, Signature, Task

OutcomeValue = float | str | bool
Sent = tuple[str, OutcomeValue, float | None]
"""Prediction id, value, and event time; without one the outcome happened now."""

_ISSUED_SHAPE = re.compile(r"[0-9a-f]{32}")


class OutcomeDesk:
    """Takes outcomes in and says what became of each.

    Args:
        state: Where outcomes are kept.
        issued: Whether this deployment issued a prediction id.
        clock: When an outcome was received.
        metrics: Counts receipts by status.
        max_future_seconds: How far an event time may lie ahead of the clock.
    """

    def __init__(
        self,
        state: StateStore,
        issued: Callable[[str], bool],
        clock: Clock,
        metrics: Metrics,
        max_future_seconds: float = 300.0,
    ) -> None:
        self._state = state
        self._issued = issued
        self._clock = clock
        self._metrics = metrics
        self._max_future_seconds = max_future_seconds

    def receive(self, model: str, outcomes: Sequence[Sent]) -> list[OutcomeReceipt]:
        """Keep outcomes, all in one transaction, or none.

        Args:
            model: Whose predictions.
            outcomes: A binary model takes 0 or 1, a truth value or one of its labels; one of several
                classes takes a label; a regression takes a number.

        Returns:
            A receipt each, in order: ``recorded``, ``duplicate`` (the same value again, nothing
            changes), ``corrected`` (another value, it counts from now on) or ``unknown`` (not kept).

        Raises:
            NotFound: no such model.
            InvalidRequest: a value or event time that cannot be used, with its path.
        """
        with self._state.transaction() as state:
            numbers = outcome_numbers(_signature(state, model))
            records = [
                self._record(model, sent, numbers, position)
                for position, sent in enumerate(outcomes)
            ]
            receipts = self._keep(state, model, records)
        for status, count in Counter(receipt.status for receipt in receipts).items():
            self._metrics.count("ml_outcomes_total", count, model=model, status=status)
        return receipts

    def _record(
        self, model: str, sent: Sent, numbers: Callable[[OutcomeValue], float], position: int
    ) -> OutcomeRecord:
        prediction_id, value, event_time = sent
        now = self._clock.now()
        when = now if event_time is None else event_time
        if not 0.0 <= when <= now + self._max_future_seconds:
            raise InvalidRequest(
                f"The event time {when} is negative or more than {self._max_future_seconds:g} s "
                "ahead of the server's clock.",
                code="event_time_out_of_range",
                path=f"outcomes[{position}].event_time",
                hint="Send Unix seconds in UTC, or leave it out.",
            )
        try:
            number = numbers(value)
        except ValueError as wrong:
            raise InvalidRequest(
                f"The outcome {value!r} cannot be used.",
                code="invalid_outcome",
                path=f"outcomes[{position}].value",
                hint=str(wrong),
            ) from wrong
        return OutcomeRecord(
            model=model, prediction_id=prediction_id, value=number, event_time=when, received_at=now
        )

    def _keep(
        self, state: StateTx, model: str, records: Sequence[OutcomeRecord]
    ) -> list[OutcomeReceipt]:
        doubtful = [r.prediction_id for r in records if not self._issued(r.prediction_id)]
        known = state.outcomes.facts(model, doubtful) if doubtful else {}
        waiting = {one for one in doubtful if one not in known}
        unknown = {one for one in waiting if _ISSUED_SHAPE.fullmatch(one)}
        kept = iter(state.outcomes.add([r for r in records if r.prediction_id not in unknown]))
        return [
            _unknown(record.prediction_id)
            if record.prediction_id in unknown
            else _noted(next(kept), waiting)
            for record in records
        ]


def outcome_numbers(signature: Signature) -> Callable[[OutcomeValue], float]:
    """How a model's outcomes are written down as numbers: class index, or the value itself.

    A label is matched as text first, then as a number. False and true are a binary model's negative
    and positive class, and so are 0 and 1 unless its labels are numbers themselves.

    Raises (from what is returned):
        ValueError: the value means nothing to the model; the text says what would.
    """
    if signature.task is Task.REGRESSION:
        return _number
    texts = {label: float(index) for index, label in enumerate(signature.labels)}
    labels: dict[float, float] = {}
    for label, index in texts.items():
        with suppress(ValueError):
            labels[float(label)] = index
    binary = signature.task is Task.BINARY
    if binary and not labels:
        labels = {0.0: 0.0, 1.0: 1.0}
    takes = f"This model takes {', '.join(repr(label) for label in signature.labels)}"
    hint = f"{takes}, or 0 and 1." if binary else f"{takes}."

    def index_of(value: OutcomeValue) -> float:
        if binary and isinstance(value, bool):
            return float(value)
        found = texts.get(str(value))
        if found is None and not isinstance(value, str | bool):
            found = labels.get(float(value))
        if found is None:
            raise ValueError(hint)
        return found

    return index_of


def _number(value: OutcomeValue) -> float:
    if isinstance(value, str | bool) or not math.isfinite(value):
        message = "This model takes a finite number."
        raise ValueError(message)
    return float(value)


def _signature(state: StateTx, model: str) -> Signature:
    """The champion's signature, or the newest version's while none is deployed."""
    route = state.control.route(model)
    champion = state.registry.version(model, route.champion) if route else None
    if champion is not None:
        return champion.signature
    versions = state.registry.versions(model)
    if not versions:
        raise NotFound(
            f"There is no model {model!r}.",
            code="model_not_found",
            hint="`trimtab list` shows them.",
        )
    return versions[-1].signature


def _noted(receipt: OutcomeReceipt, waiting: set[str]) -> OutcomeReceipt:
    if receipt.status != "recorded" or receipt.prediction_id not in waiting:
        return receipt
    return msgspec.structs.replace(receipt, message="Kept; waiting for its prediction.")


def _unknown(prediction_id: str) -> OutcomeReceipt:
    return OutcomeReceipt(
        prediction_id=prediction_id,
        status="unknown",
        message=f"No prediction has the id {prediction_id!r}.",
        hint="Send the prediction_id of an answer of this deployment. If you chose the id and made "
        "the prediction just now, send the outcome again in a moment.",
    )
