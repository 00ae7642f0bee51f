"""The SQL schema, once, for SQLite and PostgreSQL."""

from __future__ import annotations

import json
from typing import Any

import msgspec
from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Dialect,
    Double,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
    and_,
    or_,
)

from trimtab.types import Alert, Arm, Rollout, Scalar, Verdict, Version


class Json(TypeDecorator[Any]):
    """A value of one type as JSON text; NaN and infinities survive as ``NaN`` and ``Infinity``."""

    impl = Text
    cache_ok = True

    def __init__(self, kind: Any) -> None:
        super().__init__()
        self.kind = kind

    def process_bind_param(self, value: Any, dialect: Dialect) -> str | None:  # noqa: ARG002 - SQLAlchemy's
        """Python to text."""
        if value is None:
            return None
        return json.dumps(msgspec.to_builtins(value), separators=(",", ":"), ensure_ascii=False)

    def process_result_value(self, value: Any, dialect: Dialect) -> Any:  # noqa: ARG002 - SQLAlchemy's
        """Text to Python."""
        return None if value is None else msgspec.convert(json.loads(value), self.kind)


Serial = BigInteger().with_variant(Integer(), "sqlite")

metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(referred_table_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
    }
)

# --------------------------------------------------------------------------- registry

versions = Table(
    "versions",
    metadata,
    Column("model", Text, primary_key=True),
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("body", Json(Version), nullable=False),
)

aliases = Table(
    "aliases",
    metadata,
    Column("model", Text, primary_key=True),
    Column("alias", Text, primary_key=True),
    Column("version", Integer, nullable=False),
    Column("since", Double, nullable=False),
    Column("actor", Text, nullable=False),
    Column("reason", Text, nullable=False),
    ForeignKeyConstraint(["model", "version"], ["versions.model", "versions.version"]),
)

# --------------------------------------------------------------------------- control

control = Table(
    "control",
    metadata,
    Column("id", Integer, CheckConstraint("id = 1", name="one_row"), primary_key=True),
    Column("epoch", BigInteger, nullable=False),
)

routes = Table(
    "routes",
    metadata,
    Column("model", Text, primary_key=True),
    Column("epoch", BigInteger, nullable=False),
    Column("arms", Json(tuple[Arm, ...]), nullable=False),
    Column("slots", LargeBinary, nullable=False),
    Column("salt", Text, nullable=False),
    Column("hash_name", Text, nullable=False),
    Column("rollout", Text),
    Column("strategy", Text, nullable=False),
    Column("overrides", Json(dict[str, int])),
)

rollouts = Table(
    "rollouts",
    metadata,
    Column("id", Text, primary_key=True),
    Column("model", Text, nullable=False),
    Column("started_at", Double, nullable=False),
    Column("body", Json(Rollout), nullable=False),
    Index(None, "model", "started_at"),
)

