"""``hub listen`` against a real hub, in processes of its own."""

from __future__ import annotations

import json
import re
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.hub_process import ADMIN_PASSWORD, HubProcess

from .conftest import PASSWORD, Run, client_of, command


class Listener:
    """``hub listen`` in a process."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process

    def wait_for(self, text: str) -> str:
        """Read stderr up to a line with this text."""
        assert self.process.stderr is not None
        for line in self.process.stderr:
            if text in line:
                return line
        raise AssertionError(f"ended before it said {text!r}")

    def line(self) -> str:
        """The next line of stdout."""
        assert self.process.stdout is not None
        return self.process.stdout.readline()

    def event(self) -> dict[str, object]:
        """The next line of stdout, as JSON."""
        event: dict[str, object] = json.loads(self.line())
        return event

    def end(self) -> tuple[int, str, str]:
        """Wait until it has ended: exit code, and the rest of stdout and stderr."""
        out, err = self.process.communicate(timeout=20)
        return self.process.returncode, out, err


@pytest.fixture
def listen(hub: HubProcess, secret: str) -> Iterator[Callable[..., Listener]]:
    """Starts ``hub listen`` as alice, by default, and waits until it is connected."""
    started: list[subprocess.Popen[str]] = []

    shared = hub

    def listen(*arguments: str, hub: HubProcess = shared, **who: str) -> Listener:
        who = who or {"HUB_USERNAME": "alice", "HUB_PASSWORD": PASSWORD}
        process = subprocess.Popen(
            command("listen", *arguments),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=client_of(hub, **who),
        )
        started.append(process)
        listener = Listener(process)
        listener.wait_for("Connected to")
        return listener

    yield listen
    for process in started:
        process.kill()
        process.communicate()


def test_an_event_reaches_a_listener_as_json(
    run: Run, as_shop: None, listen: Callable[..., Listener], hub: HubProcess, secret: str
) -> None:
    listener = listen("--json", "--topic", "news", "--count", "4")
    run("publish", "one", "--data", '{"n": 1, "text": "\u00e9\\u001b[2J"}', "--to-topic", "news")
    first = listener.event()
    assert first["topic"] == "news"
    assert isinstance(first["cursor"], str)
    event = first["event"]
    assert isinstance(event, dict)
    assert (event["type"], event["source"], event["data"]) == ("one", "service:shop", {"n": 1, "text": "\u00e9\x1b[2J"})
    subprocess.run(
        command("publish", "two", "--data", "-", "--to-user", "alice", "--to-user", "bob"),
        input="[1, 2]", text=True, check=True, stdout=subprocess.DEVNULL,
        env=client_of(hub, HUB_SERVICE_ID="shop", HUB_SERVICE_SECRET=secret),
    )  # fmt: skip
    second = listener.event()
    assert (second["topic"], second["event"]) == ("user:alice", second["event"] | {"type": "two", "data": [1, 2]})  # type: ignore[operator]
    run("publish", "three", "--to-all", "--ephemeral")
    third = listener.event()
    assert (third["topic"], third["cursor"]) == ("all", None)
    run("publish", "secret", "--to-user", "bob")
    run("publish", "four", "--to-all")
    code, out, _ = listener.end()
    assert (code, json.loads(out)["event"]["type"]) == (0, "four")


def test_listening_goes_on_from_a_cursor(run: Run, as_shop: None, listen: Callable[..., Listener]) -> None:
    receipts = [json.loads(run("publish", f"n{n}", "--to-topic", "news", "--json").out) for n in range(4)]
    listener = listen("--json", "--topic", "news", "--after", receipts[1]["cursor"], "--count", "2")
    code, out, _ = listener.end()
    assert code == 0
    events = [json.loads(line) for line in out.splitlines()]
    assert [event["cursor"] for event in events] == [receipt["cursor"] for receipt in receipts[2:]]


def test_the_feed_for_people(run: Run, as_shop: None, listen: Callable[..., Listener]) -> None:
    listener = listen("--topic", "news")
    run("publish", "order.paid", "--data", '{"order": 7}', "--to-topic", "news")
    assert re.fullmatch(r'\d\d:\d\d:\d\d  news  order\.paid  service:shop  \{"order": 7\}\n', listener.line())
    run(
        "publish",
        "[bold]\x1b[2J\u202e",
        "--data",
        '"[/] \\u001b]0;x\\u0007 \\u009b2J"',
        "--to-topic",
        "news",
        "--ephemeral",
    )
    line = listener.line()
    assert " ~news  [bold]\\x1b[2J\\u202e  " in line
    assert line.rstrip("\n").isprintable(), "nobody who publishes moves a listener's cursor"


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_quietly(listen: Callable[..., Listener], how: signal.Signals) -> None:
    listener = listen("--json")
    listener.process.send_signal(how)
    code, out, err = listener.end()
    assert (code, out, err) == (0 if how is signal.SIGINT else -signal.SIGTERM, "", "")


def test_a_reader_that_goes_away_ends_it_quietly(run: Run, as_shop: None, listen: Callable[..., Listener]) -> None:
    for arguments in (["--json"], []):
        listener = listen(*arguments)
        assert listener.process.stdout is not None
        listener.process.stdout.close()
        run("publish", "one", "--to-all")
        assert listener.process.wait(20) == 1
        assert listener.process.stderr is not None
        assert listener.process.stderr.read() == ""


def test_a_user_who_is_disabled_is_told_and_it_ends(run: Run, hub: HubProcess, listen: Callable[..., Listener]) -> None:
    listener = listen("--json", HUB_USERNAME="bob", HUB_PASSWORD=PASSWORD)
    run("user", "disable", "bob", "--data-dir", str(hub.data_dir))
    code, out, err = listener.end()
    run("user", "enable", "bob", "--data-dir", str(hub.data_dir))
    assert (code, out) == (1, "")
    assert "Error: " in err
    assert "(user_disabled)" in err
    assert "Traceback" not in err


def test_a_listener_comes_back_with_new_rights(
    run: Run, as_shop: None, hub: HubProcess, listen: Callable[..., Listener]
) -> None:
    password = run("user", "add", "carol", "--data-dir", str(hub.data_dir)).out.strip()
    listener = listen("--json", "--count", "1", HUB_USERNAME="carol", HUB_PASSWORD=password)
    run("user", "grant", "carol", "--subscribe", "news", "--topic", "news", "--data-dir", str(hub.data_dir))
    # Whether it is back yet or not: it goes on from its cursor.
    run("publish", "one", "--to-topic", "news")
    code, out, _ = listener.end()
    assert (code, json.loads(out)["topic"]) == (0, "news")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--topic", "secret"], "forbidden"),
        (["--topic", "a b"], "topic_invalid"),
        (["--after", "nonsense"], "cursor_invalid"),
    ],
)
def test_what_cannot_be_listened_to(
    run: Run, hub: HubProcess, secret: str, arguments: list[str], sentence: str
) -> None:
    refused = run("listen", *arguments, "--url", hub.url, "--username", "alice", "--password", PASSWORD)
    assert (refused.code, refused.out) == (1, "")
    assert sentence in refused.err
    assert "Traceback" not in refused.err


def test_a_listener_survives_a_restart_of_the_hub(run: Run, tmp_path: Path, listen: Callable[..., Listener]) -> None:
    hub = HubProcess(tmp_path)
    try:
        hub.start()
        listener = listen("--json", "--count", "2", hub=hub, HUB_USERNAME="admin", HUB_PASSWORD=ADMIN_PASSWORD)
        hub.publish("before", all=True)
        assert "before" in listener.line()
        hub.stop()
        listener.wait_for(f"Not connected to {hub.url}; trying again.")
        hub.start()
        hub.publish("after", all=True)
        code, out, err = listener.end()
    finally:
        hub.close()
    assert code == 0
    assert "after" in out
    # States are told beside the events: the last event may be the end before it is said that it is connected again.
    assert err in ("", f"Connected to {hub.url}.\n")
