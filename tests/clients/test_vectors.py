"""The Python client's core against the shared vectors; ``tests/vectors/README.md`` describes their format."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from hub_client import AsyncClient, _core, _frames

from .fake_hub import FakeHub, Socket, event, jwt

VECTORS = Path(__file__).parent.parent / "vectors"
CLIENT = sorted((VECTORS / "client").glob("*.json"))
WIRE = sorted((VECTORS / "wire").glob("from-hub*.json"))

OPEN = [
    {"kind": "start"},
    {"kind": "token", "value": "jwt"},
    {"kind": "frame", "frame": {"type": "welcome", "cursor": "e1:0"}},
]


def put_in(core: _core.Core, step: dict[str, Any]) -> list[dict[str, Any]]:
    kind, fields = step["kind"], {name: value for name, value in step.items() if name != "kind"}
    outputs = core.frame(fields["frame"]) if kind == "frame" else getattr(core, kind)(**fields)
    return [as_json(output) for output in outputs]


def as_json(output: _core.Output) -> dict[str, Any]:
    match output:
        case _core.NeedToken(fresh):
            return {"do": "token", "fresh": fresh}
        case _core.Open(topics, after, client):
            return {"do": "open", "topics": list(topics), "after": after, "client": client}
        case _core.Deliver(frame):
            return {"do": "deliver", **frame}
        case _core.Notify(kind, fields):
            return {"do": "notify", "kind": kind, **fields}
        case _core.Settle():
            fields = {name: value for name, value in asdict(output).items() if value is not None}
            return {"do": "settle", **fields}
        case _:
            return {"do": type(output).__name__.lower(), **asdict(output)}


def load(path: Path) -> dict[str, Any]:
    vector = json.loads(path.read_text())
    assert vector["name"] == path.stem
    return vector


def test_there_are_vectors() -> None:
    assert len(CLIENT) > 50
    assert len(WIRE) == 2


@pytest.mark.parametrize("path", CLIENT, ids=lambda path: path.stem)
def test_client_vector(path: Path) -> None:
    vector = load(path)
    core = _core.Core(vector["client"], vector["topics"], vector.get("after"))
    for number, step in enumerate(vector["steps"]):
        where = f"step {number}: {step['in']}"
        assert put_in(core, step["in"]) == step["out"], where
        assert core.state == step["state"], where
        if "cursor" in step:
            assert core.cursor == step["cursor"], where


@pytest.mark.parametrize("path", WIRE, ids=lambda path: path.stem)
def test_wire_vector(path: Path) -> None:
    for row in load(path)["frames"]:
        assert row["direction"] == "from_hub"
        value = _frames.decode(row["text"])
        core = _core.Core("tab-00000001")
        is_welcome = isinstance(value, dict) and value.get("type") == "welcome"
        for step in OPEN[:2] if is_welcome else OPEN:
            put_in(core, step)
        before = core.state, core.cursor
        outputs = put_in(core, {"kind": "frame", "frame": value})
        match row["expect"]:
            case {"is": "frame", "frame": meant}:
                assert value == meant, row["why"]
                assert {"do": "notify", "kind": "invalid"} not in outputs, row["why"]
                assert _frames.judge(value) is _frames.Verdict.FRAME, row["why"]
            case {"is": "ignored"}:
                assert outputs == [], row["why"]
                assert (core.state, core.cursor) == before, row["why"]
            case {"is": "garbage"}:
                assert outputs == [{"do": "notify", "kind": "invalid"}], row["why"]
                assert (core.state, core.cursor) == before, row["why"]
            case other:
                pytest.fail(f"unknown expectation {other}")


@pytest.mark.anyio
async def test_no_frame_of_the_vectors_ends_a_client(hub: FakeHub) -> None:
    rows = [row for path in WIRE for row in load(path)["frames"]]
    welcomes = [
        row["text"] for row in rows if row["expect"]["is"] == "frame" and row["expect"]["frame"]["type"] == "welcome"
    ]

    async def script(socket: Socket) -> None:
        if socket.number <= len(welcomes):
            await socket.accept()
            await socket.send(welcomes[socket.number - 1])
            await socket.send(event(socket.number, topic="welcomed"))
            await socket.close(4000)
            return
        await socket.welcome()
        for row in rows:
            await socket.send(row["text"])
        await socket.send(event(100, topic="last"))
        await socket.until_closed()

    hub.on_socket = script
    received: list[str] = []
    async with AsyncClient(hub.url, token=jwt()) as client:
        async for one in client:
            received.append(one.topic)
            if one.topic == "last":
                break
        assert all(isinstance(name, str) for name in client.topics)
    assert received[: len(welcomes)] == ["welcomed"] * len(welcomes)
    assert len(hub.sockets) == len(welcomes) + 1


@pytest.mark.parametrize("row", load(VECTORS / "wire" / "to-hub.json")["frames"], ids=lambda row: row["why"])
def test_what_hubs_must_read_is_what_encode_writes(row: dict[str, Any]) -> None:
    meant = row["expect"]["frame"]
    assert _frames.decode(row["text"]) == meant
    assert _frames.decode(_frames.encode(meant)) == meant
