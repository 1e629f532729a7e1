"""Who publishes too much is told so, over HTTP and over the socket, and others are not concerned."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.hub_process import HubProcess

from .api import Api
from .raw import RawSocket

pytestmark = pytest.mark.anyio

EVENT = {"type": "t", "to": {"topics": ["orders:1"]}, "durable": False}


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubProcess]:
    hub = HubProcess(
        tmp_path_factory.mktemp("rate"), publish_events_user="20/1h", publish_bytes_user="32KiB/1h", login_successes=0
    )
    try:
        yield hub.start()
    finally:
        hub.close()


def user(hub: HubProcess, name: str) -> Api:
    return Api(hub, hub.add_user(name, publish=["orders:*"]))


def test_events(hub: HubProcess) -> None:
    alice = user(hub, "alice")
    alice.publish([EVENT] * 19)
    alice.publish(EVENT)
    for body in (EVENT, EVENT | {"durable": True}, [EVENT] * 2):
        response = alice.call("POST", "/v1/events", json=body)
        assert response.status_code == 429
        assert response.json()["code"] == "rate_limited"
        assert response.headers["Retry-After"] == str(response.json()["retry_after"])
        assert 100 <= int(response.headers["Retry-After"]) <= 360
    # A page's publish takes the way through the app.
    assert hub.http.post("/v1/events", json=EVENT, headers=alice_in_a_browser(hub)).status_code == 429
    user(hub, "bob").publish([EVENT] * 20)


def alice_in_a_browser(hub: HubProcess) -> dict[str, str]:
    return {"Authorization": f"Bearer {hub.token('alice')}", "Origin": hub.url}


def test_bytes(hub: HubProcess) -> None:
    carol = user(hub, "carol")
    carol.publish(EVENT | {"data": "x" * 40_000})
    refused = carol.refused("POST", "/v1/events", json=EVENT)
    assert (refused["code"], refused["status"]) == ("rate_limited", 429)


def test_what_is_refused_counts_too(hub: HubProcess) -> None:
    dave = user(hub, "dave")
    elsewhere = EVENT | {"to": {"topics": ["secret:1"]}}
    codes = [dave.refused("POST", "/v1/events", json=elsewhere)["code"] for _ in range(21)]
    assert codes == ["forbidden"] * 20 + ["rate_limited"]


def test_administrators_and_services_are_not_limited_unless_told_to(hub: HubProcess) -> None:
    for _ in range(3):
        hub.call("POST", "/v1/events", json=[EVENT] * 1000)
    made = hub.add_service("shop", grants={"subscribe": [], "publish": ["orders:*"]})
    form = {"grant_type": "client_credentials"}
    granted = hub.http.post("/v1/auth/token", data=form, auth=(made["id"], made["secret"]))
    shop = Api(hub, granted.json()["access_token"])
    for _ in range(3):
        shop.publish([EVENT] * 1000)


async def test_over_the_socket_it_is_an_error_frame_and_the_connection_stays(hub: HubProcess) -> None:
    token = hub.add_user("erin", publish=["orders:*"])
    socket = await RawSocket.connect(hub.port, token=token)
    for number in range(21):
        socket.say(type="publish", ref=number, event=EVENT)
    answers = [await socket.until("ok") for _ in range(20)]
    assert [answer["ref"] for answer in answers] == list(range(20))
    error = await socket.until("error")
    assert (error["ref"], error["code"]) == (20, "rate_limited")
    assert "try again in" in error["detail"]
    socket.say(type="ping", ref="still there")
    assert (await socket.until("ok"))["ref"] == "still there"
    socket.cut()
