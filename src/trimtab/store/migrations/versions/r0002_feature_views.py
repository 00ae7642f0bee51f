"""Versions of feature views, and the progress of jobs that fill stores."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def text(name: str) -> sa.Column[str]:
    """A text column."""
    return sa.Column(name, sa.Text(), nullable=False)


def upgrade() -> None:
    """Go forward."""
    op.create_table(
        "feature_views",
        text("view"),
        sa.Column("version", sa.Integer(), nullable=False, autoincrement=False),
        text("digest"),
        sa.Column("applied_at", sa.Double(), nullable=False),
        *(text(name) for name in ("actor", "reason", "body", "code")),
        sa.PrimaryKeyConstraint("view", "version", name="pk_feature_views"),
    )
    op.create_table(
        "feature_progress",
        *(text(name) for name in ("job", "source", "stamp")),
        sa.Column("done", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("job", "source", name="pk_feature_progress"),
    )
