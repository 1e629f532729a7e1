"""``hub listen``."""

from __future__ import annotations

import asyncio
import json
import logging
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from hub.cli.connection import Url, call, explained, find
from hub.cli.credentials import Arguments, Credentials, Password, Secret, Service, Token, Username
from hub.cli.output import printable, result_json, say, stdout

if TYPE_CHECKING:
    from hub_client import Event, Reset, State


def listen(
    topic: Annotated[
        list[str] | None,
        typer.Option("--topic", metavar="TOPIC", help="A topic to follow besides one's own; repeatable."),
    ] = None,
    after: Annotated[
        str | None,
        typer.Option(
            metavar="CURSOR", help="Begin after this place; 'earliest': with all that is kept.", show_default=False
        ),
    ] = None,
    count: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="End after N events.", show_default=False)
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line, for pipes.")] = False,
    url: Url = None,
    token: Token = None,
    username: Username = None,
    password: Password = None,
    service: Service = None,
    secret: Secret = None,
) -> None:
    """Show events as they come, until Ctrl-C.

    Events go to stdout, news of the connection to stderr. Comes back by itself when the connection is lost, and misses
    nothing.
    """
    address = find(url)
    who = Credentials(username, password, service, secret, token).resolve()
    call(address, "GET", "/healthz")
    # What the client's log has to say, the connection's states and the last error say here.
    log = logging.getLogger("hub_client")
    before = log.level
    log.setLevel(logging.CRITICAL)
    try:
        with explained():
            asyncio.run(_follow(address, who, topic or [], after, count, as_json))
    except KeyboardInterrupt:
        pass  # The usual way to end.
    finally:
        log.setLevel(before)


async def _follow(
    url: str, who: Arguments, topics: list[str], after: str | None, count: int | None, as_json: bool
) -> None:
    from hub_client import AsyncClient

    client = AsyncClient(url, **who, topics=topics, after=after, open_timeout=None)
    client.on_state(_Connection(url).tell)
    client.on_reset(_tell_gap)
    show = _show_json if as_json else _show
    async with client:
        seen = 0
        async for event in client:
            show(event)
            seen += 1
            if seen == count:
                return


class _Connection:
    """Tells of the connection, not more often than it changes for the one who watches."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._told = ""

    def tell(self, state: State) -> None:
        match state.value:
            case "open":
                text = f"Connected to {self._url}."
            case "waiting":
                text = f"Not connected to {self._url}; trying again."
            case _:
                return
        if text != self._told:
            self._told = text
            say(text)


def _tell_gap(gap: Reset) -> None:
    why = "they are older than what the hub keeps" if gap.reason == "truncated" else "the hub has another log now"
    say(f"Events are missing here: {why}.")


def _show(event: Event) -> None:
    line = Text.assemble(
        (f"{event.at.astimezone():%H:%M:%S}", "dim"),
        ("  " if event.cursor else " ~", "dim"),
        (event.topic, "cyan"),
        "  ",
        (printable(event.type), "bold"),
        "  ",
        (printable(event.source), "dim"),
    )
    if event.data is not None:
        line.append("  " + printable(json.dumps(event.data, ensure_ascii=False)))
    stdout().print(line, soft_wrap=True)


def _show_json(event: Event) -> None:
    """As in the answer of ``GET /v1/events``."""
    content = {"id": event.id, "type": event.type, "source": event.source, "time": event.time, "data": event.data}
    result_json({"cursor": event.cursor, "topic": event.topic, "event": content})
