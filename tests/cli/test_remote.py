"""``hub token``, ``hub publish`` and ``hub listen`` against a real hub, in processes of their own."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import jwt
import pytest

from tests.hub_process import ADMIN_PASSWORD, HubProcess

from .conftest import Run, client_of, command

PASSWORD = "correct horse"


@pytest.fixture(scope="module")
def secret(hub: HubProcess) -> str:
    """Of the service ``shop``; and there are the users alice and bob."""
    for name in ("alice", "bob"):
        subprocess.run(
            command("user", "add", name, "--subscribe", "news", "--publish", "news", "--password-stdin"),
            input=PASSWORD + "\n", text=True, env=client_of(hub), check=True, stderr=subprocess.DEVNULL,
        )  # fmt: skip
    made = subprocess.run(
        command("service", "add", "shop"), text=True, env=client_of(hub), check=True, capture_output=True
    )
    return made.stdout.strip()


@pytest.fixture
def as_shop(hub: HubProcess, secret: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HUB_URL", hub.url)
    monkeypatch.setenv("HUB_SERVICE_ID", "shop")
    monkeypatch.setenv("HUB_SERVICE_SECRET", secret)


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


# --- Tokens


def test_a_token_is_alone_on_stdout(run: Run, as_shop: None) -> None:
    printed = run("token")
    assert (printed.code, printed.err) == (0, "")
    claims = jwt.decode(printed.out.strip(), options={"verify_signature": False})
    assert (claims["sub"], claims["kind"]) == ("shop", "service")


def test_a_users_token_is_fetched_and_used(
    run: Run, hub: HubProcess, secret: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HUB_URL", hub.url)
    monkeypatch.setenv("HUB_USERNAME", "alice")
    monkeypatch.setenv("HUB_PASSWORD", PASSWORD)
    monkeypatch.setenv("HUB_TOKEN", "an.old.one")
    printed = run("token")
    assert jwt.decode(printed.out.strip(), options={"verify_signature": False})["sub"] == "alice"
    monkeypatch.setenv("HUB_TOKEN", printed.out.strip())
    assert run("publish", "hello", "--to-topic", "news").code == 0, "with the token, not with the password beside it"
    monkeypatch.setenv("HUB_TOKEN", "an.old.one")
    assert "token_malformed" in run("publish", "hello", "--to-topic", "news").err


def test_what_is_typed_wins(run: Run, as_shop: None) -> None:
    printed = run("token", "--username", "alice", "--password", PASSWORD)
    assert jwt.decode(printed.out.strip(), options={"verify_signature": False})["sub"] == "alice"


@pytest.mark.parametrize(
    ("variables", "arguments", "code", "sentence"),
    [
        ({}, [], 2, "Say who you are: set HUB_USERNAME and HUB_PASSWORD, or HUB_SERVICE_ID"),
        ({"HUB_USERNAME": "alice"}, [], 2, "There is no password for alice: set HUB_PASSWORD."),
        ({"HUB_SERVICE_ID": "shop"}, [], 2, "A service needs both its id and its secret"),
        ({"HUB_PASSWORD": "x"}, ["--password", "x"], 2, "A password needs a name"),
        ({"HUB_USERNAME": "alice", "HUB_SERVICE_ID": "shop"}, [], 2, "more than one kind (user, service)"),
        ({}, ["--username", "alice", "--service", "shop"], 2, "more than one kind (user, service)"),
        (
            {"HUB_USERNAME": "alice", "HUB_PASSWORD": "wrong horse"},
            [],
            1,
            "Wrong name or password. (credentials_invalid)",
        ),
        ({"HUB_SERVICE_ID": "shop", "HUB_SERVICE_SECRET": "x"}, [], 1, "(credentials_invalid)"),
    ],
)
def test_no_token(
    run: Run, hub: HubProcess, secret: str, monkeypatch: pytest.MonkeyPatch,
    variables: dict[str, str], arguments: list[str], code: int, sentence: str,
) -> None:  # fmt: skip
    monkeypatch.setenv("HUB_URL", hub.url)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    refused = run("token", *arguments)
    assert (refused.code, refused.out) == (code, "")
    assert sentence in refused.err
    assert refused.err.count("\n") == 1


# --- Nothing there


@pytest.mark.parametrize("command", [["token"], ["publish", "x", "--to-all"], ["listen"]], ids=lambda words: words[0])
def test_where_no_hub_answers(run: Run, monkeypatch: pytest.MonkeyPatch, command: list[str]) -> None:
    with socket.socket() as taken:
        # Bound but not listening: nobody else gets the port, and connections are refused.
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        refused = run(*command, "--url", url, "--service", "shop", "--secret", "x")
    assert refused.code == 1
    cure = "start one with hub serve, or name another address with --url or HUB_URL"
    assert re.fullmatch(rf"Error: No hub answers at {url} \(.+\); {cure}\.\n", refused.err)
    for address in ("foo", "ftp://x", "http://", "http://[::1"):
        refused = run(*command, "--url", address, "--service", "shop", "--secret", "x")
        assert refused.code == 2, address
        assert "is not the address of a hub" in refused.err


@pytest.mark.parametrize("where", ["variables", "file"])
def test_the_address_is_where_the_settings_let_a_hub_listen(
    run: Run, hub: HubProcess, secret: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, where: str
) -> None:
    monkeypatch.chdir(tmp_path)
    if where == "file":
        Path("hub.toml").write_text(f'host = "0.0.0.0"\nport = {hub.port}\n')
    else:
        monkeypatch.setenv("HUB_HOST", "0.0.0.0")
        monkeypatch.setenv("HUB_PORT", str(hub.port))
    who = ("--service", "shop", "--secret", secret)
    assert run("token", *who).code == 0
    assert run("publish", "x", "--to-topic", "news", *who).code == 0
    refused = run("listen", "--topic", "a b", *who)
    assert "topic_invalid" in refused.err, "it was reached"
    monkeypatch.setenv("HUB_PORT", "0")
    assert "name its address with --url or HUB_URL." in run("token", *who).err
    monkeypatch.setenv("HUB_URL", hub.url)
    assert run("token", *who).code == 0, "HUB_URL wins"


@pytest.mark.parametrize("words", [["token"], ["publish", "x", "--to-topic", "news"]], ids=lambda words: words[0])
def test_a_misspelt_variable_is_a_warning(
    run: Run, as_shop: None, monkeypatch: pytest.MonkeyPatch, words: list[str]
) -> None:
    monkeypatch.setenv("HUB_PASWORD", "x")
    done = run(*words)
    assert done.code == 0
    said = "Warning: The environment has an unknown setting HUB_PASWORD; did you mean HUB_PASSWORD?\n"
    assert done.err == said
    monkeypatch.delenv("HUB_SERVICE_ID")
    monkeypatch.setenv("HUB_USERNAME", "alice")
    refused = run(*words)
    assert refused.err == said + "Error: There is no password for alice: set HUB_PASSWORD.\n", "told before it matters"


def test_where_something_else_answers(run: Run) -> None:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"<html>hello</html>")

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.handle_request).start()
    refused = run("token", "--url", f"http://127.0.0.1:{server.server_port}", "--service", "shop", "--secret", "x")
    server.server_close()
    assert refused.code == 1
    assert "is not a hub (HTTP 200)" in refused.err


# --- Publishing and listening


def test_publish_prints_the_receipt(run: Run, as_shop: None) -> None:
    first = run("publish", "order.paid", "--data", '{"order": 7}', "--to-topic", "news", "--id", "order-7")
    assert re.fullmatch(r"order-7  \d{4}-\d\d-\d\dT[\d:.]+Z  cursor \w+:\d+\n", first.out)
    again = run("publish", "order.paid", "--data", '{"order": 7}', "--to-topic", "news", "--id", "order-7", "--json")
    receipt = json.loads(again.out)
    assert receipt["id"] == "order-7"
    assert receipt["duplicate"]
    assert receipt["cursor"] in first.out
    passing = run("publish", "typing", "--to-topic", "news", "--ephemeral")
    assert passing.out.endswith("  not kept\n")
    assert (
        "duplicate"
        in run("publish", "order.paid", "--data", '{"order": 7}', "--to-topic", "news", "--id", "order-7").out
    )


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        ([], 2, "Say who gets it: --to-user, --to-topic or --to-all."),
        (["--to-all", "--data", "{order: 7}"], 2, "--data is not JSON"),
        (["--to-all", "--data", "NaN"], 2, "--data is not JSON (JSON has no NaN)"),
        (["--to-topic", "a:*"], 1, "topic_invalid"),
        (["--to-topic", "news", "--id", "order-8", "--data", "8"], 1, "id_conflict"),
        (["--to-topic", "news", "--data", json.dumps("x" * 70_000)], 1, "event_too_large"),
    ],
)
def test_publications_that_are_refused(run: Run, as_shop: None, arguments: list[str], code: int, sentence: str) -> None:
    run("publish", "order.paid", "--data", "7", "--to-topic", "news", "--id", "order-8")
    refused = run("publish", "order.paid", *arguments)
    assert (refused.code, refused.out) == (code, "")
    assert sentence in refused.err
    assert refused.err.count("\n") == 1


def test_publishing_without_the_right_to(run: Run, hub: HubProcess, secret: str) -> None:
    refused = run("publish", "x", "--to-all", "--url", hub.url, "--username", "alice", "--password", PASSWORD)
    assert refused.code == 1
    assert "forbidden" in refused.err


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
    assert err == f"Connected to {hub.url}.\n"
