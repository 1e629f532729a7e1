"""What a browser sees of a bad token: 1008 and its reason, on a bare WebSocket and in words on the page."""

from __future__ import annotations

import time
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key
from playwright.sync_api import expect

from tests.browser.conftest import OpenConsole
from tests.browser.console import Console
from tests.hub_process import HubProcess

pytestmark = pytest.mark.browser


class Forger:
    """Makes tokens that are wrong in one thing each, from one that is right and the hub's own key."""

    def __init__(self, hub: HubProcess) -> None:
        self.hub = hub
        self.good = hub.token("alice")
        self.header: dict[str, Any] = jwt.get_unverified_header(self.good)
        self.claims: dict[str, Any] = jwt.decode(self.good, options={"verify_signature": False})
        self.key = load_pem_private_key((hub.data_dir / "signing.key").read_bytes(), None)

    def make(self, *, key: Any = None, algorithm: str = "EdDSA", **claims: Any) -> str:
        headers = {name: self.header[name] for name in ("typ", "kid")}
        signer = None if algorithm == "none" else key or self.key
        return jwt.encode(self.claims | claims, signer, algorithm, headers=headers)

    def bad(self, kind: str) -> str:
        match kind:
            case "token_missing":
                return ""
            case "token_malformed":
                return "abc.def.ghi"
            case "token_expired":
                return self.make(exp=int(time.time()) - 1)
            case "token_signature":
                return self.make(key=Ed25519PrivateKey.generate())
            case "token_algorithm":
                return self.make(algorithm="none")
            case "token_algorithm (HS256 with the public key)":
                public = self.key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
                return self.make(key=public, algorithm="HS256")
            case "token_audience":
                return self.make(aud="somebody else")
            case "token_issuer":
                return self.make(iss="somebody else")
            case "logged_out":
                token = self.hub.token("alice")
                headers = {"Authorization": f"Bearer {token}"}
                assert self.hub.http.post("/v1/auth/logout", headers=headers).status_code == 204
                return token
        raise AssertionError(kind)


KINDS = [
    "token_missing",
    "token_malformed",
    "token_expired",
    "token_signature",
    "token_algorithm",
    "token_algorithm (HS256 with the public key)",
    "token_audience",
    "token_issuer",
    "logged_out",
]


@pytest.fixture(scope="module")
def forger(shared_hub: HubProcess) -> Forger:
    shared_hub.add_user("alice")
    return Forger(shared_hub)


@pytest.fixture
def console(shared_hub: HubProcess, open_console: OpenConsole) -> Console:
    return open_console(shared_hub)


@pytest.mark.parametrize("kind", KINDS)
def test_a_bare_socket_sees_the_code_and_the_reason(kind: str, forger: Forger, console: Console) -> None:
    token = forger.bad(kind)
    expected = kind.split(" ")[0]
    by_query = console.raw_socket(f"?token={token}" if token else "")
    by_subprotocol = console.raw_socket("", ["hub.v1", f"bearer.{token}"] if token else ["hub.v1"])
    for ended in (by_query, by_subprotocol):
        assert (ended["code"], ended["reason"].split(":")[0]) == (1008, expected), ended
        assert ended["wasClean"]
        assert ended["frames"] == []
    assert by_subprotocol["protocol"] == "hub.v1"


def test_two_tokens_at_once_are_refused(forger: Forger, console: Console) -> None:
    ended = console.raw_socket(f"?token={forger.good}", ["hub.v1", f"bearer.{forger.good}"])
    assert (ended["code"], ended["reason"].split(":")[0]) == (1008, "credentials_ambiguous")


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("token_malformed", "not a token the hub can read"),
        ("token_expired", "has expired"),
        ("token_signature", "signature is wrong"),
        ("token_algorithm", "not one that the hub accepts"),
        ("logged_out", "logged out"),
    ],
)
def test_the_page_tells_it_in_words(kind: str, words: str, forger: Forger, console: Console) -> None:
    console.connect_with(forger.bad(kind))
    expect(console.refusal).to_be_focused()
    expect(console.refusal).to_contain_text("1008")
    expect(console.refusal).to_contain_text(kind)
    expect(console.refusal).to_contain_text(words)
    assert len(console.sockets) == 1  # refused once, it did not come back


def test_what_is_no_token_at_all_does_not_break_the_page(console: Console) -> None:
    console.connect_with("this is not / a token=")
    expect(console.refusal).to_contain_text("token_malformed")
    assert console.sockets == []


def test_a_good_token_connects_and_its_end_is_told(forger: Forger, console: Console) -> None:
    console.connect_with(forger.make(exp=int(time.time()) + 3))
    console.expect_live()
    expect(console.page.get_by_role("button", name="Disconnect")).to_be_visible()
    expect(console.banner).to_contain_text("1008 token_expired")
    expect(console.pill).to_contain_text("Refused: 1008 token_expired")
    assert len(console.sockets) == 1
    console.page.get_by_role("button", name="Sign in again").click()
    expect(console.page.get_by_label("User name")).to_be_focused()


def test_a_disabled_user_is_told(hub_server: HubProcess, open_console: OpenConsole) -> None:
    hub_server.add_user("mallory")
    console = open_console(hub_server).sign_in("mallory")
    hub_server.call("PATCH", "/v1/users/mallory", json={"disabled": True})
    expect(console.banner).to_contain_text("1008 user_disabled")
    console.page.get_by_role("button", name="Sign in again").click()
    console.fill_in("mallory", "password of mallory")
    expect(console.refusal).to_be_visible()
