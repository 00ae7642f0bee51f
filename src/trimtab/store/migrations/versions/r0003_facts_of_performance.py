"""What performance needs of a prediction: all outputs, its request, its segments."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

NAMES = ("outputs", "request_id", "segments")


def upgrade() -> None:
    """Add the columns; what was recorded before has none."""
    for name in NAMES:
        op.add_column("predictions", sa.Column(name, sa.Text(), nullable=True))


def downgrade() -> None:
    """Drop the columns."""
    for name in reversed(NAMES):
        op.drop_column("predictions", name)
