"""Plain requests that arrived together: what they have in common is done once for all of them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Generic, Protocol, TypeVar

import msgspec

from trimtab.errors import TrimtabError
from trimtab.predict import PredictFlow
from trimtab.protocols import Clock, LiveModel
from trimtab.serve.meters import Meters
from trimtab.serve.overload import Turnstile
from trimtab.serve.reply import Reply, failure
from trimtab.types import PlainRow, PredictAnswer

_encode = msgspec.json.Encoder().encode
R = TypeVar("R")
"""A row as it was read."""


class Alone(msgspec.Struct, frozen=True):
    """A body is to be answered alone, under a prediction id if one was given out for it already."""

    prediction_id: str | None = None


_ALONE = Alone()


Read = Callable[[bytes, float], PlainRow | None]
"""Reads a body that was there at a time in monotonic seconds."""


class Form(Protocol):
    """How plain rows stand in bodies, and how they are answered."""

    def reader(self, live: LiveModel) -> Read | None:
        """What reads a body of one row, or finds something unusual about it; None where all bodies are."""
        ...

    def told(self, live: LiveModel, row: PlainRow, answer: PredictAnswer) -> Reply:
        """How an answer is told."""
        ...

    def failed(self, error: TrimtabError) -> Reply:
        """An error as it is told."""
        ...


class JsonForm:
    """Our own JSON; a :class:`Form`."""

    def reader(self, live: LiveModel) -> Read | None:
        """What the signature was compiled to."""
        return live.champion.read

    def told(self, _: LiveModel, __: PlainRow, answer: PredictAnswer) -> Reply:
        """The answer as it is."""
        return Reply(200, _encode(answer))

    def failed(self, error: TrimtabError) -> Reply:
        """As everywhere."""
        return failure(error)


class RowsTogether(ABC, Generic[R]):
    """Answers bodies of one row each; what is not plain about any of them has it answered alone.

    Args:
        live: A live model by its name.
        clock: For latencies, and wall time.
        meters: Counts.
        turnstile: Refuses what cannot be answered in time.
    """

    def __init__(
        self,
        live: Callable[[str], LiveModel],
        clock: Clock,
        meters: Meters,
        turnstile: Turnstile,
    ) -> None:
        self._live = live
        self._clock = clock
        self._meters = meters
        self._turnstile = turnstile

    async def answer(
        self, model: str, sent: Sequence[tuple[bytes, float]]
    ) -> Sequence[Reply | Alone]:
        """What becomes of each body.

        Args:
            model: Its name.
            sent: Bodies, and when each was there in monotonic seconds.
        """
        try:
            live = self._live(model)
        except TrimtabError:
            return [_ALONE] * len(sent)
        read = self._reader(live)
        if read is None or not self._turnstile.let_in(len(sent)):
            return [_ALONE] * len(sent)
        try:
            began = self._clock.monotonic()
            rows = [read(body, arrived) for body, arrived in sent]
            plain = [row for row in rows if row is not None]
            answers = await self._answers(live, plain, began) if plain else ()
        finally:
            self._turnstile.let_out(len(sent))
        if len(plain) == len(rows):
            return answers
        each = iter(answers)
        return [_ALONE if row is None else next(each) for row in rows]

    @abstractmethod
    def _reader(self, live: LiveModel) -> Callable[[bytes, float], R | None] | None:
        """What reads a body that was there then, or finds something unusual about it; None where all bodies are."""

    @abstractmethod
    async def _answers(
        self, live: LiveModel, rows: Sequence[R], began: float
    ) -> Sequence[Reply | Alone]:
        """What becomes of plain rows, whose bodies began to be read then, counted where they are answered."""


class PlainPredictions(RowsTogether[PlainRow]):
    """Answers bodies of predictions.

    Args:
        form: How bodies and answers look.
        flow: Flow 1.
        live: A live model by its name.
        clock: For latencies.
        meters: Counts.
        turnstile: Refuses what cannot be answered in time.
    """

    def __init__(
        self,
        form: Form,
        flow: PredictFlow,
        live: Callable[[str], LiveModel],
        clock: Clock,
        meters: Meters,
        turnstile: Turnstile,
    ) -> None:
        super().__init__(live, clock, meters, turnstile)
        self._form = form
        self._flow = flow

    def _reader(self, live: LiveModel) -> Read | None:
        return self._form.reader(live) if live.plain else None

    async def _answers(
        self, live: LiveModel, rows: Sequence[PlainRow], began: float
    ) -> Sequence[Reply | Alone]:
        model, told = live.route.model, self._form.told
        status = 500  # if what is raised is not ours
        try:
            answers = await self._flow.plain(live, rows, began)
            status = 200
        except TrimtabError as error:
            refused = self._form.failed(error)
            status = refused.status
            return [refused] * len(rows)
        finally:
            if status != 200:
                self._meters.answered(model, status, len(rows))
        now = self._clock.monotonic()
        replies: list[Reply | Alone] = []
        took: list[float] = []
        for row, answer in zip(rows, answers, strict=True):
            if isinstance(answer, str):
                replies.append(Alone(answer))
            else:
                replies.append(told(live, row, answer))
                took.append(now - row.began)
        if took:
            self._meters.told(model, *took)
        return replies
