"""An event loop on a thread of its own, so that plain code can use the asynchronous client."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import CancelledError
from typing import TypeVar

T = TypeVar("T")


class NoLoop(RuntimeError):
    """There is no loop (any more) to run something on."""


class Portal:
    """The loop's thread. Starts with the first call, so that making one in a parent process that forks is harmless."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._pid = 0
        self._closed = False

    def call(self, function: Callable[[], Awaitable[T]]) -> T:
        """Await ``function()`` over there; an interrupt of this thread (Ctrl-C) cancels it. Raises ``NoLoop``."""
        loop = self.loop()
        if threading.current_thread() is self._thread:
            raise RuntimeError("this would wait for itself; use the asynchronous client inside an event loop")

        async def run() -> T:
            return await function()

        future = asyncio.run_coroutine_threadsafe(run(), loop)
        try:
            return future.result()
        except CancelledError:
            raise NoLoop("it was closed meanwhile") from None
        except BaseException:
            future.cancel()
            raise

    def loop(self) -> asyncio.AbstractEventLoop:
        """The loop, started if need be. Raises ``NoLoop`` after ``close``, and in a process forked since the start."""
        with self._lock:
            if self._closed:
                raise NoLoop("it is closed")
            if self._loop is None:
                self._start()
            elif self._pid != os.getpid():
                raise NoLoop("it was used before this process was forked; make one in each process")
            assert self._loop is not None
            return self._loop

    def close(self) -> None:
        """End what runs, the loop and the thread. Safe to call twice."""
        with self._lock:
            self._closed = True
            loop, thread, self._loop = self._loop, self._thread, None
        if loop is not None and thread is not None and self._pid == os.getpid():
            loop.call_soon_threadsafe(loop.stop)
            thread.join()

    def _start(self) -> None:
        self._pid = os.getpid()
        started = threading.Event()
        self._thread = threading.Thread(target=self._main, args=(started,), name="hub-client", daemon=True)
        self._thread.start()
        started.wait()

    def _main(self, started: threading.Event) -> None:
        with asyncio.Runner() as runner:
            self._loop = runner.get_loop()
            self._loop.call_soon(started.set)
            self._loop.run_forever()
