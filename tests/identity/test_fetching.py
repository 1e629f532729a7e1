"""Fetching keys: bounded in time, size and place, whatever the other end does; over real sockets."""

from __future__ import annotations

import asyncio
import gzip
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from hub.identity import fetching
from hub.identity.fetching import Fetched, Fetcher, FetchError
from hub.issuer_settings import IssuerSettings

from .test_jwks import ED, P256, jwk

pytestmark = pytest.mark.anyio

KEYS = json.dumps({"keys": [jwk(ED, kid="a")]}).encode()


def answer(body: bytes, status: str = "200 OK", **headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", "Connection: close"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + body


class Site:
    """What is at the other end: answers by path, and what it was asked."""

    def __init__(self) -> None:
        self.url = ""
        self.answers: dict[str, bytes | Callable[[asyncio.StreamWriter], Any]] = {}
        self.heads: list[str] = []

    @property
    def paths(self) -> list[str]:
        return [head.split(" ")[1] for head in self.heads]

    def discovers(self, **said: Any) -> None:
        document = {"issuer": self.url, "jwks_uri": f"{self.url}/keys"} | said
        self.answers["/.well-known/openid-configuration"] = answer(json.dumps(document).encode())

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            self.heads.append(head)
            said = self.answers.get(head.split(" ")[1], answer(b"", "404 Not Found"))
            if callable(said):
                await said(writer)
            else:
                writer.write(said)
                await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def serving() -> AsyncIterator[Site]:
    site = Site()
    server = await asyncio.start_server(site.serve, "127.0.0.1", 0)
    site.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield site
    finally:
        server.close()


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    async with serving() as site:
        site.discovers()
        site.answers["/keys"] = answer(KEYS)
        yield site


def trusting(site: Site, **settings: Any) -> IssuerSettings:
    return IssuerSettings(**{"name": "id", "issuer": site.url, "audience": "hub"} | settings)


async def fetch(issuer: IssuerSettings) -> Fetched:
    return await Fetcher().fetch(issuer)


async def refused(issuer: IssuerSettings) -> str:
    with pytest.raises(FetchError) as error:
        await fetch(issuer)
    return str(error.value)


async def test_by_discovery(site: Site) -> None:
    fetched = await fetch(trusting(site))
    assert fetched.keys.ids() == ("a",)
    assert site.paths == ["/.well-known/openid-configuration", "/keys"]
    assert not [head for head in site.heads if "cookie:" in head.lower() or "authorization:" in head.lower()]


async def test_by_address(site: Site) -> None:
    fetched = await fetch(trusting(site, issuer="my own app", jwks_url=f"{site.url}/keys"))
    assert fetched.keys.ids() == ("a",)
    assert site.paths == ["/keys"]


async def test_an_issuer_with_a_path_and_a_slash_at_its_end(site: Site) -> None:
    site.answers["/realms/x/.well-known/openid-configuration"] = answer(
        json.dumps({"issuer": f"{site.url}/realms/x/", "jwks_uri": f"{site.url}/keys"}).encode()
    )
    assert (await fetch(trusting(site, issuer=f"{site.url}/realms/x/"))).keys.ids() == ("a",)


async def test_discovery_of_another_issuer_is_refused(site: Site) -> None:
    for said in (f"{site.url}/", "https://evil.example", None, 7):
        site.discovers(issuer=said)
        assert "is of the issuer" in await refused(trusting(site))
    assert "/keys" not in site.paths


async def test_discovery_leads_nowhere_else(site: Site) -> None:
    async with serving() as elsewhere:
        elsewhere.answers["/keys"] = answer(KEYS)
        for url in (f"{elsewhere.url}/keys", "file:///etc/passwd", "//evil.example/keys", "/keys", "", None, ["x"]):
            site.discovers(jwks_uri=url)
            assert "if that is right, set jwks_url to it" in await refused(trusting(site))
        assert elsewhere.heads == []


@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "307 Temporary", "308 Permanent"])
async def test_no_redirect_is_followed(site: Site, status: str) -> None:
    async with serving() as elsewhere:
        elsewhere.answers["/keys"] = answer(KEYS)
        site.answers["/keys"] = answer(b"", status, Location=f"{elsewhere.url}/keys")
        assert "redirects to" in await refused(trusting(site))
        assert elsewhere.heads == []


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (answer(KEYS, "500 Broken"), "answered 500"),
        (answer(KEYS, "204 No Content"), "answered 204"),
        (answer(b"<html>"), "it is not JSON"),
        (answer(b'{"keys":[]}'), "it has no key for"),
        (answer(KEYS + b" " * fetching.MAX_BYTES), "answered more than"),
        (answer(gzip.compress(KEYS), Content_Encoding="gzip"), "answered compressed"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{", "RemoteProtocolError"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "RemoteProtocolError"),
        (b"", "RemoteProtocolError"),
    ],
)
async def test_what_is_no_answer_is_an_error(site: Site, said: bytes, reason: str) -> None:
    site.answers["/keys"] = said
    assert reason in await refused(trusting(site))


