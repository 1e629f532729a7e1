"""What a publisher says, and how it becomes a draft: checked, bounded, encoded once.

Over HTTP and over the socket alike. It is handed the time; ids it makes up. Knows model, policy and errors.
"""

from __future__ import annotations

import hashlib
import json
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, JsonValue
from pydantic_core import from_json, to_json

from hub import cloud_attributes, policy
from hub.errors import HubError
from hub.ids import random_id
from hub.model import Draft, Principal, Topic, all_of, client_id, timestamp, topic, user_topic

MAX_TARGETS = 10_000
"""Targets of one request, all its events together: each is a row in the log."""
_MAX_NAMES = 1000
RESERVED = "hub."
"""How the types of the hub's own events begin."""


class Target(BaseModel):
    """Where an event goes. At least one target is named; a user in several of them gets it once."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")

    users: Annotated[list[str], Field(default_factory=list, max_length=_MAX_NAMES)]
    topics: Annotated[list[str], Field(default_factory=list, max_length=_MAX_NAMES)]
    all: bool = False


_Link = Annotated[str, Field(max_length=2048, pattern=r"^(https?://\S*|/([^/\\\s]\S*)?)$")]
"""Of the web, or a path of the page's own site: whatever shows it may make a link of it, so it is no `javascript:`.

`//elsewhere` is no path (RFC 3986, 4.2), and to browsers `/\\elsewhere` is the same (WHATWG URL, 4.4)."""


class Display(BaseModel):
    """How an event is shown to people: by the console, the browser client, and whatever pushes."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")

    title: Annotated[str, Field(min_length=1, max_length=200)] | None = None
    body: Annotated[str, Field(min_length=1, max_length=2000)] | None = None
    url: _Link | None = None
    icon: _Link | None = None


class Publication(BaseModel):
    """The body of ``POST /v1/events``. A misspelt field is refused rather than ignored: it may hold a guarantee."""

    model_config = ConfigDict(
        strict=True,
        frozen=True,
        extra="forbid",
        json_schema_extra={
            "examples": [{"type": "order.paid", "data": {"order": 7}, "to": {"users": ["alice"]}, "id": "order-7-paid"}]
        },
    )

    id: Annotated[str, Field(min_length=1, max_length=128, pattern=r"^[!-~]+$")] | None = None
    type: Annotated[str, Field(min_length=1, max_length=128)]
    data: JsonValue = None
    to: Target
    durable: bool = True
    ttl: Annotated[float, Field(gt=0, le=10 * 365 * 86400)] | None = None
    collapse_key: Annotated[str, Field(min_length=1, max_length=128)] | None = None
    priority: Literal["low", "normal", "high"] | None = None
    display: Display | None = None
    exclude: Annotated[list[str], Field(default_factory=list, max_length=16)]
    cloudevent: Annotated[dict[str, JsonValue], AfterValidator(cloud_attributes.check)] | None = Field(
        None, description="What a CloudEvent has besides: `source`, `subject`, `time`, …, and its extensions."
    )


def make_draft(
    said: Publication, publisher: Principal, *, now: float, max_bytes: int, exclude: tuple[str, ...] = ()
) -> Draft:
    """Check a publication and encode it.

    Raises ``forbidden`` for a target that the publisher's grants do not cover, ``topic_invalid``, ``event_invalid``,
    ``client_invalid``, and ``event_too_large`` if the event's JSON is over ``max_bytes``.
    """
    targets = _targets(said.to, publisher.tenant)
    policy.require(publisher, policy.Action.PUBLISH, targets)
    if said.type.startswith(RESERVED):
        raise HubError("event_invalid", f"type: those that begin with {RESERVED!r} are the hub's own.")
    event_id, named = said.id, said.id is not None
    if event_id is None:
        event_id = random_id()
    body = b'{"id":%b,"type":%b,"source":"%b","time":"%b",%b"data":%b}' % (
        to_json(event_id) if named else b'"%b"' % event_id.encode(),
        to_json(said.type),
        publisher.shown_source.encode(),
        timestamp(now).encode(),
        _encode_extras(said, now),
        _encode_data(said.data),
    )
    if len(body) > max_bytes:
        raise HubError(
            "event_too_large",
            f"The event has {len(body)} bytes, the hub takes {max_bytes}. Send a link to large content instead.",
        )
    known = named and said.durable
    return Draft(
        id=event_id,
        topics=targets,
        body=body,
        time=now,
        durable=said.durable,
        dedupe=_dedupe(said, publisher) if known else None,
        fingerprint=_fingerprint(said) if known else b"",
        exclude=tuple([client_id(name) for name in said.exclude]) + exclude if said.exclude else exclude,
        expires_at=None if said.ttl is None else now + said.ttl,
    )


