"""The programs of the Python client's README, run as they stand there against a real hub."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.hub_process import HubProcess, clean_environment

README = Path(__file__).parents[2] / "clients" / "python" / "README.md"
SECTIONS = dict(section.split("\n", 1) for section in README.read_text().split("\n## ")[1:])
PROGRAMS = {
    title: text.split("```python\n", 1)[1].split("\n```", 1)[0]
    for title, text in SECTIONS.items()
    if "```python" in text
}


@pytest.fixture(scope="module")
def environment(shared_hub: HubProcess) -> dict[str, str]:
    shared_hub.add_user("alice", subscribe=["room:*"], publish=["room:*"])
    service = shared_hub.add_service("shop")
    quiet = {name: value for name, value in clean_environment().items() if name != "PYTHONASYNCIODEBUG"}
    return quiet | {
        "HUB_URL": shared_hub.url,
        "HUB_USERNAME": "alice",
        "HUB_PASSWORD": "password of alice",
        "HUB_SERVICE_ID": service["id"],
        "HUB_SERVICE_SECRET": service["secret"],
    }


@contextmanager
def running(title: str, environment: dict[str, str]) -> Iterator[Iterator[str]]:
    """The program, and the lines that it prints."""
    process = subprocess.Popen(
        [sys.executable, "-W", "error", "-c", PROGRAMS[title]],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout is not None
    try:
        yield (line.rstrip() for line in process.stdout)
    finally:
        process.kill()
        process.wait(10)
        process.stdout.close()


def wait_for_connections(hub: HubProcess, count: int) -> None:
    while len(hub.call("GET", "/v1/connections")) != count:
        time.sleep(0.02)


def test_all_programs_are_tested() -> None:
    assert set(PROGRAMS) == {
        "Receive",
        "Go on after a restart of your program",
        "Callbacks, and talking back",
        "Publish from a backend",
        "Without `await`",
    }


def test_receive(shared_hub: HubProcess, environment: dict[str, str]) -> None:
    with running("Receive", environment) as lines:
        wait_for_connections(shared_hub, 1)
        receipt = shared_hub.publish("greeting", {"text": "hi"}, users=["alice"])
        assert next(lines) == f"{receipt['time']} user:alice greeting {{'text': 'hi'}}"
    wait_for_connections(shared_hub, 0)


def test_go_on(shared_hub: HubProcess, environment: dict[str, str], tmp_path: Path) -> None:
    environment = environment | {"CURSOR_FILE": str(tmp_path / "cursor")}
    shared_hub.publish("n", "first", users=["alice"])
    with running("Go on after a restart of your program", environment) as lines:
        assert "handled first" in lines
    shared_hub.publish("n", "while away", users=["alice"])
    with running("Go on after a restart of your program", environment) as lines:
        # What was handled last may come again if the kill was faster than the file.
        assert next(line for line in lines if line != "handled first") == "handled while away"


def test_callbacks(shared_hub: HubProcess, environment: dict[str, str]) -> None:
    with running("Callbacks, and talking back", environment) as lines:
        assert [next(lines) for _ in range(3)] == ["now authorizing", "now connecting", "now open"]
        assert next(lines) == "state room:lobby alice"
        receipt = shared_hub.publish("chat.message", {"text": "ping"}, topics=["room:lobby"])
        after = {"topics": "room:lobby", "after": receipt["cursor"], "wait": "10"}
        [answer] = shared_hub.call("GET", "/v1/events", params=after)["events"]
        assert (answer["event"]["source"], answer["event"]["data"]) == ("user:alice", {"text": "pong"})


def test_publish(shared_hub: HubProcess, environment: dict[str, str]) -> None:
    with running("Publish from a backend", environment) as lines:
        [line] = lines
        assert re.fullmatch(r"order-7-paid \S+", line)
    page = shared_hub.call("GET", "/v1/events", params={"topics": "warehouse"})
    assert [one["event"]["data"] for one in page["events"]] == [{"item": "nuts"}, {"item": "bolts"}]


def test_without_await(environment: dict[str, str]) -> None:
    with running("Without `await`", environment) as lines:
        greeting, cursor = lines
        assert greeting == "greeting hello"
        assert re.fullmatch(r"to go on from here: \S+:\d+", cursor)


def test_the_readme_names_what_exists() -> None:
    import hub_client

    text = README.read_text()
    for name in hub_client.__all__:
        if isinstance(getattr(hub_client, name), type) and issubclass(getattr(hub_client, name), Exception):
            assert f"`{name}`" in text
    for name in re.findall(r"`(\w+)\(", text):
        assert any(hasattr(getattr(hub_client, owner), name) for owner in hub_client.__all__), name
