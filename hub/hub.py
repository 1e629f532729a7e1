"""The line: publish → log → tail → fan-out; and who is connected meanwhile.

Everything that reaches a connection comes from the engine's tail (``deliver``, ``signal``) or from pages of its log
(``hub.catchup``), never from the publish call: one path for live, one for resume, the same for every engine. Runs on
one event loop; nothing here waits but ``publish`` (for the log). It knows no identity: it is handed a ``Principal``.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Collection, Iterable, Sequence, Set
from dataclasses import dataclass
from functools import partial

from hub import catchup, policy, wire
from hub.allowance import UNLIMITED, Allowance, PublishRates
from hub.counters import Counters
from hub.delays import Delays
from hub.engine.base import Engine
from hub.errors import HubError
from hub.fanout import Fanout
from hub.ids import random_id
from hub.intake import Intake, OnAdminPublish
from hub.model import Cursor, Draft, Entry, PresenceChange, Principal, Receipt, Topic
from hub.occupancy import Occupancy
from hub.outbox import Link, Outbox, Setup, State
from hub.policy import Action
from hub.pollers import Pollers
from hub.presence import Presence
from hub.publication import Publication
from hub.recent import Recent
from hub.registry import Registry
from hub.session import Session
from hub.sweeper import Sweeper
from hub.tick import Tick

log = logging.getLogger("hub")


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one hub; see ``hub.settings`` for what each means."""

    max_event_bytes: int
    max_connections: int
    max_topics: int
    outbox_bytes: int
    recent_bytes: int
    stall_timeout: float
    cursor_interval: float
    ping_interval: float
    publish_users: PublishRates = UNLIMITED
    publish_others: PublishRates = UNLIMITED
    connections_user: int = 0
    connections_address: int = 0


