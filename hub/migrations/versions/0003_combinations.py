"""The inbox: combinations of topics, so that events that go to several are counted without looking at each."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from hub.migrations.types import BIG

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "inbox_combined",
        sa.Column("member", BIG, autoincrement=False, nullable=False),
        sa.Column("lane", BIG, autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("member", "lane", name="inbox_combined_pk"),
        sqlite_with_rowid=False,
    )
    op.create_index("inbox_combined_by_lane", "inbox_combined", ["lane"])
    # They were not used, since they seemed no better than the primary keys.
    op.drop_index("inbox_entries_shared", "inbox_entries")
    op.create_index(
        "inbox_entries_shared",
        "inbox_entries",
        ["lane", "kind", "seq"],
        sqlite_where=sa.text("kind = 2"),
        postgresql_where=sa.text("kind = 2"),
    )
    op.drop_index("inbox_marks_shared", "inbox_marks")
    op.create_index(
        "inbox_marks_shared",
        "inbox_marks",
        ["owner", "lane", "seq"],
        sqlite_where=sa.text("lane = 0"),
        postgresql_where=sa.text("lane = 0"),
    )
