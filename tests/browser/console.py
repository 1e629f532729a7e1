"""The console as a person uses it: what the tests do to the page, by the names that the page shows."""

from __future__ import annotations

import re
from typing import Any

from playwright.sync_api import Error, Locator, Page, WebSocket, expect

# What a browser writes to its console when a server refuses or is gone; everything else there is a fault of the page.
_EXPECTED = re.compile(r"Failed to load resource|WebSocket connection to .* failed")

_WATCH = """
window.violations = [];
document.addEventListener("securitypolicyviolation", (event) =>
  window.violations.push(`${event.violatedDirective}: ${event.blockedURI}`));
"""

_RAW_SOCKET = """
([url, protocols]) => new Promise((resolve) => {
  const socket = new WebSocket(url, protocols);
  const frames = [];
  socket.onmessage = ({ data }) => frames.push(JSON.parse(data).type);
  socket.onclose = ({ code, reason, wasClean }) =>
    resolve({ code, reason, wasClean, protocol: socket.protocol, frames });
})
"""


class Console:
    """One tab with the console in it."""

    def __init__(self, page: Page, url: str) -> None:
        self.page = page
        self.url = url
        self.faults: list[str] = []
        self.sockets: list[WebSocket] = []
        page.add_init_script(_WATCH)
        page.on("pageerror", lambda error: self.faults.append(f"uncaught: {error}"))
        page.on("console", lambda message: self._on_message(message.type, message.text))
        page.on("websocket", lambda socket: self.sockets.append(socket))
        self.pill = page.locator("#pill")
        self.refusal = page.locator("#refusal")
        self.banner = page.locator("#banner")
        self.said = page.locator("#compose-said")

    def _on_message(self, kind: str, text: str) -> None:
        if kind in ("error", "warning") and not _EXPECTED.search(text):
            self.faults.append(f"{kind}: {text}")

    def assert_clean(self) -> None:
        """Nothing was thrown, nothing was complained of, and the Content-Security-Policy had nothing to forbid."""
        try:
            violations: list[str] = [] if self.page.is_closed() else self.page.evaluate("window.violations ?? []")
        except Error:
            violations = []  # the tab has crashed or gone, which some tests do on purpose
        assert not self.faults
        assert not violations

    def open(self) -> Console:
        self.page.goto(self.url)
        expect(self.page.get_by_role("heading", name="Notification hub")).to_be_visible()
        return self

    def fill_in(self, username: str, password: str) -> None:
        self.page.get_by_label("User name").fill(username)
        self.page.get_by_label("Password").fill(password)
        self.page.get_by_role("button", name="Sign in", exact=True).click()

    def sign_in(self, username: str, password: str = "") -> Console:
        """Sign in a user whom ``HubProcess.add_user`` made, and wait until the connection is live."""
        self.fill_in(username, password or f"password of {username}")
        self.expect_live()
        return self

    def connect_with(self, token: str) -> None:
        field = self.page.get_by_label("Access token (a JWT)")
        if not field.is_visible():
            self.page.get_by_text("Connect with a token instead").click()
        field.fill(token)
        self.page.get_by_role("button", name="Connect", exact=True).click()

    def expect_live(self) -> None:
        expect(self.pill).to_have_text(re.compile("Live"))

    def hurry(self) -> None:
        """The browser's hint that the network is there again, so that a test need not sit out a random wait."""
        self.page.evaluate("window.dispatchEvent(new Event('online'))")

    def follow(self, topic: str) -> None:
        if not self.page.get_by_label("Topic to follow").is_visible():
            self.page.get_by_role("button", name="Follow a topic").click()
        self.page.get_by_label("Topic to follow").fill(topic)
        self.page.get_by_label("Topic to follow").press("Enter")
        expect(self.topic(topic)).to_be_visible()

    def topic(self, name: str) -> Locator:
        return self.page.get_by_role("navigation").get_by_role(
            "button", name=re.compile(f"^{re.escape(name)}( \\d+ new|$)")
        )

    def people(self, topic: str) -> Locator:
        return self.page.get_by_role("list", name=f"In {topic} now").get_by_role("listitem")

    def say(self, topic: str, text: str) -> None:
        self.page.get_by_label("To", exact=True).first.fill(topic)
        self.page.get_by_label("Message", exact=True).fill(text)
        self.page.get_by_label("Message", exact=True).press("Enter")
        expect(self.said).to_have_text(re.compile("In the log at"))

    def rows(self, text: str) -> Locator:
        """The lines of the feed that have this text."""
        return self.page.locator("#rows .row:visible").filter(has_text=text)

    def note(self, words: str | re.Pattern[str]) -> Locator:
        """Lines about the connection and about people."""
        return self.page.locator("#rows .mark").filter(has_text=words)

    def numbers(self) -> list[int]:
        """The ``n`` of the data of each event in the feed, in the order in which they stand there."""
        texts = self.page.locator("#rows .row:not(.mark) pre").all_text_contents()
        return [int(found[1]) for text in texts if (found := re.search(r'"n": (\d+)', text))]

    def raw_socket(self, query: str = "", protocols: list[str] | None = None) -> dict[str, Any]:
        """How a WebSocket of this page ends: what a browser tells of it, no client of ours in between."""
        address = re.sub("^http", "ws", self.url) + "/v1/ws" + query
        ended: dict[str, Any] = self.page.evaluate(_RAW_SOCKET, [address, protocols or []])
        return ended
