"""The JavaScript client in Node, as a daemon beside a real hub."""

from __future__ import annotations

import json
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from queue import Queue
from typing import Any

import pytest

from tests.hub_process import HubProcess
from tests.node import node

SCRIPT = Path(__file__).with_name("listener.mjs")


class Listener:
    """The daemon, and the lines that it says."""

    def __init__(self, hub: HubProcess, username: str) -> None:
        program = node()
        if program is None:
            pytest.skip("needs Node 20 or newer on the PATH")
        command = [program, "--no-warnings", "--experimental-websocket", str(SCRIPT)]
        self.process = subprocess.Popen(
            [*command, hub.url, username, f"password of {username}"], stdout=subprocess.PIPE, text=True
        )
        self._lines: Queue[dict[str, Any]] = Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._lines.put(json.loads(line))

    def until(self, wanted: Callable[[dict[str, Any]], bool]) -> list[dict[str, Any]]:
        """The lines up to the one that is wanted, that one included."""
        lines = []
        while True:
            line = self._lines.get(timeout=60)
            lines.append(line)
            if wanted(line):
                return lines

    def until_state(self, state: str) -> dict[str, Any]:
        return self.until(lambda line: line.get("state") == state)[-1]

    def close(self) -> None:
        self.process.kill()
        self.process.wait(10)
        self._reader.join(10)  # It has read to the end; a pipe that is being read cannot be closed.
        assert self.process.stdout is not None
        self.process.stdout.close()


@pytest.fixture
def listen() -> Iterator[Callable[[HubProcess, str], Listener]]:
    listeners: list[Listener] = []

    def start(hub: HubProcess, username: str) -> Listener:
        listeners.append(Listener(hub, username))
        return listeners[-1]

    yield start
    for listener in listeners:
        listener.close()


def test_killed_again_and_again_the_hub_is_followed(
    start_hub: Callable[..., HubProcess], listen: Callable[[HubProcess, str], Listener]
) -> None:
    hub = start_hub(access_ttl=2)  # short, so that tokens end in between, too
    hub.add_user("bot", subscribe=["orders", "receipts"], publish=["receipts"])
    bot = listen(hub, "bot")
    bot.until_state("open")
    for number in range(12):
        hub.publish("order.created", number, topics=["orders"])
        if number % 4 == 3:
            hub.kill()
            hub.start()
    settled = 0

    def everything_is_answered(line: dict[str, Any]) -> bool:
        nonlocal settled
        settled += "answered" in line or "unanswered" in line
        return settled == 12

    lines = bot.until(everything_is_answered)
    assert [line["data"] for line in lines if "data" in line] == list(range(12))
    # Whatever was acknowledged to it is in the log, once, however often it had to say it.
    page = hub.call("GET", "/v1/events", params={"topics": "receipts", "after": "earliest"})
    answered = sorted(line["answered"] for line in lines if "answered" in line)
    assert sorted(entry["event"]["data"] for entry in page["events"]) == answered
    assert {line["code"] for line in lines if "unanswered" in line} <= {"not_connected"}


def test_closing_is_an_end_and_a_refusal_is_one_with_a_name(
    hub_server: HubProcess, listen: Callable[[HubProcess, str], Listener]
) -> None:
    hub_server.add_user("bot", subscribe=["orders"])
    bot = listen(hub_server, "bot")
    bot.until_state("open")
    bot.process.terminate()
    assert bot.until(lambda line: "end" in line)[-1] == {"end": "closed"}
    assert bot.process.wait(10) == 0

    other = listen(hub_server, "bot")
    other.until_state("open")
    hub_server.call("PATCH", "/v1/users/bot", json={"disabled": True})
    stopped = other.until_state("stopped")
    assert (stopped["code"], stopped["close"]["code"]) == ("user_disabled", 1008)
    assert other.until(lambda line: "end" in line)[-1] == {"end": "user_disabled"}
    assert other.process.wait(10) == 0
