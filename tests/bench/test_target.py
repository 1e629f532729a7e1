"""Where the hub is."""

from __future__ import annotations

import pytest

from hub.bench.target import BenchError, Target


@pytest.mark.parametrize(
    ("url", "port", "secure", "path", "authority"),
    [
        ("http://127.0.0.1:8000", 8000, False, "", "127.0.0.1:8000"),
        ("http://127.0.0.1", 80, False, "", "127.0.0.1"),
        ("https://127.0.0.1/hub/", 443, True, "/hub", "127.0.0.1"),
        ("wss://127.0.0.1:8443", 8443, True, "", "127.0.0.1:8443"),
        ("http://[::1]:8000", 8000, False, "", "[::1]:8000"),
    ],
)
def test_addresses(url: str, port: int, secure: bool, path: str, authority: str) -> None:
    target = Target.resolve(url, "a.b.c")
    assert (target.port, target.secure, target.path, target.authority) == (port, secure, path, authority)
    assert target.is_loopback
    assert (target.tls() is not None) == secure
    assert target.server_hostname == (target.host if secure else None)
    assert "a.b.c" not in repr(target)


def test_a_name_is_looked_up_once_and_the_older_protocol_first() -> None:
    assert Target.resolve("http://localhost:8000").address == "127.0.0.1"


def test_elsewhere() -> None:
    assert not Target.resolve("http://192.0.2.1:8000").is_loopback


@pytest.mark.parametrize("url", ["http://no.such.host.invalid:8000", "http://127.0.0.1:99999"])
def test_no_address(url: str) -> None:
    with pytest.raises(BenchError, match="cannot be looked up"):
        Target.resolve(url)
