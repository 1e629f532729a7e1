"""The crowd's histories against the log: what was acknowledged is there, and everybody got what was theirs."""

from __future__ import annotations

import asyncio
from typing import Any

from tests.hub_process import HubProcess

from .crowd import TOPICS, Publisher, Reader


def whole_log(hub: HubProcess) -> list[dict[str, Any]]:
    """Every entry, with every topic that the administrator sees it under, in order."""
    topics = ["all", *TOPICS, *(f"user:reader{n}" for n in range(8))]
    entries: dict[str, dict[str, Any]] = {}
    for topic in topics:
        after, more = "earliest", True
        while more:
            params: dict[str, str | int] = {"topics": topic, "after": after, "limit": 1000}
            response = hub.http.get("/v1/events", params=params, headers=hub.admin_headers())
            page = response.raise_for_status().json()
            assert not page["reset"]
            for item in page["events"]:
                entry = entries.setdefault(item["cursor"], {"cursor": item["cursor"], "id": item["event"]["id"]})
                entry.setdefault("topics", set()).add(topic)
            after, more = page["cursor"], page["more"]
    return sorted(entries.values(), key=lambda entry: place(entry["cursor"]))


def place(cursor: str) -> int:
    """Opaque to clients; the test looks inside to check the order."""
    return int(cursor.rpartition(":")[2])


def due(reader: Reader, log: list[dict[str, Any]]) -> list[tuple[str, str]]:
    return [(entry["cursor"], entry["id"]) for entry in log if entry["topics"] & reader.follows]


async def caught_up(readers: list[Reader], log: list[dict[str, Any]]) -> None:
    """Wait until every reader has as many events as it is due; ``check`` looks at which."""
    async with asyncio.timeout(60):
        for reader in readers:
            while len(reader.events) < len(due(reader, log)):
                await asyncio.sleep(0.05)


def check(publishers: list[Publisher], readers: list[Reader], log: list[dict[str, Any]]) -> None:
    cursors = {entry["id"]: entry["cursor"] for entry in log}
    assert len(cursors) == len(log), "an event is in the log twice"
    for publisher in publishers:
        assert publisher.acknowledged
        for event_id, cursor in publisher.acknowledged.items():
            assert cursors.get(event_id) == cursor, f"{event_id} was acknowledged at {cursor}"
    for reader in readers:
        assert reader.resets == 0
        assert reader.events == due(reader, log), reader.name
        assert reader.connections > 1
    print(
        f"{len(log)} events in the log, {sum(len(reader.events) for reader in readers)} delivered, "
        f"{sum(publisher.repeated for publisher in publishers)} publishes repeated and recognised, "
        f"{sum(reader.connections for reader in readers)} connections"
    )
