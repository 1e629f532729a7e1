"""Events as CloudEvents: what the client renders the reference library reads, and it comes in as it went out."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent
from hub_client import AsyncClient, AsyncPublisher, Event, NewEvent

from tests.hub_process import HubProcess

pytestmark = [pytest.mark.anyio]

CLOUD: dict[str, Any] = {
    "specversion": "1.0",
    "id": "7",
    "source": "/shop",
    "type": "order.paid",
    "time": "2026-01-02T03:04:05Z",
    "subject": "order/7",
    "datacontenttype": "application/json",
    "comexample": 5,
    "data": {"order": 7},
}


def read(cloud: dict[str, Any]) -> CloudEvent:
    """As the reference library reads it."""
    event = JSONFormat().read(CloudEvent, json.dumps(cloud))
    assert isinstance(event, CloudEvent)
    return event


def test_an_event_of_the_hub_s_own() -> None:
    event = Event("7", "paid", "user:a|b@c", "2026-01-02T03:04:05.678Z", "orders:eu", [1], "e:7")
    cloud = event.to_cloudevent()
    assert cloud == {
        "specversion": "1.0",
        "id": "7",
        "type": "paid",
        "source": "user:a%7Cb@c",
        "time": "2026-01-02T03:04:05.678Z",
        "hubpublisher": "user:a%7Cb@c",
        "hubtopic": "orders:eu",
        "hubtime": "2026-01-02T03:04:05.678Z",
        "hubcursor": "e:7",
        "data": [1],
    }
    assert read(cloud).get_data() == [1]
    assert "hubcursor" not in Event("7", "paid", "user:a", "", "x").to_cloudevent()


def test_what_is_none() -> None:
    for change in ({"specversion": "0.3"}, {"id": None}, {"source": 5}, {"type": None}, {"data_base64": "MQ=="}):
        with pytest.raises(ValueError, match=next(iter(change)).partition("_")[0]):
            NewEvent.from_cloudevent(CLOUD | change, users=["alice"])


async def test_there_and_back(shared_hub: HubProcess, leakless: None) -> None:
    shared_hub.add_user("alice")
    made = shared_hub.add_service("shop")
    png = CLOUD | {"id": "8", "data": b"\x89PNG", "datacontenttype": "image/png"}
    async with (
        AsyncClient(shared_hub.url, username="alice", password="password of alice") as client,
        AsyncPublisher(shared_hub.url, service_id=made["id"], service_secret=made["secret"]) as publisher,
    ):
        events = client.events()
        await publisher.publish_many([NewEvent.from_cloudevent(one, users=["alice"]) for one in (CLOUD, png)])
        first, second = [(await anext(events)).to_cloudevent() for _ in range(2)]
        assert CLOUD.items() <= first.items()
        assert {name for name in first if name not in CLOUD} == {"hubpublisher", "hubtopic", "hubtime", "hubcursor"}
        assert first["hubpublisher"] == f"service:{made['id']}"
        assert read(second).get_data() == b"\x89PNG"
        assert base64.b64decode(second["data_base64"]) == b"\x89PNG"
        # One that was received may be passed on as it is: what the hub said about it is not repeated.
        receipt, again = await publisher.publish_many(
            [NewEvent.from_cloudevent(one, users=["alice"]) for one in (first, first)]
        )
        assert (receipt.duplicate, again.duplicate) == (True, True)
