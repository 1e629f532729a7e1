"""The table of errors is consistent, and the protocol page tells the same."""

from __future__ import annotations

import re
from pathlib import Path

from hub.errors import TABLE, HubError, Retry

PAGE = Path(__file__).parent.parent / "docs" / "protocol.md"


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


def test_the_protocol_page_has_this_table() -> None:
    """`python -m tests.test_errors` puts it there."""
    assert table() in PAGE.read_text(), "renew it: python -m tests.test_errors"


def table() -> str:
    """As Markdown."""
    lines = ["| code | status | close | again | meaning |", "|---|---|---|---|---|"]
    lines += [f"| `{k.code}` | {k.status} | {k.close} | {k.retry.value} | {k.title} |" for k in TABLE.values()]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    new = f"<!-- codes -->\n{table()}<!-- /codes -->"
    PAGE.write_text(re.sub("<!-- codes -->.*<!-- /codes -->", lambda _: new, PAGE.read_text(), flags=re.DOTALL))
