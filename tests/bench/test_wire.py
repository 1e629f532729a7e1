"""The bytes of the bench: frames are found wherever a read ends, events whatever stands around them."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.bench import wire
from hub.bench.target import BenchError, Target

MARK = wire.mark("0a1b2c3d", 7)
TARGET = Target("hub.example", 8000, False, "/hub", "127.0.0.1", "a.b.c")


def event(number: int, lane: int = 0, *, marked: bytes = MARK, before: str = "") -> bytes:
    content = wire.data(marked, wire.token(lane, number), 1_000_000 + number)
    return wire.text_frame(b'{"type":"event","x":"%b","event":{"data":%b}}' % (before.encode(), content))


def read(stream: bytes, marked: bytes = MARK) -> list[bytes]:
    return wire.tokens(stream, wire.scan(stream), marked)


def test_a_payload_is_json_of_a_fixed_size() -> None:
    content = wire.data(MARK, wire.token(3, 42), 5)
    assert len(content) == wire.PAYLOAD_BYTES
    assert json.loads(content)["bench"].startswith("@0a1b2c3d.007:03000000420000000000000005x")


@pytest.mark.parametrize(("ttl", "kind"), [(None, {"durable": False}), (60.0, {"ttl": 60})])
def test_a_publication_is_what_the_hub_takes(ttl: float | None, kind: dict[str, object]) -> None:
    body = json.loads(wire.publication("bench:x:all", b"[1]", ttl=ttl))
    assert body == {"type": "bench", "to": {"topics": ["bench:x:all"]}, "data": [1]} | kind


def test_requests_name_the_host_and_carry_the_token_in_a_header() -> None:
    request = wire.post(TARGET, "/v1/events", b"{}")
    assert request.startswith(b"POST /hub/v1/events HTTP/1.1\r\nHost: hub.example:8000\r\n")
    assert b"\r\nAuthorization: Bearer a.b.c\r\n" in request
    assert request.endswith(b"Content-Length: 2\r\n\r\n{}")
    handshake, _ = wire.upgrade(TARGET, "bench:x:all", "e:1")
    assert handshake.startswith(b"GET /hub/v1/ws?topics=bench:x:all&after=e:1 HTTP/1.1\r\n")
    assert b"a.b.c" not in handshake.split(b"\r\n")[0]


def test_the_accept_of_the_rfc() -> None:
    assert wire.accept_key("dGhlIHNhbXBsZSBub25jZQ==") == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="  # RFC 6455, 1.3


@given(
    st.lists(
        st.one_of(
            st.integers(0, 300).map(lambda size: ("event", "x" * size)),
            st.sampled_from([("event", "")] * 5 + [("other", "y" * 40), ("ping", "z")]),
        ),
        max_size=30,
    ),
    st.integers(0, 10_000),
)
def test_every_event_is_found_once_wherever_the_reads_end(pieces: list[tuple[str, str]], cut: int) -> None:
    frames, numbers, pings = [], [], 0
    for number, (kind, text) in enumerate(pieces):
        if kind == "event":
            frames.append(event(number, before=text))
            numbers.append(wire.token(0, number))
        elif kind == "other":
            frames.append(event(number, marked=wire.mark("0a1b2c3d", 6), before=text))
        else:
            frames.append(b"\x89" + bytes((len(text),)) + text.encode())
            pings += 1
    stream = b"".join(frames)
    cut %= len(stream) + 1
    first = wire.scan(stream[:cut])
    rest = stream[first.end : cut] + stream[cut:]
    second = wire.scan(rest)
    assert second.end == len(rest)
    assert wire.tokens(stream[:cut], first, MARK) + wire.tokens(rest, second, MARK) == numbers
    assert len(first.pings) + len(second.pings) == pings


def test_many_frames_of_one_size_are_found_at_once() -> None:
    stream = b"".join(event(number) for number in range(50))
    found = wire.scan(stream + event(50)[:10])
    assert (found.end, found.stride) == (len(stream), len(stream) // 50)
    assert read(stream) == [wire.token(0, number) for number in range(50)]
    assert wire.stamps(stream, found, MARK) == list(range(1_000_000, 1_000_050))


def test_frames_that_only_look_as_if_they_had_one_size_are_not() -> None:
    frames = [event(number) for number in range(8)]
    # As long together, but the borders are elsewhere.
    frames[3:5] = [event(3, before="x"), wire.text_frame(frames[4][4:-1])]
    stream = b"".join(frames)
    assert len(stream) % len(frames[0]) == 0
    found = wire.scan(stream)
    assert (found.end, found.stride) == (len(stream), 0)
    assert len(read(stream)) == 8


def test_one_size_is_one_size_from_the_beginning() -> None:
    stream = event(0, before="x") + b"".join(event(number) for number in range(1, 10))
    found = wire.scan(stream)
    assert (found.end, found.stride) == (len(stream), 0)
    assert read(stream) == [wire.token(0, number) for number in range(10)]


def test_events_of_others_between_ones_own_of_the_same_size() -> None:
    other = wire.mark("ffffffff", 7)
    stream = b"".join(event(number, marked=other if number % 3 == 1 else MARK) for number in range(12))
    assert wire.scan(stream).stride
    assert read(stream) == [wire.token(0, number) for number in range(12) if number % 3 != 1]


def test_a_close_frame_ends_it() -> None:
    closing = (1008).to_bytes(2) + b"token_expired: it has expired"
    stream = event(0) + b"\x88" + bytes((len(closing),)) + closing + event(1)
    found = wire.scan(stream)
    assert found.closed == (1008, "token_expired: it has expired")
    assert wire.tokens(stream, found, MARK) == [wire.token(0, 0)]
    assert wire.scan(b"\x88\x00").closed == (1005, "")


@pytest.mark.parametrize(
    "stream",
    [b"\x82\x01x", b"\x01\x01x", b"\x80\x01x", b"\x81\x81\0\0\0\0x", b"\x81\x7f" + (1 << 40).to_bytes(8), b"HTTP/1.1"],
    ids=["binary", "fragment", "continuation", "masked", "huge", "http"],
)
def test_what_the_hub_never_sends(stream: bytes) -> None:
    with pytest.raises(BenchError, match="no frame of its protocol"):
        wire.scan(stream)
