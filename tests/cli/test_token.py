"""``hub token`` against a real hub."""

from __future__ import annotations

import jwt
import pytest

from tests.hub_process import HubProcess

from .conftest import PASSWORD, Run


def test_a_token_is_alone_on_stdout(run: Run, as_shop: None) -> None:
    printed = run("token")
    assert (printed.code, printed.err) == (0, "")
    claims = jwt.decode(printed.out.strip(), options={"verify_signature": False})
    assert (claims["sub"], claims["kind"]) == ("shop", "service")


def test_a_users_token_is_fetched_and_used(
    run: Run, hub: HubProcess, secret: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HUB_URL", hub.url)
    monkeypatch.setenv("HUB_USERNAME", "alice")
    monkeypatch.setenv("HUB_PASSWORD", PASSWORD)
    monkeypatch.setenv("HUB_TOKEN", "an.old.one")
    printed = run("token")
    assert jwt.decode(printed.out.strip(), options={"verify_signature": False})["sub"] == "alice"
    monkeypatch.setenv("HUB_TOKEN", printed.out.strip())
    assert run("publish", "hello", "--to-topic", "news").code == 0, "with the token, not with the password beside it"
    monkeypatch.setenv("HUB_TOKEN", "an.old.one")
    assert "token_malformed" in run("publish", "hello", "--to-topic", "news").err


def test_what_is_typed_wins(run: Run, as_shop: None) -> None:
    printed = run("token", "--username", "alice", "--password", PASSWORD)
    assert jwt.decode(printed.out.strip(), options={"verify_signature": False})["sub"] == "alice"


@pytest.mark.parametrize(
    ("variables", "arguments", "code", "sentence"),
    [
        ({}, [], 2, "Say who you are: set HUB_USERNAME and HUB_PASSWORD, or HUB_SERVICE_ID"),
        ({"HUB_USERNAME": "alice"}, [], 2, "There is no password for alice: set HUB_PASSWORD."),
        ({"HUB_SERVICE_ID": "shop"}, [], 2, "A service needs both its id and its secret"),
        ({"HUB_PASSWORD": "x"}, ["--password", "x"], 2, "A password needs a name"),
        ({"HUB_USERNAME": "alice", "HUB_SERVICE_ID": "shop"}, [], 2, "more than one kind (user, service)"),
        ({}, ["--username", "alice", "--service", "shop"], 2, "more than one kind (user, service)"),
        (
            {"HUB_USERNAME": "alice", "HUB_PASSWORD": "wrong horse"},
            [],
            1,
            "Wrong name or password. (credentials_invalid)",
        ),
        ({"HUB_SERVICE_ID": "shop", "HUB_SERVICE_SECRET": "x"}, [], 1, "(credentials_invalid)"),
    ],
)
def test_no_token(
    run: Run, hub: HubProcess, secret: str, monkeypatch: pytest.MonkeyPatch,
    variables: dict[str, str], arguments: list[str], code: int, sentence: str,
) -> None:  # fmt: skip
    monkeypatch.setenv("HUB_URL", hub.url)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    refused = run("token", *arguments)
    assert (refused.code, refused.out) == (code, "")
    assert sentence in refused.err
    assert refused.err.count("\n") == 1
