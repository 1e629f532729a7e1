"""Frames as server-sent events: whoever reads the stream as the standard says has the frames, and the cursors."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub import event_stream, wire
from hub.model import Cursor, Entry, Topic
from hub.wire import Chunk, Frame
from tests.transports.stream import Event, Parser

PLACE = Cursor("abc", 7)


def read(data: bytes) -> list[Event]:
    return list(Parser().feed(data))


@pytest.mark.parametrize(
    ("frame", "name", "last_id"),
    [
        (wire.event_frame("abc", Topic("t"), Entry(7, (Topic("t"),), b'{"id":"1"}')), "message", "abc:7"),
        (wire.ephemeral_frame(Topic("t"), b'{"id":"1"}'), "message", ""),
        (
            wire.welcome(connection="c", client="d", user="u", topics=[Topic("t")], cursor=PLACE, expires=math.pi),
            "welcome",
            "abc:7",
        ),
        (wire.cursor_frame(PLACE), "cursor", "abc:7"),
        (wire.reset("truncated", PLACE), "reset", "abc:7"),
        (wire.presence_state(Topic("t"), ["u"]), "presence", ""),
        (wire.presence_change(Topic("t"), "u", True), "presence", ""),
    ],
)
def test_a_frame(frame: Frame, name: str, last_id: str) -> None:
    [event] = read(frame.sse)
    assert event == (name, frame.json.decode(), last_id)


def test_an_id_stays_until_the_next_one() -> None:
    frames = [wire.cursor_frame(PLACE), wire.ephemeral_frame(Topic("t"), b"{}"), wire.presence_state(Topic("t"), [])]
    assert [event.last_id for event in read(b"".join(frame.sse for frame in frames))] == ["abc:7"] * 3


@given(st.lists(st.recursive(st.text() | st.none(), st.lists), max_size=5))
def test_whatever_events_hold_they_are_read_as_they_were(values: list[object]) -> None:
    """Line breaks of every kind, colons and NUL are in JSON as escapes, or mean nothing in a line."""
    bodies = [json.dumps({"data": value}, ensure_ascii=False).encode() for value in values]
    items = [
        (n, 0, wire.event_frame("abc", Topic("t"), Entry(n, (Topic("t"),), body))) for n, body in enumerate(bodies)
    ]
    if items:
        chunk = Chunk(items)
        assert [event.json for event in read(chunk.sse)] == [json.loads(frame.json) for _, _, frame in items]
        assert [event.last_id for event in read(chunk.sse)] == [f"abc:{n}" for n in range(len(items))]
        assert chunk.sse is chunk.sse, "joined once for all"


def test_what_is_no_event_is_none() -> None:
    parser = Parser()
    assert list(parser.feed(event_stream.HEARTBEAT + event_stream.retry(1234))) == []
    assert (parser.comments, parser.retry) == (1, 1234)


def test_the_goodbye() -> None:
    [event] = read(event_stream.goodbye(1008, 'token_expired: "so"\nit is'))
    assert event.name == "close"
    assert event.json == {"type": "close", "code": 1008, "reason": 'token_expired: "so"\nit is'}
