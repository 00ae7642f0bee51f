"""Features alone, of requests that arrived together: read in one go, each answered for itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import msgspec

from trimtab.errors import InvalidRow
from trimtab.protocols import LiveModel, RowChecker
from trimtab.serve.plain import RowsTogether
from trimtab.serve.reply import Reply, failure
from trimtab.types import FeaturesAnswer, Resolved, RowRequest, Scalar

_WORTH_SHARING = 4
"""What so many rows have in common is written once."""

_encode = msgspec.json.Encoder().encode


class PlainBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """One row, of which no more is said than whether sources and ages are wanted."""

    features: dict[str, Scalar]
    provenance: bool = False


class PlainTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """Many rows, in columns that are nothing but texts."""

    columns: dict[str, list[str]]
    provenance: bool = False


class Row(msgspec.Struct, frozen=True, gc=False):
    """A row as a resolver takes it."""

    values: Sequence[Scalar]
    entities: Mapping[str, str]
    provenance: bool


_decode = msgspec.json.Decoder(PlainBody).decode
_decode_table = msgspec.json.Decoder(PlainTable).decode


class PlainFeatures(RowsTogether[Row]):
    """Answers JSON bodies that ask for features alone."""

    async def table(self, model: str, body: bytes, max_rows: int) -> Reply | None:
        """The answer to many rows that bring their keys in columns, and nothing else; None for any other body.

        Raises:
            NotFound: the model is not live.
            InvalidRow: a row cannot be filled.
        """
        try:
            asked = _decode_table(body)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return None
        colons = 1 + len(asked.columns) + asked.provenance
        for name, texts in asked.columns.items():
            colons += name.count(":") + "".join(texts).count(":")
        if body.count(b":") != colons or b"\\" in body:
            return None
        live = self._live(model)
        checked = live.champion.checker.keys_alone(asked.columns)
        if checked is None or not 0 < len(checked[0]) <= max_rows:
            return None
        rows, entities = checked
        times = [self._clock.now()] * len(rows)
        found = await live.resolver.resolve(rows, entities, times, live.feature_deadline_ms)
        return _reply(live, live.champion.signature.names, found, provenance=asked.provenance)

    def _reader(self, live: LiveModel) -> Callable[[bytes, float], Row | None] | None:
        return None if live.each is None else partial(_row, live.champion.checker)

    async def _answers(self, live: LiveModel, rows: Sequence[Row], _: float) -> Sequence[Reply]:
        if live.each is None:
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
    names = live.champion.signature.names
    return [
        failure(given)
        if isinstance(given, InvalidRow)
        else _reply(live, names, (given,), provenance=row.provenance)
        for row, given in zip(rows, found, strict=True)
    ]


def _reply(
    live: LiveModel, names: tuple[str, ...], rows: Sequence[Resolved], *, provenance: bool
) -> Reply:
    answer = FeaturesAnswer(
        model=live.route.model,
        version=live.champion.version,
        features=names,
        values=[row.values for row in rows],
        sources=[row.sources for row in rows],
        ages_seconds=_ages(rows) if provenance else None,
    )
    return Reply(200, _encode(answer))


def _ages(rows: Sequence[Resolved]) -> list[Any]:
    """The ages of rows, those that many rows share in JSON already."""
    ages = [row.ages_seconds for row in rows]
    once = {id(one): one for one in ages}
    if len(once) * _WORTH_SHARING > len(ages):
        return ages
    encoded = {key: msgspec.Raw(_encode(one)) for key, one in once.items()}
    return [encoded[id(one)] for one in ages]


def _row(checker: RowChecker, body: bytes, _: float) -> Row | None:
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
