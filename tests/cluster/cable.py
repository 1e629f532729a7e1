"""The cables between one node and the NATS servers: they can be cut, and be long. Runs in a thread of its own.

A cable that is cut passes nothing and ends nothing, as a network that drops packets: what was sent arrives once it is
mended, on connections that were not given up meanwhile.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Sequence
from urllib.parse import urlsplit

from tests.hub_process import free_port

_PIECE = 64 * 1024


class Cables:
    """One to each server; ``url`` is what the node is told."""

    def __init__(self, servers: Sequence[str]) -> None:
        self._ends = [(free_port(), urlsplit(server).port or 4222) for server in servers]
        self.url = ",".join(f"nats://127.0.0.1:{port}" for port, _ in self._ends)
        self._cut = False
        self._delay = 0.0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="cables")
        self._laid = threading.Event()

    def start(self) -> Cables:
        """Lay them."""
        self._thread.start()
        assert self._laid.wait(10)
        return self

    def close(self) -> None:
        """Take them away."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(10)

    def cut(self) -> None:
        """Nothing passes."""
        self._cut = True

    def mend(self) -> None:
        """All passes, at once."""
        self._cut, self._delay = False, 0.0

    def lengthen(self, seconds: float) -> None:
        """Everything takes so long on its way."""
        self._delay = seconds

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        servers = [self._loop.run_until_complete(self._lay(port, to)) for port, to in self._ends]
        self._laid.set()
        self._loop.run_forever()
        for server in servers:
            server.close()
        tasks = asyncio.all_tasks(self._loop)
        for task in tasks:
            task.cancel()
        self._loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
        self._loop.run_until_complete(asyncio.sleep(0))  # For what an end of a connection calls.
        self._loop.close()

    async def _lay(self, port: int, to: int) -> asyncio.Server:
        async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                far_reader, far_writer = await asyncio.open_connection("127.0.0.1", to)
            except OSError:
                writer.transport.abort()
                return
            try:
                # Cancelled only at the end, when nobody is to hear of it.
                with contextlib.suppress(asyncio.CancelledError):
                    await asyncio.gather(self._pass(reader, far_writer), self._pass(far_reader, writer))
            finally:
                for each in (writer, far_writer):
                    each.transport.abort()

        return await asyncio.start_server(accept, "127.0.0.1", port)

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while piece := await reader.read(_PIECE):
                if self._delay:
                    await asyncio.sleep(self._delay)
                while self._cut:
                    await asyncio.sleep(0.02)
                writer.write(piece)
                await writer.drain()
        writer.transport.abort()  # Nothing is half open.