def make_own(kind: str, data: dict[str, JsonValue], source: Principal, to: Topic, *, now: float) -> Draft:
    """An event of the hub's own, whose type publishers are refused: about something that ``source`` did."""
    event_id = random_id()
    body = b'{"id":"%b","type":%b,"source":"%b","time":"%b","data":%b}' % (
        event_id.encode(),
        to_json(RESERVED + kind),
        source.shown_source.encode(),
        timestamp(now).encode(),
        to_json(data),
    )
    return Draft(id=event_id, topics=(to,), body=body, time=now)


def head_of(body: bytes) -> dict[str, Any]:
    """An event's members without ``data``, which stands last and may be large."""
    # No string in front of it can hold these bytes: a quotation mark in one is escaped.
    head: dict[str, Any] = from_json(body[: body.index(b',"data":')] + b"}")
    return head


def _encode_extras(said: Publication, now: float) -> bytes:
    """What few events have, each with a comma behind it. ``ttl`` is told as the time at which it ends."""
    if said.ttl is None and said.collapse_key is None and said.priority is None and said.display is None:
        # No attribute can be called "data", which `head_of` looks for.
        return b"" if said.cloudevent is None else b'"cloudevent":%b,' % to_json(said.cloudevent)
    extras = [b'"expires":"%b",' % timestamp(now + said.ttl).encode()] if said.ttl is not None else []
    if said.collapse_key is not None:
        extras.append(b'"collapse_key":%b,' % to_json(said.collapse_key))
    if said.priority is not None:
        extras.append(b'"priority":"%b",' % said.priority.encode())
    if said.display is not None:
        extras.append(b'"display":%b,' % to_json(said.display, exclude_none=True))
    if said.cloudevent is not None:
        extras.append(b'"cloudevent":%b,' % to_json(said.cloudevent))
    return b"".join(extras)


def _encode_data(data: JsonValue) -> bytes:
    encoded = to_json(data)
    # The parser lets NaN and 1e400 (infinity) through; JSON has neither (RFC 8259, 6). The search is the cheap part.
    if b"NaN" in encoded or b"Infinity" in encoded:
        try:
            json.dumps(data, allow_nan=False)
        except ValueError:
            raise HubError("event_invalid", "data: JSON has no NaN and no infinite numbers.") from None
    return encoded


def _targets(to: Target, tenant: str) -> tuple[Topic, ...]:
    names = [user_topic(user, tenant) for user in to.users]
    if to.topics:
        names += [topic(name, tenant) for name in to.topics]
    if to.all:
        names.append(all_of(tenant))
    if not names:
        raise HubError("event_invalid", "to: name at least one of users, topics, all.")
    return tuple(dict.fromkeys(names)) if len(names) > 1 else (names[0],)


def _dedupe(said: Publication, publisher: Principal) -> str:
    if said.cloudevent is None:
        return f"{publisher.source} {said.id}"
    # Of CloudEvents, source and id together are unique (section 3.1.1): who relays those of others has many sources.
    return f"{publisher.source} {said.cloudevent['source']} {said.id}"


def _fingerprint(said: Publication) -> bytes:
    """Tells the same content from another one, whatever the order of the keys."""
    content: dict[str, Any] = said.model_dump(include={"type", "data", "to", "ttl"})
    if said.collapse_key is not None or said.priority is not None or said.display is not None:
        content |= said.model_dump(include={"collapse_key", "priority", "display"})
    if said.cloudevent is not None:
        content["cloudevent"] = said.cloudevent
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).digest()[:16]
