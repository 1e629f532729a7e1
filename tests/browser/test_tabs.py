"""The browser client in real tabs: one connection for all, kept cursors, lost networks, networks without WebSockets."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser, BrowserContext, Error

from tests.browser.own_page import OwnPage
from tests.hub_process import HubProcess

pytestmark = pytest.mark.browser

Open = Callable[..., OwnPage]


@pytest.fixture
def context(chromium: Browser) -> Iterator[BrowserContext]:
    context = chromium.new_context(bypass_csp=True)
    yield context
    context.close()


@pytest.fixture
def tab(hub_server: HubProcess, context: BrowserContext) -> Iterator[Open]:
    """Opens a tab of alice, in which nothing may be thrown."""
    token = hub_server.add_user("alice", subscribe=["orders", "chat:*"], publish=["chat:*"])
    tabs: list[OwnPage] = []

    def open_one(url: str = hub_server.url) -> OwnPage:
        tabs.append(OwnPage(context, url, token))
        return tabs[-1]

    yield open_one
    assert [fault for tab in tabs for fault in tab.faults] == []


def connections(hub: HubProcess) -> int:
    """How many alice has."""
    return sum(connection["principal"] == "user:alice" for connection in hub.call("GET", "/v1/connections"))


def test_the_tab_that_leads_dies_and_nothing_is_lost_or_doubled(hub_server: HubProcess, tab: Open) -> None:
    tabs = [tab().connect(share=True, topics=["orders"]) for _ in range(3)]
    for number in range(20):
        hub_server.publish("order.created", number, topics=["orders"])
    for one in tabs:
        one.wait_for(list(range(20)))
    assert connections(hub_server) == 1
    assert not any("event_stream" in path for one in tabs for path in one.requests), "it is a WebSocket"

    # In the middle of events: the first leads, and is closed without a word.
    for number in range(20, 60):
        hub_server.publish("order.created", number, topics=["orders"])
        if number == 30:
            tabs[0].page.close(run_before_unload=False)
    for one in tabs[1:]:
        one.wait_for(list(range(60)))
    assert connections(hub_server) == 1

    # And the next one; a crash this time.
    with tabs[1].page.expect_event("crash"), contextlib.suppress(Error):
        tabs[1].page.goto("chrome://crash")
    hub_server.publish("order.created", 60, topics=["orders"])
    tabs[2].wait_for(list(range(61)))


def test_tabs_hear_what_another_one_says(hub_server: HubProcess, tab: Open) -> None:
    one, other = (tab().connect(share=True, topics=["chat:a"]) for _ in range(2))
    for page in (other, one):
        page.page.evaluate("client.publish({ type: 'm', data: 'hello', to: { topics: ['chat:a'] } })")
    one.wait_for(["hello"])
    other.wait_for(["hello"])
    assert connections(hub_server) == 1


def test_after_a_reload_it_goes_on_where_the_page_was(hub_server: HubProcess, tab: Open) -> None:
    page = tab().connect(topics=["orders"], storage="localStorage")
    hub_server.publish("order.created", 1, topics=["orders"])
    page.wait_for([1])
    page.page.goto("about:blank")
    for number in (2, 3):
        hub_server.publish("order.created", number, topics=["orders"])
    page.load().connect(topics=["orders"], storage="localStorage")
    page.wait_for([2, 3])
    assert page.page.evaluate("resumed") == [2]


def test_a_reloaded_tab_that_shares_reads_what_it_missed(hub_server: HubProcess, tab: Open) -> None:
    tab().connect(share=True, topics=["orders"])
    page = tab().connect(share=True, topics=["orders"], storage="sessionStorage")
    hub_server.publish("order.created", 1, topics=["orders"])
    page.wait_for([1])
    page.page.goto("about:blank")
    for number in (2, 3):
        hub_server.publish("order.created", number, topics=["orders"])
    page.load().connect(share=True, topics=["orders"], storage="sessionStorage")
    page.wait_for([2, 3])
    hub_server.publish("order.created", 4, topics=["orders"])
    page.wait_for([2, 3, 4])
    assert connections(hub_server) == 1


def test_offline_and_online_again(hub_server: HubProcess, tab: Open, context: BrowserContext) -> None:
    page = tab().connect(topics=["orders"])
    context.set_offline(True)
    hub_server.stop()  # the emulation lets an open socket live
    hub_server.start()
    page.page.wait_for_function("client.state === 'waiting'")
    hub_server.publish("order.created", 1, topics=["orders"])
    context.set_offline(False)
    page.wait_for([1])


class NoWebSockets:
    """A proxy of the kind that answers an upgrade with 403."""

    def __init__(self, hub: HubProcess) -> None:
        self._target = ("127.0.0.1", hub.port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.refused = 0
        self._sockets: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        try:
            server = socket.create_connection(self._target)
        except OSError:
            return client.close()
        self._sockets += [client, server]
        threading.Thread(target=self._copy, args=(server, client), daemon=True).start()
        self._copy(client, server)

    def _copy(self, source: socket.socket, target: socket.socket) -> None:
        try:
            while data := source.recv(65536):
                if b"upgrade: websocket" in data.lower():
                    self.refused += 1
                    source.sendall(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
                    break
                target.sendall(data)
        except OSError:
            pass
        finally:
            source.close()
            target.close()

    def cut(self) -> None:
        """Every connection that is open."""
        for one in self._sockets:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
        self._sockets.clear()

    def close(self) -> None:
        """No more."""
        self._listener.close()
        self.cut()


@pytest.fixture
def proxy(start_hub: Callable[..., HubProcess], context: BrowserContext) -> Iterator[tuple[HubProcess, NoWebSockets]]:
    hub = start_hub(allowed_origins="*")
    proxy = NoWebSockets(hub)
    yield hub, proxy
    proxy.close()


def test_a_network_without_websockets(proxy: tuple[HubProcess, NoWebSockets], context: BrowserContext) -> None:
    hub, network = proxy
    token = hub.add_user("alice", subscribe=["orders", "chat:*"], publish=["chat:*"])
    page = OwnPage(context, network.url, token).connect(topics=["orders"])
    assert page.page.evaluate("states") == ["authorizing", "connecting", "open"], "without a wait"
    assert network.refused == 1
    for number in range(3):
        hub.publish("order.created", number, topics=["orders"])
    page.wait_for([0, 1, 2])
    network.cut()
    for number in range(3, 6):
        hub.publish("order.created", number, topics=["orders"])
    page.wait_for([0, 1, 2, 3, 4, 5])
    page.page.evaluate("client.subscribe('chat:a')")
    hub.publish("chat.message", "over a stream", topics=["chat:a"])
    page.wait_for([0, 1, 2, 3, 4, 5, "over a stream"])
    receipt = page.page.evaluate("client.publish({ type: 'm', data: 1, to: { topics: ['chat:a'] } })")
    assert receipt["cursor"]
    hub.publish("order.created", "last", topics=["orders"])
    page.wait_for([0, 1, 2, 3, 4, 5, "over a stream", "last"])  # and not what it said itself
    # A logout is heard over the stream as over a socket.
    hub.call("PATCH", "/v1/users/alice", json={"disabled": True})
    page.page.wait_for_function("client.state === 'stopped'")
    assert page.page.evaluate("client.status.code") == "user_disabled"
    assert network.refused == 1
    assert page.faults == []
