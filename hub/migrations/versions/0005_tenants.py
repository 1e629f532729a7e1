"""Accounts of tenants. Those that there are belong to the default one."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from hub.migrations.types import WORDS

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Add the column, and the index by which a tenant's accounts are found."""
    op.add_column("accounts", sa.Column("tenant", WORDS, server_default=sa.text("''"), nullable=False))
    op.create_index("accounts_by_tenant", "accounts", ["tenant", "kind", "id"])
