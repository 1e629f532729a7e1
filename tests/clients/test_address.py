"""Where the hub is."""

from __future__ import annotations

import pytest
from hub_client._address import Address


@pytest.mark.parametrize(
    ("url", "base"),
    [
        ("http://127.0.0.1:8000", "http://127.0.0.1:8000"),
        ("https://hub.example.com/", "https://hub.example.com"),
        ("wss://hub.example.com/notify/", "https://hub.example.com/notify"),
        ("ws://[::1]:8000", "http://[::1]:8000"),
    ],
)
def test_one_address_for_both(url: str, base: str) -> None:
    address = Address.parse(url)
    assert address.base == base
    assert address.http("/v1/me") == base + "/v1/me"
    assert address.socket({"client": "x"}) == base.replace("http", "ws", 1) + "/v1/ws?client=x"
    assert address.is_secure == base.startswith("https")


@pytest.mark.parametrize(
    "url",
    [
        "hub.example.com",
        "ftp://hub",
        "http://",
        "",
        "http://hub/?x=1",
        "http://hub/#x",
        "http://me:secret@hub",
    ],
)
def test_what_is_no_address(url: str) -> None:
    with pytest.raises(ValueError, match="url") as caught:
        Address.parse(url)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("url", ["http://hub:x", "http://hub:99999"])
def test_what_is_no_port(url: str) -> None:
    with pytest.raises(ValueError, match="Port"):
        Address.parse(url)


def test_topics_stand_in_a_query_as_they_are_where_that_is_legal() -> None:
    query = Address.parse("http://hub").socket({"topics": "room:1,a/b@c=d~e", "after": "e1:7"})
    assert query.endswith("?topics=room:1,a/b@c=d~e&after=e1:7")
    assert Address.parse("http://hub").http("/x", {"topics": "a+b|c d&"}).endswith("?topics=a%2Bb%7Cc%20d%26")


@pytest.mark.parametrize(
    ("host", "is_loopback"),
    [
        ("localhost", True),
        ("hub.localhost", True),
        ("127.0.0.1", True),
        ("127.8.8.8", True),
        ("[::1]", True),
        ("10.0.0.1", False),
        ("localhost.example.com", False),
        ("hub.example.com", False),
    ],
)
def test_loopback(host: str, is_loopback: bool) -> None:
    assert Address.parse(f"http://{host}:8000").is_loopback is is_loopback
