"""Tokens: fetched once at a time, renewed in time, from each kind of source."""

from __future__ import annotations

import asyncio
import base64
import itertools
from collections.abc import AsyncIterator
from typing import Any

import pytest
from hub_client import Rejected, Unavailable
from hub_client._address import Address
from hub_client._auth import (
    ClientCredentials,
    Fetched,
    Fixed,
    FromCallable,
    Login,
    Source,
    Tokens,
    choose_source,
)
from hub_client._http import Http

from .fake_hub import Call, FakeHub, jwt, problem

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("leakless")]


class Counting:
    """Gives t1, t2, … with a lifetime of 100 s; fails or waits where told."""

    def __init__(self) -> None:
        self.count = 0
        self.failure: Exception | None = None
        self.gate = asyncio.Event()
        self.gate.set()
        self.lifetime: float | None = 100.0

    async def fetch(self) -> Fetched:
        self.count += 1
        await self.gate.wait()
        if self.failure is not None:
            raise self.failure
        return Fetched(f"t{self.count}", self.lifetime)


class Time:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def source() -> Counting:
    return Counting()


@pytest.fixture
async def tokens(time: Time, source: Counting) -> AsyncIterator[Tokens]:
    tokens = Tokens(source, clock=time, draw=lambda least, most: (least + most) / 2)
    yield tokens
    await tokens.close()


async def test_a_token_is_kept_until_it_is_to_be_renewed(tokens: Tokens, time: Time) -> None:
    token = await tokens.get()
    assert (token.value, token.renew_at, token.expires_at) == ("t1", 1080, 1100)
    time.now = 1079.9
    assert (await tokens.get()).value == "t1"
    time.now = 1080
    assert (await tokens.get()).value == "t2"


async def test_when_to_renew_is_drawn_for_each_token(source: Counting, time: Time) -> None:
    drawn: list[tuple[float, float]] = []

    def draw(least: float, most: float) -> float:
        drawn.append((least, most))
        return most

    token = await Tokens(source, clock=time, draw=draw).get()
    assert drawn == [(0.7, 0.9)]
    assert token.renew_at == pytest.approx(1090)


async def test_a_stale_token_is_not_given_again(tokens: Tokens) -> None:
    assert (await tokens.get()).value == "t1"
    assert (await tokens.get(stale="t1")).value == "t2"
    # Somebody else got the fresh one already.
    assert (await tokens.get(stale="t1")).value == "t2"


async def test_many_ask_and_one_fetches(tokens: Tokens, source: Counting) -> None:
    source.gate.clear()
    asking = [asyncio.create_task(tokens.get()) for _ in range(20)]
    await asyncio.sleep(0)
    source.gate.set()
    assert {token.value for token in await asyncio.gather(*asking)} == {"t1"}


async def test_one_who_goes_away_does_not_take_the_token_along(tokens: Tokens, source: Counting) -> None:
    source.gate.clear()
    first, second = asyncio.create_task(tokens.get()), asyncio.create_task(tokens.get())
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.sleep(0)
    source.gate.set()
    assert (await second).value == "t1"
    assert source.count == 1


async def test_a_failure_that_nobody_waits_for_is_no_complaint(tokens: Tokens, source: Counting) -> None:
    source.gate.clear()
    source.failure = Unavailable("down")
    asking = asyncio.create_task(tokens.get())
    await asyncio.sleep(0)
    asking.cancel()
    source.gate.set()
    with pytest.raises(asyncio.CancelledError):
        await asking


async def test_until_it_ends_a_token_will_do(tokens: Tokens, source: Counting, time: Time) -> None:
    await tokens.get()
    source.failure = Unavailable("down")
    time.now = 1090
    assert (await tokens.get()).value == "t1"
    with pytest.raises(Unavailable):
        await tokens.get(stale="t1")
    time.now = 1100
    with pytest.raises(Unavailable):
        await tokens.get()


async def test_a_token_of_unknown_life_is_kept_until_it_is_stale(tokens: Tokens, source: Counting, time: Time) -> None:
    source.lifetime = None
    await tokens.get()
    time.now += 1e6
    assert (await tokens.get()).value == "t1"


@pytest.mark.parametrize("value", ["", "a b", "line\nbreak", "ü", "tab\t"])
async def test_what_is_no_token_goes_into_no_header(value: str) -> None:
    with pytest.raises(Rejected) as caught:
        await Tokens(Fixed(value)).get()
    assert caught.value.code == "token_malformed"
    assert not value or value not in str(caught.value)


async def test_a_string() -> None:
    tokens = Tokens(Fixed("abc"))
    assert (await tokens.get()).value == "abc"
    with pytest.raises(Rejected, match="callable or credentials") as caught:
        await tokens.get(stale="abc")
    assert caught.value.code == "token_unavailable"


async def test_callables_plain_and_async() -> None:
    count = itertools.count(1)

    async def later() -> str:
        return jwt(f"a{next(count)}", lifetime=1000)

    for function in (lambda: jwt(f"p{next(count)}", lifetime=1000), later, lambda: later()):
        tokens = Tokens(FromCallable(function))
        first = await tokens.get()
        assert await tokens.get() is first
        assert first.renew_at is not None
        assert (await tokens.get(stale=first.value)).value != first.value


