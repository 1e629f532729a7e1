"""Makes docs/console.png from a running hub and its page, with people and a shop that do what such people do.

Run by ``make screenshot``; needs Debian's chromium on the PATH.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, expect, sync_playwright

from tests.browser.conftest import ARGUMENTS
from tests.browser.console import Console
from tests.hub_process import HubProcess

TARGET = Path(__file__).parents[2] / "docs" / "console.png"
MOST_BYTES = 300_000
LOBBY = "chat:shop"


def main() -> int:
    """Make the picture; the process's exit code."""
    chromium = shutil.which("chromium")
    if chromium is None:
        print("The screenshot needs Debian's chromium on the PATH (apt install chromium).", file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory() as directory, sync_playwright() as playwright:
        hub = HubProcess(Path(directory)).start()
        browser = playwright.chromium.launch(executable_path=chromium, args=ARGUMENTS)
        try:
            picture = take(hub, browser)
        finally:
            browser.close()
            hub.close()
    if len(picture) > MOST_BYTES:
        print(f"The picture has {len(picture)} bytes, which is too many for a repository.", file=sys.stderr)
        return 1
    TARGET.write_bytes(picture)
    print(f"{TARGET.relative_to(Path.cwd())}: {len(picture):,} bytes")
    return 0


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


def open_console(browser: Browser, hub: HubProcess) -> Console:
    """A page of its own person, drawn finely enough for fine screens."""
    context = browser.new_context(
        viewport={"width": 1180, "height": 860}, device_scale_factor=1.5, color_scheme="light", locale="en-GB"
    )
    return Console(context.new_page(), hub.url).open()


if __name__ == "__main__":
    sys.exit(main())
