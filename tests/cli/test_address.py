"""Where ``hub token``, ``publish`` and ``listen`` look for a hub, and what they say where there is none."""

from __future__ import annotations

import re
import socket
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest

from tests.hub_process import HubProcess

from .conftest import Run


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