@pytest.mark.parametrize("said", [b"{", b"[]", b"null", b"[" * 50_000])
async def test_what_is_no_discovery_document_is_an_error(site: Site, said: bytes) -> None:
    site.answers["/.well-known/openid-configuration"] = answer(said)
    assert "is no JSON object" in await refused(trusting(site))


async def test_nobody_there() -> None:
    async with serving() as site:
        pass
    assert "ConnectError" in await refused(trusting(site))


@pytest.mark.parametrize("beginning", [b"X-Slow:", b"Content-Length: 90000\r\n\r\n"])
async def test_a_slow_answer_ends_in_time(site: Site, beginning: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also one that keeps coming, byte for byte."""
    monkeypatch.setattr(fetching, "TIMEOUT", 0.3)

    async def drip(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n" + beginning)
        while True:
            writer.write(b" ")
            await writer.drain()
            await asyncio.sleep(0.02)

    site.answers["/keys"] = drip
    started = time.monotonic()
    assert "no answer within 0.3 s" in await refused(trusting(site))
    assert time.monotonic() - started < 2


async def test_an_endless_answer_is_not_kept(site: Site) -> None:
    sent = 0

    async def flood(writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while sent < 64 << 20:
            writer.write(b"10000\r\n" + b" " * 0x10000 + b"\r\n")
            await writer.drain()
            sent += 0x10000

    site.answers["/keys"] = flood
    assert "answered more than" in await refused(trusting(site))
    assert sent < 32 << 20


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, 3600),
        ({"Cache_Control": "public, max-age=7200"}, 7200),
        ({"Cache_Control": "max-age=7200", "Age": "1200"}, 6000),
        ({"Cache_Control": "max-age=7200", "Age": "soon"}, 7200),
        ({"Cache_Control": "max-age=0"}, 300),
        ({"Cache_Control": "max-age=7200", "Age": "9" * 400}, 300),
        ({"Cache_Control": "s-maxage=1, max-age=\"600\""}, 600),
        ({"Cache_Control": "no-cache, max-age=7200"}, 300),
        ({"Cache_Control": "No-Store"}, 300),
        ({"Cache_Control": "max-age=31536000"}, 86400),
        ({"Cache_Control": "max-age=x"}, 3600),
    ],
)  # fmt: skip
async def test_the_answer_says_how_long_it_is_good_for_within_bounds(
    site: Site, headers: dict[str, str], seconds: float
) -> None:
    site.answers["/keys"] = answer(KEYS, **headers)
    assert (await fetch(trusting(site))).max_age == seconds


async def test_only_what_the_settings_allow_is_taken(site: Site) -> None:
    site.answers["/keys"] = answer(json.dumps({"keys": [jwk(ED, kid="a"), jwk(P256, kid="b")]}).encode())
    assert (await fetch(trusting(site, algorithms="ES256"))).keys.ids() == ("b",)
