"""The stream's AsyncAPI document is valid, and true: a real hub says and takes every message in it, and no other."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from jsonschema_rs import Draft202012Validator
from websockets.asyncio.client import ClientConnection, connect

from hub import frame_models, wire
from hub.errors import TABLE
from tests.hub_process import HubProcess
from tests.node import node

from .stream import Stream

VALIDATOR = Path(__file__).parents[2] / "docs" / "site"
Frame = dict[str, Any]


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubProcess]:
    hub = HubProcess(tmp_path_factory.mktemp("hub"), presence_topics="room:*", presence_grace=0)
    try:
        yield hub.start()
    finally:
        hub.close()


@pytest.fixture(scope="module")
def document(hub: HubProcess) -> Frame:
    served: Frame = hub.http.get("/asyncapi.json").json()
    return served


def validator(document: Frame, message: str) -> Draft202012Validator:
    payload = document["components"]["messages"][message]["payload"]
    return Draft202012Validator({"components": document["components"], **payload})


def recognised(document: Frame, channel: str, frame: Frame) -> str:
    """The one message of the document that the frame is: the channel has it, and it has all that is in the frame."""
    [message] = [name for name in document["components"]["messages"] if validator(document, name).is_valid(frame)]
    assert message in document["channels"][channel]["messages"]
    assert not undescribed(document, message, frame), (message, frame)
    return message


def undescribed(document: Frame, message: str, frame: Frame) -> set[str]:
    """Fields of the frame that the document does not have."""
    return _undescribed(
        document["components"]["schemas"], document["components"]["messages"][message]["payload"], frame
    )


def _undescribed(schemas: Frame, schema: Frame, value: Any) -> set[str]:
    while "$ref" in schema:
        schema = schemas[schema["$ref"].rsplit("/", 1)[1]]
    for choice in schema.get("anyOf", []):
        if isinstance(value, dict) and "$ref" in choice:
            return _undescribed(schemas, choice, value)
    if not isinstance(value, dict) or "properties" not in schema:
        return set()
    known = schema["properties"]
    extra = {name for name in value if name not in known}
    return extra.union(*(_undescribed(schemas, known[name], value[name]) for name in value if name in known))


def test_it_is_a_valid_document(document: Frame) -> None:
    program = node()
    if program is None or not (VALIDATOR / "node_modules").is_dir():
        pytest.skip("make test installs Node and the parser")
    checked = subprocess.run(
        [program, VALIDATOR / "validate.mjs"],
        input=json.dumps(document),
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert checked.stdout == ""


def test_every_frame_has_its_message_and_every_example_fits(document: Frame) -> None:
    messages = document["components"]["messages"]
    models = {*frame_models.TOLD, *frame_models.ANSWERS, frame_models.Close, *wire.REQUESTS}
    assert {one["title"] for one in messages.values()} == {model.__name__ for model in models}
    for name, message in messages.items():
        for example in message["examples"]:
            validator(document, name).validate(example["payload"])
            assert not undescribed(document, name, example["payload"]), name


class Conversation:
    """One connection; every frame it is sent is looked up in the document."""

    def __init__(self, document: Frame, socket: ClientConnection, seen: set[str]) -> None:
        self._document = document
        self._socket = socket
        self._seen = seen

    async def next(self, *wanted: str) -> Frame:
        """The next frame that is one of these messages."""
        while True:
            frame: Frame = json.loads(await asyncio.wait_for(self._socket.recv(), 5))
            message = recognised(self._document, "stream", frame)
            self._seen.add(message)
            if message in wanted:
                return frame

    async def say(self, message: str, **fields: Any) -> None:
        """Send a message of the document: its example, with these fields changed."""
        frame = self._document["components"]["messages"][message]["examples"][0]["payload"] | fields
        validator(self._document, message).validate(frame)
        self._seen.add(message)
        await self._socket.send(json.dumps(frame))


@pytest.mark.anyio
async def test_a_real_hub_says_and_takes_every_message(hub: HubProcess, document: Frame) -> None:
    token = hub.add_user("alice", subscribe=["room:*"], publish=["room:*"])
    other = hub.add_user("carol", subscribe=["room:*"])
    seen: set[str] = set()

    @asynccontextmanager
    async def conversation(query: str, token: str = token) -> AsyncIterator[Conversation]:
        headers = {"Authorization": f"Bearer {token}"}
        async with connect(f"{hub.ws_url}{query}", additional_headers=headers, proxy=None) as socket:
            yield Conversation(document, socket, seen)

    async with conversation("") as alice:
        welcome = await alice.next("welcome")
        await alice.say("subscribe")
        await alice.next("presenceState")
        assert (await alice.next("ok"))["topics"] == ["all", "room:1", "user:alice"]
        async with conversation("?topics=room:1", other) as carol:
            await carol.next("presenceState")
            assert await alice.next("presenceChange")
        assert (await alice.next("presenceChange"))["action"] == "leave"
        shown = {"collapse_key": "order-7", "priority": "high", "display": {"title": "Paid", "url": "/orders/7"}}
        hub.publish("order.paid", {"order": 7}, users=["alice"], id="order-7-paid", ttl=600, **shown)
        event = await alice.next("event")
        assert "cursor" in event
        assert event["event"]["expires"]
        assert shown.items() <= event["event"].items()
        await alice.say("publish", echo=True)
        # Which of the two comes first is not promised.
        answers = [await alice.next("event", "ok") for _ in range(2)]
        [event, ok] = sorted(answers, key=lambda frame: str(frame["type"]))
        assert "cursor" not in event
        assert ok["receipt"]["cursor"] is None
        await alice.say("ack", cursor=welcome["cursor"])
        await alice.say("publish", event={"type": "x", "to": {"all": True}})
        assert (await alice.next("error"))["code"] == "forbidden"
        await alice.say("auth", token=hub.token("alice"))
        assert (await alice.next("ok"))["expires"]
        await alice.say("ping")
        assert await alice.next("ok") == {"type": "ok", "ref": 5}
        await alice.say("unsubscribe")
        assert (await alice.next("ok"))["topics"] == ["all", "user:alice"]
    async with conversation(f"?after={welcome['cursor']}") as alice:
        newest = (await alice.next("event"))["cursor"]
    async with conversation(f"?after={newest}") as alice:
        await alice.next("cursorMoved")
    async with conversation("?after=0123456789ab:1") as alice:
        assert (await alice.next("reset"))["reason"] == "replaced"
    assert seen == set(document["channels"]["stream"]["messages"])


@pytest.mark.anyio
async def test_a_real_hub_says_every_message_as_an_event(hub: HubProcess, document: Frame) -> None:
    token = hub.add_user("dave", subscribe=["room:*"])
    seen: list[str] = []

    async def until(stream: Stream, wanted: str) -> Frame:
        while wanted not in seen:
            event = await stream.next()
            message = recognised(document, "serverSentEvents", event.json)
            assert event.name == ("message" if message == "event" else event.json["type"])
            assert "cursor" not in event.json or event.last_id == event.json["cursor"]
            seen.append(message)
        return event.json

    stream = await Stream.open(hub, token, topics="room:2")
    place = (await until(stream, "welcome"))["cursor"]
    await until(stream, "presenceState")
    (await Stream.open(hub, hub.add_user("erin", subscribe=["room:*"]), topics="room:2")).cut()
    await until(stream, "presenceChange")
    hub.publish(users=["dave"])
    await until(stream, "event")
    resumed = await Stream.open(hub, token, after=place)
    await until(resumed, "cursorMoved")
    lost = await Stream.open(hub, token, after="0123456789ab:1")
    await until(lost, "reset")
    hub.call("PATCH", "/v1/users/dave", json={"disabled": True})
    assert (await until(stream, "close"))["reason"].startswith("user_disabled")
    for one in (stream, resumed, lost):
        one.cut()
    assert set(seen) == set(document["channels"]["serverSentEvents"]["messages"])


def test_what_it_says_of_close_codes_is_the_table(document: Frame) -> None:
    rows = dict(re.findall(r"^\| (\d+) \| (.+) \|$", document["info"]["description"], re.MULTILINE))
    shown = {code.strip("`"): int(number) for number, codes in rows.items() for code in codes.split(", ")}
    assert shown == {kind.code: kind.close for kind in TABLE.values()}
