"""The inbox and the stream on real sockets: devices that come and go, mark, are away, and catch up."""

from __future__ import annotations

import json
import random
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from websockets.sync.client import ClientConnection, connect

from tests.hub_process import HubProcess

Start = Callable[..., HubProcess]


class Device:
    """One of a user's: keeps a cursor, and everything it was sent."""

    def __init__(self, hub: HubProcess, token: str, cursor: str = "earliest") -> None:
        self._hub = hub
        self._token = token
        self.cursor = cursor
        self.events: list[tuple[str, dict[str, Any]]] = []

    def connect(self) -> ClientConnection:
        return connect(f"{self._hub.ws_url}?token={self._token}&after={self.cursor}", proxy=None, max_size=None)

    def read(self, socket: ClientConnection, *, timeout: float = 20) -> dict[str, Any]:
        frame: dict[str, Any] = json.loads(socket.recv(timeout))
        assert frame["type"] != "reset", frame
        if frame["type"] == "event":
            self.events.append((frame["cursor"], frame["event"]))
        if frame["type"] in ("event", "cursor"):
            self.cursor = frame["cursor"]
        return frame

    def catch_up(self, cursor: str) -> None:
        """Connect, and read on until it has everything up to there."""
        with self.connect() as socket:
            while seq(self.cursor) < seq(cursor):
                self.read(socket)

    def call(self, method: str, path: str, **options: Any) -> dict[str, Any]:
        headers = {"Authorization": f"Bearer {self._token}"}
        response = self._hub.http.request(method, path, headers=headers, **options)
        assert response.status_code == 200, response.text
        answer: dict[str, Any] = response.json()
        return answer

    def inbox(self, **query: Any) -> list[dict[str, Any]]:
        """All pages."""
        items: list[dict[str, Any]] = []
        after = {}
        while True:
            page = self.call("GET", "/v1/inbox", params={"limit": 100} | query | after)
            items += page["items"]
            if page["next"] is None:
                return items
            after = {"after": page["next"]}

    def unread(self) -> int:
        count: int = self.call("GET", "/v1/inbox", params={"limit": 1})["unread"]
        return count


def seq(cursor: str) -> int:
    return 0 if cursor == "earliest" else int(cursor.rpartition(":")[2])


def log_of(device: Device) -> list[tuple[str, dict[str, Any]]]:
    """What the log has of the user's, in order."""
    found: list[tuple[str, dict[str, Any]]] = []
    after = "earliest"
    while True:
        page = device.call("GET", "/v1/events", params={"after": after, "limit": 1000})
        found += [(one["cursor"], one["event"]) for one in page["events"]]
        after = page["cursor"]
        if not page["more"]:
            return found


def test_devices_come_and_go_and_mark_at_once_and_agree_in_the_end(start_hub: Start) -> None:
    hub = start_hub(recent_bytes=1 << 16)
    token = hub.add_user("alice")
    over = threading.Event()

    def publish() -> None:
        for n in range(60):
            hub.call(
                "POST",
                "/v1/events",
                json=[
                    {
                        "id": f"{n}-{to}",
                        "type": "t",
                        "data": "x" * 500,
                        "to": {"users": ["alice"]} if to else {"all": True},
                    }
                    | ({"ttl": 1} if to == 3 else {})
                    for to in range(4)
                ],
            )

    def live(device: Device, chance: random.Random) -> None:
        """Connect, read for a moment, go away; also in the middle of catching up."""
        while not over.is_set():
            with device.connect() as socket:
                for _ in range(chance.randrange(1, 60)):
                    try:
                        device.read(socket, timeout=0.2)
                    except TimeoutError:
                        break

    def mark(device: Device, chance: random.Random) -> None:
        while not over.is_set():
            page = device.call("GET", "/v1/inbox", params={"archived": "any", "limit": 40})
            known = [item["event"]["id"] for item in page["items"]]
            if chance.random() < 0.15:
                said: dict[str, Any] = {"up_to": chance.choice(page["items"])["cursor"]} if known else {}
                path = chance.choice(["read", "archive"])
            else:
                said = {"ids": chance.sample(known, min(len(known), 5))}
                path = chance.choice(["read", "unread", "archive", "unarchive"])
            if known:
                device.call("POST", f"/v1/inbox/{path}", json=said)

    devices = [Device(hub, token) for _ in range(3)]
    with ThreadPoolExecutor() as pool:
        work = [pool.submit(live, device, random.Random(n)) for n, device in enumerate(devices)]
        work += [pool.submit(mark, Device(hub, token), random.Random(10 + n)) for n in range(2)]
        try:
            publish()
        finally:
            over.set()
        for one in work:
            one.result()
    deadline = time.monotonic() + 15
    while any("expires" in event for _, event in log_of(devices[0])):
        assert time.monotonic() < deadline
    devices[0].call("POST", "/v1/inbox/read", json={"ids": ["59-0", "59-1"]})
    last = devices[1].call("POST", "/v1/inbox/unread", json={"ids": ["59-0"]})
    log = log_of(devices[0])
    assert sum(event["type"] == "t" for _, event in log) == 180
    for device in devices:
        device.catch_up(last["cursor"])
        cursors = [seq(cursor) for cursor, _ in device.events]
        assert cursors == sorted(set(cursors)), "in order, none twice"
        assert [one for one in device.events if "expires" not in one[1]] == log, "none skipped"
    # Whoever carries out the marks in the log's order has the hub's inbox.
    read: set[str] = set()
    archived: set[str] = set()
    before: list[tuple[int, str]] = []
    for cursor, event in log:
        if event["type"] == "t":
            before.append((seq(cursor), event["id"]))
            continue
        data = event["data"]
        marks = read if "read" in data["action"] else archived
        up_to = data["up_to"] and [name for place, name in before if place <= seq(data["up_to"])]
        if data["action"] in ("read", "archive"):
            marks.update(data["ids"] or up_to)
        else:
            marks.difference_update(data["ids"])
    names = [name for _, name in reversed(before)]
    expected = [(name, name in read, name in archived) for name in names]
    inbox = devices[0].inbox(archived="any")
    assert [(item["event"]["id"], item["read"], item["archived"]) for item in inbox] == expected
    unread = sum(not seen and not gone for _, seen, gone in expected)
    assert devices[0].unread() == unread
    assert log[-1][1]["data"] == {"action": "unread", "ids": ["59-0"], "up_to": None, "unread": unread}


