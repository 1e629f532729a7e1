"""The example of the browser client, as somebody has it who copies it: another origin, two tabs, a reload."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from tests.hub_process import HubProcess

pytestmark = pytest.mark.browser

EXAMPLES = Path(__file__).parents[2] / "clients" / "js" / "examples"


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def site() -> Iterator[str]:
    """The folder, served from a port of its own."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(_Quiet, directory=EXAMPLES))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join(10)


def test_the_example(start_hub: Callable[..., HubProcess], site: str, chromium: Browser) -> None:
    hub = start_hub(allowed_origins=site)
    hub.add_user("alice")
    context = chromium.new_context(locale="en-GB")
    page = context.new_page()
    faults: list[str] = []
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.goto(f"{site}/?hub={hub.url}")
    page.get_by_label("User").fill("alice")
    page.get_by_label("Password").fill("not hers")
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_role("alert")).to_contain_text("Wrong")
    page.get_by_label("Password").fill("password of alice")
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_role("button", name="Notifications")).to_be_visible()

    other = context.new_page()  # logged in already
    other.goto(f"{site}/?hub={hub.url}")
    bell = other.get_by_role("button", name="Notifications, 1 unread")
    expect(other.get_by_role("button", name="Notifications")).to_be_visible()
    page.wait_for_function("document.querySelector('hub-inbox').client.state === 'open'")
    other.wait_for_function("document.querySelector('hub-inbox').client.state === 'open'")
    hub.publish("order.paid", {"order": 7}, users=["alice"])
    for one in (page, other):
        expect(one.locator("#news li")).to_have_text('order.paid {"order":7}')
    expect(bell).to_be_visible()
    assert len(hub.call("GET", "/v1/connections")) == 1

    page.reload()
    expect(page.get_by_role("button", name="Notifications, 1 unread")).to_be_visible()
    page.get_by_role("button", name="Log out").click()
    expect(page.get_by_role("button", name="Log in")).to_be_visible()
    expect(other.get_by_role("button", name="Log in")).to_be_visible()
    assert faults == []
    context.close()
