"""Accounts, keys of services, sessions, the feed of changes, signing keys, the audit log."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from hub.migrations.types import BIG, WORDS

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "accounts",
        sa.Column("id", WORDS, nullable=False),
        sa.Column("kind", WORDS, nullable=False),
        sa.Column("name", WORDS, nullable=False),
        sa.Column("secret_hash", WORDS, nullable=False),
        sa.Column("admin", sa.Boolean(), nullable=False),
        sa.Column("disabled", sa.Boolean(), nullable=False),
        sa.Column("subscribe", sa.JSON(), nullable=False),
        sa.Column("publish", sa.JSON(), nullable=False),
        sa.Column("topics", sa.JSON(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("revoked_at", sa.Double(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="accounts_pk"),
    )
    op.create_table(
        "audit",
        sa.Column("seq", BIG, autoincrement=False, nullable=False),
        sa.Column("time", sa.Double(), nullable=False),
        sa.Column("action", WORDS, nullable=False),
        sa.Column("outcome", WORDS, nullable=False),
        sa.Column("actor", WORDS, nullable=False),
        sa.Column("session", WORDS, nullable=False),
        sa.Column("address", WORDS, nullable=False),
        sa.Column("target", WORDS, nullable=False),
        sa.Column("details", sa.JSON(), nullable=False),
        sa.Column("hash", WORDS, nullable=False),
        sa.PrimaryKeyConstraint("seq", name="audit_pk"),
    )
    op.create_index("audit_by_actor", "audit", ["actor", "seq"])
    op.create_index("audit_by_target", "audit", ["target", "seq"])
    op.create_index("audit_by_time", "audit", ["time"])

    op.create_table(
        "changes",
        sa.Column("id", BIG, nullable=False),
        sa.Column("kind", WORDS, nullable=False),
        sa.Column("name", WORDS, nullable=False),
        sa.Column("account_id", WORDS, nullable=True),
        sa.Column("code", WORDS, nullable=False),
        sa.Column("made_at", sa.Double(), nullable=False),
        sa.Column("expires_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="changes_pk"),
        sqlite_autoincrement=True,
    )
    op.create_index("changes_by_end", "changes", ["expires_at"])

    op.create_table(
        "signing_keys",
        sa.Column("id", WORDS, nullable=False),
        sa.Column("algorithm", WORDS, nullable=False),
        sa.Column("jwk", sa.JSON(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("token_life", sa.Double(), nullable=False),
        sa.Column("accepted_until", sa.Double(), nullable=True),
        sa.Column("retired_at", sa.Double(), nullable=True),
        sa.PrimaryKeyConstraint("id", name="signing_keys_pk"),
    )
    op.create_table(
        "service_keys",
        sa.Column("id", WORDS, nullable=False),
        sa.Column("account_id", WORDS, nullable=False),
        sa.Column("secret_hash", WORDS, nullable=False),
        sa.Column("name", WORDS, nullable=False),
        sa.Column("subscribe", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("publish", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("admin", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("expires_at", sa.Double(), nullable=True),
        sa.Column("last_used_at", sa.Double(), nullable=True),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name="service_keys_account_id_fk", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name="service_keys_pk"),
    )
    op.create_index("service_keys_by_account", "service_keys", ["account_id"])

    op.create_table(
        "sessions",
        sa.Column("id", WORDS, nullable=False),
        sa.Column("account_id", WORDS, nullable=False),
        sa.Column("family_hash", WORDS, nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("rotated_at", sa.Double(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("expires_at", sa.Double(), nullable=False),
        sa.Column("access_expires_at", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name="sessions_account_id_fk", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name="sessions_pk"),
        sa.UniqueConstraint("family_hash", name="sessions_family_hash_unique"),
    )
    op.create_index("sessions_by_account", "sessions", ["account_id"])
    op.create_index("sessions_by_end", "sessions", ["expires_at"])

    op.create_table(
        "refresh_tokens",
        sa.Column("hash", WORDS, nullable=False),
        sa.Column("session_id", WORDS, nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["session_id"], ["sessions.id"], name="refresh_tokens_session_id_fk", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("hash", name="refresh_tokens_pk"),
    )
    op.create_index("refresh_tokens_by_session", "refresh_tokens", ["session_id", "generation"])
