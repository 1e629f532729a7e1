"""Where received events wait for the application, and how they are handed to it: in order, each once, bounded.

The socket's reader puts items in and never waits for a callback. One task (``run``) hands them on: to the callbacks,
one after the other, and to every iterator, which takes an event when its loop body is done with the last. Nothing is
taken out before somebody listens, so that events that come before the first ``on`` are not lost.

``cursor`` is the application's: it has moved past an event only once that was handed over. Storing it after an event
was handled and giving it back as ``after`` is exactly once; the cursor of the socket runs ahead of it by what waits
here.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import weakref
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeVar

from hub_client._models import Event, Reset
from hub_client._signal import Signal

T = TypeVar("T")
Callback = Callable[[T], Awaitable[object] | object]

log = logging.getLogger("hub_client")


@dataclass(frozen=True, slots=True)
class Mark:
    """Nothing of ours lies before this cursor that was not put in already."""

    cursor: str


async def call(callback: Callback[Any], argument: object) -> None:
    """Call back; what it raises is logged, for the next event is not to blame for it."""
    try:
        result = callback(argument)
        if inspect.isawaitable(result):
            await result
    except Exception:
        log.exception("The callback %s failed", getattr(callback, "__qualname__", callback))


class Events:
    """An iterator over the events from here on. Ends when the client stops; raises why, if that was not ``close``.

    It counts as a listener from when it is made until it is dropped or ``aclose`` is called: while it lags, so does
    everything behind it.
    """

    def __init__(self, handover: Handover, taken: int) -> None:
        self._handover = handover
        self.taken: int | None = taken
        """The number of the offer that it took last; None: it listens no longer."""

    def __aiter__(self) -> Events:
        return self

    async def __anext__(self) -> Event:
        await self.ready()
        event = self.take()
        self._handover.changed.notify()
        return event

    async def ready(self) -> None:
        """Wait until ``take`` has something. Cancelling this loses nothing."""
        await self._handover.changed.until(lambda: self._handover.has_for(self))

    def take(self) -> Event:
        """The event that is offered. Raises StopAsyncIteration, or why the client stopped.

        Its last step is what counts, so that a caller that is interrupted has not taken; may be called on another
        thread than the loop's. Have ``changed`` notified afterwards.
        """
        return self._handover.take(self)

    async def aclose(self) -> None:
        """Listen no longer."""
        self._handover.leave(self)


class Handover:
    """The queue and its listeners. Belongs to one event loop."""

    def __init__(self, cursor: str | None, changed: Signal) -> None:
        self.cursor = cursor
        self.changed = changed
        self.size = 0
        """Bytes (of JSON) that were put in and are not handed over yet."""
        self._items: deque[tuple[Event | Reset | Mark, int]] = deque()
        self._callbacks: dict[str, list[Callback[Event]]] = {}
        self._on_reset: list[Callback[Reset]] = []
        self._listeners: list[weakref.ref[Events]] = []
        # The event on offer to the iterators, the number of this offer, and whether anybody at all has had the event.
        self._offer: Event | None = None
        self._offers = 0
        self._had = False
        self._busy = False
        self._error: Exception | None = None
        self._over = False

    # --- The socket's side

    def put(self, item: Event | Reset | Mark, size: int = 0) -> None:
        """Add an item; ``size`` in bytes. Always takes it: whoever reads the socket looks at ``size`` first."""
        if isinstance(item, Mark):
            if not self._items and not self._busy:
                self._move(item.cursor)
                return
            if self._items and isinstance(self._items[-1][0], Mark):
                self._items.pop()
        self._items.append((item, size))
        self.size += size
        self.changed.notify()

    def finish(self, error: Exception) -> None:
        """No more will come, because of ``error``; what waits is handed over first."""
        self._error = error
        self.changed.notify()

    def end(self) -> None:
        """The application is done with us: iterators end now, and what waits is dropped."""
        self._error = None
        self._over = True
        self._items.clear()
        self.changed.notify()

    async def run(self) -> None:
        """Hand over until the end."""
        while True:
            await self.changed.until(lambda: self._items or self._error or self._over)
            if not self._items:
                break
            item, size = self._items.popleft()
            self._busy = True
            if isinstance(item, Event):
                await self._hand(item)
            else:
                self._move(item.cursor)
                if isinstance(item, Reset):
                    for callback in tuple(self._on_reset):
                        await call(callback, item)
            self._busy = False
            self.size -= size
            self.changed.notify()
        self._over = True
        self.changed.notify()

    # --- The application's side

    def on(self, kind: str, callback: Callback[Event]) -> None:
        """Call back for events of a type, or of every type (``*``)."""
        self._callbacks.setdefault(kind, []).append(callback)
        self.changed.notify()

    def off(self, kind: str, callback: Callback[Event]) -> None:
        """Call back no longer. Raises ValueError if it was not."""
        self._callbacks.get(kind, []).remove(callback)
        if not self._callbacks[kind]:
            del self._callbacks[kind]

    def on_reset(self, callback: Callback[Reset]) -> None:
        """Call back for a gap, in its place between the events."""
        self._on_reset.append(callback)

    def events(self) -> Events:
        """A new iterator; it begins with the event on offer, if nobody has had that yet."""
        is_new = self._offer is not None and not self._had
        listener = Events(self, self._offers - is_new)
        loop = asyncio.get_running_loop()

        def dropped(reference: weakref.ref[Events]) -> None:
            # Garbage may be collected on any thread, and after the loop's end.
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(self._forget, reference)

        self._listeners.append(weakref.ref(listener, dropped))
        self.changed.notify()
        return listener

    def leave(self, listener: Events) -> None:
        """Forget an iterator."""
        listener.taken = None
        for reference in tuple(self._listeners):
            if reference() is listener:
                self._forget(reference)

    def has_for(self, listener: Events) -> bool:
        """Whether ``take`` would have something to return or to raise."""
        return self._over or self._is_new_to(listener) or listener.taken is None

    def take(self, listener: Events) -> Event:
        """See ``Events.take``."""
        event = self._offer
        if event is None or not self._is_new_to(listener):
            if self._error is not None and listener.taken is not None:
                raise self._error
            raise StopAsyncIteration
        if all(other is listener or other.taken == self._offers for other in self._live()):
            # Before it counts as taken: from then on ``run`` may move the cursor further.
            self._move(event.cursor)
        self._had = True
        listener.taken = self._offers
        return event

    def is_drained(self) -> bool:
        """Whether everything was handed over that has anybody to be handed to."""
        return self._over or not (self._callbacks or self._listeners)

    # --- Inside

    async def _hand(self, event: Event) -> None:
        await self.changed.until(lambda: self._callbacks or self._listeners or self._over)
        self._had = False
        if self._callbacks:
            await self._call_all(event)
        if self._listeners or not self._had:
            self._offers += 1
            self._offer = event
            self.changed.notify()
            # An iterator may be dropped with its offer not taken, and callbacks come in its stead.
            await self.changed.until(
                lambda: self._over or self._is_taken() or (self._callbacks and not (self._had or self._listeners))
            )
            self._offer = None
            if not self._had and not self._over:
                await self._call_all(event)
        if self._had:
            self._move(event.cursor)

    async def _call_all(self, event: Event) -> None:
        self._had = True
        if not self._listeners:
            self._move(event.cursor)
        for kind in (event.type, "*"):
            for callback in tuple(self._callbacks.get(kind, ())):
                await call(callback, event)

    def _is_taken(self) -> bool:
        return self._had and all(listener.taken == self._offers for listener in self._live())

    def _is_new_to(self, listener: Events) -> bool:
        return self._offer is not None and not self._over and listener.taken not in (None, self._offers)

    def _live(self) -> list[Events]:
        return [listener for reference in tuple(self._listeners) if (listener := reference()) is not None]

    def _move(self, cursor: str | None) -> None:
        self.cursor = cursor or self.cursor

    def _forget(self, reference: weakref.ref[Events]) -> None:
        if reference in self._listeners:
            self._listeners.remove(reference)
        self.changed.notify()
