"""The tables of identity: accounts, login sessions, refresh tokens, the feed of changes, the audit log.

Only hashes of secrets are stored. Times are Unix seconds. Knows the database's base.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from sqlalchemy import JSON, ForeignKey, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from hub.database.base import BIG, Base, Words

Kind = Literal["user", "service"]
Changed = Literal["account", "session", "token", "keys", "outsider"]


class Account(Base):
    """A user or a service. One table, so that an id never names both: sockets are found by it.

    Ids of accounts, here and wherever one is referred to, are in full; so are those of sessions (see ``hub.tenancy``).
    """

    __tablename__ = "accounts"
    __table_args__ = (Index("accounts_by_tenant", "tenant", "kind", "id"),)

    id: Mapped[str] = mapped_column(primary_key=True)
    tenant: Mapped[str] = mapped_column(default="", server_default=text("''"))
    """The one in the id, so that a tenant's accounts are found."""
    kind: Mapped[Kind] = mapped_column(Words)
    name: Mapped[str]
    secret_hash: Mapped[str] = mapped_column(default="")
    """argon2id of a user's password. A service has none: it has keys."""
    admin: Mapped[bool] = mapped_column(default=False)
    disabled: Mapped[bool] = mapped_column(default=False)
    subscribe: Mapped[list[str]] = mapped_column(JSON)
    """Patterns as they were granted, ``{sub}`` unexpanded; so are ``publish`` and ``topics``."""
    publish: Mapped[list[str]] = mapped_column(JSON)
    topics: Mapped[list[str]] = mapped_column(JSON)
    version: Mapped[int] = mapped_column(default=0)
    """Minted into every token. Raised to end those minted before: a number, unlike a time, orders a token and a change
    exactly, whatever the clocks say and whoever committed first."""
    revoked_at: Mapped[float] = mapped_column(default=0.0)
    """When ``version`` was last raised; for tokens of other issuers, which carry no version."""
    created_at: Mapped[float]


class ServiceKey(Base):
    """A long-lived secret of a service: its API key, and its secret as an OAuth2 client."""

    __tablename__ = "service_keys"
    __table_args__ = (Index("service_keys_by_account", "account_id"),)

    id: Mapped[str] = mapped_column(primary_key=True)
    account_id: Mapped[str] = mapped_column(ForeignKey(Account.id, ondelete="CASCADE"))
    secret_hash: Mapped[str]
    """SHA-256 of the whole key."""
    name: Mapped[str]
    """For people: where it is used."""
    subscribe: Mapped[list[str] | None] = mapped_column(JSON(none_as_null=True))
    """Patterns that bound what its service may; None: whatever that may. So does ``publish``."""
    publish: Mapped[list[str] | None] = mapped_column(JSON(none_as_null=True))
    admin: Mapped[bool]
    """Whether it administers, if its service does."""
    created_at: Mapped[float]
    expires_at: Mapped[float | None]
    last_used_at: Mapped[float | None]
    """True to a minute; None: never."""


class LoginSession(Base):
    """One login of a user: a family of refresh tokens, and the access tokens that came from them."""

    __tablename__ = "sessions"
    __table_args__ = (Index("sessions_by_account", "account_id"), Index("sessions_by_end", "expires_at"))

    id: Mapped[str] = mapped_column(primary_key=True)
    account_id: Mapped[str] = mapped_column(ForeignKey(Account.id, ondelete="CASCADE"))
    family_hash: Mapped[str] = mapped_column(unique=True)
    """Of the half that all refresh tokens of the session share, so that an old one is still recognised as one of them
    without being kept."""
    generation: Mapped[int] = mapped_column(default=0)
    """Of the refresh tokens that are good now."""
    rotated_at: Mapped[float]
    created_at: Mapped[float]
    expires_at: Mapped[float]
    """When its refresh tokens end."""
    access_expires_at: Mapped[float] = mapped_column(default=0.0)
    """When the last access token minted for it ends: how long a revocation must be remembered."""


