"""``hub token``: get an access token, explain one, or end one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import quote_plus

import typer

from hub import tenancy
from hub.cli.connection import Url, call, find
from hub.cli.credentials import Arguments, Credentials, Password, Secret, Service, Username
from hub.cli.explain import explain
from hub.cli.local import DataDir, Tenant, given_or_stdin, named, whoever_runs_this, with_identity
from hub.cli.output import Failure, result, say
from hub.cli.verdict import said_by
from hub.errors import HubError
from hub.model import timestamp

if TYPE_CHECKING:
    from hub.identity.endings import Ended
    from hub.identity.service import Identity

app = typer.Typer()
app.command("explain")(explain)


@app.callback(invoke_without_command=True)
def token(
    context: typer.Context,
    url: Url = None,
    username: Username = None,
    password: Password = None,
    service: Service = None,
    secret: Secret = None,
) -> None:
    """Log in through a running hub and print the access token, alone: TOKEN=$(hub token).

    As a user (name and password) or as a service (id and key). Commands explain a token, or end one.
    """
    if context.invoked_subcommand is not None:
        return
    address = find(url)
    who = Credentials(username, password, service, secret).resolve(take_token=False)
    result(fetch(address, who))


@app.command("revoke")
def revoke(
    token: Annotated[
        str,
        typer.Argument(
            help="The token or API key, a token's id (jti), or - to read it from stdin: others see what you type.",
            show_default=False,
        ),
    ],
    session: Annotated[
        bool, typer.Option("--session", help="What is given is the id of a session (sid): end all its tokens.")
    ] = False,
    tenant: Tenant = "",
    data_dir: DataDir = None,
) -> None:
    """End an access token, or an API key, before its time.

    It is refused at once and its connections are closed, by a running hub within half a second (HUB_REVOCATION_POLL).
    The refresh token of its session still gives others: with --session that ends, too. An id needs its tenant beside it
    (--tenant); a token and a key say whose they are.
    """
    whose = named(tenant)
    given = given_or_stdin(token)
    itself = given.count(".") == 2 or given.startswith("hubk_")

    async def work(identity: Identity) -> Ended:
        endings = identity.endings.within(whose).by(whoever_runs_this())
        if session:
            return await endings.session(given)
        return await (endings.token(given) if itself else endings.token_id(given))

    try:
        ended = with_identity(data_dir, work)
    except HubError as refusal:
        raise Failure(f"{refusal.detail}{_other_way(given) if itself else ''}") from None
    owner = f" of {ended.subject}" if ended.subject is not None else ""
    remembered = "" if ended.until is None else f"; that is remembered until {timestamp(ended.until)}"
    say(f"The {ended.kind} {tenancy.local(ended.id)}{owner} is refused from now on{remembered}.")


def _other_way(token: str) -> str:
    """What is left to do where a token cannot be verified: perhaps the hub has variables that this shell has not."""
    _, claims = said_by(token)
    token_id = None if claims is None else claims.get("jti")
    if not isinstance(token_id, str):
        return ""
    return f" If the hub's settings are others than those here, end it by its id: hub token revoke {token_id}"


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
