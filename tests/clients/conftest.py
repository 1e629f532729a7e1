"""Fixtures for the Python client's tests."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator
from typing import Any

import pytest

from .fake_hub import FakeHub


@pytest.fixture
async def leakless() -> AsyncIterator[None]:
    """Nothing stays behind: no task, and nothing that the event loop would complain about."""
    loop = asyncio.get_running_loop()
    complaints: list[dict[str, Any]] = []
    handler = loop.get_exception_handler()
    loop.set_exception_handler(lambda _, context: complaints.append(context))
    before = asyncio.all_tasks()
    yield
    gc.collect()
    await asyncio.sleep(0)
    loop.set_exception_handler(handler)
    left = asyncio.all_tasks() - before - {asyncio.current_task()}
    # Those of the test runner itself run fixtures, such as this one.
    assert not [task for task in left if "TestRunner" not in repr(task)]
    assert not complaints


@pytest.fixture
async def hub(leakless: None) -> AsyncIterator[FakeHub]:
    """A scripted hub, running."""
    async with FakeHub().run() as running:
        yield running
