"""The inbox: how far the log was read, topics and their entries, what users marked."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from hub.migrations.types import BIG, WORDS

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "inbox_entries",
        sa.Column("lane", BIG, autoincrement=False, nullable=False),
        sa.Column("seq", BIG, autoincrement=False, nullable=False),
        sa.Column("ordinal", BIG, nullable=False),
        sa.Column("kind", sa.SmallInteger(), nullable=False),
        sa.Column("rank", sa.SmallInteger(), nullable=False),
        sa.PrimaryKeyConstraint("lane", "seq", name="inbox_entries_pk"),
        sqlite_with_rowid=False,
    )
    op.create_index(
        "inbox_entries_shared",
        "inbox_entries",
        ["lane", "seq"],
        sqlite_where=sa.text("kind = 2"),
        postgresql_where=sa.text("kind = 2"),
    )

    op.create_table(
        "inbox_events",
        sa.Column("seq", BIG, autoincrement=False, nullable=False),
        sa.Column("id", WORDS, nullable=False),
        sa.Column("type", WORDS, nullable=False),
        sa.Column("expires_at", sa.Double(), nullable=True),
        sa.Column("collapse_key", WORDS, nullable=True),
        sa.Column("lanes", WORDS, nullable=False),
        sa.PrimaryKeyConstraint("seq", name="inbox_events_pk"),
    )
    op.create_index(
        "inbox_events_by_end",
        "inbox_events",
        ["expires_at"],
        sqlite_where=sa.text("expires_at IS NOT NULL"),
        postgresql_where=sa.text("expires_at IS NOT NULL"),
    )
    op.create_index("inbox_events_by_id", "inbox_events", ["id"])

    op.create_table(
        "inbox_gaps",
        sa.Column("lane", BIG, autoincrement=False, nullable=False),
        sa.Column("level", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("block", BIG, autoincrement=False, nullable=False),
        sa.Column("n", BIG, nullable=False),
        sa.PrimaryKeyConstraint("lane", "level", "block", name="inbox_gaps_pk"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "inbox_keys",
        sa.Column("lane", BIG, autoincrement=False, nullable=False),
        sa.Column("key", WORDS, nullable=False),
        sa.Column("seq", BIG, nullable=False),
        sa.PrimaryKeyConstraint("lane", "key", name="inbox_keys_pk"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "inbox_lanes",
        sa.Column("id", BIG, autoincrement=False, nullable=False),
        sa.Column("topic", WORDS, nullable=False),
        sa.Column("ordinal", BIG, nullable=False),
        sa.Column("floor", BIG, nullable=False),
        sa.Column("gaps", BIG, nullable=False),
        sa.Column("shared", BIG, nullable=False),
        sa.Column("seq", BIG, nullable=False),
        sa.PrimaryKeyConstraint("id", name="inbox_lanes_pk"),
        sa.UniqueConstraint("topic", name="inbox_lanes_topic_unique"),
    )
    op.create_index("inbox_lanes_by_seq", "inbox_lanes", ["seq"])

    op.create_table(
        "inbox_marks",
        sa.Column("owner", WORDS, nullable=False),
        sa.Column("seq", BIG, autoincrement=False, nullable=False),
        sa.Column("lane", BIG, nullable=False),
        sa.Column("read", sa.Boolean(), nullable=False),
        sa.Column("archived", sa.Boolean(), nullable=False),
        sa.Column("kept", sa.Boolean(), nullable=False),
        sa.Column("delta", sa.SmallInteger(), nullable=False),
        sa.Column("time", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("owner", "seq", name="inbox_marks_pk"),
        sqlite_with_rowid=False,
    )
    op.create_index("inbox_marks_by_seq", "inbox_marks", ["seq"])
    op.create_index(
        "inbox_marks_shared",
        "inbox_marks",
        ["owner", "seq"],
        sqlite_where=sa.text("lane = 0"),
        postgresql_where=sa.text("lane = 0"),
    )

    op.create_table(
        "inbox_progress",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("epoch", WORDS, nullable=False),
        sa.Column("seq", BIG, nullable=False),
        sa.Column("lanes", BIG, nullable=False),
        sa.PrimaryKeyConstraint("id", name="inbox_progress_pk"),
    )
    op.create_table(
        "inbox_read_ups",
        sa.Column("owner", WORDS, nullable=False),
        sa.Column("read_to", BIG, autoincrement=False, nullable=False),
        sa.Column("at", BIG, nullable=False),
        sa.Column("time", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("owner", "read_to", name="inbox_read_ups_pk"),
    )
    op.create_index("inbox_read_ups_by_place", "inbox_read_ups", ["read_to"])

    op.create_table(
        "inbox_readers",
        sa.Column("owner", WORDS, nullable=False),
        sa.Column("read_to", BIG, nullable=False),
        sa.Column("archived_to", BIG, nullable=False),
        sa.PrimaryKeyConstraint("owner", name="inbox_readers_pk"),
    )
    op.create_table(
        "inbox_replaced",
        sa.Column("lane", BIG, autoincrement=False, nullable=False),
        sa.Column("hidden", sa.Boolean(), nullable=False),
        sa.Column("seq", BIG, autoincrement=False, nullable=False),
        sa.Column("by", BIG, nullable=False),
        sa.Column("kind", sa.SmallInteger(), nullable=False),
        sa.Column("rank", sa.SmallInteger(), nullable=False),
        sa.PrimaryKeyConstraint("lane", "hidden", "seq", name="inbox_replaced_pk"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "inbox_tallies",
        sa.Column("owner", WORDS, nullable=False),
        sa.Column("lane", BIG, autoincrement=False, nullable=False),
        sa.Column("n", BIG, nullable=False),
        sa.PrimaryKeyConstraint("owner", "lane", name="inbox_tallies_pk"),
        sqlite_with_rowid=False,
    )
