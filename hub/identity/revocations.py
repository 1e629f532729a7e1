"""Which good tokens work no more: kept in memory, so that asking costs a few look-ups. Pure.

A token is over when it, its session or its key was ended, when its account is disabled, or when its account changed
after it was minted. Knows verified and errors.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from hub.errors import HubError
from hub.identity.verified import Verified


@dataclass(frozen=True, slots=True)
class AccountState:
    """What of an account decides about its tokens: those below ``version`` are over, all of them while disabled.

    ``revoked_at`` (Unix seconds) stands in for the version where a token has none.
    """

    version: int
    disabled: bool
    revoked_at: float


class Revocations:
    """The ended sessions and tokens, and the changed accounts, of a hub."""

    def __init__(self) -> None:
        self._ended: dict[Literal["session", "token"], dict[str, tuple[str, float]]] = {"session": {}, "token": {}}
        self._accounts: dict[str, AccountState] = {}
        self._outsiders: dict[str, tuple[float, float]] = {}
        self.retired_keys: frozenset[str] = frozenset()
        """Ids of signing keys that are not to be trusted any longer."""

    def end(self, kind: Literal["session", "token"], name: str, code: str, until: float) -> None:
        """Refuse the tokens of a session, or the token with that ``jti``, with ``code``.

        After ``until`` (Unix seconds) they are expired anyway.
        """
        known = self._ended[kind].get(name)
        # It may be ended twice; the first reason is the true one, the later end covers both.
        self._ended[kind][name] = (code, until) if known is None else (known[0], max(known[1], until))

    def set_account(self, subject: str, state: AccountState) -> None:
        """Note what an account is like now."""
        self._accounts[subject] = state

    def end_outsider(self, subject: str, since: float, until: float) -> None:
        """Refuse the tokens of somebody of another issuer that were issued before ``since`` (Unix seconds).

        After ``until`` they are expired anyway.
        """
        self._outsiders[subject] = (since, until)

    def forget(self, now: float) -> None:
        """Drop what ended and of which no token can still be alive."""
        for kind, all_ended in self._ended.items():
            self._ended[kind] = {name: ended for name, ended in all_ended.items() if ended[1] > now}
        self._outsiders = {name: ended for name, ended in self._outsiders.items() if ended[1] > now}

    def check(self, token: Verified) -> None:
        """Raise ``logged_out``, ``user_disabled`` or ``token_revoked`` if the token is over."""
        ended = self._ended["session"].get(token.session) or self._ended["token"].get(token.token_id)
        if ended is not None:
            raise HubError(ended[0])
        if token.key_id in self.retired_keys:
            raise HubError("token_revoked", "The key that signed this token was retired; get a fresh one.")
        outsider = self._outsiders.get(token.subject)
        # Whole seconds, as below.
        if outsider is not None and token.version is None and token.issued_at < outsider[0]:
            raise HubError("token_revoked", "You were logged out after this token was made; get a fresh one.")
        account = self._accounts.get(token.subject)
        if account is None:
            return
        if account.disabled:
            raise HubError("user_disabled")
        if token.version is not None and token.version >= account.version:
            return
        # Without a version it is another issuer's, whose times are whole seconds: none of that second is let through.
        if token.version is not None or token.issued_at < account.revoked_at:
            raise HubError("token_revoked", "The account was changed after this token was made; get a fresh one.")
