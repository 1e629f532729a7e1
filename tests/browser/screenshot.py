"""Makes the pictures of the documentation from a running hub and its pages: docs/console.png, with people and a shop
that do what such people do, and one of each step of the tutorial.

Run by ``make screenshot``; needs Debian's chromium on the PATH.
"""

from __future__ import annotations

import functools
import http.server
import re
import shutil
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, expect, sync_playwright

from tests.browser.conftest import ARGUMENTS
from tests.browser.console import Console
from tests.browser.own_page import OwnPage
from tests.hub_process import HubProcess, free_port

DOCS = Path(__file__).parents[2] / "docs"
MOST_BYTES = 300_000
LOBBY = "chat:shop"


def main() -> int:
    """Make the picture; the process's exit code."""
    chromium = shutil.which("chromium")
    if chromium is None:
        print("The screenshot needs Debian's chromium on the PATH (apt install chromium).", file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory() as directory, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=ARGUMENTS)
        page_port = free_port()
        hubs = [
            HubProcess(_made(directory, "shop")),
            HubProcess(_made(directory, "studio"), allowed_origins=f"http://127.0.0.1:{page_port}"),
            HubProcess(_made(directory, "inbox")),
        ]
        try:
            pictures = {"console.png": take(hubs[0].start(), browser)}
            pictures |= take_tutorial(hubs[1].start(), browser, page_port)
            pictures["images/inbox.png"] = take_inbox(hubs[2].start(), browser)
        finally:
            browser.close()
            for hub in hubs:
                hub.close()
    for name, picture in pictures.items():
        if len(picture) > MOST_BYTES:
            print(f"{name} has {len(picture)} bytes, which is too many for a repository.", file=sys.stderr)
            return 1
        (DOCS / name).write_bytes(picture)
        print(f"docs/{name}: {len(picture):,} bytes")
    return 0


def _made(directory: str, name: str) -> Path:
    path = Path(directory, name)
    path.mkdir()
    return path


class Backend:
    """A service that publishes over HTTP."""

    def __init__(self, hub: HubProcess, name: str) -> None:
        made = hub.add_service(name)
        grant = {"grant_type": "client_credentials"}
        response = hub.http.post("/v1/auth/token", data=grant, auth=(made["id"], made["secret"]))
        self._headers = {"Authorization": f"Bearer {response.raise_for_status().json()['access_token']}"}

    def post(self, hub: HubProcess, type: str, data: Any, *, durable: bool = True, **to: Any) -> None:
        event = {"type": type, "data": data, "to": to, "durable": durable}
        hub.http.post("/v1/events", json=event, headers=self._headers).raise_for_status()

    def show(self, hub: HubProcess, type: str, display: dict[str, str], priority: str = "normal") -> None:
        event = {"type": type, "data": {}, "to": {"users": ["alice"]}, "display": display, "priority": priority}
        hub.http.post("/v1/events", json=event, headers=self._headers).raise_for_status()


def take(hub: HubProcess, browser: Browser) -> bytes:
    """Play the scene, ending with alice's page."""
    for name in ("alice", "bob", "carol"):
        hub.add_user(name, subscribe=["chat:*", "orders", "builds:*"], publish=["chat:*"], topics=["orders"])
    alice, bob, carol = (open_console(browser, hub).sign_in(name) for name in ("alice", "bob", "carol"))
    for console in (alice, bob, carol):
        console.follow(LOBBY)
    alice.follow("builds:storefront")
    alice.topic("Everything").click()

    shop, builder = Backend(hub, "shop"), Backend(hub, "ci")
    shop.post(hub, "order.created", {"order": 1041, "total": "89.00", "currency": "EUR"}, topics=["orders"])
    shop.post(hub, "maintenance", {"text": "The shop is read-only on Saturday, 06:00 to 06:30 UTC."}, all=True)
    build = {"project": "storefront", "commit": "5f2c9e1", "result": "passed", "seconds": 184}
    builder.post(hub, "build.finished", build, topics=["builds:storefront"])
    bob.say(LOBBY, "Morning! Can we ship today?")
    alice.say(LOBBY, "Yes: green since ten. After lunch, then.")
    expect(bob.rows("After lunch")).to_be_visible()

    # What happens while alice has no connection: on the same log, at an address where her page does not look.
    hub.kill()
    expect(alice.note("Connection lost")).to_be_visible()
    elsewhere = HubProcess(hub.data_dir.parent).start()
    try:
        shop.post(elsewhere, "order.paid", {"order": 1041, "method": "card"}, topics=["orders"])
        shop.post(elsewhere, "invoice.ready", {"invoice": "2026-0117", "due": "2026-12-01"}, users=["alice"])
    finally:
        elsewhere.close()
    hub.start()
    for console in (alice, bob, carol):
        console.hurry()
        console.expect_live()
    expect(alice.note("2 events while you were away")).to_be_visible()
    expect(alice.people(LOBBY)).to_have_count(3)
    carol.say(LOBBY, "Order 1041 is paid, by the way.")
    builder.post(hub, "progress", {"step": "deploy", "percent": 40}, durable=False, users=["alice"])
    expect(alice.rows("progress")).to_be_visible()
    alice.page.get_by_label("Message", exact=True).fill("Deploying now")
    alice.page.evaluate("document.activeElement.blur()")
    return alice.page.screenshot(animations="disabled")


