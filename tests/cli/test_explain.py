"""``hub token explain``: the same verdict from a hub and from its data directory, in words that people understand."""

from __future__ import annotations

import io
import json
import re
import sys
import time
from collections.abc import Callable
from typing import Any

import pytest

from hub.cli.advice import ADVICE
from hub.errors import TABLE
from tests.hub_process import HubProcess
from tests.transports.tokens import Key, claims, unsigned

from .conftest import Outcome, Run

Explain = Callable[..., Outcome]


@pytest.fixture(params=["hub", "data directory"])
def explain(request: pytest.FixtureRequest, run: Run, hub: HubProcess, monkeypatch: pytest.MonkeyPatch) -> Explain:
    """Explains what is given, on stdin."""
    monkeypatch.setenv("HUB_URL", hub.url)
    where = () if request.param == "hub" else ("--data-dir", str(hub.data_dir))

    def explain(token: str, *arguments: str) -> Outcome:
        monkeypatch.setattr(sys, "stdin", io.StringIO(token + "\n"))
        outcome = run("token", "explain", "-", *arguments, *where)
        assert len(token) < 20 or token.rpartition(".")[2] not in outcome.out + outcome.err, "never the signature"
        assert outcome.err == ""
        return outcome

    return explain


@pytest.fixture(scope="module")
def tokens(hub: HubProcess) -> dict[str, str]:
    alice = hub.add_user("alice", subscribe=["orders:*"], publish=["chat:*", "user:*", "all"], topics=["news"])
    service = hub.add_service("shop", topics=["orders:new"])
    key = hub.call("POST", "/v1/services/shop/keys", json={"scope": {"publish": ["*"]}, "expires": time.time() + 9000})
    gone = hub.add_user("gone")
    hub.http.post("/v1/auth/logout", headers={"Authorization": f"Bearer {gone}"})
    admin = hub.admin_headers()["Authorization"].removeprefix("Bearer ")
    return {
        "alice": alice, "admin": admin, "service": service["secret"], "key": key["key"], "gone": gone,
        "refresh": hub.login("alice", "password of alice")["refresh_token"],
    }  # fmt: skip


def test_what_a_user_may(explain: Explain, tokens: dict[str, str]) -> None:
    told = explain(tokens["alice"])
    assert told.code == 0
    lines = told.out.splitlines()
    assert lines[0] == "Accepted. It speaks for the user alice."
    assert re.fullmatch(r"It is an access token with the id \S+ of the session \S+\.", lines[1])
    assert re.fullmatch(r"It ends 20\S+Z, in 1[45] minutes\.", lines[2])
    assert lines[3:] == [
        "Subscribed without asking: user:alice, all (everybody), news.",
        "May read: user:alice, all (everybody), news, orders:*.",
        "May publish to: chat:*, user:* (every user's own topic), all (everybody).",
    ]


def test_what_an_administrator_may(explain: Explain, tokens: dict[str, str]) -> None:
    told = explain("Bearer " + tokens["admin"])
    assert told.code == 0
    assert "It speaks for the user admin, an administrator." in told.out
    assert told.out.endswith("May read, publish to, and administer: everything.\n")


def test_what_a_key_may(explain: Explain, tokens: dict[str, str]) -> None:
    told = explain(tokens["service"])
    assert told.code == 0
    assert f"It is an API key with the id {tokens['service'][5:17]}.\nIt has no end.\n" in told.out
    assert "Subscribed without asking: orders:new.\nMay read: orders:new.\n" in told.out
    told = explain(tokens["key"])
    assert re.search(r"^It ends 20\S+Z, in 2 hours\.$", told.out, re.M)
    assert told.out.endswith("May publish to: * (every ordinary topic).\n")


def test_as_json(explain: Explain, tokens: dict[str, str]) -> None:
    told = json.loads(explain(tokens["alice"], "--json").out)
    assert (told["accepted"], told["subject"], told["credential"]) == (True, "alice", "token")
    assert told["grants"]["subscribe"] == ["orders:*"]
    refused = explain(tokens["gone"], "--json")
    assert refused.code == 1
    told = json.loads(refused.out)
    assert (told["accepted"], told["code"], told["advice"]) == (False, "logged_out", "Log in again.")
    assert (told["header"]["alg"], told["claims"]["sub"]) == ("EdDSA", "gone")


