"""The door of ``/v1/ws``: who is let in, and what those see who are not, through a real client on a real socket."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from tests.hub_process import HubProcess

from .tokens import Key, claims, confused, sign, tampered, unsigned

pytestmark = pytest.mark.anyio

Dial = Callable[..., Any]


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubProcess]:
    """One hub for the module. In the end, whatever was tried at its door: no token and no traceback in its log."""
    hub = HubProcess(
        tmp_path_factory.mktemp("door"), allowed_origins="https://app.example.com", log_level="debug", max_topics=10
    )
    issued: list[str] = []
    login = hub.login

    def remembering(username: str, password: str) -> dict[str, Any]:
        tokens = login(username, password)
        issued.extend((tokens["access_token"], tokens["refresh_token"]))
        return tokens

    hub.login = remembering  # type: ignore[method-assign]
    try:
        hub.start().add_user("alice", subscribe=["orders:*"], publish=["orders:*"])
        hub.add_user("bob")
        yield hub
        log = hub.log()
        assert len(issued) > 4
        assert not [token for token in issued if token in log or token.rsplit(".", 1)[-1] in log]
        assert "Traceback" not in log
    finally:
        hub.close()


@pytest.fixture(scope="module")
def key(hub: HubProcess) -> Key:
    return Key(hub.data_dir)


def by_query(hub: HubProcess, token: str) -> Any:
    return connect(f"{hub.ws_url}?token={token}", proxy=None)


def by_subprotocol(hub: HubProcess, token: str) -> Any:
    return connect(hub.ws_url, subprotocols=["hub.v1", f"bearer.{token}"], proxy=None)


def by_header(hub: HubProcess, token: str) -> Any:
    return connect(hub.ws_url, additional_headers={"Authorization": f"Bearer {token}"}, proxy=None)


async def told(socket: ClientConnection) -> dict[str, Any]:
    frame: dict[str, Any] = json.loads(await socket.recv())
    return frame


async def ended(socket: ClientConnection) -> tuple[int | None, str]:
    """Read until the hub ends the connection: the close code, and the code that its reason begins with."""
    with contextlib.suppress(ConnectionClosed):
        while True:
            await socket.recv()
    return socket.close_code, (socket.close_reason or "").partition(":")[0]


async def refusal(dial: Any) -> tuple[int | None, str]:
    """What a client that is refused sees: a handshake that succeeds, no frame at all, and the close code and reason."""
    async with dial as socket:
        with pytest.raises(ConnectionClosed):
            raise AssertionError(f"not refused: {await socket.recv()!r}")
        return await ended(socket)


# --- Let in


@pytest.mark.parametrize("dial", [by_query, by_subprotocol, by_header])
async def test_a_good_token_is_welcome(hub: HubProcess, alice: str, dial: Dial) -> None:
    async with dial(hub, alice) as socket:
        welcome = await told(socket)
        assert (welcome["type"], welcome["user"]) == ("welcome", "alice")
        assert welcome["topics"] == ["all", "user:alice"]
        assert welcome["expires"] > time.time()
        receipt = hub.publish(users=["alice"])
        assert (await told(socket))["cursor"] == receipt["cursor"]


async def test_hub_v1_is_echoed_and_the_token_never(hub: HubProcess, alice: str) -> None:
    async with by_subprotocol(hub, alice) as socket:
        assert socket.subprotocol == "hub.v1"
        assert alice not in str(socket.response.headers)
    async with connect(hub.ws_url, subprotocols=[f"bearer.{alice}", "hub.v1"], proxy=None) as socket:
        assert socket.subprotocol == "hub.v1"
    # A client that offers the token alone gets no echo: nothing but the token could be echoed.
    async with connect(hub.ws_url, subprotocols=[f"bearer.{alice}"], proxy=None) as socket:
        assert socket.subprotocol is None
        assert (await told(socket))["type"] == "welcome"
    assert await refusal(connect(hub.ws_url, subprotocols=["hub.v1", "bearer.x"], proxy=None)) == (
        1008,
        "token_malformed",
    )


async def test_a_service_is_let_in_and_has_no_inbox(hub: HubProcess) -> None:
    made = hub.add_service("Meter", topics=["orders:new"])
    form = {"grant_type": "client_credentials", "client_id": made["id"], "client_secret": made["secret"]}
    token = hub.http.post("/v1/auth/token", data=form).json()["access_token"]
    async with by_header(hub, token) as socket:
        welcome = await told(socket)
        assert (welcome["user"], welcome["topics"]) == ("meter", ["orders:new"])
        [key] = hub.call("GET", f"/v1/services/{made['id']}/keys")["keys"]
        hub.call("DELETE", f"/v1/services/{made['id']}/keys/{key['id']}")
        assert await ended(socket) == (1008, "token_revoked")


async def test_a_service_comes_with_its_api_key_as_with_a_token(hub: HubProcess) -> None:
    made = hub.add_service("Gauge", topics=["orders:new"])
    [key] = hub.call("GET", f"/v1/services/{made['id']}/keys")["keys"]
    for way in (by_header, by_query, by_subprotocol):
        async with way(hub, made["secret"]) as socket:
            welcome = await told(socket)
            assert (welcome["user"], welcome["topics"], welcome["expires"]) == ("gauge", ["orders:new"], None)
    async with by_header(hub, made["secret"]) as socket:
        await told(socket)
        hub.call("DELETE", f"/v1/services/{made['id']}/keys/{key['id']}")
        assert await ended(socket) == (1008, "key_unknown")


# --- Refused: the token


def bad_tokens(key: Key) -> dict[str, tuple[str, str]]:
    """Name → a token, and the reason for which it is refused."""
    good = key.sign(claims())
    secret = b"s" * 32
    return {
        "no jwt": ("nonsense", "token_malformed"),
        "three parts of nothing": ("a.b.c", "token_malformed"),
        "two parts": (good.rpartition(".")[0], "token_malformed"),
        "too long": ("x" * 5000, "token_malformed"),
        "a refresh token": (
            "hubr_AAAAAAAAAAAAAAAAAAAAAA.BBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBB",
            "token_type",
        ),
        "expired": (key.sign(claims(lives=-1)), "token_expired"),
        "not yet valid": (key.sign(claims(nbf=time.time() + 300)), "token_not_yet_valid"),
        "tampered": (tampered(good, admin=True), "token_signature"),
        "another key": (sign(ed25519.Ed25519PrivateKey.generate(), "EdDSA", claims()), "token_signature"),
        "unknown kid": (key.sign(claims(), kid="nobody's"), "token_signature"),
        "alg none": (unsigned(claims()), "token_algorithm"),
        "alg None": (unsigned(claims(), "None"), "token_algorithm"),
        "the public key as a secret": (confused(key.public_pem, claims()), "token_algorithm"),
        "the raw public key as a secret": (confused(key.public_raw, claims()), "token_algorithm"),
        "HS256": (sign(secret, "HS256", claims()), "token_algorithm"),
        "RS256": (sign(rsa.generate_private_key(65537, 2048), "RS256", claims()), "token_algorithm"),
        "ES256": (sign(ec.generate_private_key(ec.SECP256R1()), "ES256", claims()), "token_algorithm"),
        "typ JWT": (key.sign(claims(), typ="JWT"), "token_type"),
        "no typ": (key.sign(claims(), typ=None), "token_type"),
        "a refresh token as a jwt": (key.sign(claims(), typ="refresh+jwt"), "token_type"),
        "another audience": (key.sign(claims(aud="other")), "token_audience"),
        "another issuer": (key.sign(claims(iss="https://evil.example")), "token_issuer"),
        "no subject": (key.sign(claims(sub=None)), "token_claims"),
        "no end": (key.sign(claims(exp=None)), "token_claims"),
        "a bad subject": (key.sign(claims("a:b")), "token_claims"),
        "a bad grant": (key.sign(claims(grants={"subscribe": ["a*"]})), "token_claims"),
    }


@pytest.mark.parametrize("dial", [by_query, by_subprotocol, by_header])
async def test_a_bad_token_sees_1008_and_the_reason(hub: HubProcess, key: Key, dial: Dial) -> None:
    tokens = bad_tokens(key)
    seen = {name: await refusal(dial(hub, token)) for name, (token, _) in tokens.items()}
    assert seen == {name: (1008, reason) for name, (_, reason) in tokens.items()}
    # A token made in the same way that lacks nothing is let in: the others were refused for what they are named after.
    async with dial(hub, key.sign(claims())) as socket:
        assert (await told(socket))["type"] == "welcome"


async def test_no_token_or_an_empty_one(hub: HubProcess) -> None:
    for url in (hub.ws_url, f"{hub.ws_url}?token=", f"{hub.ws_url}?token"):
        assert await refusal(connect(url, proxy=None)) == (1008, "token_missing")
    only = connect(hub.ws_url, subprotocols=["hub.v1"], proxy=None)
    assert await refusal(only) == (1008, "token_missing")
    for value in ("Bearer", "Bearer ", "Basic YTpi", "token"):
        header = connect(hub.ws_url, additional_headers={"Authorization": value}, proxy=None)
        assert await refusal(header) == (1008, "token_malformed")


async def test_two_tokens_at_once(hub: HubProcess, alice: str) -> None:
    header = {"Authorization": f"Bearer {alice}"}
    protocols = ["hub.v1", f"bearer.{alice}"]
    query = f"{hub.ws_url}?token={alice}"
    for dial in (
        connect(query, subprotocols=protocols, proxy=None),
        connect(query, additional_headers=header, proxy=None),
        connect(hub.ws_url, subprotocols=protocols, additional_headers=header, proxy=None),
        connect(hub.ws_url, subprotocols=[*protocols, f"bearer.{alice}"], proxy=None),
        connect(f"{query}&token={alice}", proxy=None),
        connect(f"{query}&token=", proxy=None),
    ):
        assert await refusal(dial) == (1008, "credentials_ambiguous")


async def test_logged_out(hub: HubProcess) -> None:
    token, other = hub.token("alice"), hub.token("alice")
    async with by_query(hub, token) as socket, by_query(hub, other) as elsewhere:
        await told(socket)
        await told(elsewhere)
        assert hub.http.post("/v1/auth/logout", headers={"Authorization": f"Bearer {token}"}).status_code == 204
        assert await ended(socket) == (1008, "logged_out")
        # Another login of the same person lives on.
        await elsewhere.send('{"type":"ping","ref":1}')
        assert (await told(elsewhere))["type"] == "ok"
    assert await refusal(by_query(hub, token)) == (1008, "logged_out")


@pytest.mark.parametrize("way", ["api", "command line"])
async def test_a_disabled_user_is_out_within_a_second(hub: HubProcess, way: str) -> None:
    name = "carol" if way == "api" else "dave"
    token = hub.add_user(name)
    async with by_query(hub, token) as socket:
        await told(socket)
        if way == "api":
            hub.call("PATCH", f"/v1/users/{name}", json={"disabled": True})
        else:
            # Another process, as an administrator at the machine would.
            command = [sys.executable, "-m", "hub", "user", "disable", name]
            subprocess.run(command, env=hub.environment, check=True, capture_output=True)
        done = time.monotonic()
        assert await ended(socket) == (1008, "user_disabled")
        assert time.monotonic() - done < 1
    assert await refusal(by_query(hub, token)) == (1008, "user_disabled")


async def test_a_real_refresh_token_is_no_access_token(hub: HubProcess) -> None:
    refresh = hub.login("alice", "password of alice")["refresh_token"]
    for dial in (by_query, by_subprotocol, by_header):
        assert await refusal(dial(hub, refresh)) == (1008, "token_type")


# --- Refused: what is asked for


@pytest.mark.parametrize(
    ("query", "code", "reason"),
    [
        ("topics=secrets", 1008, "forbidden"),
        ("topics=user:bob", 1008, "forbidden"),
        ("topics=orders:1,secrets", 1008, "forbidden"),
        ("topics=a%20b", 4501, "topic_invalid"),
        ("topics=a::b", 4501, "topic_invalid"),
        ("topics=" + "x" * 201, 4501, "topic_invalid"),
        ("topics=%F0%9F%92%A9", 4501, "topic_invalid"),
        ("topics=" + ",".join(f"orders:{n}" for n in range(9)), 4504, "too_many_topics"),
        ("after=yesterday", 4502, "cursor_invalid"),
        ("after=abc:-1", 4502, "cursor_invalid"),
        ("after=abc:01", 4502, "cursor_invalid"),
        ("client=short", 4503, "client_invalid"),
        ("client=", 4503, "client_invalid"),
        ("client=no spaces!".replace(" ", "%20"), 4503, "client_invalid"),
        ("client=" + "c" * 65, 4503, "client_invalid"),
    ],
)
async def test_a_bad_request_is_told_why(hub: HubProcess, alice: str, query: str, code: int, reason: str) -> None:
    assert await refusal(connect(f"{hub.ws_url}?token={alice}&{query}", proxy=None)) == (code, reason)


async def test_a_foreign_origin_is_told_so_and_nothing_else(hub: HubProcess, alice: str) -> None:
    for origin in ("https://evil.example", "null", "http://127.0.0.1", f"http://127.0.0.1:{hub.port}.evil.example"):
        for token in (alice, "nonsense"):
            socket = connect(f"{hub.ws_url}?token={token}", origin=origin, proxy=None)
            assert await refusal(socket) == (1008, "origin_forbidden")
    assert "origin_forbidden 'https://evil.example'" in hub.log()


@pytest.mark.parametrize("origin", ["http://[", "http://[::1", "https://app.example.com:x", "\u00ff", ""])
async def test_an_origin_that_is_none_is_foreign(hub: HubProcess, alice: str, origin: str) -> None:
    socket = connect(f"{hub.ws_url}?token={alice}", additional_headers={"Origin": origin}, proxy=None)
    assert await refusal(socket) == (1008, "origin_forbidden")


async def test_its_own_and_the_allowed_origins_may_come(hub: HubProcess, alice: str) -> None:
    for origin in (hub.url, "https://app.example.com"):
        async with connect(f"{hub.ws_url}?token={alice}", origin=origin, proxy=None) as socket:
            assert (await told(socket))["type"] == "welcome"


# --- The life of a token


async def test_a_token_s_end_is_its_connection_s_end(start_hub: Callable[..., HubProcess]) -> None:
    hub = start_hub(access_ttl=1)
    token = hub.add_user("alice")
    async with by_query(hub, token) as socket:
        expires = (await told(socket))["expires"]
        assert await ended(socket) == (1008, "token_expired")
        assert expires <= time.time() < expires + 1
    assert await refusal(by_query(hub, token)) == (1008, "token_expired")


async def test_a_fresh_token_in_band_keeps_it_open(hub: HubProcess, key: Key) -> None:
    async with by_query(hub, key.sign(claims(lives=1.5))) as socket:
        first_end = (await told(socket))["expires"]
        fresh = key.sign(claims(lives=3))
        await socket.send(json.dumps({"type": "auth", "ref": 1, "token": fresh}))
        answer = await told(socket)
        assert (answer["type"], answer["ref"]) == ("ok", 1)
        assert answer["expires"] > first_end
        assert answer["topics"] == ["all", "user:alice"]
        assert await ended(socket) == (1008, "token_expired")
        assert answer["expires"] <= time.time() < answer["expires"] + 1


async def test_a_fresh_token_has_to_be_good_and_one_s_own(hub: HubProcess, key: Key, alice: str) -> None:
    async with by_query(hub, alice) as socket:
        expires = (await told(socket))["expires"]
        for ref, (token, reason) in enumerate(
            [
                (hub.token("bob"), "subject_mismatch"),
                (key.sign(claims(kind="service")), "subject_mismatch"),
                (key.sign(claims(lives=-1)), "token_expired"),
                (unsigned(claims()), "token_algorithm"),
                ("", "token_missing"),
            ]
        ):
            await socket.send(json.dumps({"type": "auth", "ref": ref, "token": token}))
            answer = await told(socket)
            assert (answer["type"], answer["ref"], answer["code"]) == ("error", ref, reason)
        # It goes on with the token that it has.
        me = hub.http.get("/v1/me", headers={"Authorization": f"Bearer {alice}"}).json()
        assert me["expires"] == expires
        await socket.send('{"type":"ping","ref":"still here"}')
        assert (await told(socket))["ref"] == "still here"


async def test_a_fresh_token_with_fewer_rights_takes_topics_away(hub: HubProcess, key: Key) -> None:
    wide, narrow = ({"subscribe": patterns} for patterns in (["orders:*"], ["orders:1"]))
    dial = connect(f"{hub.ws_url}?token={key.sign(claims(grants=wide))}&topics=orders:1,orders:2", proxy=None)
    async with dial as socket:
        await told(socket)
        await socket.send(json.dumps({"type": "auth", "ref": 1, "token": key.sign(claims(grants=narrow))}))
        assert (await told(socket))["topics"] == ["all", "orders:1", "user:alice"]
        hub.publish(topics=["orders:2"])
        kept = hub.publish(topics=["orders:1"])
        assert (await told(socket))["cursor"] == kept["cursor"]


def test_the_log_redacts_what_people_put_into_urls(hub: HubProcess, alice: str) -> None:
    for path in ("/v1/me", "/v1/events", "/nowhere"):
        httpx.get(f"{hub.url}{path}?token={alice}&access_token={alice}", trust_env=False)
    assert alice not in hub.log()
