"""CloudEvents to and from a real hub."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import fields
from typing import Any

import pytest
from cloudevents.core.bindings import http as oracle
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent

from hub.transports import cloudevents
from hub.transports.direct import Direct
from tests.hub_process import HubProcess

from .api import Api
from .clouds import BATCH, STRUCTURED, cloud


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubProcess]:
    hub = HubProcess(tmp_path_factory.mktemp("cloudevents"), max_event_bytes=1000)
    try:
        hub.start().add_user("alice")
        yield hub
        assert hub.stop() == 0
        assert "Traceback" not in hub.log()
    finally:
        hub.close()


@pytest.fixture(scope="module")
def admin(hub: HubProcess) -> Api:
    return Api(hub, hub.admin_headers()["Authorization"].removeprefix("Bearer "))


def post(
    hub: HubProcess, headers: dict[str, str], content: bytes, query: str = "", token: str | None = None
) -> tuple[int, Any]:
    authorization = hub.admin_headers() if token is None else {"Authorization": f"Bearer {token}"}
    response = hub.http.post("/v1/events" + query, headers=authorization | headers, content=content)
    return response.status_code, response.json()


def test_in_and_out(hub: HubProcess, admin: Api) -> None:
    event = CloudEvent(
        {
            "id": "a",
            "source": "https://example.com/shop",
            "type": "paid",
            "subject": "ü",
            "hubtopics": "orders",
            "datacontenttype": "application/json",
        },
        {"order": 7},
    )
    for number, write in enumerate((oracle.to_structured, oracle.to_binary)):
        message = write(event, JSONFormat())
        status, receipt = post(hub, message.headers, message.body)
        # Also across the modes it is one and the same event.
        assert (status, receipt["id"], receipt["duplicate"]) == (200, "a", bool(number))
    [entry] = admin.get("/v1/events", topics="orders")["events"]
    assert (entry["event"]["source"], entry["event"]["data"]) == ("user:admin", {"order": 7})
    kept = entry["event"]["cloudevent"]
    assert (kept["source"], kept["subject"]) == ("https://example.com/shop", "ü")


def test_a_batch_is_taken_as_a_whole_or_not_at_all(hub: HubProcess, admin: Api) -> None:
    many = [cloud(id=str(number), hubusers=...) for number in range(3)]
    status, receipts = post(hub, BATCH, json.dumps(many).encode(), "?topics=many")
    assert (status, [one["id"] for one in receipts]) == (200, ["0", "1", "2"])
    status, problem = post(hub, BATCH, json.dumps([*many, cloud(id="3", data="x" * 1000)]).encode(), "?topics=many")
    assert (status, problem["code"], problem["index"]) == (413, "event_too_large", 3)
    assert post(hub, BATCH, b"[]") == (200, [])
    assert len(admin.get("/v1/events", topics="many")["events"]) == 3


def test_the_same_id_of_another_source_is_another_event(hub: HubProcess, admin: Api) -> None:
    for source in ("/one", "/two"):
        status, receipt = post(hub, STRUCTURED, json.dumps(cloud(source=source, hubtopics="sources")).encode())
        assert (status, receipt["duplicate"]) == (200, False)
    status, problem = post(hub, STRUCTURED, json.dumps(cloud(source="/one", subject="x")).encode())
    assert (status, problem["code"]) == (409, "id_conflict")


def test_grants_hold_for_it(hub: HubProcess, admin: Api) -> None:
    status, problem = post(hub, STRUCTURED, json.dumps(cloud(hubusers="bob")).encode(), token=hub.token("alice"))
    assert (status, problem["code"]) == (403, "forbidden")
    status, problem = post(hub, STRUCTURED, json.dumps(cloud(type="hub.inbox")).encode())
    assert (status, problem["code"]) == (422, "event_invalid")
    status, problem = post(hub, STRUCTURED, json.dumps(cloud(hubtopics="a,,b c")).encode())
    assert (status, problem["code"]) == (422, "topic_invalid")
    status, problem = post(hub, {"content-type": "application/cloudevents+xml"}, b"<event/>")
    assert (status, problem["code"]) == (415, "media_type_unsupported")


def test_its_attributes_may_be_said_in_ordinary_json(hub: HubProcess, admin: Api) -> None:
    body = {"type": "t", "to": {"topics": ["plain"]}, "cloudevent": {"source": "/x", "ext": 5}}
    assert admin.call("POST", "/v1/events", json=body).status_code == 200
    assert admin.get("/v1/events", topics="plain")["events"][0]["event"]["cloudevent"] == {"source": "/x", "ext": 5}
    for wrong in ({}, {"source": "/x", "id": "7"}, {"source": "/x", "Ext": 5}, {"source": "/x", "data_base64": "x"}):
        assert admin.refused("POST", "/v1/events", json=body | {"cloudevent": wrong})["code"] == "event_invalid"


def test_read_as_cloudevents(hub: HubProcess, admin: Api) -> None:
    for number, event in enumerate((cloud(id="out", data={"order": 7}), cloud(id="bytes", data_base64="/w=="))):
        post(hub, STRUCTURED, json.dumps(event | {"subject": str(number), "hubtopics": "out"}).encode())
    admin.publish({"type": "own", "data": [1], "to": {"topics": ["out"]}})
    headers = hub.admin_headers() | {"Accept": f"text/html, {cloudevents.BATCH};q=0.5"}
    response = hub.http.get("/v1/events", params={"topics": "out", "after": "earliest", "limit": 2}, headers=headers)
    assert response.headers["content-type"] == cloudevents.BATCH
    assert (response.headers["hub-more"], response.headers["hub-reset"]) == ("true", "false")
    first, second = [JSONFormat().read(CloudEvent, json.dumps(one)) for one in response.json()]
    assert (first.get_id(), first.get_source(), first.get_subject(), first.get_data()) == (
        "out", "/shop", "0", {"order": 7},
    )  # fmt: skip
    assert first.get_extension("hubpublisher") == "user:admin"
    assert second.get_data() == b"\xff"
    query = {"topics": "out", "after": response.headers["hub-cursor"]}
    [own] = hub.http.get("/v1/events", params=query, headers=headers).json()
    assert (own["source"], own["data"], own["hubtopic"]) == ("user:admin", [1], "out")
    for accept in ("*/*", f"{cloudevents.BATCH}; q=0", "application/cloudevents+json"):
        plain = hub.http.get("/v1/events", params=query, headers=hub.admin_headers() | {"Accept": accept})
        assert plain.headers["content-type"] == "application/json"


def test_ordinary_publishes_keep_their_short_way() -> None:
    direct = Direct(**{each.name: None for each in fields(Direct)} | {"max_body": 10})  # type: ignore[arg-type]
    head = [(b"content-length", b"5"), (b"content-type", b"application/json"), (b"ce-id", b"5")]
    assert direct.takes(b"POST", b"/v1/events", head)
    assert not direct.takes(b"POST", b"/v1/events", [*head, (b"ce-specversion", b"1.0")])
    assert not direct.takes(b"POST", b"/v1/events", [head[0], (b"content-type", b"Application/CloudEvents+json")])
