"""Subscriptions: a service goes on where it was, at the event it was at."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hub_client import AsyncSubscription, CursorFile, Subscription

from tests.hub_process import HubProcess

from .test_real_hub import service

pytestmark = [pytest.mark.anyio]


@pytest.fixture
def shop(shared_hub: HubProcess, request: pytest.FixtureRequest) -> dict[str, str]:
    grants = {"subscribe": ["orders:*"], "publish": []}
    return service(shared_hub, f"reader-{abs(hash(request.node.name))}", **grants)


async def test_it_goes_on_at_the_event_it_was_at(
    shared_hub: HubProcess, shop: dict[str, str], tmp_path: Path, leakless: None
) -> None:
    for number in range(4):
        shared_hub.publish("n", number, topics=["orders:a"])
    file = CursorFile(tmp_path / "cursor")
    seen: list[Any] = []

    async def fail_at_one() -> None:
        async with AsyncSubscription(shared_hub.url, "orders:a", file, **shop) as events:
            async for event in events:
                seen.append(event.data)
                1 / (1 - event.data)

    with pytest.raises(ZeroDivisionError):
        await fail_at_one()
    async with AsyncSubscription(shared_hub.url, "orders:a", file, **shop) as events:
        async for event in events:
            seen.append(event.data)
            if event.data == 2:
                break
    async with AsyncSubscription(shared_hub.url, ["orders:a", "orders:b"], file, **shop) as events:
        async for event in events:
            seen.append(event.data)
            break
    assert seen == [0, 1, 1, 2, 3]


async def test_from_now_on(shared_hub: HubProcess, shop: dict[str, str], tmp_path: Path, leakless: None) -> None:
    """Its place is kept from the beginning, also if it ends before the first event."""
    shared_hub.publish("n", "old", topics=["orders:now"])
    file = CursorFile(tmp_path / "cursor")
    async with AsyncSubscription(shared_hub.url, "orders:now", file, start="now", **shop):
        pass
    assert file.load()
    shared_hub.publish("n", "while away", topics=["orders:now"])
    async with AsyncSubscription(shared_hub.url, "orders:now", file, start="now", **shop) as events:
        async for event in events:
            assert event.data == "while away"
            break


def test_without_await(shared_hub: HubProcess, shop: dict[str, str], tmp_path: Path) -> None:
    for number in range(3):
        shared_hub.publish("n", number, topics=["orders:plain"])
    file = CursorFile(tmp_path / "cursor")
    seen: list[Any] = []
    for stop in (0, 2):
        with Subscription(shared_hub.url, "orders:plain", file, **shop) as events:
            for event in events:
                seen.append(event.data)
                if event.data == stop:
                    break
    assert seen == [0, 1, 2]


async def test_a_gap_is_told(
    start_hub: Callable[..., HubProcess], tmp_path: Path, caplog: pytest.LogCaptureFixture, leakless: None
) -> None:
    hub = start_hub(retention_bytes=1 << 16)
    reader = service(hub, "reader", subscribe=["orders"], publish=[])
    file = CursorFile(tmp_path / "cursor")
    async with AsyncSubscription(hub.url, "orders", file, start="now", **reader):
        pass
    for _ in range(20):
        await asyncio.to_thread(hub.publish, "n", "x" * 10_000, topics=["orders"])
    with caplog.at_level(logging.ERROR, "hub_client"):
        async with AsyncSubscription(hub.url, "orders", file, **reader) as events:
            async for _ in events:
                break
    assert "gone for good (truncated)" in caplog.text


def test_a_file_holds_the_old_or_the_new(tmp_path: Path) -> None:
    file = CursorFile(tmp_path / "cursor")
    assert file.load() is None
    file.save("a")
    file.save("b")
    assert (file.load(), [path.name for path in tmp_path.iterdir()]) == ("b", ["cursor"])
