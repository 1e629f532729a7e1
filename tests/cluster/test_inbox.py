"""One inbox, whichever node is asked: the log on NATS, the marks in a database that the nodes share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.hub_process import HubProcess
from tests.postgres import PostgresServer

from .cluster import Cluster


def call(hub: HubProcess, token: str, method: str, path: str, **options: Any) -> dict[str, Any]:
    response = hub.http.request(method, path, headers={"Authorization": f"Bearer {token}"}, **options)
    answer: dict[str, Any] = response.raise_for_status().json()
    return answer


def test_marks_and_counts_are_the_same_on_every_node_and_survive_all_of_them(
    start_cluster: Callable[..., Cluster], postgres: PostgresServer
) -> None:
    cluster = start_cluster(nodes=2, database_url=postgres.database())
    one, two = cluster.hubs
    alice = cluster.user("alice")
    for n in range(20):
        # What one node has acknowledged is in the inbox that the other one shows.
        event = {"id": f"e{n}", "type": "t", "to": {"users": ["alice"]} if n % 2 else {"all": True}}
        assert cluster.publish(n % 2, event).status_code == 200
        assert call((two, one)[n % 2], alice, "GET", "/v1/inbox")["unread"] == n + 1
    marked = call(one, alice, "POST", "/v1/inbox/read", json={"ids": ["e3", "e4"]})
    assert (marked["changed"], marked["unread"]) == (2, 18)
    assert call(two, alice, "GET", "/v1/inbox")["unread"] == 18
    page = call(two, alice, "GET", "/v1/inbox", params={"unread": "false"})
    assert [item["event"]["id"] for item in page["items"]] == ["e4", "e3"]
    up_to = call(one, alice, "GET", "/v1/inbox", params={"limit": 6})["items"][-1]["cursor"]
    assert call(two, alice, "POST", "/v1/inbox/archive", json={"up_to": up_to})["unread"] == 5
    log = call(one, alice, "GET", "/v1/events", params={"after": marked["cursor"]})["events"]
    assert [(each["event"]["type"], each["event"]["data"]["action"]) for each in log] == [("hub.inbox", "archive")]
    for hub in cluster.hubs:
        hub.kill()
    two.start()
    page = call(two, alice, "GET", "/v1/inbox")
    assert [item["event"]["id"] for item in page["items"]] == ["e19", "e18", "e17", "e16", "e15"]
    assert page["unread"] == 5