async def test_a_callable_that_fails_may_work_later(caplog: pytest.LogCaptureFixture) -> None:
    def fail() -> str:
        raise OSError("no route")

    with pytest.raises(Unavailable, match="OSError"):
        await FromCallable(fail).fetch()
    assert "no route" in caplog.text

    def give_up() -> str:
        raise Rejected("logged_out", "Bye.")

    with pytest.raises(Rejected, match="Bye"):
        await FromCallable(give_up).fetch()
    with pytest.raises(Rejected, match="int"):
        await FromCallable(lambda: 7).fetch()  # type: ignore[arg-type, return-value]


@pytest.mark.parametrize(
    "token",
    ["opaque", "a.b.c", "a.e30.c", "a.AAA.c", jwt(lifetime=-5)],
    ids=["no JWT", "no base64", "no exp", "no JSON", "over"],
)
async def test_a_token_that_tells_no_life_is_used_until_the_hub_refuses_it(token: str) -> None:
    assert (await Tokens(FromCallable(lambda: token)).get()).renew_at is None


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"username": "a"},
        {"password": "b"},
        {"service_id": "a"},
        {"username": "a", "password": "b", "token": "c"},
        {"service_id": "a", "service_secret": "b", "username": "c", "password": "d"},
    ],
)
async def test_one_kind_of_credentials(hub: FakeHub, given: dict[str, str]) -> None:
    http = Http(Address.parse(hub.url))
    with pytest.raises(TypeError):
        choose_source(http, **given)
    await http.close()


async def login(hub: FakeHub) -> tuple[Source, Http]:
    http = Http(Address.parse(hub.url))
    return Login(http, "alice", "secret"), http


async def test_log_in_then_refresh_with_rotation(hub: FakeHub) -> None:
    source, http = await login(hub)
    for _ in range(3):
        assert (await source.fetch()).lifetime == hub.lifetime
    await http.close()
    assert hub.paths() == ["/v1/auth/login", "/v1/auth/refresh", "/v1/auth/refresh"]
    assert [call.json for call in hub.calls] == [
        {"username": "alice", "password": "secret"},
        {"refresh_token": "refresh-1"},
        {"refresh_token": "refresh-2"},
    ]


async def test_a_session_that_is_over_is_logged_in_anew(hub: FakeHub) -> None:
    async def http_answers(call: Call) -> Any:
        return problem(401, "refresh_invalid") if call.path == "/v1/auth/refresh" else None

    hub.on_http = http_answers
    source, http = await login(hub)
    await source.fetch()
    assert (await source.fetch()).value
    await http.close()
    assert hub.paths() == ["/v1/auth/login", "/v1/auth/refresh", "/v1/auth/login"]


@pytest.mark.parametrize(
    ("status", "seconds", "next_path"),
    [
        (502, 7.9, "/v1/auth/refresh"),
        (502, 8, "/v1/auth/login"),
        (503, 1000, "/v1/auth/refresh"),
    ],
)
async def test_a_refresh_token_that_may_be_spent_is_used_again_at_once_or_never(
    hub: FakeHub, time: Time, status: int, seconds: float, next_path: str
) -> None:
    """Using a spent one later ends the session, and with it the sockets that the session has open."""

    async def http_answers(call: Call) -> Any:
        if call.path == "/v1/auth/refresh" and hub.paths().count(call.path) == 1:
            return problem(status, "internal" if status == 502 else "overloaded")
        return None

    hub.on_http = http_answers
    http = Http(Address.parse(hub.url))
    source = Login(http, "alice", "secret", clock=time)
    await source.fetch()
    with pytest.raises(Unavailable):
        await source.fetch()
    time.now += seconds
    await source.fetch()
    assert hub.paths()[-1] == next_path
    # The new one is not doubted.
    time.now += 1000
    await source.fetch()
    assert hub.paths()[-1] == "/v1/auth/refresh"
    await http.close()


async def test_a_refresh_token_survives_a_hub_that_is_down(leakless: None) -> None:
    hub = FakeHub()
    async with hub.run() as running:
        source, http = await login(running)
        await source.fetch()
        port = running.port
    with pytest.raises(Unavailable, match="cannot be reached"):
        await source.fetch()
    again = FakeHub()
    async with again.run(port):
        await source.fetch()
    await http.close()
    assert again.paths() == ["/v1/auth/refresh"]


async def test_client_credentials_are_encoded_as_oauth_wants(hub: FakeHub) -> None:
    http = Http(Address.parse(hub.url))
    await ClientCredentials(http, "shop", "a:b+c/é %").fetch()
    await http.close()
    [call] = hub.calls
    scheme, _, encoded = call.headers["authorization"].partition(" ")
    assert (scheme, base64.b64decode(encoded)) == ("Basic", b"shop:a%3Ab%2Bc%2F%C3%A9+%25")
    assert call.headers["content-type"] == "application/x-www-form-urlencoded"
    assert call.body == b"grant_type=client_credentials"


@pytest.mark.parametrize("answer", [(200, {"hello": 1}), (200, "<html>"), (404, "<html>"), (200, [])])
async def test_what_is_no_hub_may_be_one_later(hub: FakeHub, answer: Any) -> None:
    async def http_answers(call: Call) -> Any:
        return answer

    hub.on_http = http_answers
    source, http = await login(hub)
    with pytest.raises(Unavailable):
        await source.fetch()
    await http.close()
