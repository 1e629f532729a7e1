"""Fixtures for the tests of the transports."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from .raw import RawSocket


@pytest.fixture(autouse=True)
async def no_socket_is_left(anyio_backend: str) -> AsyncIterator[None]:
    """Lets go of the raw sockets of a test, also of one that failed."""
    yield
    RawSocket.cut_all()
