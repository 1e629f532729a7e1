"""The inbox over HTTP: what is refused, with which code, and how answers look."""

from __future__ import annotations

from typing import Any

import pytest

from tests.hub_process import HubProcess


@pytest.fixture(scope="module")
def alice(shared_hub: HubProcess) -> dict[str, str]:
    return {"Authorization": f"Bearer {shared_hub.add_user('alice', topics=['news'])}"}


@pytest.mark.parametrize(
    ("path", "said", "status", "code"),
    [
        ("read", {}, 422, "request_invalid"),
        ("read", {"ids": ["a"], "up_to": "b:1"}, 422, "request_invalid"),
        ("read", {"ids": []}, 422, "request_invalid"),
        ("read", {"ids": ["x"] * 1001}, 422, "request_invalid"),
        ("archive", {"up_to": "earliest"}, 422, "cursor_invalid"),
        ("archive", {"up_to": "abc:1"}, 422, "cursor_invalid"),
        ("unread", {"up_to": "abc:1"}, 422, "request_invalid"),
        ("unarchive", {"ids": ["a"], "all": True}, 422, "request_invalid"),
    ],
)
def test_bad_marks_are_refused(
    shared_hub: HubProcess, alice: dict[str, str], path: str, said: dict[str, Any], status: int, code: str
) -> None:
    response = shared_hub.http.post(f"/v1/inbox/{path}", json=said, headers=alice)
    assert (response.status_code, response.json()["code"]) == (status, code)
    assert response.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(
    ("query", "status", "code"),
    [
        ({"limit": 0}, 422, "request_invalid"),
        ({"limit": 201}, 422, "request_invalid"),
        ({"after": "nonsense"}, 422, "cursor_invalid"),
        ({"topic": "orders"}, 403, "forbidden"),
        ({"topic": "user:bob"}, 403, "forbidden"),
        ({"topic": "a b"}, 422, "topic_invalid"),
        ({"archived": "maybe"}, 422, "request_invalid"),
    ],
)
def test_bad_questions_are_refused(
    shared_hub: HubProcess, alice: dict[str, str], query: dict[str, Any], status: int, code: str
) -> None:
    response = shared_hub.http.get("/v1/inbox", params=query, headers=alice)
    assert (response.status_code, response.json()["code"]) == (status, code)


def test_a_service_and_a_stranger_have_none(shared_hub: HubProcess) -> None:
    made = shared_hub.add_service("till")
    token = {"grant_type": "client_credentials", "client_id": made["id"], "client_secret": made["secret"]}
    access = shared_hub.http.post("/v1/auth/token", data=token).json()["access_token"]
    response = shared_hub.http.get("/v1/inbox", headers={"Authorization": f"Bearer {access}"})
    assert (response.status_code, response.json()["code"]) == (403, "forbidden")
    assert shared_hub.http.get("/v1/inbox").json()["code"] == "token_missing"
    assert shared_hub.http.post("/v1/inbox/read", json={"ids": ["x"]}).json()["code"] == "token_missing"


def test_an_item_has_the_event_as_it_was_sent_and_a_page_its_filters(
    shared_hub: HubProcess, alice: dict[str, str]
) -> None:
    http = shared_hub.http
    display = {"title": "Paid", "url": "/orders/7"}
    body = {"id": "paid", "type": "order.paid", "data": {"n": 7}, "display": display, "priority": "high"}
    shared_hub.call("POST", "/v1/events", json=body | {"to": {"topics": ["news"]}})
    receipt = shared_hub.publish("order.sent", id="sent", users=["alice"])
    page = http.get("/v1/inbox", headers=alice).json()
    assert page["cursor"] == receipt["cursor"]
    assert [item["event"]["id"] for item in page["items"]] == ["sent", "paid"]
    item = page["items"][1]
    assert item["topic"] == "news"
    assert item["event"] | body == item["event"]
    assert (item["read"], item["archived"], page["unread"], page["next"]) == (False, False, 2, None)
    log = http.get("/v1/events", params={"topics": "news"}, headers=alice).json()["events"]
    assert {"cursor": item["cursor"], "topic": "news", "event": item["event"]} in log
    for query, expected in (
        ({"type": "order.*"}, ["sent", "paid"]),
        ({"type": "order.paid"}, ["paid"]),
        ({"topic": "news"}, ["paid"]),
        ({"unread": "false"}, []),
        ({"archived": "any"}, ["sent", "paid"]),
        ({"archived": "true"}, []),
    ):
        found = http.get("/v1/inbox", params=query, headers=alice).json()
        assert [one["event"]["id"] for one in found["items"]] == expected, query
        assert found["unread"] == 2


def test_publishers_are_refused_the_hubs_own_types(shared_hub: HubProcess) -> None:
    body = {"type": "hub.inbox", "data": {"unread": 99}, "to": {"users": ["alice"]}}
    response = shared_hub.http.post("/v1/events", json=body, headers=shared_hub.admin_headers())
    assert (response.status_code, response.json()["code"]) == (422, "event_invalid")
