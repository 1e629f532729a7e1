"""What the client hands out and takes, as frozen values. Knows only errors.

Times are RFC 3339 texts as the hub wrote them (``time``), with a ``datetime`` on demand (``at``).
"""

from __future__ import annotations

import builtins
import re
import uuid
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Literal, Protocol, TypeVar

from hub_client import _cloudevents
from hub_client._errors import Refused

T = TypeVar("T")

Priority = Literal["low", "normal", "high"]

Json = Any
"""A JSON value: None, bool, int, float, str, or lists and dicts (with str keys) of them."""

_TOPIC = re.compile(r"(?=.{1,200}\Z)[A-Za-z0-9_.@+/=|~-]+(?::[A-Za-z0-9_.@+/=|~-]+)*")
_CLIENT = re.compile(r"[A-Za-z0-9_-]{8,64}")
_TOPICS_IN_URL = 6000


@dataclass(frozen=True, slots=True)
class Event:
    """An event that was received or read.

    ``source`` is the publisher as the hub knows it (``user:<id>`` or ``service:<id>``); no publisher can choose it.
    ``cursor`` is the event's place in the log, None for an ephemeral event. ``cloudevent``: what it had besides, if it
    was published as a CloudEvent. ``expires``: when it is gone from the log, if its publisher said so;
    ``collapse_key``, ``priority`` and ``display`` are the publisher's, too.
    """

    id: str
    type: str
    source: str
    time: str
    topic: str
    data: Json = None
    cursor: str | None = None
    cloudevent: Mapping[str, Any] | None = None
    expires: str | None = None
    collapse_key: str | None = None
    priority: str | None = None
    display: Mapping[str, str] | None = None

    @property
    def at(self) -> datetime:
        """``time``, when the hub took the event, as a datetime with a zone. Raises ValueError if it is none."""
        return datetime.fromisoformat(self.time)

    @classmethod
    def from_frame(cls, frame: Mapping[str, Any]) -> Event:
        """Read an ``event`` frame, or one of the ``events`` of a page."""
        event = frame["event"]
        return cls(
            id=event["id"],
            type=event["type"],
            source=_text(event.get("source")),
            time=_text(event.get("time")),
            topic=frame["topic"],
            data=event.get("data"),
            cursor=frame.get("cursor"),
            cloudevent=attributes if isinstance(attributes := event.get("cloudevent"), dict) else None,
            expires=event.get("expires"),
            collapse_key=event.get("collapse_key"),
            priority=event.get("priority"),
            display=event.get("display"),
        )

    def read(self, cls: builtins.type[T]) -> T:
        """The data as an instance of a registered class (see ``hub_client.typed``).

        Raises ValueError if the event is of another type, or its data do not fit; TypeError if the class is not
        registered.
        """
        kind = kind_of(cls)
        if kind.name != self.type:
            raise ValueError(f"this is an event of type {self.type!r}, not {kind.name!r}")
        value: T = kind.load(self.data)
        return value

    def to_cloudevent(self) -> dict[str, Any]:
        """This event as a CloudEvent 1.0 in the JSON format (structured mode), a dict.

        One that was published as a CloudEvent has its attributes; of another, ``source`` is the publisher.
        ``hubtopic``, ``hubcursor``, ``hubtime`` and ``hubpublisher`` are the hub's word in any case.
        """
        return _cloudevents.render(self)


@dataclass(frozen=True, slots=True)
class Receipt:
    """The hub has it: a durable event is in the log, at ``cursor`` (None: ephemeral).

    ``duplicate``: it was there already, under the same id, and was not delivered again.
    """

    id: str
    cursor: str | None
    time: str
    duplicate: bool = False

    @property
    def at(self) -> datetime:
        """``time``, when the hub took the event, as a datetime with a zone."""
        return datetime.fromisoformat(self.time)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Receipt:
        """Read a receipt of the hub."""
        return cls(value["id"], value.get("cursor"), value["time"], bool(value.get("duplicate")))


