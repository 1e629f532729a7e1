"""Who is in a topic on all nodes: each tells the others what changes on it, and that it lives, over core NATS.

A node's memberships are its own: they end with it. It numbers its changes and says the number of the last one with
each heartbeat, so that whoever missed one notices within a second and asks it for all. A node that says goodbye is
forgotten at once, one that is silent for ``_SILENCE`` seconds (killed, or cut off) then. Nobody is declared gone by a
node that is itself cut off.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from nats.aio.msg import Msg

from hub.engine.nats_link import Link
from hub.errors import HubError
from hub.model import PresenceChange, Topic

log = logging.getLogger("hub.engine")

_HEARTBEAT = 1.0
_SILENCE = 5.0
_GATHER = 0.02
"""Seconds for which changes are gathered into one message."""
_MOST = 2000
"""Changes or members in one message."""

_Seat = tuple[Topic, str]
_HERE = ""
"""This node among those that have a member."""


@dataclass(slots=True)
class _Peer:
    """Another node, as far as it told."""

    seen: float
    version: int = -1
    """The last change of its that was taken in; -1: it was not asked yet."""
    seats: set[_Seat] = field(default_factory=set)
    asking: asyncio.Task[None] | None = None
    meanwhile: list[dict[str, Any]] = field(default_factory=list)
    """Changes that came while it was asked."""


class NatsPresence:
    """The members of all nodes. ``tell`` is called with joins and leaves, as the whole hub sees them."""

    def __init__(self, link: Link, subject: str, node: str, tell: Callable[[PresenceChange], None]) -> None:
        self._link = link
        self._subject = f"{subject}.presence"
        self._ask_subject = f"{subject}.members"
        self._node = node
        self._tell = tell
        self._nodes: defaultdict[_Seat, set[str]] = defaultdict(set)
        """The nodes that have a member."""
        self._members: defaultdict[Topic, set[str]] = defaultdict(set)
        self._own: set[_Seat] = set()
        self._peers: dict[str, _Peer] = {}
        self._changes: list[tuple[Topic, str, bool]] = []
        self._version = 0
        self._gathering = False
        self._heart: asyncio.Task[None] | None = None
        self._up_since = 0.0
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def nodes(self) -> int:
        """Nodes that live, this one included, as far as this one knows."""
        return 1 + len(self._peers)

    async def start(self) -> None:
        """Listen to the other nodes and begin to tell them. Raises ``log_unavailable``."""
        await self._link.listen(self._subject, self._hear)
        await self._link.listen(f"{self._ask_subject}.{self._node}", self._answer)
        self._heart = asyncio.create_task(self._beat(), name="presence-heartbeat")

    async def stop(self) -> None:
        """Say goodbye."""
        if self._heart is None:
            return
        self._heart.cancel()
        tasks = [self._heart, *self._tasks, *(peer.asking for peer in self._peers.values() if peer.asking)]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._heart = None
        await self._send({"node": self._node, "bye": True})

    def touch(self, topic: Topic, user: str) -> None:
        """See ``Engine``."""
        if (topic, user) not in self._own:
            self._own.add((topic, user))
            self._enter((topic, user), _HERE)
            self._change(topic, user, joined=True)

    def leave(self, topic: Topic, user: str) -> None:
        """See ``Engine``."""
        if (topic, user) in self._own:
            self._own.discard((topic, user))
            self._exit((topic, user), _HERE)
            self._change(topic, user, joined=False)

    def members(self, topic: Topic) -> frozenset[str]:
        """See ``Engine``."""
        return frozenset(self._members.get(topic, ()))

    # --- Who is where

    def _enter(self, seat: _Seat, node: str) -> None:
        nodes = self._nodes[seat]
        nodes.add(node)
        if len(nodes) == 1:
            topic, user = seat
            self._members[topic].add(user)
            self._tell(PresenceChange(topic, user, joined=True))

    def _exit(self, seat: _Seat, node: str) -> None:
        nodes = self._nodes[seat]
        nodes.discard(node)
        if not nodes:
            del self._nodes[seat]
            topic, user = seat
            self._members[topic].discard(user)
            if not self._members[topic]:
                del self._members[topic]
            self._tell(PresenceChange(topic, user, joined=False))

    # --- What this node tells

    def _change(self, topic: Topic, user: str, *, joined: bool) -> None:
        self._changes.append((topic, user, joined))
        if not self._gathering:
            self._gathering = True
            asyncio.get_running_loop().call_later(_GATHER, self._tell_others)

    def _tell_others(self) -> None:
        self._gathering = False
        changes, self._changes = self._changes, []
        for start in range(0, len(changes), _MOST):
            self._version += 1
            said = {"node": self._node, "version": self._version, "changes": changes[start : start + _MOST]}
            task = asyncio.get_running_loop().create_task(self._send(said))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _send(self, said: dict[str, Any]) -> None:
        # What does not arrive is noticed by the next heartbeat that does.
        try:
            await self._link.send(self._subject, json.dumps(said).encode())
        except HubError:
            log.debug("other nodes cannot be told of presence now")

    def _answer(self, message: Msg) -> None:
        """Another node asks for all members on this one."""
        # With what is not told yet: its version is the next one's.
        if self._changes:
            self._tell_others()
        task = asyncio.get_running_loop().create_task(self._send_all(message.reply, self._version, sorted(self._own)))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _send_all(self, reply: str, version: int, seats: list[_Seat]) -> None:
        try:
            for start in range(0, len(seats), _MOST):
                await self._link.send(reply, json.dumps(seats[start : start + _MOST]).encode())
            await self._link.send(reply, b"", {"Status": "204", "Hub-Version": str(version)})
        except HubError:
            log.debug("another node cannot be told of presence now")

    async def _beat(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            if not self._link.is_up:
                self._up_since = loop.time()
            elif loop.time() - self._up_since > _SILENCE and self._silent() and await self._link.answers():
                self._forget(self._silent())
            await self._send({"node": self._node, "version": self._version})
            await asyncio.sleep(_HEARTBEAT)

    def _silent(self) -> list[str]:
        """The nodes that were not heard of for too long."""
        now = asyncio.get_running_loop().time()
        return [name for name, peer in self._peers.items() if now - peer.seen > _SILENCE]

    # --- What the others tell

    def _hear(self, message: Msg) -> None:
        said = json.loads(message.data)
        name = said["node"]
        if name == self._node:
            return
        if said.get("bye"):
            self._forget([name])
            return
        now = asyncio.get_running_loop().time()
        peer = self._peers.get(name)
        if peer is None:
            log.info("node %s is there", name)
            peer = self._peers[name] = _Peer(now)
        peer.seen = now
        if peer.asking is not None:
            peer.meanwhile.append(said)
        elif not self._take_in(name, peer, said):
            peer.asking = asyncio.get_running_loop().create_task(self._ask(name, peer), name=f"members-of-{name}")

    def _take_in(self, name: str, peer: _Peer, said: dict[str, Any]) -> bool:
        """Whether nothing is missing between this and what was known."""
        version, changes = said["version"], said.get("changes")
        if changes is None or version <= peer.version:
            return bool(version <= peer.version)
        if version != peer.version + 1:
            return False
        peer.version = version
        for topic, user, joined in changes:
            seat = (Topic(topic), user)
            if joined and seat not in peer.seats:
                peer.seats.add(seat)
                self._enter(seat, name)
            elif not joined and seat in peer.seats:
                peer.seats.discard(seat)
                self._exit(seat, name)
        return True

    async def _ask(self, name: str, peer: _Peer) -> None:
        """Learn all members on a node."""
        try:
            messages, end = await self._link.collect(f"{self._ask_subject}.{name}", b"", timeout=2)
            seats = {(Topic(topic), user) for message in messages for topic, user in json.loads(message.data)}
        except HubError as error:
            # Its next heartbeat is the next try.
            log.debug("node %s does not say who is there: %s", name, error)
        else:
            if self._peers.get(name) is peer:
                self._replace(name, peer, seats)
                peer.version = int(end["Hub-Version"])
                for said in peer.meanwhile:
                    self._take_in(name, peer, said)
        finally:
            peer.meanwhile.clear()
            peer.asking = None

    def _replace(self, name: str, peer: _Peer, seats: set[_Seat]) -> None:
        gone, come = peer.seats - seats, seats - peer.seats
        peer.seats = seats
        for seat in come:
            self._enter(seat, name)
        for seat in gone:
            self._exit(seat, name)

    def _forget(self, names: Iterable[str]) -> None:
        for name in names:
            peer = self._peers.pop(name, None)
            if peer is not None:
                log.info("node %s is gone, and %d of its members with it", name, len(peer.seats))
                self._replace(name, peer, set())
