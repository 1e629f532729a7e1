"""The codec: the shared wire vectors, and that what is encoded is what was meant."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.frames import Frame as ReferenceFrame
from websockets.frames import Opcode
from websockets.protocol import CLIENT
from websockets.protocol import Protocol as ReferenceProtocol

from hub import wire
from hub.errors import TABLE, HubError
from hub.model import Entry, Topic

VECTORS = Path(__file__).parent / "vectors" / "wire"


def vectors(*names: str) -> list[Any]:
    return [
        pytest.param(frame, id=f"{name}: {frame['why']}")
        for name in names
        for frame in json.loads((VECTORS / f"{name}.json").read_text())["frames"]
    ]


@pytest.mark.parametrize("frame", vectors("to-hub"))
def test_the_hub_reads_what_clients_may_send(frame: dict[str, Any]) -> None:
    request = wire.parse_request(frame["text"])
    said = request.model_dump(exclude_unset=True)
    expected = frame["expect"]["frame"]
    assert said == {name: expected[name] for name in said}
    assert request.type == expected["type"]


@pytest.mark.parametrize("frame", vectors("to-hub-malformed"))
def test_the_hub_refuses_what_is_malformed_and_says_to_which_request(frame: dict[str, Any]) -> None:
    with pytest.raises(HubError) as refused:
        wire.parse_request(frame["text"])
    assert refused.value.code == frame["expect"]["code"]
    assert refused.value.extra["ref"] == frame["expect"]["ref"]


@given(st.text())
def test_no_text_whatever_raises_anything_else(text: str) -> None:
    try:
        wire.parse_request(text)
    except HubError as refusal:
        assert refusal.code == "frame_invalid"


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(), lambda x: st.lists(x) | st.dictionaries(st.text(), x)
    )
)
def test_no_json_whatever_raises_anything_else(value: Any) -> None:
    try:
        wire.parse_request(json.dumps(value))
    except HubError as refusal:
        assert refusal.code == "frame_invalid"
    try:
        wire.parse_request(json.dumps({"type": "publish", "ref": 1, "event": value}))
    except HubError as refusal:
        assert refusal.code == "frame_invalid"
        assert refusal.extra["ref"] == 1


@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 65535, 65536, 200_000])
def test_a_frame_is_what_a_websocket_client_reads(size: int) -> None:
    frame = wire.Frame(b"x" * size)
    client = ReferenceProtocol(CLIENT, max_size=None)
    client.receive_data(frame.websocket)
    assert client.events_received() == [ReferenceFrame(Opcode.TEXT, b"x" * size)]
    assert len(frame) == len(frame.websocket)


def test_an_event_frame_is_the_stored_body_with_its_place() -> None:
    body = b'{"id":"1","type":"t","source":"user:a","time":"2026-01-01T00:00:00.000Z","data":{"n":1}}'
    frame = wire.event_frame("abc", Topic("orders:7"), Entry(7, (Topic("orders:7"),), body))
    assert json.loads(frame.json) == {
        "type": "event",
        "cursor": "abc:7",
        "topic": "orders:7",
        "event": {"id": "1", "type": "t", "source": "user:a", "time": "2026-01-01T00:00:00.000Z", "data": {"n": 1}},
    }
    ephemeral = json.loads(wire.ephemeral_frame(Topic("orders:7"), body).json)
    assert "cursor" not in ephemeral


def test_a_refusal_never_repeats_what_was_sent() -> None:
    secret = "eyJhbGciOi.secret.token"
    for text in (f'{{"type":"auth","ref":1,"token":["{secret}"]}}', f'{{"type":"{secret}","ref":1}}'):
        with pytest.raises(HubError) as refused:
            wire.parse_request(text)
        assert secret not in refused.value.detail


def test_every_close_reason_fits_into_a_close_frame() -> None:
    for code in TABLE:
        assert len(HubError(code, "ü" * 200).close_reason.encode()) <= 123
        assert HubError(code).close_reason.split(":")[0] == code
