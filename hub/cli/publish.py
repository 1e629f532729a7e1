"""``hub publish``."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hub.cli.connection import Url, call, explained, find
from hub.cli.credentials import Credentials, Password, Secret, Service, Token, Username
from hub.cli.output import Failure, result, result_json

if TYPE_CHECKING:
    from hub_client import Receipt


def publish(
    type: Annotated[str, typer.Argument(help="What happened, such as order.paid.", show_default=False)],
    data: Annotated[
        str | None, typer.Option(help="The event's data, as JSON; - reads it from stdin.", show_default=False)
    ] = None,
    to_user: Annotated[
        list[str] | None, typer.Option("--to-user", metavar="USER", help="A user who gets it; repeatable.")
    ] = None,
    to_topic: Annotated[
        list[str] | None, typer.Option("--to-topic", metavar="TOPIC", help="A topic that it goes to; repeatable.")
    ] = None,
    to_all: Annotated[bool, typer.Option("--to-all", help="Everybody gets it.")] = False,
    id: Annotated[
        str | None,
        typer.Option(help="An id that makes it safe to repeat: the same id is delivered once.", show_default=False),
    ] = None,
    ephemeral: Annotated[
        bool, typer.Option("--ephemeral", help="For those who are connected now; it is not kept.")
    ] = False,
    ttl: Annotated[
        float | None, typer.Option(metavar="SECONDS", help="How long it is of use; it is not read back later.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the receipt as JSON.")] = False,
    url: Url = None,
    token: Token = None,
    service: Service = None,
    secret: Secret = None,
    username: Username = None,
    password: Password = None,
) -> None:
    """Publish an event, and print its receipt once it is on the hub's disk."""
    if not (to_user or to_topic or to_all):
        raise Failure("Say who gets it: --to-user, --to-topic or --to-all.", exit_code=2)
    content = _read(data)
    address = find(url)
    who = Credentials(username, password, service, secret, token).resolve()
    call(address, "GET", "/healthz")

    async def run() -> Receipt:
        from hub_client import AsyncPublisher

        async with AsyncPublisher(address, **who) as publisher:
            return await publisher.publish(
                type,
                content,
                users=to_user or (),
                topics=to_topic or (),
                all=to_all,
                id=id,
                durable=not ephemeral,
                ttl=ttl,
            )

    with explained():
        receipt = asyncio.run(run())
    _show(receipt, as_json)


def _read(data: str | None) -> Any:
    """The JSON of ``--data``; None if there is none."""
    if data is None:
        return None
    text = sys.stdin.read() if data == "-" else data
    try:
        return json.loads(text, parse_constant=_refuse_constant)
    except ValueError as error:
        raise Failure(f"--data is not JSON ({error}); a text is written '\"like this\"'.", exit_code=2) from None


def _refuse_constant(name: str) -> None:
    raise ValueError(f"JSON has no {name}")


def _show(receipt: Receipt, as_json: bool) -> None:
    if as_json:
        result_json({"id": receipt.id, "cursor": receipt.cursor, "time": receipt.time, "duplicate": receipt.duplicate})
    else:
        where = "not kept" if receipt.cursor is None else f"cursor {receipt.cursor}"
        again = ", a duplicate: not delivered again" if receipt.duplicate else ""
        result(f"{receipt.id}  {receipt.time}  {where}{again}")
