"""Where a request comes from: what a trusted proxy says of it, and what nobody else can make the hub believe."""

from __future__ import annotations

import asyncio
import itertools
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hub.notation import network
from hub.transports.address import Proxies
from tests.hub_process import HubProcess

from .raw import RawSocket

_names = itertools.count()

TRUSTED = "127.0.0.1, ::1, 10.0.0.0/8, fd00::/8"

CASES = [
    # What X-Forwarded-For says, a line each, and whom that makes the client.
    ([], "127.0.0.1"),
    (["203.0.113.7"], "203.0.113.7"),
    (["203.0.113.7, 10.1.2.3"], "203.0.113.7"),
    (["203.0.113.7,10.1.2.3,10.9.9.9"], "203.0.113.7"),
    (["203.0.113.7", "10.1.2.3"], "203.0.113.7"),
    (["203.0.113.7", "198.51.100.2, 10.1.2.3"], "198.51.100.2"),
    # What stands before an untrusted one may be anybody's invention.
    (["1.1.1.1, 203.0.113.7"], "203.0.113.7"),
    (["10.0.0.1, 203.0.113.7, 10.1.2.3"], "203.0.113.7"),
    (["127.0.0.1, 203.0.113.7"], "203.0.113.7"),
    (["garbage, 203.0.113.7"], "203.0.113.7"),
    # All of them are trusted: a client inside.
    (["10.7.7.7, 10.1.2.3"], "10.7.7.7"),
    (["2001:db8::7, fd00::1"], "2001:db8::7"),
    (["2001:DB8:0:0::7"], "2001:db8::7"),
    (["::ffff:10.1.2.3"], "::ffff:a01:203"),
    (["203.0.113.7, ::ffff:10.1.2.3"], "203.0.113.7"),
    (["203.0.113.7:4711, 10.1.2.3:80"], "203.0.113.7"),
    (["[2001:db8::7]:4711, [fd00::1]"], "2001:db8::7"),
    # Behind what is no address, nothing is believed: the proxy that says it is what is known.
    (["garbage"], "127.0.0.1"),
    ([""], "127.0.0.1"),
    ([","], "127.0.0.1"),
    (["unknown, 10.1.2.3"], "10.1.2.3"),
    (["203.0.113.7, "], "127.0.0.1"),
    (["203.0.113.7, 10.1.2.3.4"], "127.0.0.1"),
    (["203.0.113.7 10.1.2.3"], "127.0.0.1"),
    (["203.0.113.7, 10.1.2.3%eth0"], "127.0.0.1"),
    (["010.1.2.3"], "127.0.0.1"),
    (["[]"], "127.0.0.1"),
    (["\xff"], "127.0.0.1"),
    (["1" * 5000], "127.0.0.1"),
]


def proxies(trusted: str = TRUSTED) -> Proxies:
    return Proxies(network(one.strip()) for one in trusted.split(","))


def headers(lines: Sequence[str]) -> list[tuple[str, str]]:
    return [("X-Forwarded-For", line) for line in lines]


@pytest.mark.parametrize(("lines", "client"), CASES)
def test_who_it_is(lines: list[str], client: str) -> None:
    sent = [(b"host", b"hub"), *((b"x-forwarded-for", line.encode("latin-1")) for line in lines)]
    assert proxies().client("127.0.0.1", sent) == client


@pytest.mark.parametrize("peer", ["203.0.113.1", "2001:db8::1", "unknown", "", None, "testclient"])
@pytest.mark.parametrize(("lines", "_"), CASES)
def test_a_peer_who_is_not_trusted_says_nothing_about_others(peer: str | None, lines: list[str], _: str) -> None:
    sent = [(b"x-forwarded-for", line.encode("latin-1")) for line in lines]
    assert proxies().client(peer, sent) == (peer or "unknown")


_hops = st.one_of(
    st.ip_addresses().map(str),
    st.sampled_from(["10.1.1.1", "127.0.0.1", "fd00::5", "x", "", "[::1]:8"]),
    st.text(max_size=20),
)


@settings(deadline=None)
@given(invented=st.lists(_hops), added=st.sampled_from(["203.0.113.7", "2001:db8::7"]), behind=st.integers(0, 3))
def test_nobody_is_somebody_else(invented: list[str], added: str, behind: int) -> None:
    """Whatever a client sends along, the first trusted proxy adds the address that it sees."""
    line = ", ".join([*invented, added, *["10.1.2.3"] * behind]).encode("latin-1", "replace")
    assert proxies().client("127.0.0.1", [(b"x-forwarded-for", line)]) == added


# --- Through real sockets


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubProcess]:
    """Behind a proxy on this machine."""
    hub = HubProcess(tmp_path_factory.mktemp("proxied"), trusted_proxies=TRUSTED, login_failures_address=0)
    try:
        hub.start().add_user("alice", subscribe=["orders:*"], publish=["orders:*"])
        yield hub
        assert "Traceback" not in hub.log()
    finally:
        hub.close()


def connected_from(hub: HubProcess, lines: Sequence[str]) -> str:
    """The address of a WebSocket."""

    async def connect() -> str:
        client = await RawSocket.connect(hub.port, headers=headers(lines), token=hub.token("alice"))
        try:
            name = (await client.until("welcome"))["connection"]
            found = await asyncio.to_thread(hub.call, "GET", "/v1/connections")
            return next(str(one["address"]) for one in found if one["id"] == name)
        finally:
            client.cut()

    return asyncio.run(connect())


def called_from(hub: HubProcess, lines: Sequence[str]) -> str:
    """The address of a request that the app answers: a failed login, as the log has it."""
    before = len(hub.log())
    sent: Any = [(header, value.encode("latin-1")) for header, value in headers(lines)]
    form = {"username": f"nobody-{next(_names)}", "password": "wrong"}
    assert hub.http.post("/v1/auth/login", json=form, headers=sent).status_code == 401
    found = re.search("login of an unknown name from (.*) refused", hub.log()[before:])
    assert found is not None
    return found[1]


@pytest.mark.parametrize(("lines", "client"), [case for case in CASES if case[0] != ["203.0.113.7, "]][::2])
def test_both_ways_in_agree(hub: HubProcess, lines: list[str], client: str) -> None:
    assert connected_from(hub, lines) == client
    assert called_from(hub, lines) == client


def test_a_publish_is_answered_whoever_is_said_to_send_it(hub: HubProcess) -> None:
    token = hub.token("alice")
    event = {"type": "t", "to": {"topics": ["orders:1"]}}
    for line in ("203.0.113.7", "garbage", "\xff"):
        sent = {"Authorization": f"Bearer {token}".encode(), "X-Forwarded-For": line.encode("latin-1")}
        assert hub.http.post("/v1/events", json=event, headers=sent).status_code == 200


def test_nobody_else_is_believed(start_hub: Callable[..., HubProcess]) -> None:
    hub = start_hub(trusted_proxies="10.0.0.0/8")
    hub.add_user("alice")
    assert connected_from(hub, ["203.0.113.7"]) == "127.0.0.1"
    assert called_from(hub, ["203.0.113.7, 10.1.2.3"]) == "127.0.0.1"


def test_by_default_a_proxy_on_this_machine_is(start_hub: Callable[..., HubProcess]) -> None:
    hub = start_hub()
    hub.add_user("alice")
    assert connected_from(hub, ["198.51.100.2, 203.0.113.7"]) == "203.0.113.7"
    assert called_from(hub, ["198.51.100.2, 203.0.113.7"]) == "203.0.113.7"
