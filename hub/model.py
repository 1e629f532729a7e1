"""The nouns of the hub: values that do not change, that every other module may know, and that know only tenancy and
errors. Topics and subjects are names in full: see ``hub.tenancy``.

Those that an event passes through are named tuples, which are made in a third of the time of a frozen dataclass.

Sizes are bytes, times are Unix seconds (float) unless a name says otherwise. Nothing here does I/O.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from typing import Literal, NamedTuple, NewType

from hub import tenancy
from hub.errors import HubError

Topic = NewType("Topic", str)
"""The name of a topic, in full."""

ALL = Topic("all")
"""The topic of everybody; of everybody of a tenant: ``all_of``."""

_TOPIC = re.compile(r"(?=.{1,200}\Z)[A-Za-z0-9_.@+/=|~-]+(?::[A-Za-z0-9_.@+/=|~-]+)*")
_SUBJECT = re.compile(r"[A-Za-z0-9_.@+/=|~-]{1,128}")
_CLIENT = re.compile(r"[A-Za-z0-9_-]{8,64}")


@lru_cache(maxsize=16384)  # Publishers name the same ones again and again.
def topic(name: str, tenant: str = tenancy.DEFAULT) -> Topic:
    """A topic as somebody of a tenant names it, checked, in full; raises ``topic_invalid``."""
    if not _TOPIC.fullmatch(name):
        raise HubError(
            "topic_invalid",
            f"{name[:60]!r} is not a topic name: 1-200 characters, segments of A-Z a-z 0-9 _ . @ + / = | ~ - "
            "joined by ':'.",
        )
    return Topic(tenancy.join(tenant, name))


def all_of(tenant: str) -> Topic:
    """The topic of everybody of a tenant."""
    return Topic(tenancy.join(tenant, ALL))


def is_subject(name: str) -> bool:
    """Whether this may be the local id of a user or a service (one topic segment, at most 128 characters)."""
    return _SUBJECT.fullmatch(name) is not None


@lru_cache(maxsize=16384)
def user_topic(user: str, tenant: str = tenancy.DEFAULT) -> Topic:
    """The own topic of a user whom somebody of a tenant names; raises ``topic_invalid`` if that is not a user id."""
    if not is_subject(user):
        raise HubError("topic_invalid", f"{user[:60]!r} is not a user id.")
    return Topic(tenancy.join(tenant, f"user:{user}"))


def timestamp(time: float) -> str:
    """Unix seconds as an RFC 3339 time in UTC, to the millisecond."""
    second = int(time // 1)
    return f"{_second(second)}.{int((time - second) * 1000):03}Z"


@lru_cache(maxsize=16)
def _second(time: int) -> str:
    return datetime.fromtimestamp(time, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def client_id(value: str) -> str:
    """Check a client id; raises ``client_invalid``."""
    if not _CLIENT.fullmatch(value):
        raise HubError("client_invalid", "A client id has 8-64 characters of A-Z a-z 0-9 _ -.")
    return value


class Cursor(NamedTuple):
    """A place in one log: after the entry ``seq`` of the log ``epoch``. Opaque outside the hub.

    ``epoch`` is made up when a log is created, so that a cursor of a log that was replaced is recognised.
    """

    epoch: str
    seq: int

    def __str__(self) -> str:
        return f"{self.epoch}:{self.seq}"

    @classmethod
    def parse(cls, text: str) -> Cursor:
        """Read what ``str`` wrote; raises ``cursor_invalid``."""
        epoch, _, seq = text.partition(":")
        # 18 digits: what fits SQLite's and JetStream's 64-bit sequence numbers.
        if not (epoch.isascii() and epoch.isalnum() and len(epoch) <= 32):
            raise HubError("cursor_invalid")
        if not (seq.isascii() and seq.isdigit() and len(seq) <= 18 and str(int(seq)) == seq):
            raise HubError("cursor_invalid")
        return cls(epoch, int(seq))


@dataclass(frozen=True, slots=True)
class Grants:
    """Topic patterns that a principal may subscribe and publish to; see ``policy`` for what they match. Local names:
    they reach no further than the principal's own tenant."""

    subscribe: tuple[str, ...] = ()
    publish: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Principal:
    """Who a token speaks for, and what they may do until it expires.

    ``session`` names the login that the token came from; ending that login ends every connection with it. ``subject``,
    ``session`` and ``topics`` are names in full.
    """

    subject: str
    kind: Literal["user", "service"]
    session: str
    expires_at: float
    """``math.inf``: a key that was given no end."""
    admin: bool = False
    grants: Grants = field(default_factory=Grants)
    topics: tuple[Topic, ...] = ()

    @property
    def expires(self) -> float | None:
        """``expires_at`` as clients are told, in JSON: None for one without an end."""
        return None if self.expires_at == math.inf else self.expires_at

    @property
    def tenant(self) -> str:
        """Whose they are; empty: the default tenant's."""
        return tenancy.tenant_of(self.subject)

    @property
    def name(self) -> str:
        """The subject as people see it: its local name."""
        return tenancy.local(self.subject)

    @property
    def source(self) -> str:
        """Who they are, kind included, in full; no two principals have the same."""
        return tenancy.of_kind(self.kind, self.subject)

    @property
    def shown_source(self) -> str:
        """The publisher's name in events: ``user:<id>`` or ``service:<id>``. No client can choose it."""
        return f"{self.kind}:{tenancy.local(self.subject)}"


class Draft(NamedTuple):
    """An event that was checked and is to be appended or signalled.

    ``body`` is the event object of the wire (``{"id",…}``) as UTF-8 JSON, encoded once, here and never again.
    ``dedupe`` is the publisher's idempotency key (publisher and id), or None if the hub made up the id;
    ``fingerprint`` tells the same content from another one under the same key. ``exclude`` are client ids that
    are not sent this event. ``expires_at`` bounds how long it is read back.
    """

    id: str
    topics: tuple[Topic, ...]
    body: bytes
    time: float
    durable: bool = True
    dedupe: str | None = None
    fingerprint: bytes = b""
    exclude: tuple[str, ...] = ()
    expires_at: float | None = None


class Entry(NamedTuple):
    """A draft that has its place in the log. ``topics`` keep the publisher's order."""

    seq: int
    topics: tuple[Topic, ...]
    body: bytes
    exclude: tuple[str, ...] = ()
    expires_at: float | None = None


class Receipt(NamedTuple):
    """What a publisher gets: where the event is. ``seq`` is None for an ephemeral one."""

    id: str
    seq: int | None
    time: float
    duplicate: bool = False


@dataclass(frozen=True, slots=True)
class Page:
    """A piece of the log: the entries of some topics, in order.

    Every entry of those topics with ``after < seq <= through`` that is retained is here, so that reading on from
    ``through`` skips nothing. ``floor``: entries up to it are no longer retained; ``floor > after`` is a gap that the
    reader must be told of. ``more``: ``limit`` cut the page short.
    """

    entries: Sequence[Entry]
    through: int
    floor: int
    more: bool


@dataclass(frozen=True, slots=True)
class PresenceChange:
    """A user came to or left a topic, as the whole hub sees it (not one tab, not one node)."""

    topic: Topic
    user: str
    joined: bool
