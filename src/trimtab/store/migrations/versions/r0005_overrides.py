"""Testers' keys that go to a stated version."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Add the column; a route has none so far."""
    op.add_column("routes", sa.Column("overrides", sa.Text(), nullable=True))


def downgrade() -> None:
    """Drop the column."""
    op.drop_column("routes", "overrides")
