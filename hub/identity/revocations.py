"""Which good tokens work no more: kept in memory, so that asking costs two look-ups. Pure.

A token is over when its session was ended, when its account is disabled, or when its account changed after it was
minted. Knows tokens and errors.
"""

from __future__ import annotations

from dataclasses import dataclass

from hub.errors import HubError
from hub.identity.tokens import Verified


@dataclass(frozen=True, slots=True)
class AccountState:
    """What of an account decides about its tokens: those below ``version`` are over, all of them while disabled.

    ``revoked_at`` (Unix seconds) stands in for the version where a token has none.
    """

    version: int
    disabled: bool
    revoked_at: float


class Revocations:
    """The ended sessions and changed accounts of a hub."""

    def __init__(self) -> None:
        self._sessions: dict[str, tuple[str, float]] = {}
        self._accounts: dict[str, AccountState] = {}

    def end_session(self, session: str, code: str, until: float) -> None:
        """Refuse the tokens of a session with ``code``. After ``until`` (Unix seconds) they are all expired anyway."""
        known = self._sessions.get(session)
        # A session may be ended twice; the first reason is the true one, the later end covers both.
        self._sessions[session] = (code, until) if known is None else (known[0], max(known[1], until))

    def set_account(self, subject: str, state: AccountState) -> None:
        """Note what an account is like now."""
        self._accounts[subject] = state

    def forget(self, now: float) -> None:
        """Drop ended sessions of which no token can still be alive."""
        self._sessions = {name: ended for name, ended in self._sessions.items() if ended[1] > now}

    def check(self, token: Verified) -> None:
        """Raise ``logged_out``, ``user_disabled`` or ``token_revoked`` if the token is over."""
        principal = token.principal
        ended = self._sessions.get(principal.session)
        if ended is not None:
            raise HubError(ended[0])
        account = self._accounts.get(principal.subject)
        if account is None:
            return
        if account.disabled:
            raise HubError("user_disabled")
        if token.version is not None and token.version >= account.version:
            return
        # Without a version it is another issuer's, whose times are whole seconds: none of that second is let through.
        if token.version is not None or token.issued_at < account.revoked_at:
            raise HubError("token_revoked", "The account was changed after this token was made; get a fresh one.")