@dataclass(frozen=True, slots=True)
class Presence:
    """Who is in a topic (``state``: replaces what was known), or who came (``join``) or went (``leave``)."""

    topic: str
    action: Literal["state", "join", "leave"]
    users: tuple[str, ...]

    @classmethod
    def from_frame(cls, frame: Mapping[str, Any]) -> Presence:
        """Read a ``presence`` frame."""
        users = frame["users"] if frame["action"] == "state" else (frame["user"],)
        return cls(frame["topic"], frame["action"], tuple(users))


@dataclass(frozen=True, slots=True)
class Reset:
    """There is a gap before the next event: reload what you derived from events.

    ``reason``: ``truncated`` (you were away for longer than the hub keeps events) or ``replaced`` (it is another log).
    """

    reason: str
    cursor: str


@dataclass(frozen=True, slots=True)
class History:
    """A page of the log, oldest first. Go on with ``after=page.cursor`` while ``more``.

    ``reset``: events between ``after`` and the oldest retained one are gone.
    """

    events: tuple[Event, ...]
    cursor: str
    reset: bool
    more: bool

    def __iter__(self) -> Iterator[Event]:
        return iter(self.events)

    def __len__(self) -> int:
        return len(self.events)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> History:
        """Read the answer of ``GET /v1/events``."""
        events = tuple(Event.from_frame(item) for item in value["events"])
        return cls(events, value["cursor"], bool(value.get("reset")), bool(value.get("more")))


@dataclass(frozen=True, slots=True)
class Identity:
    """Who the token says we are, and the topic patterns that it grants.

    ``expires`` is in Unix seconds, None for an API key that was given no end.
    """

    subject: str
    kind: Literal["user", "service"]
    admin: bool
    topics: tuple[str, ...]
    subscribe: tuple[str, ...]
    publish: tuple[str, ...]
    expires: float | None

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Identity:
        """Read the answer of ``GET /v1/me``."""
        grants = value.get("grants", {})
        return cls(
            subject=value["subject"],
            kind=value["kind"],
            admin=bool(value.get("admin")),
            topics=tuple(value.get("topics", ())),
            subscribe=tuple(grants.get("subscribe", ())),
            publish=tuple(grants.get("publish", ())),
            expires=value.get("expires"),
        )


@dataclass(frozen=True, slots=True)
class NewEvent:
    """An event to publish: what it is, and to whom it goes (at least one of ``users``, ``topics``, ``all``).

    ``id`` (1-128 printable ASCII characters) makes publishing it again harmless for a day; None: one is made up.
    ``durable=False`` skips the log: for what only matters now. ``ttl``: seconds after which it is no longer read back.
    ``exclude``: client ids that do not get it. ``cloudevent``: the attributes of a CloudEvent that have no other place
    here (see ``from_cloudevent``). ``collapse_key``: in the inbox, it takes the place of an unread event of the same
    key in the same topic. ``display`` (``title``, ``body``, ``url``, ``icon``) says how people are shown it.
    """

    type: str
    data: Json = None
    users: Iterable[str] = ()
    topics: Iterable[str] = ()
    all: bool = False
    id: str | None = None
    durable: bool = True
    ttl: float | None = None
    exclude: Iterable[str] = ()
    cloudevent: Mapping[str, Any] | None = None
    collapse_key: str | None = None
    priority: Priority | None = None
    display: Mapping[str, str] | None = None

    @classmethod
    def from_cloudevent(
        cls,
        event: Mapping[str, Any],
        *,
        users: Iterable[str] = (),
        topics: Iterable[str] = (),
        all: bool = False,
        durable: bool = True,
        ttl: float | None = None,
    ) -> NewEvent:
        """A CloudEvent 1.0 in the JSON format (``data`` may be bytes) to these targets.

        Its id, type and data are the event's, its other attributes are kept. Raises ValueError for what is none.
        """
        id, type, data, attributes = _cloudevents.take_apart(event)
        return cls(type, data, users, topics, all, id, durable, ttl, cloudevent=attributes)

    @classmethod
    def typed(cls, value: object, **fields: Any) -> NewEvent:
        """An event from an instance of a registered type (see ``hub_client.typed``); ``fields`` are the others here."""
        type, data = said(value)
        return cls(type, data, **fields)

    def with_id(self) -> NewEvent:
        """The same, with an id."""
        return replace(self, id=uuid.uuid4().hex) if self.id is None else self

    def body(self) -> dict[str, Any]:
        """What the hub takes. Raises ValueError if it goes to nobody."""
        targets: dict[str, Any] = {"users": names(self.users), "topics": names(self.topics), "all": self.all}
        to = {name: value for name, value in targets.items() if value}
        if not to:
            raise ValueError("name at least one target: users, topics or all=True")
        body: dict[str, Any] = {"id": self.id, "type": self.type, "data": self.data, "to": to}
        if not self.durable:
            body["durable"] = False
        if self.ttl is not None:
            body["ttl"] = self.ttl
        if exclude := names(self.exclude):
            body["exclude"] = exclude
        if self.cloudevent is not None:
            body["cloudevent"] = dict(self.cloudevent)
        if self.collapse_key is not None:
            body["collapse_key"] = self.collapse_key
        if self.priority is not None:
            body["priority"] = self.priority
        if self.display is not None:
            body["display"] = dict(self.display)
        return body