def test_why_it_is_refused_and_what_to_do(explain: Explain, tokens: dict[str, str], hub: HubProcess) -> None:
    key = Key(hub.data_dir)
    now = time.time()
    for token, code, sentence in (
        (key.sign(claims(lives=-7200)), "token_expired", "Get a fresh one"),
        (key.sign(claims(iat=int(now) + 9999)), "token_not_yet_valid", "Compare the clock"),
        (key.sign(claims(aud="other")), "token_audience", "Look at its aud"),
        (key.sign(claims(iss="https://other.example")), "token_issuer", "Look at its iss"),
        (key.sign(claims(), typ="JWT"), "token_type", "Give an access token"),
        (key.sign(claims(sub=None)), "token_claims", "Mend, where it is made"),
        (key.sign(claims(), kid="other"), "token_signature", "get a fresh one"),
        (tokens["gone"], "logged_out", "Log in again."),
        (tokens["service"][:-1] + ("A" if tokens["service"][-1] != "A" else "B"), "key_unknown", "hub service key"),
    ):  # fmt: skip
        told = explain(token)
        assert told.code == 1
        refused, advice, *rest = told.out.splitlines()
        assert refused.startswith("Refused: ")
        assert refused.endswith(f"({code})")
        assert advice.startswith("What to do: ")
        assert sentence in advice
        assert bool(rest) == (token.count(".") == 2)
    told = explain(key.sign(claims(lives=-7200)))
    assert "What it says of itself, which nobody vouches for:" in told.out
    assert re.search(r"^  exp: 20\S+Z, 2 hours ago$", told.out, re.M)
    assert '  sub: "alice"\n' in told.out


@pytest.mark.parametrize(
    ("token", "code"),
    [
        ("a.b.c", "token_malformed"),
        ("x" * 9000, "token_malformed"),
        ("häßlich", "token_malformed"),
        ("a b", "token_malformed"),
        ("hubt_" + "A" * 43, "token_type"),
        ("hubk_x", "token_malformed"),
    ],
    ids=range(6),
)
def test_what_is_no_token_at_all(explain: Explain, token: str, code: str) -> None:
    told = explain(token)
    assert told.code == 1
    assert f"({code})\nWhat to do: " in told.out


def test_a_refresh_token_is_not_given_to_anybody(explain: Explain, tokens: dict[str, str]) -> None:
    told = explain(tokens["refresh"])
    assert told.code == 1
    assert told.out.startswith("Refused: This is a refresh token: POST /v1/auth/refresh gives")


def test_a_stranger_may_not_colour_the_terminal(explain: Explain) -> None:
    token = unsigned({"\u202eexp": "\x1b[2J", "exp": True, "iat": 1e300, "nbf": -1})
    told = explain(token[:-1] + ".AAAA")
    assert "\x1b" not in told.out
    assert "\u202e" not in told.out
    for line in ("  \\u202eexp: ", "  exp: true", "  iat: 1e+300", "  nbf: -1"):
        assert line in told.out


def test_the_token_of_the_environment(
    run: Run, hub: HubProcess, tokens: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HUB_URL", hub.url)
    assert run("token", "explain").code == 2, "there is none"
    monkeypatch.setenv("HUB_TOKEN", tokens["alice"])
    assert run("token", "explain").out.startswith("Accepted. It speaks for the user alice.")


def test_where_no_hub_answers(run: Run, tokens: dict[str, str]) -> None:
    refused = run("token", "explain", tokens["alice"], "--url", "http://127.0.0.1:9")
    assert refused.code == 1
    assert "No hub answers at http://127.0.0.1:9" in refused.err


def test_there_is_advice_for_every_refusal_of_a_token() -> None:
    others = {"credentials_invalid", "refresh_invalid", "refresh_reused"}
    of_tokens = {code for code, row in TABLE.items() if row.status == 401} - others
    assert of_tokens <= ADVICE.keys()
    assert ADVICE.keys() <= TABLE.keys()


def test_whatever_answers_may_be_no_hub(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    from hub.cli import explain as module

    class Page:
        status_code = 200

        def json(self) -> Any:
            raise ValueError

    monkeypatch.setattr(module, "call", lambda *_, **__: Page())
    refused = run("token", "explain", "a.b.c", "--url", "http://127.0.0.1:9")
    assert "is not a hub (HTTP 200)" in refused.err
