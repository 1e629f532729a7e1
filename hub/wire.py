"""The codec of the stream: frames of ``hub.v1`` to bytes and back. Pure, and it encodes an event once.

An event's object is encoded when it is published and kept as bytes from then on: in the log, and in the frame that
every receiver shares. See docs/protocol.md, section 3. It is given names in full and
writes local ones. Knows only tenancy, model, errors and event_stream.
"""

from __future__ import annotations

import zlib
from collections.abc import Collection, Iterable, Sequence
from enum import Enum
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError
from pydantic_core import to_json

from hub import event_stream, tenancy
from hub.errors import HubError
from hub.model import Cursor, Entry, Receipt, Topic, timestamp
from hub.publication import Publication

PROTOCOL = "hub.v1"

ResetReason = Literal["truncated", "replaced"]
Item = tuple[int, int, "Frame"]


class Kind(Enum):
    """What becomes of something that waits for a reader who is too slow."""

    CONTROL = "control"
    """It is never dropped."""
    EVENTS = "events"
    """Events of the log: dropped, and read from there."""
    EPHEMERAL = "ephemeral"
    """Dropped for good."""
    PRESENCE = "presence"
    """Dropped; the state is sent later."""


class Frame:
    """One frame from the hub: a whole WebSocket text frame.

    Frames of a server are not masked (RFC 6455, 5.1), so that these very bytes go to every receiver.
    """

    __slots__ = ("_deflated", "kind", "websocket")

    def __init__(self, json: bytes, kind: Kind = Kind.CONTROL) -> None:
        self.websocket = _header(0x81, len(json)) + json
        self.kind = kind
        self._deflated: bytes | None = None

    @property
    def json(self) -> bytes:
        """The JSON in it."""
        return self.websocket[_header_size(len(self.websocket)) :]

    @property
    def deflated(self) -> bytes:
        """The same frame compressed (RFC 7692, without context takeover): once, for all who want it so.

        A short one is not, since it would hardly get shorter.
        """
        if self._deflated is None:
            json = self.json
            if len(json) < _DEFLATE_FROM:
                self._deflated = self.websocket
            else:
                packer = zlib.compressobj(wbits=-15)
                # RFC 7692, 7.2.1: the empty block at the end is left out.
                packed = (packer.compress(json) + packer.flush(zlib.Z_SYNC_FLUSH))[:-4]
                self._deflated = _header(0xC1, len(packed)) + packed
        return self._deflated

    @property
    def sse(self) -> bytes:
        """The same as a server-sent event. Not kept here, as frames of recent events are: a ``Chunk`` keeps it."""
        return event_stream.encode(self.json)

    @property
    def frames(self) -> list[Frame]:
        """Itself, as a ``Chunk`` has several."""
        return [self]

    def __len__(self) -> int:
        return len(self.websocket)

    def __repr__(self) -> str:
        return f"Frame({self.json[:80]!r})"


_DEFLATE_FROM = 128
"""Bytes of JSON from which on a frame is compressed, where a client wants it."""


def _header(first: int, size: int) -> bytes:
    """RFC 6455, 5.2: FIN, RSV1 and opcode, then the payload's length in 7, 7+16 or 7+64 bits."""
    if size < 126:
        return bytes((first, size))
    if size < 65536:
        return bytes((first, 126, size >> 8, size & 255))
    return bytes((first, 127)) + size.to_bytes(8)


def _header_size(frame_size: int) -> int:
    return 2 if frame_size < 128 else 4 if frame_size < 65540 else 10


