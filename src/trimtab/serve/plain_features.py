"""Features alone, of requests that arrived together: read in one go, each answered for itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import msgspec

from trimtab.errors import InvalidRow, TrimtabError
from trimtab.protocols import Clock, LiveModel, RowChecker
from trimtab.serve.meters import Meters
from trimtab.serve.overload import Turnstile
from trimtab.serve.plain import Alone
from trimtab.serve.reply import Reply, failure
from trimtab.types import FeaturesAnswer, Resolved, RowRequest, Scalar

_ALONE = Alone()
_encode = msgspec.json.Encoder().encode


class PlainBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """One row, of which no more is said than whether sources and ages are wanted."""

    features: dict[str, Scalar]
    provenance: bool = False


class Row(msgspec.Struct, frozen=True, gc=False):
    """A row as a resolver takes it."""

    values: Sequence[Scalar]
    entities: Mapping[str, str]
    provenance: bool


_decode = msgspec.json.Decoder(PlainBody).decode


class PlainFeatures:
    """Answers JSON bodies of one row each; what is not plain about any of them has it answered alone.

    Args:
        live: A live model by its name.
        clock: Wall time.
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
        if live.each is None or not self._turnstile.let_in(len(sent)):
            return [_ALONE] * len(sent)
        try:
            checker = live.champion.checker
            asked = [_row(body, checker) for body, _ in sent]
            answers = iter(await self._answers(live, [row for row in asked if row is not None]))
        finally:
            self._turnstile.leave(len(sent))
        return [_ALONE if row is None else next(answers) for row in asked]

    async def _answers(self, live: LiveModel, rows: Sequence[Row]) -> Sequence[Reply]:
        """What becomes of plain rows, counted where they are answered."""
        if not rows or live.each is None:
            return ()
        model, statuses = live.route.model, {500: len(rows)}
        try:
            found = await live.each(
                [row.values for row in rows],
                [row.entities for row in rows],
                [self._clock.now()] * len(rows),
                live.feature_deadline_ms,
            )
            replies = _replies(live, rows, found)
            statuses = {}
            for reply in replies:
                statuses[reply.status] = statuses.get(reply.status, 0) + 1
        finally:
            for status, requests in statuses.items():
                self._meters.answered(model, status, requests)
        return replies


def _replies(
    live: LiveModel, rows: Sequence[Row], found: Sequence[Resolved | InvalidRow]
) -> list[Reply]:
    model, champion = live.route.model, live.champion
    version, names = champion.version, champion.signature.names
    return [
        failure(given)
        if isinstance(given, InvalidRow)
        else Reply(
            200,
            _encode(
                FeaturesAnswer(
                    model=model,
                    version=version,
                    features=names,
                    values=[given.values],
                    sources=[given.sources],
                    ages_seconds=[given.ages_seconds] if row.provenance else None,
                )
            ),
        )
        for row, given in zip(rows, found, strict=True)
    ]


def _row(body: bytes, checker: RowChecker) -> Row | None:
    """A body's row; None where it is to be answered alone, or refused with all that is wrong about it."""
    try:
        asked = _decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    # Each name is followed by a colon: a body with more of them has a name that stands twice.
    colons = 1 + len(asked.features) + asked.provenance
    for name, value in asked.features.items():
        colons += name.count(":") + (value.count(":") if isinstance(value, str) else 0)
    if body.count(b":") != colons or b"\\" in body:
        return None
    try:
        values, entities = checker.check(RowRequest(features=asked.features), "rows[0]")
    except InvalidRow:
        return None
    return Row(values, entities, asked.provenance)
