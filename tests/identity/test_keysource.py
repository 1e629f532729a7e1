"""When the keys of an issuer are fetched: a clock that the test moves, and a fetcher that it answers for."""

from __future__ import annotations

import asyncio
import itertools
import json
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from hub.errors import HubError, NotYet
from hub.identity import jwks, keysource
from hub.identity.fetching import Fetched, FetchError
from hub.identity.keysource import BURST, PAUSE, FetchedKeys, FixedKeys
from hub.issuer_settings import ASYMMETRIC, IssuerSettings
from hub.settings import SettingsError

from .test_jwks import ED, P256, jwk

pytestmark = pytest.mark.anyio


def issuer(**settings: Any) -> IssuerSettings:
    return IssuerSettings(**{"name": "id", "issuer": "https://id.example", "audience": "hub"} | settings)


def key_set(*kids: str) -> jwks.KeySet:
    return jwks.read_set(json.dumps({"keys": [jwk(ED, kid=kid) for kid in kids]}).encode(), ASYMMETRIC)


class Fetcher:
    """Answers with ``kids``, or fails with ``error``; not before ``gate`` is open."""

    def __init__(self) -> None:
        self.kids: tuple[str, ...] = ("a",)
        self.error: Exception | None = None
        self.calls = 0
        self.max_age = 3600.0
        self.gate = asyncio.Event()
        self.gate.set()

    async def fetch(self, issuer: IssuerSettings) -> Fetched:
        self.calls += 1
        await self.gate.wait()
        if self.error is not None:
            raise self.error
        return Fetched(key_set(*self.kids), self.max_age)


