"""How the values of settings are written."""

from __future__ import annotations

import pytest

from hub import notation


@pytest.mark.parametrize(
    ("text", "value"), [("45s", 45), ("15m", 900), ("12h", 43200), ("30d", 2592000), ("1.5 H", 5400), ("0.5", 0.5)]
)
def test_times(text: str, value: float) -> None:
    assert notation.seconds(text) == value


@pytest.mark.parametrize(
    ("text", "value"),
    [("512MiB", 512 << 20), ("1 gib", 1 << 30), ("64KiB", 65536), ("2TiB", 2 << 40), ("3kB", 3000), ("1.5GB", 1.5e9)],
)
def test_sizes(text: str, value: int) -> None:
    assert notation.size(text) == value
    assert isinstance(notation.size(text), int)


def test_what_is_no_text_is_left_alone() -> None:
    assert notation.seconds(1.5) == 1.5
    assert notation.size(None) is None


@pytest.mark.parametrize("text", ["", "m", "15 minutes", "1h30m", "-5m", "15KiB", "inf", "nan", "9" * 400 + "d"])
def test_what_is_no_time(text: str) -> None:
    with pytest.raises(ValueError, match="is not a time: write seconds"):
        notation.seconds(text)


@pytest.mark.parametrize("text", ["", "512M", "15m", "-1KiB", "inf", "nan", "1e999"])
def test_what_is_no_size(text: str) -> None:
    with pytest.raises(ValueError, match="is not a size: write bytes"):
        notation.size(text)


@pytest.mark.parametrize(
    ("text", "origin"),
    [
        ("*", "*"),
        ("https://app.example.com", "https://app.example.com"),
        ("https://app.example.com/", "https://app.example.com"),
        ("HTTPS://App.Example.COM", "https://app.example.com"),
        ("https://app.example.com:443", "https://app.example.com"),
        ("http://app.example.com:80/", "http://app.example.com"),
        ("https://app.example.com:80", "https://app.example.com:80"),
        ("http://[0:0::1]:5173", "http://[::1]:5173"),
        ("chrome-extension://abcdef", "chrome-extension://abcdef"),
    ],
)
def test_origins(text: str, origin: str) -> None:
    assert notation.origin(text) == origin


@pytest.mark.parametrize(
    ("text", "advice"),
    [
        ("localhost:5173", "write http://localhost:5173"),
        ("127.0.0.1:5173/", "write http://127.0.0.1:5173"),
        ("app.example.com", "write https://app.example.com"),
        ("https://app.example.com/page", "write https://app.example.com"),
        ("https://app.example.com//", "write https://app.example.com"),
        ("https://me@app.example.com", "write https://app.example.com"),
        ("https://app.example.com?", "write https://app.example.com"),
        ("wss://app.example.com", "write https://app.example.com"),
        ("null", "an origin looks like"),
        ("https://*.example.com", "an origin looks like"),
        ("https://b\u00fccher.example", "an origin looks like"),
        ("https://", "an origin looks like"),
        ("https://a.example:99999", "an origin looks like"),
        ("http://[::1", "an origin looks like"),
        ("https://a.example b.example", "an origin looks like"),
        ("file:///index.html", "an origin looks like"),
    ],
)
def test_what_never_matches_an_origin(text: str, advice: str) -> None:
    with pytest.raises(ValueError, match="is not an origin; ") as refused:
        notation.origin(text)
    said = str(refused.value)
    assert advice in said
    if advice.startswith("write"):
        assert said.endswith(advice)
        meant = advice.removeprefix("write ")
        assert notation.origin(meant) == meant


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("10.0.0.5", "http://10.0.0.5:80"),
        ("", "http://127.0.0.1:80"),
        ("0.0.0.0", "http://127.0.0.1:80"),
        ("::", "http://[::1]:80"),
        ("fe80::1", "http://[fe80::1]:80"),
    ],
)
def test_urls(host: str, url: str) -> None:
    assert notation.url_of(host, 80) == url
