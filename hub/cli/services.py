"""``hub service``: make, change and list the services (backend publishers) of a data directory."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hub.cli.local import (
    AsJson,
    DataDir,
    Publish,
    Subscribe,
    Topics,
    described,
    everyone,
    rights_columns,
    with_accounts,
)
from hub.cli.output import result, result_json, say, show_table, table
from hub.cli.rights import NoPublish, NoSubscribe, NoTopics, Rights, chosen
from hub.model import Grants

if TYPE_CHECKING:
    from hub.identity.accounts import Accounts
    from hub.identity.models import Account

app = typer.Typer(help="Administer services: backends that publish events.", no_args_is_help=True)

Id = Annotated[str, typer.Argument(help="The service's id.", show_default=False)]


@app.command("add")
def add(
    name: Annotated[
        str, typer.Argument(help="A name; the id is made from it: 'Billing' is billing.", show_default=False)
    ],
    subscribe: Subscribe = None,
    publish: Publish = None,
    topic: Topics = None,
    data_dir: DataDir = None,
) -> None:
    """Make a service, and print its secret.

    Without --publish and --subscribe it may publish to every topic and user, and read nothing. In patterns and topics,
    {sub} stands for the service's id.
    """

    async def work(accounts: Accounts) -> tuple[Account, str]:
        from hub.identity.accounts import SERVICE_GRANTS

        given = Grants(tuple(subscribe or ()), tuple(publish or ()))
        return await accounts.create_service(
            name, grants=SERVICE_GRANTS if given == Grants() else given, topics=topic or ()
        )

    account, secret = with_accounts(data_dir, work)
    say(f"Service {account.id} was made. Its secret, shown only this once:")
    result(secret)


@app.command("rotate")
def rotate(service_id: Id, data_dir: DataDir = None) -> None:
    """Give a service a new secret, and print it.

    The old one, and the tokens it gave, are over at once.
    """
    secret = with_accounts(data_dir, lambda accounts: accounts.rotate(service_id))
    say(f"Service {service_id} has a new secret, shown only this once:")
    result(secret)


@app.command("grant")
def grant(
    service_id: Id,
    subscribe: Subscribe = None,
    no_subscribe: NoSubscribe = False,
    publish: Publish = None,
    no_publish: NoPublish = False,
    topic: Topics = None,
    no_topic: NoTopics = False,
    data_dir: DataDir = None,
) -> None:
    """Change what a service may do.

    What is given replaces what it had of its kind, all else is kept. Its tokens are over and its open connections are
    closed; with its secret, which stays, it comes back with the new rights. In patterns and topics, {sub} stands for
    the service's id.
    """
    rights = Rights(
        chosen("subscribe", subscribe, no_subscribe),
        chosen("publish", publish, no_publish),
        chosen("topic", topic, no_topic),
    )
    if rights.give("service", service_id, data_dir):
        say(f"Service {service_id} has new rights. Its open connections are closed, and come back with them.")
    else:
        say(f"Service {service_id} has these rights already; nothing was changed.")


@app.command("disable")
def disable(service_id: Id, data_dir: DataDir = None) -> None:
    """Keep a service out: its tokens are refused at once."""
    _set_disabled(service_id, data_dir, True)
    say(f"Service {service_id} is disabled.")


@app.command("enable")
def enable(service_id: Id, data_dir: DataDir = None) -> None:
    """Let a disabled service in again."""
    _set_disabled(service_id, data_dir, False)
    say(f"Service {service_id} is enabled.")


@app.command("list")
def list_services(as_json: AsJson = False, data_dir: DataDir = None) -> None:
    """List the services."""
    services = with_accounts(data_dir, lambda accounts: everyone(accounts, "service"))
    if as_json:
        for service in services:
            result_json(described(service) | {"name": service.name})
        return
    made = table("ID", "NAME", "STATE", "MAY READ", "MAY PUBLISH TO", "TOPICS")
    for service in services:
        made.add_row(service.id, service.name, *rights_columns(service))
    show_table(made)


def _set_disabled(service_id: str, data_dir: Path | None, disabled: bool) -> None:
    async def work(accounts: Accounts) -> None:
        from hub.identity.accounts import Update

        await accounts.update("service", service_id, Update(disabled=disabled))

    with_accounts(data_dir, work)
