"""The identities of a data directory, opened by a command. Works while the hub runs and while it does not.

A running hub notices changes within ``revocation_poll`` seconds.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from hub import tenancy
from hub.cli.output import Failure
from hub.issuer_settings import Outsiders
from hub.settings import Settings, load

if TYPE_CHECKING:
    from hub.database.store import Store
    from hub.identity.accounts import Accounts
    from hub.identity.audit import Actor
    from hub.identity.models import Account, Kind
    from hub.identity.service import Identity

_T = TypeVar("_T")

DataDir = Annotated[
    Path | None, typer.Option("--data-dir", help="The hub's data directory (HUB_DATA_DIR; default ./data).")
]
Subscribe = Annotated[
    list[str] | None,
    typer.Option("--subscribe", metavar="PATTERN", help="Topics that may be read, such as 'orders:*'; repeatable."),
]
Publish = Annotated[
    list[str] | None,
    typer.Option("--publish", metavar="PATTERN", help="Topics that may be published to, such as 'chat:*'; repeatable."),
]
Topics = Annotated[
    list[str] | None,
    typer.Option("--topic", metavar="TOPIC", help="A topic subscribed to without asking; repeatable."),
]
Tenant = Annotated[
    str, typer.Option("--tenant", help="The tenant whose they are (docs/tenants.md).", show_default=False)
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, one object a line.")]


def with_accounts(data_dir: Path | None, work: Callable[[Accounts], Awaitable[_T]], *, tenant: str = "") -> _T:
    """Open a tenant's accounts in the data directory, do the work, close them; returns what the work does."""
    whose = named(tenant)

    async def run(settings: Settings, store: Store) -> _T:
        from hub.identity.accounts import Accounts
        from hub.identity.passwords import Passwords

        passwords = Passwords()
        try:
            accounts = Accounts(store, passwords, outsiders=Outsiders.of(settings.issuers))
            return await work(accounts.within(whose).by(whoever_runs_this()))
        finally:
            passwords.close()

    return with_store(data_dir, run)


def with_store(data_dir: Path | None, work: Callable[[Settings, Store], Awaitable[_T]]) -> _T:
    """The same for work that needs the settings and the store of identities."""
    settings = settings_of(data_dir)

    async def run() -> _T:
        from hub.database.store import Store

        store = Store(settings)
        try:
            await store.open()
            return await work(settings, store)
        finally:
            await store.close()

    return asyncio.run(run())


def with_identity(data_dir: Path | None, work: Callable[[Identity], Awaitable[_T]]) -> _T:
    """The same for work that judges tokens as the hub does."""
    settings = settings_of(data_dir)

    async def run() -> _T:
        from hub.identity.service import Identity

        async with Identity(settings) as identity:
            return await work(identity)

    return asyncio.run(run())


def named(tenant: str) -> str:
    """The tenant that was named, if any, checked. Raises ``HubError``."""
    return tenancy.check(tenant) if tenant else tenancy.DEFAULT


def given_or_stdin(text: str) -> str:
    """What was typed, or for ``-`` the first line of stdin. Raises ``Failure`` if there is nothing."""
    if text == "-":
        text = sys.stdin.readline()
    if not text.strip():
        raise Failure("There is nothing to look at: give it, or write it to stdin as one line and give -.", exit_code=2)
    return text.strip()


def settings_of(data_dir: Path | None) -> Settings:
    """The settings, with the data directory that was given, which is one if the database is there. Raises ``Failure``
    and ``SettingsError``."""
    settings = load() if data_dir is None else load(data_dir=data_dir)
    if settings.database_url is None:
        _check(settings.data_dir)
    return settings


def whoever_runs_this() -> Actor:
    """For the audit log: the user of the operating system, by its account and not by variables that anybody sets."""
    import pwd

    from hub.identity.audit import Actor

    try:
        name = pwd.getpwuid(os.getuid()).pw_name
    except KeyError:  # A container's user often has no name.
        name = f"uid-{os.getuid()}"
    return Actor(f"local:{name}")


def ask_password(name: str, *, from_stdin: bool) -> str | None:
    """A new password: from stdin, or typed twice at a terminal; None if there is nobody to type it."""
    if from_stdin:
        password = sys.stdin.readline().rstrip("\r\n")
        if not password:
            raise Failure("There is no password on stdin; write it there as one line.", exit_code=2)
        return password
    if not sys.stdin.isatty():
        return None
    typed: str = typer.prompt(f"New password for {name}", hide_input=True, confirmation_prompt=True, err=True)
    return typed


async def everyone(accounts: Accounts, kind: Kind) -> list[Account]:
    """All accounts of a kind, by id."""
    found: list[Account] = []
    more = True
    while more:
        page, more = await accounts.page(kind, after=tenancy.local(found[-1].id) if found else "", limit=1000)
        found += page
    return found


def described(account: Account) -> dict[str, Any]:
    """What both kinds of account have, as JSON; the API's words."""
    return {
        "id": tenancy.local(account.id),
        "disabled": account.disabled,
        "grants": {"subscribe": account.subscribe, "publish": account.publish},
        "topics": account.topics,
        "created": account.created_at,
    }


def rights_columns(account: Account) -> tuple[str, ...]:
    """The last columns of a table of accounts: state, what may be read and published to, topics."""
    lists = (account.subscribe, account.publish, account.topics)
    return ("disabled" if account.disabled else "", *(" ".join(names) for names in lists))


def _check(path: Path) -> None:
    if path.exists() and not path.is_dir():
        raise Failure(f"The data directory {path} is a file; name the right one with --data-dir or HUB_DATA_DIR.")
    if not path.is_dir():
        raise Failure(
            f"There is no data directory {path}; start the hub once (hub serve), or name the right one with --data-dir "
            "or HUB_DATA_DIR."
        )
    if not os.access(path, os.R_OK | os.W_OK | os.X_OK):
        raise Failure(f"You may not write in the data directory {path}; run this as the user that runs the hub.")