def take_tutorial(hub: HubProcess, browser: Browser, page_port: int) -> dict[str, bytes]:
    """Follow docs/tutorial.md: a picture of each of its steps."""
    hub.add_user("dana")
    studio = Backend(hub, "studio")
    console = open_console(browser, hub, width=900, height=560)
    pictures = {"door": console.page.screenshot()}
    console.sign_in("dana")
    pictures["empty"] = console.page.screenshot(animations="disabled")
    studio.post(hub, "render.finished", {"scene": "harbour", "frames": 240}, users=["dana"])
    expect(console.rows("harbour")).to_be_visible()
    pictures["event"] = console.page.screenshot(animations="disabled")
    studio.post(hub, "render.finished", {"scene": "cliffs", "frames": 90}, users=["dana"])
    [page_text] = re.findall(r"^```html\n(.*?)^```$", (DOCS / "tutorial.md").read_text(), re.MULTILINE | re.DOTALL)
    page_text = page_text.replace("http://127.0.0.1:8000", hub.url).replace("lighthouse", "password of dana")
    with tempfile.TemporaryDirectory() as directory:
        Path(directory, "index.html").write_text(page_text)
        handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=directory)
        with http.server.ThreadingHTTPServer(("127.0.0.1", page_port), handler) as server:
            threading.Thread(target=server.serve_forever, daemon=True).start()
            page = browser.new_page(viewport={"width": 620, "height": 300}, device_scale_factor=1.5)
            page.goto(f"http://127.0.0.1:{page_port}/")
            expect(page.get_by_text("cliffs: 90 frames")).to_be_visible()
            pictures["page"] = page.screenshot()
            server.shutdown()
    return {f"images/tutorial-{name}.png": picture for name, picture in pictures.items()}


def take_inbox(hub: HubProcess, browser: Browser) -> bytes:
    """The inbox in somebody's page, light and dark side by side."""
    token = hub.add_user("alice")
    shop, builder = Backend(hub, "shop"), Backend(hub, "ci")
    shipped = {"title": "Order 1041 is on its way", "body": "It should be with you on Thursday."}
    mention = {"title": "Bob mentioned you", "body": "“Can you look at the last paragraph?”", "url": "/plan"}
    shop.show(hub, "order.sent", shipped)
    builder.post(hub, "build.finished", {"text": "Build 812 passed"}, users=["alice"])
    headers = {"Authorization": f"Bearer {token}"}
    [read] = hub.http.get("/v1/inbox", params={"limit": 1}, headers=headers).json()["items"]
    hub.http.post("/v1/inbox/read", json={"up_to": read["cursor"]}, headers=headers).raise_for_status()
    shop.show(hub, "invoice.due", {"title": "Invoice 2026-0117 is due", "body": "89.00 € by 1 December"}, "high")
    shop.show(hub, "mention", mention)
    context = browser.new_context(bypass_csp=True, viewport={"width": 860, "height": 460}, device_scale_factor=1.5)
    page = (
        OwnPage(context, hub.url, token)
        .connect()
        .inbox(inline="", theme="light", lang="en")
        .inbox(inline="", theme="dark", lang="en")
    )
    page.page.add_style_tag(
        content="body { display: flex; gap: 1.5rem; margin: 0; padding: 1.25rem; } hub-inbox { flex: 1; }"
    )
    expect(page.page.locator("hub-inbox li.unread")).to_have_count(4)
    picture: bytes = page.page.locator("body").screenshot(animations="disabled")
    context.close()
    return picture


def open_console(browser: Browser, hub: HubProcess, *, width: int = 1180, height: int = 860) -> Console:
    """A page of its own person, drawn finely enough for fine screens."""
    context = browser.new_context(
        viewport={"width": width, "height": height}, device_scale_factor=1.5, color_scheme="light", locale="en-GB"
    )
    return Console(context.new_page(), hub.url).open()


if __name__ == "__main__":
    sys.exit(main())
