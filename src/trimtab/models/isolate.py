"""A candidate runs apart from the champion: in a thread of its own, under a time limit."""

from __future__ import annotations

import asyncio
import threading

from trimtab.errors import ModelFailure
from trimtab.protocols import Predictor
from trimtab.types import Columns, FloatArray


class Isolation:
    """Runs predictors in daemon threads and stops waiting for those that are late.

    A thread cannot be stopped from outside; one that is late is left behind and counted, and while
    ``limit`` of them are busy the next call fails at once instead of starting another.

    Args:
        limit: How many calls may be busy at a time, those left behind included.
    """

    def __init__(self, limit: int = 8) -> None:
        self._free = threading.Semaphore(limit)
        self._limit = limit

    async def run(self, predictor: Predictor, columns: Columns, seconds: float) -> FloatArray:
        """Score rows within ``seconds``.

        Raises:
            ModelFailure: it failed, was late (code ``timeout``), or too many are late already
                (code ``saturated``).
        """
        if not self._free.acquire(blocking=False):
            raise ModelFailure(
                f"{self._limit} calls of candidates are busy or hang.", code="saturated"
            )
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[FloatArray] = loop.create_future()

        def settle(outputs: FloatArray | None, failure: ModelFailure | None) -> None:
            if answer.done():
                return
            if outputs is not None:
                answer.set_result(outputs)
            else:
                answer.set_exception(failure or ModelFailure("The candidate answered nothing."))

        def work() -> None:
            outputs, failure = None, None
            try:
                outputs = predictor.predict(columns)
            except ModelFailure as raised:
                failure = raised
            finally:
                self._free.release()
                if not loop.is_closed():
                    loop.call_soon_threadsafe(settle, outputs, failure)

        threading.Thread(target=work, daemon=True, name="candidate").start()
        # Unlike wait_for, wait needs no task around it: the lane drives this coroutine without one.
        if not (await asyncio.wait((answer,), timeout=seconds))[0]:
            answer.cancel()
            raise ModelFailure(
                f"The candidate did not answer within {seconds * 1e3:g} ms.", code="timeout"
            )
        return answer.result()
