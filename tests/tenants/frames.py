"""What a foreign tenant's client says over its socket: every type of frame, with every name that it can say.

A type that is not here fails the walk.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, get_args

from hub import wire

from .world import Names

Frames = Callable[[Names], Iterator[dict[str, Any]]]
FRAMES: dict[str, Frames] = {}


def types() -> set[str]:
    """Those that a hub takes."""
    return {get_args(each.model_fields["type"].annotation)[0] for each in get_args(wire.Request)}


def frames(type: str) -> Callable[[Frames], Frames]:
    def keep(made: Frames) -> Frames:
        FRAMES[type] = made
        return made

    return keep


def topics_of(names: Names) -> list[list[str]]:
    full = f"{names.tenant}#"
    return [[names.topic], [f"user:{names.user}"], ["all"], [full + names.topic], [full + "all", "all"], ["*"]]


@frames("subscribe")
def subscribe(names: Names) -> Iterator[dict[str, Any]]:
    for topics in topics_of(names):
        yield {"type": "subscribe", "topics": topics}
        yield {"type": "subscribe", "topics": topics, "tenant": names.tenant}


@frames("unsubscribe")
def unsubscribe(names: Names) -> Iterator[dict[str, Any]]:
    for topics in topics_of(names):
        if topics not in (["all"], [names.topic]):  # Those it stays in, to hear what it should not.
            yield {"type": "unsubscribe", "topics": topics}


@frames("publish")
def publish(names: Names) -> Iterator[dict[str, Any]]:
    for number, topics in enumerate(topics_of(names)):
        for durable in (True, False):
            event = {"id": f"{names.event}-f{number}", "type": "stranger", "to": {"topics": topics}, "durable": durable}
            yield {"type": "publish", "event": event}
    event = {"id": names.event, "type": "stranger", "to": {"users": [names.user]}, "exclude": [names.client]}
    yield {"type": "publish", "event": event}


@frames("ack")
def ack(names: Names) -> Iterator[dict[str, Any]]:
    # Of what it has not seen: this is noted, and no more.
    yield {"type": "ack", "cursor": "0:1"}
    yield {"type": "ack", "cursor": names.topic}


@frames("auth")
def auth(names: Names) -> Iterator[dict[str, Any]]:
    yield {"type": "auth", "token": f"hubk_{names.key}_{'x' * 43}"}
    yield {"type": "auth", "token": names.jti}


@frames("ping")
def ping(names: Names) -> Iterator[dict[str, Any]]:
    yield {"type": "ping", "tenant": names.tenant}
