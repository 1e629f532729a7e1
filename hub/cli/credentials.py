"""As whom a command talks to a running hub: the options, the environment, and which of them counts.

What is typed wins over the environment. The environment may hold several credentials (a service's and a person's); then
it is to be typed which of them is meant, rather than guessed.
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from typing import Annotated, TypedDict

import typer

from hub.cli.output import Failure

_VARIABLES = {"token": "HUB_TOKEN", "user": "HUB_USERNAME", "service": "HUB_SERVICE_ID"}

Username = Annotated[
    str | None, typer.Option("--username", help="Log in as this user (HUB_USERNAME).", show_default=False)
]
Password = Annotated[
    str | None,
    typer.Option(
        "--password",
        help="The user's password (HUB_PASSWORD: better, as others see what you type).",
        show_default=False,
    ),
]
Service = Annotated[
    str | None, typer.Option("--service", help="Come as this service (HUB_SERVICE_ID).", show_default=False)
]
Secret = Annotated[
    str | None,
    typer.Option(
        "--secret",
        help="The service's secret (HUB_SERVICE_SECRET: better, as others see what you type).",
        show_default=False,
    ),
]
Token = Annotated[
    str | None,
    typer.Option("--token", help="An access token (HUB_TOKEN), such as hub token prints.", show_default=False),
]


class Arguments(TypedDict, total=False):
    """Credentials, as ``hub_client`` takes them."""

    username: str
    password: str
    service_id: str
    service_secret: str
    token: str


@dataclass(frozen=True, slots=True)
class Credentials:
    """What was typed: None where nothing was."""

    username: str | None = None
    password: str | None = None
    service: str | None = None
    secret: str | None = None
    token: str | None = None

    def resolve(self, *, take_token: bool = True) -> Arguments:
        """Choose one kind of credentials; asks for a password that is missing. Raises ``Failure``.

        ``take_token``: whether an access token that is there already is one of them.
        """
        kinds = [kind for kind, typed in self._typed().items() if typed]
        if not kinds:
            kinds = [kind for kind, name in _VARIABLES.items() if os.environ.get(name)]
            if "token" in kinds:
                # It was fetched with the others. Where it is what is to be fetched, an old one does not count.
                kinds = ["token"] if take_token else kinds[1:]
        match kinds:
            case ["token"]:
                return {"token": self.token or os.environ["HUB_TOKEN"]}
            case ["user"]:
                return self._user()
            case ["service"]:
                return self._service()
            case []:
                raise Failure(
                    f"Say who you are: set {'HUB_TOKEN, or ' if take_token else ''}HUB_USERNAME and HUB_PASSWORD, or "
                    "HUB_SERVICE_ID and HUB_SERVICE_SECRET; or use --username or --service.",
                    exit_code=2,
                )
            case _:
                raise Failure(
                    f"There are credentials of more than one kind ({', '.join(kinds)}); choose one with --username or "
                    "--service.",
                    exit_code=2,
                )

    def _typed(self) -> dict[str, bool]:
        return {
            "token": self.token is not None,
            "user": self.username is not None or self.password is not None,
            "service": self.service is not None or self.secret is not None,
        }

    def _user(self) -> Arguments:
        username = self.username or os.environ.get("HUB_USERNAME")
        if not username:
            raise Failure("A password needs a name: use --username or HUB_USERNAME.", exit_code=2)
        password = self.password or os.environ.get("HUB_PASSWORD")
        if not password:
            if not sys.stdin.isatty():
                raise Failure(f"There is no password for {username}: set HUB_PASSWORD.", exit_code=2)
            password = typer.prompt(f"Password for {username}", hide_input=True, err=True)
        return {"username": username, "password": password}

    def _service(self) -> Arguments:
        service = self.service or os.environ.get("HUB_SERVICE_ID")
        secret = self.secret or os.environ.get("HUB_SERVICE_SECRET")
        if not service or not secret:
            raise Failure(
                "A service needs both its id and its secret: set HUB_SERVICE_ID and HUB_SERVICE_SECRET.", exit_code=2
            )
        return {"service_id": service, "service_secret": secret}
