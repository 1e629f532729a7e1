"""A small load balancer: one address before several nodes, for a laptop.

Plain TCP, so that WebSockets, SSE and everything else pass as they are. A connection goes to the ready node that has
the fewest; which are ready, ``/readyz`` says, asked twice a second. In production this is the job of a real one.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from dataclasses import dataclass

_LOOK = 0.5
_PIECE = 64 * 1024
Address = tuple[str, int]


@dataclass(slots=True)
class _Node:
    address: Address
    ready: bool = False
    connections: int = 0


class Balancer:
    """Listens on one address and forwards to several."""

    def __init__(self, nodes: Sequence[Address]) -> None:
        self._nodes = [_Node(address) for address in nodes]
        self._server: asyncio.Server | None = None
        self._looking: asyncio.Task[None] | None = None
        self._passing: set[asyncio.Task[None]] = set()

    @property
    def ready(self) -> list[Address]:
        """The nodes that take connections."""
        return [node.address for node in self._nodes if node.ready]

    async def start(self, host: str, port: int) -> None:
        """Listen; raises ``OSError``."""
        self._looking = asyncio.create_task(self._look())
        self._server = await asyncio.start_server(self._accept, host, port)

    async def stop(self) -> None:
        """Cut everything."""
        if self._server is not None:
            self._server.close()
        tasks = [*self._passing, *([self._looking] if self._looking else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _look(self) -> None:
        while True:
            answers = await asyncio.gather(*(_is_ready(node.address) for node in self._nodes))
            for node, ready in zip(self._nodes, answers, strict=True):
                node.ready = ready
            await asyncio.sleep(_LOOK)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._passing.add(task)
        try:
            await self._forward(reader, writer)
        finally:
            self._passing.discard(task)
            writer.transport.abort() if writer.transport.get_write_buffer_size() else writer.close()

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for node in sorted(self._nodes, key=lambda node: (not node.ready, node.connections)):
            try:
                from_node, to_node = await asyncio.wait_for(asyncio.open_connection(*node.address), 2)
            except (OSError, TimeoutError):
                node.ready = False
                continue
            node.connections += 1
            try:
                await asyncio.gather(_pipe(reader, to_node), _pipe(from_node, writer))
            finally:
                node.connections -= 1
                to_node.close()
            return


async def _pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while piece := await reader.read(_PIECE):
            writer.write(piece)
            await writer.drain()
    with contextlib.suppress(OSError):
        writer.write_eof()


async def _is_ready(address: Address) -> bool:
    try:
        async with asyncio.timeout(3):
            reader, writer = await asyncio.open_connection(*address)
            try:
                writer.write(b"GET /readyz HTTP/1.1\r\nHost: hub\r\nConnection: close\r\n\r\n")
                status = await reader.readline()
            finally:
                writer.close()
    except (OSError, TimeoutError):
        return False
    return b" 200 " in status
