"""``hub token``."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote_plus

from hub.cli.connection import Url, call, find
from hub.cli.credentials import Arguments, Credentials, Password, Secret, Service, Username
from hub.cli.output import Failure, result


def token(
    url: Url = None,
    username: Username = None,
    password: Password = None,
    service: Service = None,
    secret: Secret = None,
) -> None:
    """Log in through a running hub and print the access token, alone: TOKEN=$(hub token).

    As a user (name and password) or as a service (id and secret).
    """
    address = find(url)
    who = Credentials(username, password, service, secret).resolve(take_token=False)
    result(fetch(address, who))


def fetch(address: str, who: Arguments) -> str:
    """Log in, and return the access token. Raises ``Failure``."""
    path, content = _request(who)
    response = call(address, "POST", path, **content)
    try:
        answer = response.json()
    except ValueError:
        answer = None
    match answer:
        case {"access_token": str(access)}:
            return access
        case {"code": code, "detail": detail}:
            raise Failure(f"{detail} ({code})")
        case _:
            raise Failure(f"What answers at {address} is not a hub (HTTP {response.status_code}).")


def _request(who: Arguments) -> tuple[str, dict[str, Any]]:
    """The path and the content of the call that gets a token."""
    if "username" in who:
        return "/v1/auth/login", {"json": {"username": who["username"], "password": who["password"]}}
    # RFC 6749, 2.3.1: both are form-encoded before they are joined.
    credentials = (quote_plus(who["service_id"]), quote_plus(who["service_secret"]))
    return "/v1/auth/token", {"data": {"grant_type": "client_credentials"}, "auth": credentials}