def test_a_mark_shows_on_other_devices_live_and_when_they_come_back_also_after_a_crash(start_hub: Start) -> None:
    hub = start_hub()
    token = hub.add_user("alice")
    phone, desk, tablet = (Device(hub, token) for _ in range(3))
    for n in range(3):
        hub.publish(id=str(n), users=["alice"])
    with desk.connect() as socket:
        while len(desk.events) < 3:
            desk.read(socket)
        marked = phone.call("POST", "/v1/inbox/read", json={"ids": ["1"]})
        assert marked == {"changed": 1, "unread": 2, "cursor": marked["cursor"]}
        while len(desk.events) < 4:
            desk.read(socket)
    cursor, event = desk.events[-1]
    assert cursor == marked["cursor"]
    assert (event["type"], event["source"]) == ("hub.inbox", "user:alice")
    assert event["data"] == {"action": "read", "ids": ["1"], "up_to": None, "unread": 2}
    hub.kill()
    hub.start()
    tablet.catch_up(marked["cursor"])
    assert tablet.events == desk.events
    assert [(item["event"]["id"], item["read"]) for item in tablet.inbox()] == [("2", False), ("1", True), ("0", False)]
    assert tablet.unread() == 2


def test_what_ended_while_a_device_was_away_is_nowhere(start_hub: Start) -> None:
    hub = start_hub()
    alice = Device(hub, hub.add_user("alice"))
    hub.publish(id="before", users=["alice"])
    alice.catch_up(alice.call("GET", "/v1/inbox")["cursor"])
    size = hub.metrics()["hub_log_bytes"]
    hub.publish(id="ends", ttl=0.5, data="x" * 10_000, users=["alice"])
    hub.publish(id="stays", ttl=3600, users=["alice"])
    last = hub.publish(id="after", users=["alice"])
    deadline = time.monotonic() + 15
    while "ends" in [item["event"]["id"] for item in alice.inbox()]:
        assert time.monotonic() < deadline
    assert alice.unread() == 3
    assert "ends" not in [event["id"] for _, event in log_of(alice)], "history"
    newest = alice.call("GET", "/v1/events", params={"limit": 3})["events"]
    assert [one["event"]["id"] for one in newest] == ["before", "stays", "after"], "the newest, too"
    alice.catch_up(last["cursor"])
    assert [event["id"] for _, event in alice.events] == ["before", "stays", "after"], "replay"
    assert "expires" in alice.events[1][1]
    assert alice.call("POST", "/v1/inbox/read", json={"ids": ["ends"]})["changed"] == 0
    while hub.metrics()["hub_log_bytes"] > size + 2000:
        assert time.monotonic() < deadline, "it is deleted from the log's file"


@pytest.mark.parametrize("recent_bytes", [1 << 16, 64 << 20], ids=["from the log", "from memory"])
def test_events_that_replace_each_other_while_a_device_catches_up(start_hub: Start, recent_bytes: int) -> None:
    hub = start_hub(outbox_bytes=8192, recent_bytes=recent_bytes)
    alice = Device(hub, hub.add_user("alice"))
    hub.publish(id="first", users=["alice"])
    alice.catch_up(alice.call("GET", "/v1/inbox")["cursor"])

    def upload(numbers: range) -> None:
        for start in range(numbers.start, numbers.stop, 250):
            events = [
                {"id": str(n), "type": "upload", "collapse_key": "up", "data": "x" * 300, "to": {"users": ["alice"]}}
                for n in range(start, start + 250)
            ]
            hub.call("POST", "/v1/events", json=events)

    upload(range(2000))
    later = threading.Thread(target=upload, args=(range(2000, 4000),))
    with alice.connect() as socket:
        while len(alice.events) < 100:
            alice.read(socket)
        later.start()
        while len(alice.events) < 4001:
            alice.read(socket)
    later.join()
    # The log is the log: all of them came, in order, each once.
    assert [event["id"] for _, event in alice.events] == ["first", *map(str, range(4000))]
    # The inbox has the newest.
    assert [item["event"]["id"] for item in alice.inbox()] == ["3999", "first"]
    assert alice.unread() == 2
