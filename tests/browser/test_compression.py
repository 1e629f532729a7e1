"""A browser and compressed frames: Chromium offers them to everybody, and reads what it agreed to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Browser

from tests.hub_process import HubProcess

pytestmark = pytest.mark.browser

LISTEN = """([url, count]) => new Promise((resolve, reject) => {
  const got = [];
  const socket = new WebSocket(url);
  window.socket = socket;
  socket.onclose = ({code}) => reject(new Error(`closed: ${code}`));
  socket.onmessage = ({data}) => {
    const said = JSON.parse(data);
    if (said.type === "event") got.push(said.event.data);
    if (got.length === count) resolve([socket.extensions, got]);
  };
})"""


@pytest.mark.parametrize("compression", [True, False])
def test_a_page_gets_its_events(chromium: Browser, start_hub: Callable[..., HubProcess], compression: bool) -> None:
    hub = start_hub(compression=compression)
    token = hub.add_user("alice")
    data: list[Any] = ["short", "x" * 5000, "\u00e4\U0001f600" * 500, list(range(3000)), "y" * 60_000]
    for one in data:
        hub.publish(data=one, users=["alice"])
    page = chromium.new_page()
    try:
        page.goto(hub.url + "/docs")
        extensions, got = page.evaluate(LISTEN, [f"{hub.ws_url}?token={token}&after=earliest", len(data)])
        assert got == data
        assert ("permessage-deflate" in extensions) is compression
        # What it says is long, so that it packs that, too.
        padding = "z" * 10_000
        answer = page.evaluate(
            """(padding) => new Promise((resolve) => {
              window.socket.onmessage = ({data}) => JSON.parse(data).ref === 7 && resolve(JSON.parse(data));
              window.socket.send(JSON.stringify({type: "ping", ref: 7, padding}));
            })""",
            padding,
        )
        assert answer == {"type": "ok", "ref": 7}
    finally:
        page.close()
