"""Outcomes, and the index of predictions that they meet, in SQL."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, Connection, Row, bindparam, func, select, update

from trimtab.errors import InvalidRequest
from trimtab.recordtable import Facts, facts_of
from trimtab.store.indexing import insert_new
from trimtab.store.statements import chunks, insert
from trimtab.store.tables import has_outcome, mature, predictions, replaced_outcomes, tallies
from trimtab.types import Matured, OutcomeReceipt, OutcomeRecord, PredictionFacts

Key = tuple[str, str]
KEY = ("model", "prediction_id")
FACTS = [predictions.c[name] for name in PredictionFacts.__struct_fields__]
_BY_KEY = (
    predictions.c.model == bindparam("model_"),
    predictions.c.prediction_id == bindparam("prediction_id_"),
)


@dataclass(slots=True)
class _Batch:
    """Outcomes being compared with what is kept, in the order they came."""

    kept: dict[Key, OutcomeRecord]
    changed: dict[Key, OutcomeRecord] = field(default_factory=dict)
    replaced: list[OutcomeRecord] = field(default_factory=list)

    def receive(self, outcome: OutcomeRecord, *, first: bool) -> OutcomeReceipt:
        """Compare one outcome with the one before it."""
        key = (outcome.model, outcome.prediction_id)
        before = self.kept[key]
        if first:
            return OutcomeReceipt(prediction_id=outcome.prediction_id, status="recorded")
        if before.value == outcome.value:
            return OutcomeReceipt(prediction_id=outcome.prediction_id, status="duplicate")
        self.replaced.append(before)
        self.kept[key] = self.changed[key] = outcome
        message = f"{outcome.value:g} replaces {before.value:g}."
        return OutcomeReceipt(
            prediction_id=outcome.prediction_id, status="corrected", message=message
        )


@dataclass(frozen=True, slots=True)
class SqlOutcomes:
    """Outcomes and the index that joins them to predictions, within a transaction."""

    connection: Connection

    def add(self, outcomes: Sequence[OutcomeRecord]) -> Sequence[OutcomeReceipt]:
        """Keep outcomes idempotently.

        Returns:
            In order, ``recorded`` for a first outcome, ``duplicate`` for the same value again, and
            ``corrected`` for another value; the value before is kept aside.

        Raises:
            InvalidRequest: a value is not finite.
        """
        firsts: dict[Key, int] = {}
        for position, outcome in enumerate(outcomes):
            _check(outcome, position)
            firsts.setdefault((outcome.model, outcome.prediction_id), position)
        if not outcomes:
            return []
        seq = self._next_seq()
        recorded = self._record({key: (outcomes[i], seq + i) for key, i in firsts.items()})
        batch = _Batch({key: outcomes[i] for key, i in firsts.items()})
        batch.kept.update(self._kept([key for key in firsts if key not in recorded]))
        receipts = [
            batch.receive(outcome, first=position == firsts[key] and key in recorded)
            for position, outcome in enumerate(outcomes)
            for key in [(outcome.model, outcome.prediction_id)]
        ]
        self._correct(batch, seq + len(outcomes))
        return receipts

    def index(self, facts: Sequence[PredictionFacts]) -> Sequence[int]:
        """Keep facts; the places of those predictions that were new, each once, in order."""
        table = facts_of(facts)
        keys = _keys(table)
        places: Sequence[int] = range(len(keys))
        if len(set(keys)) < len(keys):
            first = {key: at for at, key in reversed(list(enumerate(keys)))}
            places = sorted(first.values())
            table = table.where(places)
        if not places:
            return ()
        kept = self._new(table) if self._is_sqlite else self._upserted(table)
        self._tally(
            Counter(zip(kept.columns["model"], kept.columns["version"], strict=True)), "predictions"
        )
        if len(kept) == len(places):
            return places
        new = set(_keys(kept))
        return [at for at in places if keys[at] in new]

    def take_matured(self, limit: int) -> Sequence[Matured]:
        """Outcomes not yet taken whose prediction is known, marked as taken; oldest first.

        An outcome that was corrected after it had been taken comes again, with the value that was
        taken before as ``previous``.
        """
        waiting = (
            select(
                *FACTS,
                predictions.c.value,
                predictions.c.outcome_time,
                predictions.c.taken_value,
                predictions.c.id,
            )
            .where(mature)
            .order_by(predictions.c.seq, predictions.c.id)
            .limit(limit)
            .with_for_update(skip_locked=True)
        )
        rows = self.connection.execute(waiting).all()
        if not rows:
            return []
        self.connection.execute(
            update(predictions)
            .where(predictions.c.id == bindparam("id_"))
            .values(taken_value=predictions.c.value),
            [{"id_": row.id} for row in rows],
        )
        matured = [_matured(row) for row in rows]
        first = [one.facts for one in matured if one.previous is None]
        self._tally(Counter((facts.model, facts.version) for facts in first), "taken")
        return matured

    def facts(self, model: str, prediction_ids: Sequence[str]) -> Mapping[str, PredictionFacts]:
        """What is known of those predictions that are known."""
        found: dict[str, PredictionFacts] = {}
        for some in chunks(list(dict.fromkeys(prediction_ids))):
            statement = select(*FACTS).where(
                _named(model, some), predictions.c.version.is_not(None)
            )
            for row in self.connection.execute(statement):
                found[row.prediction_id] = _facts(row)
        return found

    def values(self, model: str, prediction_ids: Sequence[str]) -> Mapping[str, float]:
        """The outcomes of those predictions that have one."""
        found: dict[str, float] = {}
        for some in chunks(list(dict.fromkeys(prediction_ids))):
            statement = select(predictions.c.prediction_id, predictions.c.value).where(
                _named(model, some), predictions.c.value.is_not(None)
            )
            found.update((name, value) for name, value in self.connection.execute(statement))
        return found

    def counts(self, model: str) -> Mapping[int, tuple[int, int]]:
        """Predictions and outcomes joined to them, by version."""
        # Counted here, in the order of the index of mature rows: grouping or narrowing in SQL would
        # lead the planner away from that index, over all predictions.
        waiting = (
            select(predictions.c.model, predictions.c.version)
            .where(mature, predictions.c.taken_value.is_(None))
            .order_by(predictions.c.seq)
        )
        joined = Counter(
            row.version for row in self.connection.execute(waiting) if row.model == model
        )
        rows = self.connection.execute(
            select(tallies.c.version, tallies.c.predictions, tallies.c.taken)
            .where(tallies.c.model == model)
            .order_by(tallies.c.version)
        )
        return {version: (all_, taken + joined[version]) for version, all_, taken in rows}

    @property
    def _is_sqlite(self) -> bool:
        return self.connection.dialect.name == "sqlite"

    def _new(self, facts: Facts) -> Facts:
        """Keep facts as SQLite does it fastest; those that were new."""
        last = self.connection.scalar(select(func.max(predictions.c.id))) or 0
        if insert_new(self.connection, facts) == len(facts):
            return facts
        # Numbers ascend, so what was there before has a lower one.
        keys = _keys(facts)
        before = {
            (model, row.prediction_id)
            for model in {model for model, _ in keys}
            for some in chunks([name for of, name in keys if of == model])
            for row in self.connection.execute(
                select(predictions.c.prediction_id).where(
                    _named(model, some), predictions.c.id <= last
                )
            )
        }
        known = facts.where([at for at, key in enumerate(keys) if key in before])
        before.difference_update(_keys(self._upserted(known)))
        return facts.where([at for at, key in enumerate(keys) if key not in before])

    def _upserted(self, facts: Facts) -> Facts:
        """Keep facts that are not there, or of which only the outcome is; those that were new."""
        statement = insert(self.connection, predictions)
        names = sorted(set(facts.columns).difference(KEY))
        kept = self.connection.execute(
            statement.on_conflict_do_update(
                index_elements=KEY,
                set_={name: statement.excluded[name] for name in names},
                where=predictions.c.version.is_(None),
            ).returning(predictions.c.model, predictions.c.prediction_id),
            sorted(map(msgspec.structs.asdict, facts), key=itemgetter(*KEY)),
        )
        new = {(model, prediction_id) for model, prediction_id in kept}
        return facts.where([at for at, key in enumerate(_keys(facts)) if key in new])

    def _next_seq(self) -> int:
        last = self.connection.scalar(select(func.max(predictions.c.seq)).where(has_outcome))
        return (last or 0) + 1

    def _record(self, outcomes: Mapping[Key, tuple[OutcomeRecord, int]]) -> set[Key]:
        statement = insert(self.connection, predictions)
        names = ("value", "outcome_time", "received_at", "seq")
        recorded = self.connection.execute(
            statement.on_conflict_do_update(
                index_elements=KEY,
                set_={name: statement.excluded[name] for name in names},
                where=predictions.c.value.is_(None),
            ).returning(predictions.c.model, predictions.c.prediction_id),
            [{**_row(outcomes[key][0]), "seq": outcomes[key][1]} for key in sorted(outcomes)],
        )
        return {(model, prediction_id) for model, prediction_id in recorded}

    def _kept(self, keys: Sequence[Key]) -> dict[Key, OutcomeRecord]:
        kept: dict[Key, OutcomeRecord] = {}
        for model in sorted({model for model, _ in keys}):
            for some in chunks([name for of, name in keys if of == model]):
                found = select(
                    predictions.c.model,
                    predictions.c.prediction_id,
                    predictions.c.value,
                    predictions.c.outcome_time.label("event_time"),
                    predictions.c.received_at,
                ).where(_named(model, some))
                for row in self.connection.execute(found).mappings():
                    kept[model, row["prediction_id"]] = OutcomeRecord(**row)
        return kept

    def _correct(self, batch: _Batch, seq: int) -> None:
        if not batch.replaced:
            return
        self.connection.execute(
            replaced_outcomes.insert(), [_row(outcome) for outcome in batch.replaced]
        )
        self.connection.execute(
            update(predictions)
            .where(*_BY_KEY)
            .values(
                value=bindparam("value"),
                outcome_time=bindparam("outcome_time"),
                received_at=bindparam("received_at"),
                seq=bindparam("seq"),
            ),
            [
                {
                    **_row(outcome),
                    "model_": model,
                    "prediction_id_": prediction_id,
                    "seq": seq + position,
                }
                for position, ((model, prediction_id), outcome) in enumerate(batch.changed.items())
            ],
        )

    def _tally(self, counted: Mapping[tuple[str, int], int], name: str) -> None:
        for (model, version), count in sorted(counted.items()):
            row = {"model": model, "version": version, "predictions": 0, "taken": 0, name: count}
            self.connection.execute(
                insert(self.connection, tallies)
                .values(row)
                .on_conflict_do_update(
                    index_elements=["model", "version"], set_={name: tallies.c[name] + count}
                )
            )


def _check(outcome: OutcomeRecord, position: int) -> None:
    if not math.isfinite(outcome.value):
        raise InvalidRequest(
            f"The outcome of {outcome.prediction_id!r} is {outcome.value}, which is no number.",
            hint="Leave out outcomes that are not known yet.",
            code="outcome_not_finite",
            path=f"outcomes[{position}].value",
        )


def _named(model: str, prediction_ids: Sequence[str]) -> ColumnElement[bool]:
    return (predictions.c.model == model) & predictions.c.prediction_id.in_(prediction_ids)


def _row(outcome: OutcomeRecord) -> dict[str, object]:
    return {
        "model": outcome.model,
        "prediction_id": outcome.prediction_id,
        "value": outcome.value,
        "outcome_time": outcome.event_time,
        "received_at": outcome.received_at,
    }


def _keys(facts: Facts) -> list[Key]:
    return list(zip(*(facts.columns[name] for name in KEY), strict=True))


def _facts(row: Row[*tuple[Any, ...]]) -> PredictionFacts:
    return PredictionFacts(**dict(zip(PredictionFacts.__struct_fields__, row, strict=False)))


def _matured(row: Row[*tuple[Any, ...]]) -> Matured:
    return Matured(
        facts=_facts(row),
        value=row.value,
        outcome_time=row.outcome_time,
        previous=row.taken_value,
    )
