"""What watchers of several machines hand to the one that leads."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from trimtab.store.tables import Serial

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Add the table."""
    op.create_table(
        "handed",
        sa.Column("id", Serial, primary_key=True),
        sa.Column("rollout", sa.Text(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
    )


def downgrade() -> None:
    """Drop it."""
    op.drop_table("handed")
