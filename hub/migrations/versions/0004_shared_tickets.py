"""Tickets that any of several hubs may redeem."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from hub.migrations.types import WORDS

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "tickets",
        sa.Column("name", WORDS, nullable=False),
        sa.Column("owner", WORDS, nullable=False),
        sa.Column("sealed", WORDS, nullable=False),
        sa.Column("ends_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("name", name="tickets_pk"),
    )
    op.create_index("tickets_by_owner", "tickets", ["owner"])
    op.create_index("tickets_by_end", "tickets", ["ends_at"])
