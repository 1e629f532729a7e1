"""Names and cursors: what is one, what is not, and that a cursor survives its trip through a client."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.errors import HubError
from hub.model import Cursor, client_id, is_subject, timestamp, topic, user_topic


@pytest.mark.parametrize("name", ["a", "all", "orders:7", "user:auth0|12", "a.b@c.de", "x" * 200, "A-Z_~+/=:1"])
def test_topic_names(name: str) -> None:
    assert topic(name) == name


@pytest.mark.parametrize(
    "name",
    [
        "",
        ":",
        "a:",
        ":a",
        "a::b",
        "a b",
        "a\n",
        "a\x00",
        "ä",
        "\u0430",
        "a,b",
        "a*",
        "*",
        "x" * 201,
        "a\u200b",
        "a?b#c",
    ],
)
def test_what_is_no_topic_name(name: str) -> None:
    with pytest.raises(HubError, match="topic_invalid"):
        topic(name)


def test_a_user_id_is_one_segment() -> None:
    assert user_topic("alice@example.com") == "user:alice@example.com"
    for name in ("", "a:b", "*", "a b", "x" * 129):
        assert not is_subject(name)
        with pytest.raises(HubError, match="topic_invalid"):
            user_topic(name)


@given(st.text("abcdef0123456789", min_size=1, max_size=32), st.integers(0, 10**18 - 1))
def test_a_cursor_reads_what_it_wrote(epoch: str, seq: int) -> None:
    assert Cursor.parse(str(Cursor(epoch, seq))) == Cursor(epoch, seq)


@given(st.text())
def test_any_text_is_a_cursor_or_is_refused(text: str) -> None:
    try:
        cursor = Cursor.parse(text)
    except HubError as refusal:
        assert refusal.code == "cursor_invalid"
    else:
        assert str(cursor) == text, "there is one way to write a cursor"


@pytest.mark.parametrize(
    "text", ["", "a", "a:", ":1", "a:-1", "a:01", "a:1:2", "a:²", "ä:1", "a:1 ", "a b:1", "a:" + "9" * 19]
)
def test_what_is_no_cursor(text: str) -> None:
    with pytest.raises(HubError, match="cursor_invalid"):
        Cursor.parse(text)


def test_client_ids() -> None:
    assert client_id("tab-00000001") == "tab-00000001"
    for value in ("", "short", "x" * 65, "tab 00000001", "tab:00000001"):
        with pytest.raises(HubError, match="client_invalid"):
            client_id(value)


def test_times_are_rfc_3339() -> None:
    assert timestamp(0) == "1970-01-01T00:00:00.000Z"
    assert timestamp(1_700_000_000.1234) == "2023-11-14T22:13:20.123Z"
