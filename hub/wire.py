"""The codec of the stream: frames of ``hub.v1`` to bytes and back. Pure, and it encodes an event once.

An event's object is encoded when it is published and kept as bytes from then on: in the log, and in the frame that
every receiver shares. See docs/protocol.md, section 3. Knows only model and errors.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError
from pydantic_core import to_json

from hub.errors import HubError
from hub.model import Cursor, Entry, Receipt, Topic, timestamp
from hub.publication import Publication

PROTOCOL = "hub.v1"

ResetReason = Literal["truncated", "replaced"]


class Frame:
    """One frame from the hub: its JSON, and the same as a whole WebSocket text frame.

    Frames of a server are not masked (RFC 6455, 5.1), so that these very bytes go to every receiver.
    """

    __slots__ = ("json", "websocket")

    def __init__(self, json: bytes) -> None:
        self.json = json
        size = len(json)
        # RFC 6455, 5.2: FIN and opcode 1 (text), then the payload's length in 7, 7+16 or 7+64 bits.
        if size < 126:
            header = b"\x81" + size.to_bytes(1)
        elif size < 65536:
            header = b"\x81\x7e" + size.to_bytes(2)
        else:
            header = b"\x81\x7f" + size.to_bytes(8)
        self.websocket = header + json

    def __len__(self) -> int:
        return len(self.websocket)

    def __repr__(self) -> str:
        return f"Frame({self.json[:80]!r})"


class Chunk:
    """Event frames that go out together: joined once for all receivers that get the same ones.

    An item is ``(seq, rank, frame)``: the seq of the log (or a number within the chunk for ephemeral events), and which
    of the event's topics the frame names, in the publisher's order.
    """

    __slots__ = ("_items", "seqs", "websocket")

    def __init__(self, items: Sequence[tuple[int, int, Frame]]) -> None:
        self._items = items
        self.seqs = [item[0] for item in items]
        self.websocket = items[0][2].websocket if len(items) == 1 else b"".join([item[2].websocket for item in items])

    def __len__(self) -> int:
        return len(self.websocket)

    def after(self, seq: int) -> Chunk:
        """What follows ``seq``; there is something."""
        return Chunk([item for item in self._items if item[0] > seq])

    def without(self, seqs: Collection[int]) -> Chunk | None:
        """All but some; None if nothing is left."""
        left = [item for item in self._items if item[0] not in seqs]
        return Chunk(left) if left else None

    def merge(self, other: Chunk) -> Chunk:
        """Both, in order; an event that is in both comes once, under the topic that its publisher named first."""
        best = {item[0]: item for item in self._items}
        for item in other._items:
            known = best.get(item[0])
            if known is None or item[1] < known[1]:
                best[item[0]] = item
        return Chunk([best[seq] for seq in sorted(best)])


# --- From the hub


def event_frame(cursor: Cursor, topic: Topic, entry: Entry) -> Frame:
    """A durable event, as the subscribers of ``topic`` get it."""
    return Frame(
        b'{"type":"event","cursor":"%b","topic":"%b","event":%b}' % (_ascii(cursor), topic.encode(), entry.body)
    )


def ephemeral_frame(topic: Topic, body: bytes) -> Frame:
    """An ephemeral event: no cursor."""
    return Frame(b'{"type":"event","topic":"%b","event":%b}' % (topic.encode(), body))


def welcome(
    *, connection: str, client: str, user: str, topics: Iterable[Topic], cursor: Cursor, expires: float
) -> Frame:
    """The first frame of a connection: events follow from ``cursor``."""
    return _frame(
        type="welcome",
        protocol=PROTOCOL,
        connection=connection,
        client=client,
        user=user,
        topics=sorted(topics),
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
    return _frame(type="presence", topic=topic, action="state", users=sorted(users))


def presence_change(topic: Topic, user: str, joined: bool) -> Frame:
    """Somebody came or left."""
    return _frame(type="presence", topic=topic, action="join" if joined else "leave", user=user)


def ok(ref: Ref, **fields: Any) -> Frame:
    """The request ``ref`` was carried out."""
    return _frame(type="ok", ref=ref, **fields)


def error(ref: Ref | None, refusal: HubError) -> Frame:
    """The request ``ref`` (None: a frame that could not be read) was refused. The connection stays open."""
    return _frame(type="error", ref=ref, code=refusal.code, detail=refusal.detail)


def receipt_fields(receipt: Receipt, epoch: str) -> dict[str, Any]:
    """A receipt as JSON fields, for frames and for HTTP alike."""
    cursor = None if receipt.seq is None else str(Cursor(epoch, receipt.seq))
    return {
        "id": receipt.id,
        "cursor": cursor,
        "time": timestamp(receipt.time),
        "duplicate": receipt.duplicate,
    }


def _frame(**fields: Any) -> Frame:
    return Frame(to_json(fields))


def _ascii(value: object) -> bytes:
    return str(value).encode("ascii")


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
