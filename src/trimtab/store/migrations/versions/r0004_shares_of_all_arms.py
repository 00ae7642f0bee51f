"""What guardrails need of a prediction among several candidates: the shares of all arms."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Add the column; what was recorded before had one candidate at most."""
    op.add_column("predictions", sa.Column("shares", sa.Text(), nullable=True))


def downgrade() -> None:
    """Drop the column."""
    op.drop_column("predictions", "shares")