def said(type: object, data: Json = None) -> tuple[str, Json]:
    """Type and data of what ``publish`` was given: both, or an instance of a registered type that has both."""
    if isinstance(type, str):
        return type, data
    kind = kind_of(type.__class__)
    if data is not None:
        raise TypeError("a typed event brings its data along; give no other")
    return kind.name, kind.dump(type)


class Kind(Protocol):
    """What a registered class (see ``hub_client.typed``) has as ``__hub_event__``."""

    name: str

    def dump(self, value: Any) -> Json:
        """The data of an instance."""

    def load(self, data: Json) -> Any:
        """An instance with this data. Raises ValueError."""


def type_name(type: object) -> str:
    """A type of events, by its name or by the class that was registered for it."""
    return type if isinstance(type, str) else kind_of(type).name


def kind_of(cls: object) -> Kind:
    """The kind of event that a class stands for. Raises TypeError if it was not registered."""
    kind: Kind | None = getattr(cls, "__hub_event__", None)
    if kind is None:
        name = getattr(cls, "__qualname__", repr(cls))
        raise TypeError(f"{name} is no type of event: say which with @hub_client.typed.event_type(…)")
    return kind


def as_event(event: NewEvent | Mapping[str, Any]) -> NewEvent:
    """The event; a mapping has the fields of ``NewEvent``."""
    return event if isinstance(event, NewEvent) else NewEvent(**event)


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def names(value: Iterable[str]) -> list[str]:
    """The names as a list; one name may be given bare."""
    return [value] if isinstance(value, str) else list(value)


def check_topics(topics: Iterable[str]) -> tuple[str, ...]:
    """The topics, each once. Raises Refused as the hub would, which says so only by ending the connection."""
    checked = tuple(dict.fromkeys(topics))
    for topic in checked:
        if not _TOPIC.fullmatch(topic):
            raise Refused("topic_invalid", f"{topic[:60]!r} is not a topic name")
    # They stand in the URL, so that subscribing and resuming are one act, and servers bound a request line at 8 KiB.
    if sum(map(len, checked)) + len(checked) > _TOPICS_IN_URL:
        raise Refused("too_many_topics", f"the names of all topics together may have {_TOPICS_IN_URL} characters")
    return checked


def check_client(client: str | None) -> str:
    """The client id, or a new one. Raises ValueError."""
    if client is None:
        return uuid.uuid4().hex
    if not _CLIENT.fullmatch(client):
        raise ValueError("a client id has 8-64 characters of A-Z a-z 0-9 _ -")
    return client
