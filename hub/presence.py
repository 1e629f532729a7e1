"""Who is in a topic: from connections, which come and go, to people, who do so less often.

A person is in a topic while at least one of their connections on this node is, and for ``grace`` seconds after the last
one went: a page that reloads does not flicker. Leaving on purpose (unsubscribe) is told at once. The engine makes one
membership of those of all nodes, and tells the hub of joins and leaves.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Sequence
from typing import Protocol

from hub import policy, tenancy
from hub.model import Principal, Topic

_Seat = tuple[Topic, str]


class Members(Protocol):
    """What presence needs of an engine; see ``hub.engine.base.Engine``."""

    def touch(self, topic: Topic, user: str) -> None:
        """The user is in the topic, on this node."""

    def leave(self, topic: Topic, user: str) -> None:
        """The user is no longer in the topic on this node."""


class Presence:
    """The people on this node. One timer serves all who are about to leave."""

    def __init__(self, members: Members, patterns: Sequence[str], grace: float) -> None:
        self._members = members
        self._patterns = tuple(patterns)
        self._grace = grace
        self._connections: dict[_Seat, int] = {}
        # Deadlines in the order in which they pass, since the grace is the same for all.
        self._leaving: OrderedDict[_Seat, float] = OrderedDict()
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._connections) + len(self._leaving)

    def is_on(self, topic: Topic) -> bool:
        """Whether the members of this topic see each other."""
        name = tenancy.local(topic)
        return any(policy.matches(pattern, name) for pattern in self._patterns)

    def join(self, principal: Principal, topic: Topic) -> None:
        """One more connection of the principal is in the topic. Services are not people and are not told of."""
        if principal.kind != "user" or not self.is_on(topic):
            return
        seat = (topic, principal.subject)
        self._connections[seat] = self._connections.get(seat, 0) + 1
        if self._leaving.pop(seat, None) is None and self._connections[seat] == 1:
            self._members.touch(*seat)

    def leave(self, principal: Principal, topic: Topic, *, at_once: bool) -> None:
        """One connection less. ``at_once``: on purpose, so without the grace."""
        seat = (topic, principal.subject)
        count = self._connections.get(seat, 0)
        if count == 0:
            return
        if count > 1:
            self._connections[seat] = count - 1
            return
        del self._connections[seat]
        if at_once or self._grace == 0:
            self._members.leave(*seat)
        else:
            loop = asyncio.get_running_loop()
            self._leaving[seat] = loop.time() + self._grace
            if self._timer is None:
                self._timer = loop.call_later(self._grace, self._expire)

    def stop(self) -> None:
        """Let go of the timer; nobody is told."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _expire(self) -> None:
        self._timer = None
        loop = asyncio.get_running_loop()
        now = loop.time()
        while self._leaving:
            seat, deadline = next(iter(self._leaving.items()))
            if deadline > now:
                self._timer = loop.call_at(deadline, self._expire)
                return
            del self._leaving[seat]
            self._members.leave(*seat)
