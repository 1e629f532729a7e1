"""Who listens where: topic → sessions, and all sessions by id. Plain dictionaries, no I/O, no tasks.

Everything a session was entered under is taken out by ``remove``; an empty topic leaves nothing behind.
"""

from __future__ import annotations

import heapq
from collections.abc import Collection, Iterator
from operator import itemgetter
from typing import TYPE_CHECKING

from hub import tenancy
from hub.model import Topic

if TYPE_CHECKING:
    from hub.session import Session

_NOBODY: frozenset[Session] = frozenset()


class Registry:
    """The sessions of this process."""

    def __init__(self) -> None:
        self._sessions: dict[str, Session] = {}
        # A topic with one subscriber, such as most users' own, has that instead of a set of it.
        self._topics: dict[Topic, Session | set[Session]] = {}

    def __len__(self) -> int:
        return len(self._sessions)

    def __iter__(self) -> Iterator[Session]:
        return iter(self._sessions.values())

    def __contains__(self, session: Session) -> bool:
        return session.id in self._sessions

    def get(self, session_id: str) -> Session | None:
        """The session of that id, if it is in."""
        return self._sessions.get(session_id)

    @property
    def topic_count(self) -> int:
        """Topics with at least one subscriber."""
        return len(self._topics)

    @property
    def subscription_count(self) -> int:
        """Pairs of session and topic."""
        return sum(len(some) if isinstance(some, set) else 1 for some in self._topics.values())

    def largest(self, count: int) -> list[tuple[Topic, int]]:
        """The topics with the most sessions, and how many they have; users' own topics are left out."""
        sizes = (
            (topic, len(some) if isinstance(some, set) else 1)
            for topic, some in self._topics.items()
            if not tenancy.local(topic).startswith("user:")
        )
        return heapq.nlargest(count, sizes, key=itemgetter(1))

    def follows(self, topic: Topic) -> bool:
        """Whether any session is subscribed to a topic."""
        return topic in self._topics

    def subscribers(self, topic: Topic) -> Collection[Session]:
        """The sessions subscribed to a topic."""
        some = self._topics.get(topic)
        if some is None:
            return _NOBODY
        return some if isinstance(some, set) else (some,)

    def add(self, session: Session) -> None:
        """Enter a session and its topics."""
        self._sessions[session.id] = session
        for topic in session.topics:
            self._put(session, topic)

    def remove(self, session: Session) -> bool:
        """Take a session out of everything; whether it was in."""
        if self._sessions.pop(session.id, None) is None:
            return False
        for topic in session.topics:
            self._drop(session, topic)
        return True

    def subscribe(self, session: Session, topic: Topic) -> None:
        """Add one topic to a session that is in."""
        session.topics |= {topic}
        self._put(session, topic)

    def unsubscribe(self, session: Session, topic: Topic) -> None:
        """Take one topic from a session that is in."""
        session.topics -= {topic}
        self._drop(session, topic)

    def _put(self, session: Session, topic: Topic) -> None:
        some = self._topics.setdefault(topic, session)
        if isinstance(some, set):
            some.add(session)
        elif some is not session:
            self._topics[topic] = {some, session}

    def _drop(self, session: Session, topic: Topic) -> None:
        some = self._topics.get(topic)
        if isinstance(some, set):
            some.discard(session)
            if not some:
                del self._topics[topic]
        elif some is session:
            del self._topics[topic]
