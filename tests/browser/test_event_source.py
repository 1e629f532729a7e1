"""The browser's own ``EventSource``, without a line of our client: live, resumed by itself, sent away."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from tests.hub_process import HubProcess

pytestmark = pytest.mark.browser

LISTEN = """(url) => {
  const source = window.source = new EventSource(url);
  window.heard = { numbers: [], ids: [], named: [], opened: 0, errors: 0, closed: null };
  source.onopen = () => { heard.opened += 1; };
  source.onmessage = ({ data, lastEventId }) => {
    heard.numbers.push(JSON.parse(data).event.data);
    heard.ids.push(lastEventId);
  };
  for (const name of ["welcome", "presence", "cursor", "reset", "close"])
    source.addEventListener(name, ({ data }) => {
      heard.named.push(name);
      if (name === "close") heard.closed = JSON.parse(data);
    });
  source.onerror = () => { heard.errors += 1; };
}"""


@pytest.fixture
def page(chromium: Browser) -> Iterator[Page]:
    # Playwright evaluates what it waits for, which the hub's pages rightly forbid.
    context = chromium.new_context(bypass_csp=True)
    yield context.new_page()
    context.close()


def listen(page: Page, hub: HubProcess, query: str) -> None:
    page.goto(hub.url + "/healthz")
    page.evaluate(LISTEN, f"{hub.url}/v1/sse?{query}")


def heard(page: Page, condition: str) -> Any:
    """What the page has heard, once the condition holds."""
    page.wait_for_function(condition, timeout=20_000)
    return page.evaluate("heard")


def publish(hub: HubProcess, numbers: range) -> None:
    for number in numbers:
        hub.publish(data=number, topics=["orders:1"])


def test_it_resumes_by_itself_over_a_restart_and_a_kill(page: Page, start_hub: Callable[..., HubProcess]) -> None:
    hub = start_hub()
    token = hub.add_user("alice", subscribe=["orders:*"])
    listen(page, hub, f"token={token}&topics=orders:1")
    heard(page, "heard.named.includes('welcome')")
    publish(hub, range(3))
    heard(page, "heard.numbers.length === 3")
    for end, first in ((hub.stop, 3), (hub.kill, 6)):
        end()
        hub.start()
        publish(hub, range(first, first + 3))
        heard(page, f"heard.numbers.length >= {first + 3}")
    said = heard(page, "heard.opened === 3")
    assert said["numbers"] == list(range(9))
    assert len(set(said["ids"])) == 9
    assert said["named"].count("welcome") == 3
    assert "reset" not in said["named"]
    # Only the stop was announced.
    assert said["named"].count("close") == 1
    assert (said["closed"]["code"], said["closed"]["reason"].split(":")[0]) == (1012, "restarting")


def test_who_logs_out_is_told_and_stays_away(page: Page, shared_hub: HubProcess) -> None:
    token = shared_hub.add_user("alice")
    listen(page, shared_hub, f"token={token}")
    heard(page, "heard.named.includes('welcome')")
    shared_hub.http.post("/v1/auth/logout", headers={"Authorization": f"Bearer {token}"})
    # It comes back once, as browsers do, and is told by the status not to do so again.
    said = heard(page, "source.readyState === EventSource.CLOSED")
    assert (said["closed"]["code"], said["closed"]["reason"].split(":")[0]) == (1008, "logged_out")
    assert said["opened"] == 1


def test_who_is_refused_does_not_come_again(page: Page, shared_hub: HubProcess) -> None:
    refused = []
    page.on("response", lambda response: refused.append(response.status) if "/v1/sse" in response.url else None)
    listen(page, shared_hub, "token=nonsense")
    said = heard(page, "source.readyState === EventSource.CLOSED")
    assert (said["opened"], said["errors"], refused) == (0, 1, [401])


def test_a_page_of_another_origin(page: Page, start_hub: Callable[..., HubProcess]) -> None:
    other = start_hub()
    hub = start_hub(allowed_origins=other.url)
    token = hub.add_user("alice")
    page.goto(other.url + "/healthz")
    page.evaluate(LISTEN, f"{hub.url}/v1/sse?token={token}")
    heard(page, "heard.named.includes('welcome')")
    hub.publish(data=1, users=["alice"])
    assert heard(page, "heard.numbers.length > 0")["numbers"] == [1]
    # The other way round nobody allowed it.
    page.goto(hub.url + "/healthz")
    page.evaluate(LISTEN, f"{other.url}/v1/sse?token={other.add_user('alice')}")
    assert heard(page, "source.readyState === EventSource.CLOSED")["opened"] == 0