class Chunk:
    """Event frames that go out together: joined once for all receivers that get the same ones.

    An item is ``(seq, rank, frame)``: the seq of the log (or a number within the chunk for ephemeral events), and which
    of the event's topics the frame names, in the publisher's order.
    """

    __slots__ = ("_deflated", "_items", "_sse", "kind", "seqs", "websocket")

    def __init__(self, items: Sequence[Item], kind: Kind = Kind.EVENTS) -> None:
        self._items = items
        self._deflated: bytes | None = None
        self._sse: bytes | None = None
        self.kind = kind
        if len(items) == 1:
            [(seq, _, frame)] = items
            self.seqs = [seq]
            self.websocket = frame.websocket
        else:
            self.seqs = [item[0] for item in items]
            self.websocket = b"".join([item[2].websocket for item in items])

    @property
    def deflated(self) -> bytes:
        """The compressed frames, joined once."""
        if self._deflated is None:
            self._deflated = b"".join([item[2].deflated for item in self._items])
        return self._deflated

    @property
    def sse(self) -> bytes:
        """All as server-sent events, joined once for all who want them so."""
        if self._sse is None:
            self._sse = b"".join([item[2].sse for item in self._items])
        return self._sse

    @property
    def frames(self) -> list[Frame]:
        """One by one, for a transport that takes them so."""
        return [item[2] for item in self._items]

    def __len__(self) -> int:
        return len(self.websocket)

    def after(self, seq: int) -> Chunk:
        """What follows ``seq``; there is something."""
        return Chunk([item for item in self._items if item[0] > seq], self.kind)

    def without(self, seqs: Collection[int]) -> Chunk | None:
        """All but some; None if nothing is left."""
        left = [item for item in self._items if item[0] not in seqs]
        return Chunk(left, self.kind) if left else None

    def merge(self, other: Chunk) -> Chunk:
        """Both, in order; an event that is in both comes once, under the topic that its publisher named first."""
        best = {item[0]: item for item in self._items}
        for item in other._items:
            known = best.get(item[0])
            if known is None or item[1] < known[1]:
                best[item[0]] = item
        return Chunk([best[seq] for seq in sorted(best)], self.kind)


# --- From the hub


def event_frame(epoch: str, topic: Topic, entry: Entry) -> Frame:
    """A durable event of the log ``epoch``, as the subscribers of ``topic`` get it."""
    return Frame(
        b'{"type":"event","cursor":"%b:%d","topic":"%b","event":%b}'
        % (epoch.encode(), entry.seq, tenancy.local(topic).encode(), entry.body),
        Kind.EVENTS,
    )


def ephemeral_frame(topic: Topic, body: bytes) -> Frame:
    """An ephemeral event: no cursor."""
    return Frame(b'{"type":"event","topic":"%b","event":%b}' % (tenancy.local(topic).encode(), body), Kind.EPHEMERAL)


def welcome(
    *, connection: str, client: str, user: str, topics: Iterable[Topic], cursor: Cursor, expires: float | None
) -> Frame:
    """The first frame of a connection: events follow from ``cursor``."""
    return _frame(
        type="welcome",
        protocol=PROTOCOL,
        connection=connection,
        client=client,
        user=tenancy.local(user),
        topics=shown(topics),
        cursor=str(cursor),
        expires=expires,
    )


def cursor_frame(cursor: Cursor) -> Frame:
    """The receiver was sent everything of theirs up to ``cursor``."""
    return _frame(type="cursor", cursor=str(cursor))


def reset(reason: ResetReason, cursor: Cursor) -> Frame:
    """What lay before ``cursor`` and after the receiver's own is lost to them."""
    return _frame(type="reset", reason=reason, cursor=str(cursor))


def presence_state(topic: Topic, users: Iterable[str]) -> Frame:
    """Who is in a topic now; replaces what the receiver knew."""
    return _frame(type="presence", topic=tenancy.local(topic), action="state", users=shown(users))


def presence_change(topic: Topic, user: str, joined: bool) -> Frame:
    """Somebody came or left."""
    action = "join" if joined else "leave"
    fields = {"type": "presence", "topic": tenancy.local(topic), "action": action, "user": tenancy.local(user)}
    return Frame(to_json(fields), Kind.PRESENCE)


def shown(names: Iterable[str]) -> list[str]:
    """Topics or users as people see them, in order."""
    return sorted(tenancy.local(name) for name in names)


