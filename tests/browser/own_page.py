"""A page of somebody's own on the browser client: what the tests do in it, and what it has heard."""

from __future__ import annotations

import json
from typing import Any

from playwright.sync_api import BrowserContext, Page

_BLANK = """
() => {
  document.head.innerHTML = "<meta name=color-scheme content='light dark'><title>Shop</title>";
  document.body.innerHTML = "";
  document.documentElement.lang = "en";
}
"""

_CONNECT = """
async ([url, options]) => {
  const { HubClient } = await import("/client/index.js");
  if (options.storage) options.storage = window[options.storage];
  window.client = new HubClient({ url, ...options });
  window.heard = [];
  window.states = [];
  window.resumed = [];
  client.on("state", (status) => states.push(status.state));
  client.on("event", ({ data }) => heard.push(data));
  client.on("resumed", ({ events }) => resumed.push(events));
  await client.connect();
}
"""

_INBOX = """
async (attributes) => {
  await import("/client/inbox.js");
  window.inbox = document.createElement("hub-inbox");
  for (const [name, value] of Object.entries(attributes)) inbox.setAttribute(name, value);
  inbox.client = client;
  document.body.append(inbox);
}
"""


class OwnPage:
    """A tab with an empty page of the hub's: in one that a test makes up Chromium opens no WebSocket to here."""

    def __init__(self, context: BrowserContext, url: str, token: str) -> None:
        self.page: Page = context.new_page()
        self.url = url
        self.token = token
        self.faults: list[str] = []
        self.page.on("pageerror", lambda error: self.faults.append(str(error)))
        self.load()

    def load(self) -> OwnPage:
        """Load the page, anew."""
        self.page.goto(f"{self.url}/client/index.js")
        self.page.evaluate(_BLANK)
        return self

    def connect(self, **options: Any) -> OwnPage:
        """Connect, and wait until that is done."""
        self.page.evaluate(_CONNECT, [self.url, {"token": self.token, **options}])
        return self

    def inbox(self, **attributes: str) -> OwnPage:
        """Put the inbox into the page."""
        self.page.evaluate(_INBOX, attributes)
        return self

    def wait_for(self, heard: list[Any]) -> None:
        """Until it has heard exactly this."""
        self.page.wait_for_function("(length) => heard.length >= length", arg=len(heard), timeout=20_000)
        assert self.heard == heard

    @property
    def heard(self) -> list[Any]:
        """The data of the events, in the order in which they came."""
        data: list[Any] = json.loads(self.page.evaluate("JSON.stringify(heard)"))
        return data

    @property
    def requests(self) -> list[str]:
        """The paths of the hub that were fetched."""
        names: list[str] = self.page.evaluate("performance.getEntriesByType('resource').map(({ name }) => name)")
        return [name.removeprefix(self.url) for name in names]
