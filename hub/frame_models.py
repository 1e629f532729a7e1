"""What the hub's frames hold, as models: for the AsyncAPI document and for whoever reads frames in a test.

The hub does not write its frames with them: ``hub.wire`` does, by hand, since an event is encoded once. A test drives
a real hub through every one of them and holds it to these models. What a client sends is in ``hub.wire``, where the hub
reads it, and the parts of an event that are kept as they were published in ``hub.publication``.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, Field, JsonValue

from hub.publication import Display

Cursor = Annotated[str, Field(description="A place in the log; opaque. Give it back as `after` to go on from there.")]
Ref = Annotated[int | str, Field(description="The `ref` of the request.")]


class EventObject(BaseModel):
    """An event, as its publisher said it and the hub completed it."""

    id: str
    type: str
    source: Annotated[str, Field(description="The publisher as the hub knows it: `user:<id>` or `service:<id>`.")]
    time: Annotated[str, Field(description="When the hub took it: RFC 3339, UTC, milliseconds.")]
    expires: Annotated[str | None, Field(description="When it ends (RFC 3339): nobody is sent it afterwards.")] = None
    collapse_key: Annotated[
        str | None,
        Field(description="In an inbox, it takes the place of the unread one of its topic with the same key."),
    ] = None
    priority: Literal["low", "normal", "high"] | None = None
    display: Annotated[Display | None, Field(description="How it is shown to people.")] = None
    cloudevent: Annotated[
        dict[str, JsonValue] | None, Field(description="What else it had, if it was published as a CloudEvent.")
    ] = None
    data: JsonValue


class Welcome(BaseModel):
    """The first frame of a connection: events follow from `cursor`."""

    type: Literal["welcome"]
    protocol: Literal["hub.v1"]
    connection: str
    client: Annotated[str, Field(description="The client id that was given, or the connection's own.")]
    user: Annotated[str, Field(description="Whom the token speaks for.")]
    topics: Annotated[list[str], Field(description="All that the connection follows.")]
    cursor: Cursor
    expires: Annotated[float | None, Field(description="Unix seconds: when the token ends. Null: it has no end.")]


class Event(BaseModel):
    """An event. The same bytes go to every subscriber of the topic. Without `cursor` it is an ephemeral one."""

    type: Literal["event"]
    cursor: Cursor | None = None
    topic: str
    event: EventObject


class CursorMoved(BaseModel):
    """You have been sent everything of yours up to here. Follows a resume, and comes now and then."""

    type: Literal["cursor"]
    cursor: Cursor


class Reset(BaseModel):
    """What lay between your cursor and this one is lost to you: reload your state. Events follow from here."""

    type: Literal["reset"]
    reason: Annotated[
        Literal["truncated", "replaced"],
        Field(description="The log no longer reaches back to your cursor, or it is another log."),
    ]
    cursor: Cursor


class PresenceState(BaseModel):
    """Who is in a topic now; replaces what you knew."""

    type: Literal["presence"]
    topic: str
    action: Literal["state"]
    users: list[str]


class PresenceChange(BaseModel):
    """Somebody came to a topic, or left it."""

    type: Literal["presence"]
    topic: str
    action: Literal["join", "leave"]
    user: str


class ReceiptObject(BaseModel):
    """Where a published event is."""

    id: str
    cursor: Annotated[Cursor | None, Field(description="Null: an ephemeral one.")]
    time: str
    duplicate: Annotated[bool, Field(description="It was published before; this is the receipt of the first time.")]


class Ok(BaseModel):
    """A request was carried out. What else it holds depends on the request."""

    type: Literal["ok"]
    ref: Ref
    topics: Annotated[list[str] | None, Field(description="To `subscribe`, `unsubscribe`, `auth`.")] = None
    cursor: Annotated[Cursor | None, Field(description="To `subscribe` and `unsubscribe`.")] = None
    receipt: Annotated[ReceiptObject | None, Field(description="To `publish`.")] = None
    expires: Annotated[float | None, Field(description="To `auth`: when the fresh token ends.")] = None


class Error(BaseModel):
    """A request was refused; the connection stays open."""

    type: Literal["error"]
    ref: Annotated[int | str | None, Field(description="Null: a frame that could not be read.")]
    code: Annotated[str, Field(description="A stable name of the table of errors.")]
    detail: Annotated[str, Field(description="For people: what was wrong, and what to do.")]


class Close(BaseModel):
    """The last of a stream of server-sent events: what a WebSocket's close frame says. Then the connection ends."""

    type: Literal["close"]
    code: Annotated[int, Field(description="A close code; the table says which reasons have it.")]
    reason: str


TOLD = (Welcome, Event, CursorMoved, Reset, PresenceState, PresenceChange)
"""What every client is told, over whichever transport."""
ANSWERS = (Ok, Error)
"""To what a client said: over a WebSocket only."""
