"""The inbox as one would write it who need not care how long it takes: lists, sets and loops over everything."""

from __future__ import annotations

from dataclasses import dataclass, field

from hub.model import Principal, Topic
from hub.policy import automatic_topics


@dataclass
class Sent:
    """An event, and in which of its topics a newer one has taken its place."""

    seq: int
    id: str
    type: str
    topics: tuple[Topic, ...]
    key: str | None
    expires_at: float | None
    replaced: set[Topic] = field(default_factory=set)


@dataclass
class Person:
    """What somebody said of events: by seq."""

    who: Principal
    read: set[int] = field(default_factory=set)
    archived: set[int] = field(default_factory=set)
    kept: set[tuple[int, Topic]] = field(default_factory=set)
    """Read when it was replaced in a topic."""


class Model:
    """The inboxes of some people."""

    def __init__(self, *people: Principal) -> None:
        self.sent: list[Sent] = []
        self.people = [Person(who) for who in people]

    def publish(self, event: Sent) -> None:
        if event.key is not None:
            for older in self.sent:
                for topic in event.topics:
                    if older.key == event.key and topic in older.topics and topic not in older.replaced:
                        older.replaced.add(topic)
                        for person in self.people:
                            if older.seq in person.read:
                                person.kept.add((older.seq, topic))
        self.sent.append(event)

    def time_is(self, now: float) -> None:
        self.sent = [event for event in self.sent if event.expires_at is None or event.expires_at > now]

    def floor_is(self, floor: int) -> None:
        self.sent = [event for event in self.sent if event.seq > floor]

    def shown(self, person: Person) -> list[Sent]:
        """What somebody sees, the newest first."""
        return [event for event in reversed(self.sent) if self._sees(person, event)]

    def unread(self, person: Person) -> int:
        return sum(e.seq not in person.read and e.seq not in person.archived for e in self.shown(person))

    def mark(self, person: Person, action: str, ids: list[str]) -> int:
        """Of how many events it was not so before."""
        chosen = [event.seq for event in self.shown(person) if event.id in ids]
        marks = person.read if "read" in action else person.archived
        wanted = action in ("read", "archive")
        changed = [seq for seq in chosen if (seq in marks) != wanted]
        if wanted:
            marks.update(changed)
        else:
            marks.difference_update(changed)
        return len(changed)

    def mark_up_to(self, person: Person, action: str, place: int) -> None:
        marks = person.read if action == "read" else person.archived
        marks.update(event.seq for event in self.sent if event.seq <= place)

    def _sees(self, person: Person, event: Sent) -> bool:
        mine = automatic_topics(person.who)
        own, everybody = mine[0], mine[1]
        topics = [topic for topic in event.topics if topic in mine]
        # Where it is for everybody, or to somebody by name, that decides.
        for topic in (everybody, own):
            if topic in topics:
                topics = [topic]
        return any(topic not in event.replaced or (event.seq, topic) in person.kept for topic in topics)