class RefreshToken(Base):
    """A refresh token of the session's current or preceding generation."""

    __tablename__ = "refresh_tokens"
    __table_args__ = (Index("refresh_tokens_by_session", "session_id", "generation"),)

    hash: Mapped[str] = mapped_column(primary_key=True)
    session_id: Mapped[str] = mapped_column(ForeignKey(LoginSession.id, ondelete="CASCADE"))
    generation: Mapped[int]


class PublicKey(Base):
    """The public half of a key that the hub made. The private one of the key that signs is in its file, and nowhere
    else: once another key signs, it is gone."""

    __tablename__ = "signing_keys"

    id: Mapped[str] = mapped_column(primary_key=True)
    algorithm: Mapped[str]
    jwk: Mapped[dict[str, str]] = mapped_column(JSON)
    created_at: Mapped[float]
    token_life: Mapped[float] = mapped_column(default=0.0)
    """Longest life, in seconds, of a token that it signed: whoever rotates need not know the hub's settings."""
    accepted_until: Mapped[float | None]
    """When the last token it signed has ended; None while it signs."""
    retired_at: Mapped[float | None]
    """Since when it is not to be trusted."""


class WaitingTicket(Base):
    """A ticket that any of several hubs may redeem; see ``hub.identity.shared_tickets``."""

    __tablename__ = "tickets"
    __table_args__ = (Index("tickets_by_owner", "owner"), Index("tickets_by_end", "ends_at"))

    name: Mapped[str] = mapped_column(primary_key=True)
    """The ticket's hash."""
    owner: Mapped[str]
    sealed: Mapped[str]
    """The access token behind it, which only the ticket itself opens."""
    ends_at: Mapped[float]
    """By the database's clock."""


class Change(Base):
    """What every hub process must learn: an account whose state is to be read again, a session or a token that ended,
    that there are other signing keys, or that a user of another issuer was logged out.

    Ids only grow, are never used again, and become visible in order (they are ``written_alone``), so that a process
    remembers the last one it has seen.
    """

    written_alone: ClassVar[bool] = True

    __tablename__ = "changes"
    __table_args__ = (Index("changes_by_end", "expires_at"), {"sqlite_autoincrement": True})

    id: Mapped[int] = mapped_column(BIG, primary_key=True)
    kind: Mapped[Changed] = mapped_column(Words)
    name: Mapped[str]
    """Of what changed: the account's id, the session's, the token's ``jti``, the key's id, or the user's."""
    account_id: Mapped[str | None]
    """Whose connections it concerns; None if that is not known."""
    code: Mapped[str] = mapped_column(default="")
    """The name of the error with which the end of tokens is told."""
    made_at: Mapped[float] = mapped_column(default=0.0)
    """Of a logout of somebody of another issuer: tokens issued before are over."""
    expires_at: Mapped[float]
    """When it may be forgotten."""


class AuditEntry(Base):
    """One line of the audit log; see ``hub.identity.audit``. Written once and never changed.

    Columns hold "" where there is nothing to say. ``time`` is when it happened (of what was gathered: first happened),
    ``seq`` the order in which lines were written, without gaps.
    """

    written_alone: ClassVar[bool] = True

    __tablename__ = "audit"
    __table_args__ = (
        Index("audit_by_time", "time"),
        Index("audit_by_actor", "actor", "seq"),
        Index("audit_by_target", "target", "seq"),
    )

    seq: Mapped[int] = mapped_column(BIG, primary_key=True, autoincrement=False)
    time: Mapped[float]
    action: Mapped[str]
    outcome: Mapped[str]
    actor: Mapped[str]
    session: Mapped[str]
    address: Mapped[str]
    target: Mapped[str]
    details: Mapped[dict[str, Any]] = mapped_column(JSON)
    hash: Mapped[str]
