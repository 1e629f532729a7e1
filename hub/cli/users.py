"""``hub user``: make, change and list the users of a data directory."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hub import tenancy
from hub.cli.local import (
    AsJson,
    DataDir,
    Publish,
    Subscribe,
    Tenant,
    Topics,
    ask_password,
    described,
    everyone,
    rights_columns,
    with_accounts,
)
from hub.cli.output import Failure, result, result_json, say, show_table, table
from hub.cli.rights import NoPublish, NoSubscribe, NoTopics, Rights, chosen
from hub.errors import HubError
from hub.model import Grants

if TYPE_CHECKING:
    from hub.identity.accounts import Accounts

app = typer.Typer(help="Administer users.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(help="The user's name, which is also their id.", show_default=False)]
PasswordStdin = Annotated[bool, typer.Option("--password-stdin", help="Read the password from stdin, one line.")]


@app.command("add")
def add(
    name: Name,
    admin: Annotated[bool, typer.Option("--admin", help="May do everything, also administer.")] = False,
    subscribe: Subscribe = None,
    publish: Publish = None,
    topic: Topics = None,
    password_stdin: PasswordStdin = False,
    tenant: Tenant = "",
    data_dir: DataDir = None,
) -> None:
    """Make a user.

    Asks for a password at a terminal. Without one (and without --password-stdin) a random password is made and printed.
    In patterns and topics, {sub} stands for the user's name.
    """

    async def work(accounts: Accounts) -> str | None:
        from hub.identity.passwords import random_password

        await _refuse_existing(accounts, name)
        given = ask_password(name, from_stdin=password_stdin)
        password = given or random_password()
        grants = Grants(tuple(subscribe or ()), tuple(publish or ()))
        await accounts.create_user(name, password, admin=admin, grants=grants, topics=topic or ())
        return None if given else password

    made_up = with_accounts(data_dir, work, tenant=tenant)
    say(f"{'Administrator' if admin else 'User'} {name} was made.")
    _show_once(made_up)


@app.command("passwd")
def passwd(name: Name, password_stdin: PasswordStdin = False, tenant: Tenant = "", data_dir: DataDir = None) -> None:
    """Give a user a new password, and end all their sessions.

    Asks for it at a terminal. Without one (and without --password-stdin) a random password is made and printed.
    """

    async def work(accounts: Accounts) -> str | None:
        from hub.identity.accounts import Update
        from hub.identity.passwords import random_password

        await accounts.get("user", name)
        given = ask_password(name, from_stdin=password_stdin)
        password = given or random_password()
        await accounts.update("user", name, Update(password=password))
        return None if given else password

    made_up = with_accounts(data_dir, work, tenant=tenant)
    say(f"User {name} has a new password.")
    _show_once(made_up)


@app.command("grant")
def grant(
    name: Name,
    subscribe: Subscribe = None,
    no_subscribe: NoSubscribe = False,
    publish: Publish = None,
    no_publish: NoPublish = False,
    topic: Topics = None,
    no_topic: NoTopics = False,
    admin: Annotated[
        bool | None, typer.Option("--admin/--no-admin", help="Make an administrator of them, or no longer.")
    ] = None,
    tenant: Tenant = "",
    data_dir: DataDir = None,
) -> None:
    """Change what a user may do.

    What is given replaces what they had of its kind, all else is kept. Their open connections are closed, and come back
    with the new rights. In patterns and topics, {sub} stands for the user's name.
    """
    rights = Rights(
        chosen("subscribe", subscribe, no_subscribe),
        chosen("publish", publish, no_publish),
        chosen("topic", topic, no_topic),
        admin,
    )
    if rights.give("user", name, data_dir, tenant=tenant):
        say(f"User {name} has new rights. Their open connections are closed, and come back with them.")
    else:
        say(f"User {name} has these rights already; nothing was changed.")


@app.command("disable")
def disable(name: Name, tenant: Tenant = "", data_dir: DataDir = None) -> None:
    """Keep a user out: their tokens are refused and their connections closed at once."""
    _set_disabled(name, data_dir, True, tenant=tenant)
    say(f"User {name} is disabled.")


@app.command("enable")
def enable(name: Name, tenant: Tenant = "", data_dir: DataDir = None) -> None:
    """Let a disabled user in again; they have to log in anew."""
    _set_disabled(name, data_dir, False, tenant=tenant)
    say(f"User {name} is enabled.")


@app.command("list")
def list_users(as_json: AsJson = False, tenant: Tenant = "", data_dir: DataDir = None) -> None:
    """List the users of a tenant; without --tenant, those who have none."""
    users = with_accounts(data_dir, lambda accounts: everyone(accounts, "user"), tenant=tenant)
    if as_json:
        for user in users:
            result_json(described(user) | {"admin": user.admin})
        return
    made = table("NAME", "ROLE", "STATE", "MAY READ", "MAY PUBLISH TO", "TOPICS")
    for user in users:
        made.add_row(tenancy.local(user.id), "administrator" if user.admin else "user", *rights_columns(user))
    show_table(made)


def _set_disabled(name: str, data_dir: Path | None, disabled: bool, *, tenant: str) -> None:
    async def work(accounts: Accounts) -> None:
        from hub.identity.accounts import Update

        await accounts.update("user", name, Update(disabled=disabled))

    with_accounts(data_dir, work, tenant=tenant)


async def _refuse_existing(accounts: Accounts, name: str) -> None:
    """Said before a password is typed."""
    with contextlib.suppress(HubError):
        await accounts.get("user", name)
        raise Failure(
            f"There is already a user {name!r}; hub user passwd gives them a new password, hub user grant other rights."
        )


def _show_once(password: str | None) -> None:
    if password is not None:
        say("The password, shown only this once:")
        result(password)