audit = Table(
    "audit",
    metadata,
    Column("seq", Serial, primary_key=True, autoincrement=False),
    Column("at", Double, nullable=False),
    Column("actor", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("model", Text, nullable=False),
    Column("detail", Json(dict[str, Any]), nullable=False),
    Column("reason", Text, nullable=False),
    Column("previous", Text, nullable=False),
    Column("hash", Text, nullable=False),
    Index(None, "model", "seq"),
)

# --------------------------------------------------------------------------- predictions, outcomes

# One row a prediction id, whichever comes first, the prediction or its outcome: the unique key
# then settles every race between the two, and nothing is ever joined. ``version`` is NULL until
# the prediction is known, ``value`` until the outcome is; ``taken_value`` is what was last taken.
predictions = Table(
    "predictions",
    metadata,
    Column("id", Serial, primary_key=True),
    Column("model", Text, nullable=False),
    Column("prediction_id", Text, nullable=False),
    Column("version", Integer),
    Column("rollout", Text),
    Column("arm", Integer),
    Column("share", Double),
    Column("unit", Text),
    Column("event_time", Double),
    Column("score", Double),
    Column("positive", Boolean),
    Column("outputs", Json(tuple[float, ...])),
    Column("request_id", Text),
    Column("segments", Json(dict[str, Scalar])),
    Column("shares", Json(tuple[float, ...])),
    Column("value", Double),
    Column("outcome_time", Double),
    Column("received_at", Double),
    Column("seq", BigInteger),
    Column("taken_value", Double),
    UniqueConstraint("model", "prediction_id"),
)

has_outcome = predictions.c.seq.is_not(None)
mature = and_(
    predictions.c.version.is_not(None),
    predictions.c.value.is_not(None),
    or_(predictions.c.taken_value.is_(None), predictions.c.taken_value != predictions.c.value),
)
Index(
    "ix_predictions_seq", predictions.c.seq, sqlite_where=has_outcome, postgresql_where=has_outcome
)
Index("ix_predictions_mature", predictions.c.seq, sqlite_where=mature, postgresql_where=mature)

tallies = Table(
    "tallies",
    metadata,
    Column("model", Text, primary_key=True),
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("predictions", BigInteger, nullable=False),
    Column("taken", BigInteger, nullable=False),
)

replaced_outcomes = Table(
    "replaced_outcomes",
    metadata,
    Column("id", Serial, primary_key=True),
    Column("model", Text, nullable=False),
    Column("prediction_id", Text, nullable=False),
    Column("value", Double, nullable=False),
    Column("outcome_time", Double, nullable=False),
    Column("received_at", Double, nullable=False),
    Index(None, "model", "prediction_id"),
)

# --------------------------------------------------------------------------- watching

offsets = Table(
    "offsets",
    metadata,
    Column("segment", Text, primary_key=True),
    Column("position", BigInteger, nullable=False),
)

blobs = Table(
    "blobs",
    metadata,
    Column("key", Text, primary_key=True),
    Column("blob", LargeBinary, nullable=False),
)

handed = Table(
    "handed",
    metadata,
    Column("id", Serial, primary_key=True),
    Column("rollout", Text, nullable=False),
    Column("body", LargeBinary, nullable=False),
)

verdicts = Table(
    "verdicts",
    metadata,
    Column("id", Serial, primary_key=True),
    Column("model", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("version", Integer, nullable=False),
    Column("end", Double, nullable=False),
    Column("start", Double, nullable=False),
    Column("body", Json(Verdict), nullable=False),
    UniqueConstraint("model", "subject", "version", "end", "start"),
    Index(None, "model", "end"),
)

exposures = Table(
    "exposures",
    metadata,
    Column("rollout", Text, primary_key=True),
    Column("unit", Text, primary_key=True),
    Column("arm", Integer, nullable=False),
    Column("share", Double, nullable=False),
    Column("event_time", Double, nullable=False),
    sqlite_with_rowid=False,
)

events = Table(
    "events",
    metadata,
    Column("rollout", Text, primary_key=True),
    Column("guardrail", Text, primary_key=True),
    Column("unit", Text, primary_key=True),
    sqlite_with_rowid=False,
)

# --------------------------------------------------------------------------- alerts

alerts = Table(
    "alerts",
    metadata,
    Column("id", Serial, primary_key=True),
    Column("key", Text, nullable=False),
    Column("model", Text, nullable=False),
    Column("body", Json(Alert), nullable=False),
    Column("repeats", Integer, nullable=False),
    Column("closed_at", Double),
    Index(None, "model", "id"),
)
is_open = alerts.c.closed_at.is_(None)
Index("uq_alerts_open", alerts.c.key, unique=True, sqlite_where=is_open, postgresql_where=is_open)

deliveries = Table(
    "deliveries",
    metadata,
    Column("id", Serial, primary_key=True),
    Column("alert", Serial, ForeignKey("alerts.id"), nullable=False),
    Column("channel", Text, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("next_at", Double, nullable=False),
    Column("delivered_at", Double),
    Column("error", Text, nullable=False),
)
undelivered = deliveries.c.delivered_at.is_(None)
Index(
    "ix_deliveries_due",
    deliveries.c.next_at,
    sqlite_where=undelivered,
    postgresql_where=undelivered,
)

# --------------------------------------------------------------------------- features

feature_views = Table(
    "feature_views",
    metadata,
    Column("view", Text, primary_key=True),
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("digest", Text, nullable=False),
    Column("applied_at", Double, nullable=False),
    Column("actor", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("body", Json(dict[str, Any]), nullable=False),
    Column("code", Json(dict[str, str]), nullable=False),
)

feature_progress = Table(
    "feature_progress",
    metadata,
    Column("job", Text, primary_key=True),
    Column("source", Text, primary_key=True),
    Column("stamp", Text, nullable=False),
    Column("done", BigInteger, nullable=False),
)

settings = Table(
    "settings",
    metadata,
    Column("key", Text, primary_key=True),
    Column("value", Text, nullable=False),
)
