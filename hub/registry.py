"""Who listens where: topic → sessions, and all sessions by id. Plain dictionaries, no I/O, no tasks.

Everything a session was entered under is taken out by ``remove``; an empty topic leaves nothing behind.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING

from hub.model import Topic

if TYPE_CHECKING:
    from hub.session import Session

_NOBODY: frozenset[Session] = frozenset()


class Registry:
    """The sessions of this process."""

    def __init__(self) -> None:
        self._sessions: dict[str, Session] = {}
        self._topics: dict[Topic, set[Session]] = {}

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
        return sum(len(sessions) for sessions in self._topics.values())

    def subscribers(self, topic: Topic) -> Collection[Session]:
        """The sessions subscribed to a topic."""
        return self._topics.get(topic, _NOBODY)

    def add(self, session: Session) -> None:
        """Enter a session and its topics."""
        self._sessions[session.id] = session
        for topic in session.topics:
            self._topics.setdefault(topic, set()).add(session)

    def remove(self, session: Session) -> bool:
        """Take a session out of everything; whether it was in."""
        if self._sessions.pop(session.id, None) is None:
            return False
        for topic in session.topics:
            self._drop(session, topic)
        return True

    def subscribe(self, session: Session, topic: Topic) -> None:
        """Add one topic to a session that is in."""
        session.topics.add(topic)
        self._topics.setdefault(topic, set()).add(session)

    def unsubscribe(self, session: Session, topic: Topic) -> None:
        """Take one topic from a session that is in."""
        session.topics.discard(topic)
        self._drop(session, topic)

    def _drop(self, session: Session, topic: Topic) -> None:
        sessions = self._topics.get(topic)
        if sessions is not None:
            sessions.discard(session)
            if not sessions:
                del self._topics[topic]
