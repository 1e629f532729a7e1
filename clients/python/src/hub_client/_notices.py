"""News about the connection and the people: states and presence, told as they come, apart from the events.

Apart, because they must get through while the application is busy with an event or does not listen to any. One task
(``run``) calls back, one after the other; the socket's reader only puts in.
"""

from __future__ import annotations

from collections import deque

from hub_client._core import State
from hub_client._handover import Callback, call
from hub_client._models import Presence
from hub_client._signal import Signal

_KEPT_STATES = 100


class Notices:
    """The queue and its callbacks. Belongs to one event loop."""

    def __init__(self, changed: Signal) -> None:
        self._changed = changed
        self.size = 0
        """Bytes (of JSON) that wait."""
        self._states: deque[State] = deque(maxlen=_KEPT_STATES)
        self._presence: deque[tuple[Presence, int]] = deque()
        self._on_state: list[Callback[State]] = []
        self._on_presence: list[Callback[Presence]] = []
        self._over = False

    def on_state(self, callback: Callback[State]) -> None:
        """Call back for every new state."""
        self._on_state.append(callback)

    def on_presence(self, callback: Callback[Presence]) -> None:
        """Call back for every presence frame."""
        self._on_presence.append(callback)

    def state(self, state: State) -> None:
        """There is a new state. Of those that wait, old ones make room for new ones."""
        if self._on_state:
            self._states.append(state)
            self._changed.notify()

    def presence(self, presence: Presence, size: int) -> None:
        """There is news of people; ``size`` in bytes."""
        if self._on_presence:
            self._presence.append((presence, size))
            self.size += size
            self._changed.notify()

    def end(self) -> None:
        """Tell what waits, then no more."""
        self._over = True
        self._changed.notify()

    async def run(self) -> None:
        """Call back until the end."""
        while True:
            await self._changed.until(lambda: self._states or self._presence or self._over)
            if self._states:
                state = self._states.popleft()
                for on_state in tuple(self._on_state):
                    await call(on_state, state)
            elif self._presence:
                presence, size = self._presence.popleft()
                for on_presence in tuple(self._on_presence):
                    await call(on_presence, presence)
                self.size -= size
                self._changed.notify()
            else:
                return
