"""The one table of errors: each name has its HTTP status, its WebSocket close code and its retry policy.

Everything that the hub refuses, it refuses by a name of this table: the same ``code`` stands in the problem
response (RFC 9457), in an ``error`` frame and in a close reason (RFC 6455, section 7.4). This module knows no
other module of the hub.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class Retry(StrEnum):
    """What a client should do after an error."""

    NEVER = "never"
    """The same request will fail again; mend it first."""
    REAUTH = "reauth"
    """Get a fresh token, then come back, once."""
    LATER = "later"
    """Come back after a growing, random wait."""


@dataclass(frozen=True, slots=True)
class ErrorKind:
    """One row of the table."""

    code: str
    status: int
    close: int
    retry: Retry
    title: str


_NEVER, _REAUTH, _LATER = Retry.NEVER, Retry.REAUTH, Retry.LATER

TABLE: dict[str, ErrorKind] = {
    row.code: row
    for row in (
        # Who are you?  401 / 1008
        ErrorKind("token_missing", 401, 1008, _NEVER, "No token was given"),
        ErrorKind("token_malformed", 401, 1008, _NEVER, "The token cannot be read"),
        ErrorKind("token_expired", 401, 1008, _REAUTH, "The token has expired"),
        ErrorKind("token_not_yet_valid", 401, 1008, _NEVER, "The token is not valid yet"),
        ErrorKind("token_signature", 401, 1008, _NEVER, "The token's signature is wrong"),
        ErrorKind("token_algorithm", 401, 1008, _NEVER, "The token's algorithm is not accepted"),
        ErrorKind("token_issuer", 401, 1008, _NEVER, "The token is from another issuer"),
        ErrorKind("token_audience", 401, 1008, _NEVER, "The token is for another audience"),
        ErrorKind("token_type", 401, 1008, _NEVER, "The token is not an access token"),
        ErrorKind("token_claims", 401, 1008, _NEVER, "The token lacks a claim or has a bad one"),
        ErrorKind("token_revoked", 401, 1008, _REAUTH, "The token was revoked"),
        ErrorKind("key_unknown", 401, 1008, _NEVER, "The API key is unknown or was revoked"),
        ErrorKind("key_expired", 401, 1008, _NEVER, "The API key has expired"),
        ErrorKind("ticket_invalid", 401, 1008, _REAUTH, "The ticket is unknown, used or expired"),
        ErrorKind("logged_out", 401, 1008, _NEVER, "The session was logged out"),
        ErrorKind("user_disabled", 401, 1008, _NEVER, "The user or service is disabled"),
        ErrorKind("credentials_ambiguous", 400, 1008, _NEVER, "More than one token was given"),
        ErrorKind("credentials_invalid", 401, 1008, _NEVER, "Wrong name or password"),
        ErrorKind("refresh_invalid", 401, 1008, _NEVER, "The refresh token is unknown or expired"),
        ErrorKind("refresh_reused", 401, 1008, _NEVER, "The refresh token was used before; the session is ended"),
        ErrorKind("too_many_attempts", 429, 1013, _LATER, "Too many attempts; wait before the next"),
        ErrorKind("rate_limited", 429, 1013, _LATER, "Too much in too short a time; wait before the next"),
        ErrorKind("too_many_connections", 429, 1013, _LATER, "Too many connections; close one, or come back later"),
        ErrorKind("subject_mismatch", 403, 1008, _NEVER, "The fresh token speaks for somebody else"),
        # May you?  403 / 1008
        ErrorKind("forbidden", 403, 1008, _NEVER, "Not allowed by the token's grants"),
        ErrorKind("origin_forbidden", 403, 1008, _NEVER, "This origin may not connect"),
        # Is it well said?  4xx / 45xx
        ErrorKind("request_invalid", 422, 4500, _NEVER, "The request is not well formed"),
        ErrorKind("http_invalid", 400, 4510, _NEVER, "This is not HTTP/1.1"),
        ErrorKind("upgrade_required", 426, 4511, _NEVER, "This is the address of a WebSocket"),
        ErrorKind("event_invalid", 422, 4500, _NEVER, "The event is not well formed"),
        ErrorKind("topic_invalid", 422, 4501, _NEVER, "Not a topic name"),
        ErrorKind("cursor_invalid", 422, 4502, _NEVER, "Not a cursor of this hub"),
        ErrorKind("client_invalid", 422, 4503, _NEVER, "Not a client id"),
        ErrorKind("too_many_topics", 422, 4504, _NEVER, "Too many topics on one connection"),
        ErrorKind("frame_invalid", 422, 4505, _NEVER, "The frame is not well formed"),
        ErrorKind("event_too_large", 413, 1009, _NEVER, "The event is too large"),
        ErrorKind("request_too_large", 413, 1009, _NEVER, "The request is too large"),
        ErrorKind("head_too_large", 431, 1009, _NEVER, "The request's head is too large"),
        ErrorKind("media_type_unsupported", 415, 4512, _NEVER, "This media type is not taken here"),
        ErrorKind("id_conflict", 409, 4506, _NEVER, "This id was used for another event"),
        ErrorKind("name_taken", 409, 4507, _NEVER, "This name is taken"),
        ErrorKind("not_found", 404, 4508, _NEVER, "There is no such thing"),
        ErrorKind("method_not_allowed", 405, 4509, _NEVER, "This method is not allowed here"),
        # Is the hub well?  5xx
        ErrorKind("log_unavailable", 503, 1013, _LATER, "The log cannot be written now"),
        ErrorKind("database_unavailable", 503, 1013, _LATER, "The database cannot be read or written now"),
        ErrorKind("issuer_unavailable", 503, 1013, _LATER, "The keys of the token's issuer cannot be had now"),
        ErrorKind("overloaded", 503, 1013, _LATER, "The hub is overloaded"),
        ErrorKind("restarting", 503, 1012, _LATER, "The hub is restarting"),
        ErrorKind("internal", 500, 1011, _LATER, "The hub failed; the log says why"),
    )
}


class HubError(Exception):
    """A refusal by a name of the table.

    ``detail`` is for the person who reads it: what was wrong and what to do. ``extra`` are further members of
    the problem object, such as ``index`` in a batch or ``retry_after`` in seconds.
    """

    def __init__(self, code: str, detail: str | None = None, **extra: Any) -> None:
        self.kind = TABLE[code]
        self.detail = detail or f"{self.kind.title}."
        self.extra = extra
        super().__init__(f"{code}: {self.detail}")

    @property
    def code(self) -> str:
        """The stable name."""
        return self.kind.code

    @property
    def close_reason(self) -> str:
        """The close reason: the code and, where they fit into 123 bytes (RFC 6455, 5.5), words for people."""
        text = f"{self.code}: {self.detail}"
        return text if len(text.encode()) <= 123 else self.code


class NotYet(HubError):
    """A refusal that may be none any more once ``ready`` was awaited: what was asked without I/O needs some.

    Whoever cannot wait treats it as what it also is, an error to come back after. ``ready`` takes seconds at most, and
    raises nothing.
    """

    def __init__(
        self, code: str, detail: str | None = None, *, ready: Callable[[], Awaitable[None]], **extra: Any
    ) -> None:
        super().__init__(code, detail, **extra)
        self.ready = ready