def ok(ref: Ref, **fields: Any) -> Frame:
    """The request ``ref`` was carried out."""
    return _frame(type="ok", ref=ref, **fields)


def published(ref: Ref, receipt: Receipt, epoch: str) -> Frame:
    """The same for a ``publish``."""
    return Frame(b'{"type":"ok","ref":%b,"receipt":%b}' % (to_json(ref), encode_receipt(receipt, epoch)))


def error(ref: Ref | None, refusal: HubError) -> Frame:
    """The request ``ref`` (None: a frame that could not be read) was refused. The connection stays open."""
    return _frame(type="error", ref=ref, code=refusal.code, detail=refusal.detail)


def encode_receipt(receipt: Receipt, epoch: str) -> bytes:
    """A receipt as JSON, for frames and for HTTP alike."""
    return b'{"id":%b,"cursor":%b,"time":"%b","duplicate":%b}' % (
        to_json(receipt.id),
        b"null" if receipt.seq is None else b'"%b:%d"' % (epoch.encode(), receipt.seq),
        timestamp(receipt.time).encode(),
        b"true" if receipt.duplicate else b"false",
    )


def _frame(**fields: Any) -> Frame:
    return Frame(to_json(fields))


# --- From the client

Ref = Annotated[int | Annotated[str, Field(max_length=64)], Field(union_mode="left_to_right")]
_TopicNames = Annotated[list[Annotated[str, Field(max_length=200)]], Field(min_length=1, max_length=1000)]


class _Request(BaseModel):
    # A newer client may say more than this hub knows; unknown fields are ignored.
    model_config = ConfigDict(strict=True, frozen=True, extra="ignore")


class Subscribe(_Request):
    """Add topics, all or none."""

    type: Literal["subscribe"]
    ref: Ref
    topics: _TopicNames


class Unsubscribe(_Request):
    """Leave topics, all or none."""

    type: Literal["unsubscribe"]
    ref: Ref
    topics: _TopicNames


class Publish(_Request):
    """Publish an event, where granted. ``echo``: the publishing client is sent it, too."""

    type: Literal["publish"]
    ref: Ref
    event: Publication
    echo: bool = False


class Ack(_Request):
    """Everything up to the cursor was dealt with."""

    type: Literal["ack"]
    cursor: Annotated[str, Field(max_length=64)]


class Auth(_Request):
    """A fresh token of the same subject."""

    type: Literal["auth"]
    ref: Ref
    token: str


class Ping(_Request):
    """Are you there?"""

    type: Literal["ping"]
    ref: Ref


Request = Subscribe | Unsubscribe | Publish | Ack | Auth | Ping
REQUESTS: tuple[type[Request], ...] = get_args(Request)

_requests: TypeAdapter[Request] = TypeAdapter(Annotated[Request, Field(discriminator="type")])
_refs: TypeAdapter[Any] = TypeAdapter(dict[str, Any])


def parse_request(text: str) -> Request:
    """Read a frame from a client; raises ``frame_invalid`` (with ``ref``, if one could be read)."""
    try:
        return _requests.validate_json(text)
    except ValidationError as problem:
        raise HubError("frame_invalid", explain(problem), ref=_ref_of(text)) from None


def explain(problem: ValidationError) -> str:
    """The first thing that is wrong, in one sentence that does not repeat the input (it may hold a token)."""
    first = problem.errors(include_url=False, include_input=False)[0]
    if first["type"] == "union_tag_invalid":
        return f"type: it is one of {first['ctx']['expected_tags']}."
    where = ".".join(str(part) for part in first["loc"])
    message = first["msg"].removeprefix("Value error, ")
    return f"{where}: {message}." if where else f"{message}."


def _ref_of(text: str) -> int | str | None:
    try:
        ref = _refs.validate_json(text).get("ref")
    except ValidationError:
        return None
    return ref if isinstance(ref, int | str) and not isinstance(ref, bool) and len(str(ref)) <= 64 else None
