"""Typed events: classes that stand for a type of event."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime
from decimal import Decimal
from typing import NamedTuple

import pytest
from hub_client import AsyncPublisher, Event, NewEvent
from hub_client.typed import event_type, load
from pydantic import BaseModel, ConfigDict, ValidationError

from .fake_hub import FakeHub, client_of, event
from .test_publisher import published, publisher_of


@event_type("order.paid")
class OrderPaid(BaseModel):
    model_config = ConfigDict(strict=True)
    order: int
    at: datetime
    total: Decimal = Decimal(0)


@event_type("place")
@dataclasses.dataclass
class Place:
    lat: float
    lon: float


@event_type("pair")
class Pair(NamedTuple):
    one: int
    two: str


class Sub(OrderPaid):
    pass


PAID = OrderPaid(order=7, at=datetime(2026, 1, 2, tzinfo=UTC), total=Decimal("9.90"))
DATA = {"order": 7, "at": "2026-01-02T00:00:00Z", "total": "9.90"}


def received(type: str, data: object) -> Event:
    return Event("1", type, "service:shop", "", "x", data)


def test_there_and_back() -> None:
    assert NewEvent.typed(PAID, users=["alice"]).body() == {
        "id": None,
        "type": "order.paid",
        "data": DATA,
        "to": {"users": ["alice"]},
    }
    assert received("order.paid", DATA).read(OrderPaid) == PAID
    assert load(received("order.paid", DATA)) == PAID
    for value, data in ((Place(1.5, 2), {"lat": 1.5, "lon": 2}), (Pair(1, "x"), [1, "x"])):
        made = NewEvent.typed(value, all=True)
        assert made.data == data
        assert load(received(made.type, made.data)) == value
    assert load(received("unknown", 5)) is None


def test_what_does_not_fit() -> None:
    with pytest.raises(ValidationError):
        received("order.paid", {"order": "seven"}).read(OrderPaid)
    with pytest.raises(ValueError, match=r"'place', not 'order\.paid'"):
        received("place", {}).read(OrderPaid)
    with pytest.raises(TypeError, match="str is no type of event"):
        received("place", {}).read(str)
    with pytest.raises(TypeError, match="Sub is not registered"):
        NewEvent.typed(Sub(order=1, at=PAID.at), all=True)
    with pytest.raises(TypeError, match="no type of event"):
        NewEvent.typed(5, all=True)


def test_a_type_has_one_class() -> None:
    with pytest.raises(ValueError, match=r"OrderPaid already"):
        event_type("order.paid")(Place)
    assert event_type("order.paid")(OrderPaid) is OrderPaid


@pytest.mark.anyio
async def test_published_and_called_back(hub: FakeHub) -> None:
    async with publisher_of(hub) as publisher:
        await publisher.publish(PAID, users=["alice"], id="7")
        async with publisher.buffer() as buffer:
            await buffer.add(PAID, users=["alice"], id="8")
        with pytest.raises(TypeError, match="brings its data"):
            await publisher.publish(PAID, {"more": 1}, users=["alice"])
    assert published(hub)[0] == {"id": "7", "type": "order.paid", "data": DATA, "to": {"users": ["alice"]}}
    assert published(hub)[1][0]["data"] == DATA

    async def serve(socket: object) -> None:
        await socket.welcome()  # type: ignore[attr-defined]
        await socket.send(event(1, type="other"))  # type: ignore[attr-defined]
        await socket.send(event(2, type="order.paid", data=DATA))  # type: ignore[attr-defined]
        await socket.until_closed()  # type: ignore[attr-defined]

    hub.on_socket = serve
    client = client_of(hub)
    got: list[OrderPaid] = []

    @client.on(OrderPaid)
    async def paid(event: Event) -> None:
        got.append(event.read(OrderPaid))
        client.off(OrderPaid, paid)
        await client.close()

    async with client:
        await client.wait_stopped()
    assert got == [PAID]


def test_the_core_needs_no_pydantic() -> None:
    import subprocess
    import sys

    code = "import sys; sys.modules['pydantic'] = None; import hub_client"
    assert subprocess.run([sys.executable, "-c", code], timeout=30).returncode == 0
    assert AsyncPublisher is not None
