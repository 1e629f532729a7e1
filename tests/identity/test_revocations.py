"""Which good tokens work no more: the rule, without a database."""

from __future__ import annotations

import pytest

from hub.errors import HubError
from hub.identity.revocations import AccountState, Revocations
from hub.identity.tokens import Verified


def token(
    *,
    subject: str = "alice",
    session: str = "s1",
    token_id: str = "j1",
    key_id: str = "k1",
    version: int | None = 3,
    issued_at: float = 1000,
) -> Verified:
    ids = {"token_id": token_id, "key_id": key_id}
    return Verified(subject, "user", session, expires_at=2000, version=version, issued_at=issued_at, **ids)


def code_of(revocations: Revocations, verified: Verified) -> str | None:
    try:
        revocations.check(verified)
    except HubError as refused:
        return refused.code
    return None


def test_nothing_is_revoked_at_first() -> None:
    assert code_of(Revocations(), token()) is None


def test_an_ended_session_is_over_and_no_other() -> None:
    revocations = Revocations()
    revocations.end("session", "s1", "logged_out", until=1900)
    assert code_of(revocations, token()) == "logged_out"
    assert code_of(revocations, token(session="s2")) is None


def test_a_token_that_ended_is_over_and_no_other_of_its_session() -> None:
    revocations = Revocations()
    revocations.end("token", "j1", "token_revoked", until=1900)
    revocations.end("token", "s1", "token_revoked", until=1900)
    assert code_of(revocations, token()) == "token_revoked"
    assert code_of(revocations, token(token_id="j2")) is None, "nor a session that has the name of a token"
    revocations.forget(1900)
    assert code_of(revocations, token()) is None


def test_what_a_retired_key_signed_is_over() -> None:
    revocations = Revocations()
    revocations.retired_keys = frozenset({"k1"})
    assert code_of(revocations, token()) == "token_revoked"
    assert code_of(revocations, token(key_id="k2")) is None


def test_a_session_that_is_ended_twice_keeps_its_reason_and_the_later_end() -> None:
    revocations = Revocations()
    revocations.end("session", "s1", "token_revoked", until=1500)
    revocations.end("session", "s1", "logged_out", until=1900)
    revocations.end("session", "s1", "logged_out", until=1200)
    revocations.forget(1899)
    assert code_of(revocations, token()) == "token_revoked"
    revocations.forget(1900)
    assert code_of(revocations, token()) is None


@pytest.mark.parametrize(
    ("state", "version", "issued_at", "code"),
    [
        (AccountState(3, False, 1500), 3, 1000, None),
        (AccountState(3, False, 1500), 4, 1000, None),
        (AccountState(4, False, 1500), 3, 1600, "token_revoked"),
        (AccountState(3, True, 1500), 3, 1600, "user_disabled"),
        (AccountState(4, True, 1500), 3, 1000, "user_disabled"),
        (AccountState(4, False, 1500.5), None, 1500, "token_revoked"),
        (AccountState(4, False, 1500.5), None, 1501, None),
        (AccountState(0, True, 0), None, 1501, "user_disabled"),
    ],
)
def test_accounts(state: AccountState, version: int | None, issued_at: float, code: str | None) -> None:
    revocations = Revocations()
    revocations.set_account("alice", state)
    assert code_of(revocations, token(version=version, issued_at=issued_at)) == code
    assert code_of(revocations, token(subject="bob", version=version, issued_at=issued_at)) is None


def test_somebody_of_another_issuer_is_logged_out_by_time() -> None:
    revocations = Revocations()
    revocations.end_outsider("id|alice", since=1000.5, until=5000)
    assert code_of(revocations, token(subject="id|alice", version=None, issued_at=1000)) == "token_revoked"
    assert code_of(revocations, token(subject="id|alice", version=None, issued_at=1001)) is None
    assert code_of(revocations, token(subject="id|bob", version=None, issued_at=900)) is None
    assert code_of(revocations, token(subject="id|alice", version=0, issued_at=900)) is None, "the hub's own token"
    revocations.forget(4999)
    assert code_of(revocations, token(subject="id|alice", version=None, issued_at=1000)) == "token_revoked"
    revocations.forget(5000)
    assert code_of(revocations, token(subject="id|alice", version=None, issued_at=1000)) is None
