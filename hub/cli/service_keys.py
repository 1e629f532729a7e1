"""``hub service key``: make, list, replace and revoke the API keys of services."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from time import time
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from hub import notation, tenancy
from hub.cli.local import AsJson, DataDir, Tenant, named, whoever_runs_this, with_store
from hub.cli.output import Failure, result, result_json, say, show_table, table
from hub.cli.rights import chosen
from hub.model import timestamp

if TYPE_CHECKING:
    from hub.database.store import Store
    from hub.identity.models import ServiceKey
    from hub.identity.service_keys import ServiceKeys
    from hub.settings import Settings

_T = TypeVar("_T")

app = typer.Typer(
    help="Administer the API keys of services: each is a bearer token, and a secret at /v1/auth/token.",
    no_args_is_help=True,
)

_Key = Annotated[
    str, typer.Argument(metavar="KEY", help="The key's id: what stands between its underscores.", show_default=False)
]
_Subscribe = Annotated[
    list[str] | None,
    typer.Option("--subscribe", metavar="PATTERN", help="Bound what it may read; repeatable.", show_default=False),
]
_Publish = Annotated[
    list[str] | None,
    typer.Option("--publish", metavar="PATTERN", help="Bound where it may publish; repeatable.", show_default=False),
]
_Life = Annotated[
    str | None,
    typer.Option("--expires-in", metavar="TIME", help="When it ends: 12h, 90d; otherwise never.", show_default=False),
]


@app.command("create")
def create(
    service_id: Annotated[str, typer.Argument(metavar="SERVICE", help="The service's id.", show_default=False)],
    name: Annotated[str, typer.Option("--name", help="For people: where it is used.", show_default=False)] = "",
    subscribe: _Subscribe = None,
    no_subscribe: Annotated[bool, typer.Option("--no-subscribe", help="It may read nothing.")] = False,
    publish: _Publish = None,
    no_publish: Annotated[bool, typer.Option("--no-publish", help="It may publish nowhere.")] = False,
    admin: Annotated[bool, typer.Option("--admin", help="It may administer, if its service may.")] = False,
    expires_in: _Life = None,
    tenant: Tenant = "",
    data_dir: DataDir = None,
) -> None:
    """Make an API key, and print it.

    Without bounds it may read and publish what its service may. It never may more, also if the service may less later.
    """
    life = None if expires_in is None else _seconds("--expires-in", expires_in)
    bounds = (chosen("subscribe", subscribe, no_subscribe), chosen("publish", publish, no_publish))

    async def work(keys: ServiceKeys) -> tuple[ServiceKey, str]:
        from hub.identity.scope import Scope

        until = None if life is None else time() + life
        return await keys.create(service_id, name=name, scope=Scope(*bounds, admin), expires_at=until)

    key, text = _with_keys(data_dir, work, tenant)
    say(f"Key {key.id} of {service_id} was made{_until(key)}. It is shown only this once:")
    result(text)


@app.command("list")
def list_keys(
    service_id: Annotated[
        str | None, typer.Argument(metavar="[SERVICE]", help="Only the keys of this one.", show_default=False)
    ] = None,
    as_json: AsJson = False,
    tenant: Tenant = "",
    data_dir: DataDir = None,
) -> None:
    """List the API keys of a tenant, of one service or of all."""

    async def work(keys: ServiceKeys) -> Sequence[ServiceKey]:
        return await (keys.all() if service_id is None else keys.of(service_id))

    keys = _with_keys(data_dir, work, tenant)
    if as_json:
        for key in keys:
            result_json(
                {
                    "id": key.id,
                    "service": tenancy.local(key.account_id),
                    "name": key.name,
                    "scope": {"subscribe": key.subscribe, "publish": key.publish, "admin": key.admin},
                    "created": key.created_at,
                    "expires": key.expires_at,
                    "last_used": key.last_used_at,
                }
            )
        return
    made = table("KEY", "SERVICE", "NAME", "MAY READ", "MAY PUBLISH TO", "ADMIN", "ENDS", "LAST USED")
    for key in keys:
        made.add_row(
            key.id,
            tenancy.local(key.account_id),
            key.name,
            _bound(key.subscribe),
            _bound(key.publish),
            "yes" if key.admin else "",
            _ends(key),
            "never" if key.last_used_at is None else timestamp(key.last_used_at),
        )
    show_table(made)


@app.command("rotate")
def rotate(
    key_id: _Key,
    overlap: Annotated[
        str | None,
        typer.Option(
            "--overlap", metavar="TIME", help="End the old one then: 24h, 7d, or 0 for at once.", show_default=False
        ),
    ] = None,
    tenant: Tenant = "",
    data_dir: DataDir = None,
) -> None:
    """Make a key like this one (name, bounds, length of life), and print it.

    The old one goes on, so that there is time to bring the new one to where it is used. Then revoke it, or say here
    with --overlap when it is to end.
    """
    rest = None if overlap is None else _seconds("--overlap", overlap)
    new, text, old = _with_keys(data_dir, lambda keys: keys.rotate(key_id, overlap=rest), tenant)
    goes_on = "goes on until you revoke it" if old.expires_at is None else f"ends {timestamp(old.expires_at)}"
    made = f"Key {new.id} of {tenancy.local(new.account_id)} was made{_until(new)}. It is shown only this once:"
    say(f"Key {old.id} {goes_on}. {made}")
    result(text)


@app.command("revoke")
def revoke(key_id: _Key, tenant: Tenant = "", data_dir: DataDir = None) -> None:
    """End a key: it, the tokens that were got with it, and their connections, within half a second."""
    key = _with_keys(data_dir, lambda keys: keys.revoke(key_id), tenant)
    say(f"Key {key.id} of {tenancy.local(key.account_id)} is revoked.")


def _with_keys(data_dir: Path | None, work: Callable[[ServiceKeys], Awaitable[_T]], tenant: str) -> _T:
    whose = named(tenant)

    async def run(_: Settings, store: Store) -> _T:
        from hub.identity.service_keys import ServiceKeys

        return await work(ServiceKeys(store).within(whose).by(whoever_runs_this()))

    return with_store(data_dir, run)


def _seconds(option: str, text: str) -> float:
    try:
        seconds = float(notation.seconds(text))
    except (TypeError, ValueError):
        seconds = -1.0
    if not 0 <= seconds < 1e10:
        raise Failure(f"{option} is a time such as 90s, 24h or 30d, not {text[:60]!r}.", exit_code=2)
    return seconds


def _bound(patterns: list[str] | None) -> str:
    return "(as its service)" if patterns is None else " ".join(patterns) or "nothing"


def _until(key: ServiceKey) -> str:
    return "" if key.expires_at is None else f", and ends {timestamp(key.expires_at)}"


def _ends(key: ServiceKey) -> str:
    if key.expires_at is None:
        return "never"
    return timestamp(key.expires_at) + (" (expired)" if key.expires_at <= time() else "")
