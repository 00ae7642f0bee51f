"""Single rows that wait at the same time are scored in one call, where that is known to pay.

A library's call has a price of its own, whatever the rows: hundreds of microseconds in scikit-learn. Requests
that arrive while a call runs wait anyway, so what waits is scored together. A first few rows are scored both
ways. Only if all answers are equal, bit for bit, and a call's own price is worth it, rows are gathered from then on;
and none waits for others longer than that price, nor longer than the setting, nor past its deadline.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Sequence

from trimtab.errors import ModelFailure
from trimtab.types import Scalar

Row = Sequence[Scalar]
Output = Sequence[float]

TRIAL_ROWS = 64
TRIAL_CALL_ROWS = 8
PRICE_SECONDS = 100e-6
"""What a call must cost beside its rows, or gathering them is no gain: about a request's own work."""


class Together:
    """Scores rows of one model, one call for those that wait; for one event loop.

    A row that cannot be scored fails alone: then all of its call are scored one by one.

    Args:
        score: Scores rows of values in the model's order, None for missing; may raise ModelFailure.
        most_rows: The most rows of a call.
        most_seconds: The longest that a row waits for others.
        monotonic: Seconds that never go back.
        observe: Told of the rows of each call.
    """

    def __init__(
        self,
        score: Callable[[Sequence[Row]], Sequence[Output]],
        *,
        most_rows: int,
        most_seconds: float,
        monotonic: Callable[[], float],
        observe: Callable[[float], None],
    ) -> None:
        self._score = score
        self._most_rows = most_rows
        self._most_seconds = most_seconds
        self._monotonic = monotonic
        self._observe = observe
        self._waiting: list[tuple[Row, asyncio.Future[Output]]] = []
        self._due: asyncio.Handle | None = None
        self._expected = 1
        self._single = math.inf
        self._calls: list[tuple[int, float]] = []
        self._price = 0.0
        self.pays: bool | None = None
        """None while it is tried."""

    async def score(self, row: Row, deadline_ms: float | None = None) -> Output:
        """What the model answers to a row.

        Args:
            row: Values in the model's order.
            deadline_ms: What is left of the request's time, if it has a deadline.

        Raises:
            ModelFailure: the model fails on this row.
        """
        if self.pays is False:
            return self._alone(row)
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Output] = loop.create_future()
        self._waiting.append((row, future))
        wait = self.wait_seconds
        hurried = deadline_ms is not None and deadline_ms <= (wait + self._price) * 1e3
        if hurried or wait == 0 or len(self._waiting) >= self._expected:
            self._soon(loop)
        elif self._due is None:
            self._due = loop.call_later(wait, self._call)
        return await future

    @property
    def wait_seconds(self) -> float:
        """How long the next row waits for others: not at all unless some came together last time."""
        return min(self._price, self._most_seconds) if self.pays and self._expected > 1 else 0.0

    def _soon(self, loop: asyncio.AbstractEventLoop) -> None:
        """Score behind all that arrives in this turn of the loop."""
        if isinstance(self._due, asyncio.TimerHandle):
            self._due.cancel()
            self._due = None
        if self._due is None:
            self._due = loop.call_soon(self._call)

    def _call(self) -> None:
        self._due = None
        most = self._most_rows if self.pays else min(self._most_rows, TRIAL_CALL_ROWS)
        waiting = [each for each in self._waiting if not each[1].done()]  # others have gone away
        taken, self._waiting = waiting[:most], waiting[most:]
        if not taken:
            return
        self._expected = min(len(waiting), self._most_rows)
        rows = [row for row, _ in taken]
        outputs: Sequence[Output | ModelFailure] = [
            ModelFailure("The model's call broke off.")
        ] * len(rows)
        try:
            outputs = self._rows(rows) if self.pays else self._trial(rows)
        finally:  # whatever was raised, nobody may wait for ever
            for (_, future), output in zip(taken, outputs, strict=True):
                if isinstance(output, ModelFailure):
                    future.set_exception(output)
                else:
                    future.set_result(output)
            if self._waiting:
                self._soon(asyncio.get_running_loop())

    def _rows(self, rows: Sequence[Row]) -> Sequence[Output | ModelFailure]:
        try:
            self._observe(len(rows))
            return self._score(rows)
        except ModelFailure as failure:
            return [failure] if len(rows) == 1 else [self._one(row) for row in rows]

    def _one(self, row: Row) -> Output | ModelFailure:
        try:
            return self._alone(row)
        except ModelFailure as failure:
            return failure

    def _alone(self, row: Row) -> Output:
        self._observe(1)
        (output,) = self._score([row])
        return output

    def _trial(self, rows: Sequence[Row]) -> Sequence[Output | ModelFailure]:
        """Score rows one by one, whose answers count, and learn what one call for all would be."""
        alone = [self._timed(row) for row in rows]
        if self._single < PRICE_SECONDS:
            self.pays = False  # a call costs less than that, with its row
        if self.pays is False or len(rows) == 1:
            return alone
        if any(isinstance(output, ModelFailure) for output in alone):
            return alone
        began = self._monotonic()
        try:
            together = self._score(rows)
        except ModelFailure:
            self.pays = False
            return alone
        self._learn(len(rows), self._monotonic() - began)
        if list(map(tuple, together)) != [tuple(output) for output in alone]:  # type: ignore[arg-type]  # none failed
            self.pays = False
        return alone

    def _timed(self, row: Row) -> Output | ModelFailure:
        began = self._monotonic()
        output = self._one(row)
        self._single = min(self._single, self._monotonic() - began)
        return output

    def _learn(self, rows: int, seconds: float) -> None:
        """A call's price: n calls cost n prices and the rows, one call costs one and the same rows.

        A busy machine only ever makes a call longer. So the shortest single call counts, and the call
        for several that shows the highest price beside it.
        """
        self._calls.append((rows, seconds))
        if sum(n for n, _ in self._calls) >= TRIAL_ROWS:
            self._price = max((n * self._single - taken) / (n - 1) for n, taken in self._calls)
            self.pays = self._price > PRICE_SECONDS
