"""The programs of the Python client's README, run as they stand there against a real hub."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.hub_process import HubProcess, clean_environment, free_port

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
    grants = {"subscribe": ["orders"], "publish": ["*", "user:*", "all"]}
    service = shared_hub.add_service("shop", grants=grants)
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
        "Publish many small events",
        "Typed events",
        "The inbox",
        "Work through events, one after the other",
        "CloudEvents",
        "Events in your own transaction",
        "In a FastAPI app",
        "In your tests",
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


def test_many(shared_hub: HubProcess, environment: dict[str, str]) -> None:
    with running("Publish many small events", environment) as lines:
        assert list(lines) == ["all of them are in the log"]
    page = shared_hub.call("GET", "/v1/events", params={"topics": "sensors", "limit": 1000})
    assert [one["event"]["data"]["number"] for one in page["events"]] == list(range(4000, 5000))


def test_typed(environment: dict[str, str]) -> None:
    with running("Typed events", environment) as lines:
        assert list(lines) == ["to the class that I name: post", "to the class of its type: 7"]


def test_inbox(shared_hub: HubProcess, environment: dict[str, str]) -> None:
    shared_hub.publish("greeting", "newest", users=["alice"])
    with running("The inbox", environment) as lines:
        first, *_, last = lines
        assert (first, last) == ("new greeting newest", "0 unread")


def test_subscription(shared_hub: HubProcess, environment: dict[str, str], tmp_path: Path) -> None:
    title = "Work through events, one after the other"
    environment = environment | {"CURSOR_FILE": str(tmp_path / "cursor")}
    shared_hub.publish("n", "one", topics=["orders"])
    with running(title, environment) as lines:
        assert "done with one" in lines
    shared_hub.publish("n", "two", topics=["orders"])
    with running(title, environment) as lines:
        # It was killed before it asked for the next event: that one comes again.
        assert [next(lines), next(lines)] == ["done with one", "done with two"]


def test_cloudevents(environment: dict[str, str]) -> None:
    with running("CloudEvents", environment) as lines:
        [line] = lines
        event = ast.literal_eval(line)
        assert (event["source"], event["subject"], event["data"]) == ("/shop/orders", "order/7", {"order": 7})
        assert event["hubtopic"] == "user:alice"


def test_outbox(shared_hub: HubProcess, environment: dict[str, str]) -> None:
    with running("Events in your own transaction", environment) as lines:
        assert list(lines) == ["1 published"]
    assert shared_hub.call("GET", "/v1/events", params={"topics": "orders"})["events"][-1]["event"]["data"] == {
        "order": 1
    }


def test_fastapi(shared_hub: HubProcess, environment: dict[str, str]) -> None:
    port = free_port()
    with running("In a FastAPI app", environment | {"PORT": str(port)}) as lines:
        assert any("running on" in line for line in lines)
        assert httpx.post(f"http://127.0.0.1:{port}/orders/alice", trust_env=False).status_code == 200
    newest = shared_hub.call("GET", "/v1/events", params={"topics": "user:alice"})["events"][-1]
    assert newest["event"]["data"] == {"user": "alice"}


def test_in_tests(environment: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "test_ours.py").write_text(PROGRAMS["In your tests"])
    options = ["-q", "-p", "hub_client.testing.plugin", "--strict-markers", "-W", "error", str(tmp_path)]
    command = [sys.executable, "-m", "pytest", *options]
    done = subprocess.run(command, env=clean_environment(), cwd=tmp_path, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stdout


def test_the_readme_names_what_exists() -> None:
    import hub_client

    text = README.read_text()
    for name in hub_client.__all__:
        if isinstance(getattr(hub_client, name), type) and issubclass(getattr(hub_client, name), Exception):
            assert f"`{name}`" in text
    for name in re.findall(r"`(\w+)\(", text):
        assert any(hasattr(getattr(hub_client, owner), name) for owner in hub_client.__all__), name