class Source(FetchedKeys):
    """Keys that a test asks for, without the task that keeps them fresh."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.fetcher = Fetcher()
        self.changes = 0
        super().__init__(issuer(), self.fetcher, changed=self._count, clock=lambda: self.now)

    def _count(self) -> None:
        self.changes += 1

    async def ask(self, kid: str | None = "a") -> str:
        """What a token with that kid meets in the end: ``found``, or a code."""
        try:
            self.find(kid, "EdDSA")
        except NotYet as wait:
            await wait.ready()
        except HubError as refused:
            return refused.code
        try:
            self.find(kid, "EdDSA")
        except HubError as refused:
            return refused.code
        return "found"


@pytest.fixture
async def source() -> Source:
    return Source()


async def test_the_first_token_waits_and_the_next_ones_do_not(source: Source) -> None:
    with pytest.raises(NotYet) as wait:
        source.find("a", "EdDSA")
    assert (wait.value.code, wait.value.extra) == ("issuer_unavailable", {"retry_after": 1})
    assert await source.ask() == "found"
    assert await source.ask(None) == "found"
    assert source.fetcher.calls == 1


async def test_all_wait_for_one_fetch_and_one_who_leaves_does_not_end_it(source: Source) -> None:
    source.fetcher.gate.clear()
    asking = [asyncio.create_task(source.ask()) for _ in range(10)]
    await asyncio.sleep(0)
    asking[0].cancel()
    await asyncio.sleep(0)
    source.fetcher.gate.set()
    assert await asyncio.gather(*asking[1:]) == ["found"] * 9
    assert source.fetcher.calls == 1


async def test_a_new_key_is_found_at_once(source: Source) -> None:
    await source.ask()
    source.fetcher.kids = ("a", "b")
    assert await source.ask("b") == "found"
    assert source.changes == 1
    assert await source.ask("a") == "found"


async def test_a_key_that_is_none_of_the_issuers_is_refused_for_good(source: Source) -> None:
    await source.ask()
    assert await source.ask("x") == "token_signature"
    calls = source.fetcher.calls
    for _ in range(50):
        assert await source.ask("x") == "token_signature"
    assert source.fetcher.calls == calls, "what was just said is not asked again"
    source.now += PAUSE + 1
    source.fetcher.kids = ("a", "x")
    assert await source.ask("x") == "found", "but not never again"


async def test_unknown_keys_cause_a_bounded_number_of_fetches(source: Source) -> None:
    await source.ask()
    before = source.fetcher.calls
    answers = [await source.ask(f"x{n}") for n in range(500)]
    assert source.fetcher.calls == before + BURST - 1, "the first token's own fetch was one of them"
    assert set(answers) == {"token_signature", "issuer_unavailable"}
    with pytest.raises(NotYet) as wait:
        source.find("new", "EdDSA")
    assert 0 < wait.value.extra["retry_after"] <= PAUSE
    source.now += PAUSE
    for n in range(500):
        await source.ask(f"y{n}")
    assert source.fetcher.calls == before + BURST
    source.now += 100 * PAUSE
    for n in range(500):
        await source.ask(f"z{n}")
    assert source.fetcher.calls == before + 2 * BURST, "a long silence earns no more than one burst"
    assert await source.ask("a") == "found"


async def test_what_is_remembered_of_unknown_keys_is_bounded(source: Source, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keysource, "_MAX_ABSENT", 10)
    source.fetcher.gate.clear()
    asking = [asyncio.create_task(source.ask(f"x{n}")) for n in range(100)]
    await asyncio.sleep(0)
    assert len(source._wanted) <= 10
    source.fetcher.gate.set()
    await asyncio.gather(*asking)
    assert len(source._absent) <= 10
    assert not source._wanted


@pytest.mark.parametrize("error", [FetchError("no route"), RuntimeError("a bug")])
async def test_while_the_issuer_is_down_known_keys_are_used(
    source: Source, error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    await source.ask()
    source.fetcher.error = error
    assert await source.ask("b") == "issuer_unavailable", "it may be a new key; nobody can say"
    assert await source.ask("a") == "found"
    assert "the known ones stay in use" in caplog.text
    source.fetcher.error = None
    source.fetcher.kids = ("a", "b")
    source.now += 60
    assert await source.ask("b") == "found"
    assert "are to be had again" in caplog.text


async def test_failures_are_waited_after_longer_and_longer(source: Source, caplog: pytest.LogCaptureFixture) -> None:
    source.fetcher.error = FetchError("no route")
    times: list[float] = []
    while source.now < 1000 + 1200:
        calls = source.fetcher.calls
        assert await source.ask() == "issuer_unavailable"
        if source.fetcher.calls > calls:
            times.append(source.now)
        source.now += 0.25
    gaps = [later - earlier for earlier, later in itertools.pairwise(times)]
    assert gaps[0] <= 1.25
    assert all(25 <= gap <= 61 for gap in gaps[-5:])
    assert len(times) < 50
    assert caplog.text.count("cannot be had (no route); nobody of it can come in") == 1, "said once, not each time"


async def test_keys_are_fetched_again_before_they_are_stale() -> None:
    source = Source()
    source._clock = asyncio.get_running_loop().time
    source.fetcher.max_age = 0.2
    source._due = source._clock()
    await source.start()
    while source.fetcher.calls < 3:
        await asyncio.sleep(0.01)
    source.fetcher.error = FetchError("no route")
    source.fetcher.kids = ("b",)
    while not source._failures:
        await asyncio.sleep(0.01)
    source.fetcher.error = None
    while source._failures:
        await asyncio.sleep(0.01)
    assert await source.ask("b") == "found"
    await source.stop()
    await source.stop()
    calls = source.fetcher.calls
    await asyncio.sleep(0.3)
    assert source.fetcher.calls == calls


async def test_stopping_lets_go_of_who_waits() -> None:
    source = Source()
    source.fetcher.gate.clear()
    await source.start()
    asking = asyncio.create_task(source.ask())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    await source.stop()
    assert await asking == "issuer_unavailable"


# --- Keys that are not fetched


async def test_a_file_of_keys(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    path.write_text(json.dumps({"keys": [jwk(ED, kid="a"), jwk(P256, kid="b")]}))
    fixed = FixedKeys(issuer(keys_file=path))
    await fixed.start()
    assert fixed.find("a", "EdDSA") == ED.public_key()
    for kid in ("c", "b"):
        with pytest.raises(HubError) as refused:
            fixed.find(kid, "EdDSA")
        assert refused.value.code == "token_signature"
    await fixed.stop()


async def test_a_file_with_one_key_in_pem(tmp_path: Path) -> None:
    path = tmp_path / "key.pem"
    path.write_bytes(ED.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    fixed = FixedKeys(issuer(keys_file=path))
    await fixed.start()
    for kid in (None, "whatever"):
        assert fixed.find(kid, "EdDSA") == ED.public_key()


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (None, "cannot be read: No such file"),
        (b"", "neither a JWK Set nor a public key"),
        (b'{"keys":[]}', "has no key for"),
    ],
)
async def test_a_bad_file_stops_the_start(tmp_path: Path, content: bytes | None, sentence: str) -> None:
    path = tmp_path / "keys"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SettingsError, match=sentence):
        await FixedKeys(issuer(keys_file=path)).start()


async def test_a_secret_has_no_name() -> None:
    fixed = FixedKeys(issuer(secret="s" * 32))
    await fixed.start()
    assert fixed.find("any", "HS256") == fixed.find(None, "HS256") == b"s" * 32