class Hub:
    """One node. Create it, ``start`` it, open sessions, publish."""

    def __init__(
        self,
        engine: Engine,
        limits: Limits,
        *,
        presence_topics: Sequence[str],
        presence_grace: float,
        on_admin_publish: OnAdminPublish | None = None,
        is_proxy: Callable[[str], bool] = lambda address: False,
    ) -> None:
        """``is_proxy``: whether an address stands for more than one client; see ``Occupancy``."""
        self.engine = engine
        self.registry = Registry()
        self._occupancy = Occupancy(limits.connections_user, limits.connections_address, is_proxy)
        self.presence = Presence(engine, presence_topics, presence_grace)
        self.pollers = Pollers()
        self.counters = Counters()
        self.delays = Delays()
        allowance = Allowance(limits.publish_users, limits.publish_others)
        self.intake = Intake(engine, self.counters, allowance, limits.max_event_bytes, on_admin_publish)
        self.draining = False
        self.tail = 0
        """Seq of the newest entry that the tail has handed to this hub, and so was offered to every live session."""
        self._limits = limits
        self._tick = Tick()
        self.recent = Recent(limits.recent_bytes)
        self._fanout = Fanout(self.registry, self.recent, lambda: engine.epoch, self._tick.add)
        self._outboxes = Setup(limits.outbox_bytes, self._tick.add, self._catch_up)
        self._pumps: dict[Session, asyncio.Task[None]] = {}
        self._sweeper = Sweeper(
            self,
            stall_timeout=limits.stall_timeout,
            cursor_interval=limits.cursor_interval,
            ping_interval=limits.ping_interval,
        )

    async def start(self) -> None:
        """Open the engine and begin to deliver."""
        await self.engine.start(self)
        self.tail = self.engine.head
        self.recent.start(self.engine.epoch, self.tail)
        self._sweeper.start()

    async def stop(self) -> None:
        """End what is left of the connections, then the engine. Call ``hub.drain.drain`` first to be polite."""
        self.draining = True
        for session in list(self.registry):
            session.link.abort()
            self.close(session)
        self.presence.stop()
        await self._sweeper.stop()
        await self.engine.stop()

    @property
    def catching_up(self) -> int:
        """Connections that read from the log."""
        return len(self._pumps)

    @property
    def offered(self) -> int:
        """Events offered to connections, times connections."""
        return self._fanout.offered

    async def publish(
        self, publisher: Principal, said: Sequence[Publication], *, exclude: tuple[str, ...] = ()
    ) -> list[Receipt]:
        """Check and append publications, all or none; returns once the durable ones are on disk. See ``Intake``."""
        return await self.intake.take(publisher, said, exclude=exclude)

    # --- The engine's sink: the tail

    def deliver(self, entries: Sequence[Entry]) -> None:
        """Fan the tail out. See ``Sink``."""
        self._fanout.durable(entries)
        self.tail = entries[-1].seq
        self.delays.look(entries[-1].body)
        if self.pollers:
            self.pollers.wake({topic for entry in entries for topic in entry.topics})

    def signal(self, draft: Draft) -> None:
        """Fan an ephemeral event out. See ``Sink``."""
        self._fanout.ephemeral(draft)

    def presence_changed(self, change: PresenceChange) -> None:
        """Tell the topic's other members. See ``Sink``."""
        frame = wire.presence_change(change.topic, change.user, change.joined)
        for session in self.registry.subscribers(change.topic):
            if session.user != change.user or session.principal.kind != "user":
                session.outbox.offer_presence(frame)

    # --- Connections

    def open(
        self,
        principal: Principal,
        link: Link,
        *,
        client: str | None,
        address: str,
        topics: Iterable[Topic] = (),
        after: str | None = None,
    ) -> Session:
        """Enter a connection and welcome it; with ``after``, it is sent what it missed first, then the live events.

        Raises ``forbidden``, ``too_many_topics``, ``cursor_invalid``, ``too_many_connections``, ``overloaded``,
        ``restarting``.
        """
        if self.draining:
            raise HubError("restarting")
        if len(self.registry) >= self._limits.max_connections:
            raise HubError("overloaded", f"The hub holds its {self._limits.max_connections} connections.")
        self._occupancy.check(principal, address)
        asked = list(topics)
        policy.require(principal, Action.SUBSCRIBE, asked)
        wanted = {*policy.automatic_topics(principal), *asked}
        self._check_topic_count(wanted)
        position, lost = (self.tail, None) if after is None else self.locate(after)
        outbox = Outbox(link, self._outboxes, position=position, live=position >= self.tail)
        name = "c_" + random_id()
        session = Session(principal, client or name, address, link, outbox, frozenset(wanted), time.time(), name)
        outbox.owner = session
        self.registry.add(session)
        self._occupancy.enter(session)
        self.counters.opened += 1
        self._sweeper.enter(session)
        outbox.control(
            wire.welcome(
                connection=session.id,
                client=session.client,
                user=principal.subject,
                topics=wanted,
                cursor=self.cursor(position),
                expires=principal.expires,
            )
        )
        if lost is not None:
            self.tell_reset(session, lost, position)
        for topic in wanted:
            self._enter(session, topic)
        if outbox.state is State.CATCHING_UP:
            self._catch_up(session)
        elif after is not None:
            outbox.control(wire.cursor_frame(self.cursor(position)))
        return session

    def close(self, session: Session, *, left: bool = False) -> None:
        """Forget a connection that ended; everything it held is released. Safe to call twice.

        ``left``: it went on purpose for good (a logout), so its leave is told without the grace.
        """
        if not self.registry.remove(session):
            return
        self._occupancy.leave(session)
        session.outbox.close()
        session.wake()
        self._sweeper.forget(session)
        pump = self._pumps.pop(session, None)
        if pump is not None:
            pump.cancel()
        for topic in session.topics:
            self.presence.leave(session.principal, topic, at_once=left)

    def dismiss(self, session: Session, code: str, detail: str | None = None) -> None:
        """End a connection with the close code and reason of an error."""
        refusal = HubError(code, detail)
        session.link.close(refusal.kind.close, refusal.close_reason)
        self.counters.closed[code] += 1
        self.close(session, left=code in ("logged_out", "user_disabled"))

    def review(self, check: Callable[[Principal], Principal], subjects: Set[str] | None) -> None:
        """Ask of the connections of these users and services (None: of all) whether they may stay.

        ``check`` gives a connection's principal as it is now, or raises the refusal with which the connection ends.
        """
        concerned = [each for each in self.registry if subjects is None or each.principal.subject in subjects]
        for session in concerned:
            try:
                principal = check(session.principal)
            except HubError as refusal:
                self.dismiss(session, refusal.code, refusal.detail)
            else:
                if principal is not session.principal:
                    self.renew(session, principal)

    def begin_drain(self) -> list[Session]:
        """Take no new connections and answer the long polls; the sessions that are to be sent away."""
        self.draining = True
        self.pollers.wake_all()
        return list(self.registry)

    # --- What a connection asks for

    def subscribe(self, session: Session, topics: Sequence[Topic]) -> None:
        """Add topics, all or none; their events follow from the session's place in the log.

        Raises ``forbidden`` and ``too_many_topics``.
        """
        policy.require(session.principal, Action.SUBSCRIBE, topics)
        new = [topic for topic in dict.fromkeys(topics) if topic not in session.topics]
        self._check_topic_count(session.topics | set(new))
        self._settle(session)
        for topic in new:
            self.registry.subscribe(session, topic)
        session.version += bool(new)
        for topic in new:
            self._enter(session, topic)

    def unsubscribe(self, session: Session, topics: Iterable[Topic]) -> None:
        """Leave topics. Those not followed are ignored."""
        gone = [topic for topic in dict.fromkeys(topics) if topic in session.topics]
        for topic in gone:
            self.registry.unsubscribe(session, topic)
            self.presence.leave(session.principal, topic, at_once=True)
        session.version += bool(gone)

    def renew(self, session: Session, principal: Principal) -> None:
        """A fresh token for a session; it lives as long as that does. Topics no longer granted are left,
        those that it subscribes by itself are added.

        Raises ``subject_mismatch``.
        """
        if principal.source != session.principal.source:
            raise HubError("subject_mismatch", f"The connection speaks for {session.principal.shown_source}.")
        lost = [topic for topic in session.topics if not policy.may(principal, Action.SUBSCRIBE, topic)]
        self.unsubscribe(session, lost)
        session.principal = principal
        self._sweeper.expect_expiry(session)
        given = [topic for topic in policy.automatic_topics(principal) if topic not in session.topics]
        self.subscribe(session, given[: max(0, self._limits.max_topics - len(session.topics))])

    def place(self, session: Session) -> Cursor:
        """Where the session is: it was sent, or has waiting for it in order, everything of its up to here."""
        self._settle(session)
        return self.cursor(session.outbox.offered)

    # --- What the transports and the catch-up report

    def blocked(self, session: Session) -> None:
        """The connection's transport takes no more for now."""
        if session in self.registry:
            self._sweeper.watch(session)

    def unblocked(self, session: Session) -> None:
        """It does again."""
        self._sweeper.forget(session)
        session.outbox.resume()
        session.wake()
        if session.outbox.state is State.LIVE:
            self.send_owed_presence(session)

    def send_owed_presence(self, session: Session) -> None:
        """The state of its topics to a session that missed changes while it was behind."""
        if session.outbox.lost_presence:
            session.outbox.lost_presence = False
            for topic in session.topics:
                if self.presence.is_on(topic):
                    session.outbox.control(wire.presence_state(topic, self.engine.members(topic)))

    def tell_reset(self, session: Session, reason: wire.ResetReason, seq: int) -> None:
        """Events between the session's cursor and ``seq`` are gone; it is told, never given a silent gap."""
        self.counters.resets += 1
        self.counters.reset_reasons[reason] += 1
        session.outbox.control(wire.reset(reason, self.cursor(seq)))

    def refresh_cursor(self, session: Session) -> None:
        """Tell a session that nothing is on its way to how far the log is by now, so that its cursor stays young."""
        outbox = session.outbox
        if outbox.state is State.LIVE and not outbox.queued_bytes and outbox.position < self.tail:
            self._settle(session)
            if outbox.state is State.LIVE and not outbox.queued_bytes:
                outbox.control(wire.cursor_frame(self.cursor(self.tail)))

    def cursor(self, seq: int) -> Cursor:
        """The cursor after the entry ``seq`` of this log."""
        return Cursor(self.engine.epoch, seq)

    def locate(self, after: str) -> tuple[int, wire.ResetReason | None]:
        """Where to read on for ``after=``: a seq, and why it is not the one asked for, if it is not.

        Raises ``cursor_invalid``.
        """
        if after == "earliest":
            return self.engine.floor, None
        cursor = Cursor.parse(after)
        shared = self.engine.inherited.get(cursor.epoch)
        if shared is not None:
            # Of the log that this one was restored from: up to there, the two are the same.
            if cursor.seq > shared:
                return max(shared, self.engine.floor), "replaced"
            cursor = Cursor(self.engine.epoch, cursor.seq)
        if cursor.epoch != self.engine.epoch or cursor.seq > self.engine.reach:
            return self.engine.floor, "replaced"
        if cursor.seq < self.engine.floor:
            return self.engine.floor, "truncated"
        return cursor.seq, None

    # --- Inside

    def _enter(self, session: Session, topic: Topic) -> None:
        if self.presence.is_on(topic):
            self.presence.join(session.principal, topic)
            session.outbox.control(wire.presence_state(topic, self.engine.members(topic)))

    def _settle(self, session: Session) -> None:
        """Let a live session be offered what is still on its way from the tail; then it is at the tail."""
        if session.outbox.state is State.LIVE:
            self._fanout.settle(session)
        if session.outbox.state is State.LIVE:
            session.outbox.advance(self.tail)

    def _check_topic_count(self, topics: Collection[Topic]) -> None:
        if len(topics) > self._limits.max_topics:
            raise HubError("too_many_topics", f"A connection may have {self._limits.max_topics} topics.")

    def _catch_up(self, session: Session) -> None:
        if catchup.from_memory(self, session):
            return
        # One that is over may not be forgotten yet: its callback comes a turn of the loop later.
        known = self._pumps.get(session)
        if (known is None or known.done()) and session in self.registry:
            pump = asyncio.create_task(catchup.run(self, session), name=f"catch-up-{session.id}")
            self._pumps[session] = pump
            self.counters.catch_ups += 1
            pump.add_done_callback(partial(self._caught_up, session))

    def _caught_up(self, session: Session, pump: asyncio.Task[None]) -> None:
        if self._pumps.get(session) is pump:
            del self._pumps[session]
        if not pump.cancelled() and (failure := pump.exception()) is not None:
            # Without a catch-up it would be connected and get nothing.
            log.error("the catch-up of %s failed", session.id, exc_info=failure)
            self.dismiss(session, "internal")
