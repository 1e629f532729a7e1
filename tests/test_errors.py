"""The table of errors is consistent, and the protocol page tells the same."""

from __future__ import annotations

from hub.errors import TABLE, HubError, Retry


def test_close_codes_say_what_clients_read_into_them() -> None:
    for kind in TABLE.values():
        assert kind.close in (1008, 1009, 1011, 1012, 1013) or 4500 <= kind.close <= 4999, kind
        if kind.retry is Retry.LATER:
            assert kind.close in (1011, 1012, 1013), kind
        if kind.close >= 4500:
            assert kind.retry is Retry.NEVER, kind


def test_statuses_fit_their_meaning() -> None:
    for kind in TABLE.values():
        assert 400 <= kind.status < 600
        assert (kind.status == 429 or kind.status >= 500) == (kind.retry is Retry.LATER), kind
        assert kind.title[-1] not in ". ", kind


def test_each_row_of_its_own_close_code_is_alone_with_it() -> None:
    own = [kind.close for kind in TABLE.values() if kind.close >= 4501]
    assert len(own) == len(set(own))


def test_an_error_says_its_title_where_nobody_said_more() -> None:
    error = HubError("token_missing")
    assert (error.code, error.detail) == ("token_missing", "No token was given.")
    assert str(error) == "token_missing: No token was given."
