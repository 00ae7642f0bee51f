"""The first schema."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

Serial = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def text(name: str, *, null: bool = False) -> sa.Column[str]:
    """A text column."""
    return sa.Column(name, sa.Text(), nullable=null)


def number(name: str, *, null: bool = False) -> sa.Column[float]:
    """A column of 64-bit floats; times are Unix seconds."""
    return sa.Column(name, sa.Double(), nullable=null)


def integer(name: str, *, null: bool = False, big: bool = False) -> sa.Column[int]:
    """A column of 32-bit or 64-bit integers; none counts up by itself."""
    kind = sa.BigInteger() if big else sa.Integer()
    return sa.Column(name, kind, nullable=null, autoincrement=False)


def serial() -> sa.Column[int]:
    """A primary key that counts up."""
    return sa.Column("id", Serial, primary_key=True)


def table(name: str, *parts: Any, key: tuple[str, ...] = (), **options: Any) -> None:
    """A table with a primary key over ``key``; with its own serial key if that is empty."""
    primary = [sa.PrimaryKeyConstraint(*key, name=f"pk_{name}")] if key else []
    op.create_table(name, *([] if key else [serial()]), *parts, *primary, **options)


def partial(name: str, of: str, column: str, where: str, *, unique: bool = False) -> None:
    """An index over the rows that meet a condition."""
    condition = sa.text(where)
    op.create_index(
        name, of, [column], unique=unique, sqlite_where=condition, postgresql_where=condition
    )


def upgrade() -> None:
    """Go forward."""
    registry()
    control()
    predictions()
    watching()
    alerts()
    table("settings", text("key"), text("value"), key=("key",))


def registry() -> None:
    """Models, versions, aliases."""
    table("versions", text("model"), integer("version"), text("body"), key=("model", "version"))
    table(
        "aliases",
        text("model"),
        text("alias"),
        integer("version"),
        number("since"),
        text("actor"),
        text("reason"),
        sa.ForeignKeyConstraint(
            ["model", "version"],
            ["versions.model", "versions.version"],
            name="fk_aliases_versions",
        ),
        key=("model", "alias"),
    )


def control() -> None:
    """The epoch, routes, rollouts, audit log."""
    table(
        "control",
        integer("id"),
        integer("epoch", big=True),
        sa.CheckConstraint("id = 1", name=op.f("ck_control_one_row")),
        key=("id",),
    )
    op.execute("INSERT INTO control (id, epoch) VALUES (1, 0)")
    table(
        "routes",
        text("model"),
        integer("epoch", big=True),
        text("arms"),
        sa.Column("slots", sa.LargeBinary(), nullable=False),
        text("salt"),
        text("hash_name"),
        text("rollout", null=True),
        text("strategy"),
        key=("model",),
    )
    table("rollouts", text("id"), text("model"), number("started_at"), text("body"), key=("id",))
    op.create_index("ix_rollouts_model_started_at", "rollouts", ["model", "started_at"])
    table(
        "audit",
        sa.Column("seq", Serial, nullable=False, autoincrement=False),
        number("at"),
        *(text(name) for name in ("actor", "action", "model", "detail", "reason")),
        *(text(name) for name in ("previous", "hash")),
        key=("seq",),
    )
    op.create_index("ix_audit_model_seq", "audit", ["model", "seq"])


def predictions() -> None:
    """Predictions with their outcomes, counts of them, and outcomes that were corrected."""
    table(
        "predictions",
        text("model"),
        text("prediction_id"),
        integer("version", null=True),
        text("rollout", null=True),
        integer("arm", null=True),
        number("share", null=True),
        text("unit", null=True),
        number("event_time", null=True),
        number("score", null=True),
        sa.Column("positive", sa.Boolean(), nullable=True),
        number("value", null=True),
        number("outcome_time", null=True),
        number("received_at", null=True),
        integer("seq", null=True, big=True),
        number("taken_value", null=True),
        sa.UniqueConstraint("model", "prediction_id", name="uq_predictions_model_prediction_id"),
    )
    partial("ix_predictions_seq", "predictions", "seq", "seq IS NOT NULL")
    partial(
        "ix_predictions_mature",
        "predictions",
        "seq",
        "version IS NOT NULL AND value IS NOT NULL"
        " AND (taken_value IS NULL OR taken_value != value)",
    )
    table(
        "tallies",
        text("model"),
        integer("version"),
        integer("predictions", big=True),
        integer("taken", big=True),
        key=("model", "version"),
    )
    table(
        "replaced_outcomes",
        text("model"),
        text("prediction_id"),
        number("value"),
        number("outcome_time"),
        number("received_at"),
    )
    op.create_index(
        "ix_replaced_outcomes_model_prediction_id", "replaced_outcomes", ["model", "prediction_id"]
    )


def watching() -> None:
    """Offsets, folded state, verdicts, exposures and events of rollouts."""
    table("offsets", text("segment"), integer("position", big=True), key=("segment",))
    blob = sa.Column("blob", sa.LargeBinary(), nullable=False)
    table("blobs", text("key"), blob, key=("key",))
    table(
        "verdicts",
        text("model"),
        text("subject"),
        integer("version"),
        number("end"),
        number("start"),
        text("body"),
        sa.UniqueConstraint(
            *("model", "subject", "version", "end", "start"),
            name="uq_verdicts_model_subject_version_end_start",
        ),
    )
    op.create_index("ix_verdicts_model_end", "verdicts", ["model", "end"])
    table(
        "exposures",
        text("rollout"),
        text("unit"),
        integer("arm"),
        number("share"),
        number("event_time"),
        key=("rollout", "unit"),
        sqlite_with_rowid=False,
    )
    table(
        "events",
        text("rollout"),
        text("guardrail"),
        text("unit"),
        key=("rollout", "guardrail", "unit"),
        sqlite_with_rowid=False,
    )


def alerts() -> None:
    """Alerts and the queue of their deliveries."""
    table(
        "alerts",
        text("key"),
        text("model"),
        text("body"),
        integer("repeats"),
        number("closed_at", null=True),
    )
    op.create_index("ix_alerts_model_id", "alerts", ["model", "id"])
    partial("uq_alerts_open", "alerts", "key", "closed_at IS NULL", unique=True)
    table(
        "deliveries",
        sa.Column("alert", Serial, sa.ForeignKey("alerts.id"), nullable=False),
        text("channel"),
        integer("attempts"),
        number("next_at"),
        number("delivered_at", null=True),
        text("error"),
    )
    partial("ix_deliveries_due", "deliveries", "next_at", "delivered_at IS NULL")
