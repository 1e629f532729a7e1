"""``hub service``: make, change and list the services (backend publishers) of a data directory."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hub import tenancy
from hub.cli import service_keys
from hub.cli.local import (
    AsJson,
    DataDir,
    Publish,
    Subscribe,
    Tenant,
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
app.add_typer(service_keys.app, name="key")

Id = Annotated[str, typer.Argument(help="The service's id.", show_default=False)]


@app.command("add")
def add(
    name: Annotated[
        str, typer.Argument(help="A name; the id is made from it: 'Billing' is billing.", show_default=False)
    ],
    subscribe: Subscribe = None,
    publish: Publish = None,
    topic: Topics = None,
    admin: Annotated[bool, typer.Option("--admin", help="It may do everything, also administer.")] = False,
    tenant: Tenant = "",
    data_dir: DataDir = None,
) -> None:
    """Make a service, and print its first key, which is also its secret as an OAuth2 client.

    Without --publish and --subscribe it may publish to every topic and user, and read nothing. In patterns and topics,
    {sub} stands for the service's id.
    """

    async def work(accounts: Accounts) -> tuple[Account, str]:
        from hub.identity.accounts import SERVICE_GRANTS

        given = Grants(tuple(subscribe or ()), tuple(publish or ()))
        return await accounts.create_service(
            name, admin=admin, grants=SERVICE_GRANTS if given == Grants() else given, topics=topic or ()
        )

    account, secret = with_accounts(data_dir, work, tenant=tenant)
    say(f"Service {tenancy.local(account.id)} was made. Its key, shown only this once (hub service key makes others):")
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
    admin: Annotated[bool | None, typer.Option("--admin/--no-admin", help="Let it administer, or no longer.")] = None,
    tenant: Tenant = "",
    data_dir: DataDir = None,
) -> None:
    """Change what a service may do.

    What is given replaces what it had of its kind, all else is kept. Its tokens are over and their connections closed;
    with its keys, which stay, it gets others. Connections that came with a key itself stay, with the new rights. A key
    administers only if it was made to (hub service key create --admin). In patterns and topics, {sub} stands for the
    service's id.
    """
    rights = Rights(
        chosen("subscribe", subscribe, no_subscribe),
        chosen("publish", publish, no_publish),
        chosen("topic", topic, no_topic),
        admin,
    )
    if rights.give("service", service_id, data_dir, tenant=tenant):
        say(f"Service {service_id} has new rights. Its tokens are over; its keys get others, with them.")
    else:
        say(f"Service {service_id} has these rights already; nothing was changed.")


@app.command("disable")
def disable(service_id: Id, tenant: Tenant = "", data_dir: DataDir = None) -> None:
    """Keep a service out: its tokens are refused at once."""
    _set_disabled(service_id, data_dir, True, tenant=tenant)
    say(f"Service {service_id} is disabled.")


@app.command("enable")
def enable(service_id: Id, tenant: Tenant = "", data_dir: DataDir = None) -> None:
    """Let a disabled service in again."""
    _set_disabled(service_id, data_dir, False, tenant=tenant)
    say(f"Service {service_id} is enabled.")


@app.command("list")
def list_services(as_json: AsJson = False, tenant: Tenant = "", data_dir: DataDir = None) -> None:
    """List the services of a tenant; without --tenant, those that have none."""
    services = with_accounts(data_dir, lambda accounts: everyone(accounts, "service"), tenant=tenant)
    if as_json:
        for service in services:
            result_json(described(service) | {"name": service.name, "admin": service.admin})
        return
    made = table("ID", "NAME", "ROLE", "STATE", "MAY READ", "MAY PUBLISH TO", "TOPICS")
    for service in services:
        role = "administrator" if service.admin else "service"
        made.add_row(tenancy.local(service.id), service.name, role, *rights_columns(service))
    show_table(made)


def _set_disabled(service_id: str, data_dir: Path | None, disabled: bool, *, tenant: str) -> None:
    async def work(accounts: Accounts) -> None:
        from hub.identity.accounts import Update

        await accounts.update("service", service_id, Update(disabled=disabled))

    with_accounts(data_dir, work, tenant=tenant)
