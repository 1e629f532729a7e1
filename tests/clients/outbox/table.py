"""What the outbox's tests do with its table, and see at the hub."""

from __future__ import annotations

from typing import Any

from hub_client.outbox import Status
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

from tests.clients.fake_hub import FakeHub
from tests.clients.test_publisher import published

from .app import outbox


async def waiting(engine: AsyncEngine) -> Status:
    async with engine.connect() as connection:
        return Status.read((await connection.execute(outbox.select_status())).one())


async def add(engine: AsyncEngine, *numbers: int, key: str | None = "k") -> None:
    async with AsyncSession(engine) as session, session.begin():
        for number in numbers:
            outbox.add(session, "n", number, topics=["x"], key=key, id=f"id-{number}")


def sent(hub: FakeHub) -> list[Any]:
    return [event["data"] for body in published(hub) for event in body]


def refusing(hub: FakeHub, *numbers: int) -> None:
    async def http(call: Any) -> Any:
        if call.path == "/v1/events":
            for index, event in enumerate(call.json):
                if event["data"] in numbers:
                    problem = {"title": "no", "detail": "Not this one.", "code": "event_invalid", "status": 422}
                    return 422, problem | ({"index": index} if len(call.json) > 1 else {})
        return None

    hub.on_http = http
