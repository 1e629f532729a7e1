"""What is told in the audit log not one by one but gathered: failed logins, tokens of services, publishing as an
administrator, reading the log.

None of it changes the database, and all of it may come a thousand times a second; so a note is counted in memory, and
what is alike (who, what, whom, from where) becomes one line after some seconds. Lost with the process, if that is
killed rather than stopped: the notes of at most ``PUBLISH_SECONDS``.

Memory and log are bounded whatever strangers do: over ``_STRANGERS`` an hour, their lines are gathered further, into
one for each kind of refusal, which still has the count. Notes are taken on the event loop and wait for nothing. Knows
audit and limits.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from time import time
from typing import Any

from hub import tenancy
from hub.identity.audit import Actor, Record, anonymous
from hub.limits import Buckets, Rate
from hub.model import Draft, Principal

FAILURE_SECONDS = 5.0
"""How long failures are gathered before they are in the log."""
PUBLISH_SECONDS = 60.0
"""The same for what those do who showed who they are."""
_STRANGERS = Rate(1000, 3600)
_MAX_NOTES = 4096
_SAMPLE = 20
"""Ids and topics of events that a line names; of more, it has the count."""

_Key = tuple[str, str, Actor, str]
# A refresh token that is used again ends a session, and is told with that, at once.
_REFUSALS = frozenset({"credentials_invalid", "user_disabled", "refresh_invalid", "too_many_attempts"})


@dataclass(slots=True)
class Note:
    """What is alike, so far: ``count`` times from ``first`` to ``last`` (Unix seconds). ``due``: when it goes into the
    log. ``ids`` and ``topics`` are samples."""

    action: str
    outcome: str
    actor: Actor
    target: str
    first: float
    due: float
    last: float
    count: int = 0
    ids: list[str] = field(default_factory=list)
    topics: list[str] = field(default_factory=list)

    @property
    def key(self) -> _Key:
        """What is alike in all."""
        return self.action, self.outcome, self.actor, self.target

    @property
    def claimed(self) -> str:
        """The id, in full, of the account that a stranger claimed; "" if it is none's claim."""
        if self.actor.source != "anonymous" or not self.target:
            return ""
        tenant, name = tenancy.split(self.target)
        return tenancy.join(tenant, name.partition(":")[2])

    def add(self, other: Note) -> None:
        """Take in a note with the same key."""
        self.first, self.last = min(self.first, other.first), max(self.last, other.last)
        self.count += other.count
        self.ids += other.ids[: _SAMPLE - len(self.ids)]
        self.topics = list(dict.fromkeys(self.topics + other.topics))[:_SAMPLE]

    def record(self) -> Record:
        """The line that it becomes."""
        details: dict[str, Any] = {}
        if self.count > 1 or self.ids:
            details["count"] = self.count
        if self.last > self.first:
            details["until"] = round(self.last, 3)
        if self.ids:
            details |= {"ids": self.ids, "topics": self.topics}
        return Record(self.actor, self.action, self.target, self.outcome, details)


class Notes:
    """Gathers, until they are taken. ``clock``: Unix seconds."""

    def __init__(self, *, clock: Callable[[], float] = time) -> None:
        self._clock = clock
        self._notes: dict[_Key, Note] = {}
        self._strangers: Buckets[None] = Buckets(_STRANGERS, clock=clock)

    def __len__(self) -> int:
        return len(self._notes)

    def refused(self, action: str, account: str, address: str, code: str) -> None:
        """Somebody tried to get in and was refused. ``account`` is the one that they claimed, which need not exist.

        An overloaded hub's refusals are not told: it judged nothing.
        """
        if code in _REFUSALS:
            # Of a refresh, it is only what counts together: whose session it is was not found out.
            target = account if tenancy.local(account).startswith(("user:", "service:")) else ""
            self._count(action, code, anonymous(address), target, FAILURE_SECONDS)

    def done(self, action: str, actor: Actor, target: str = "") -> None:
        """Somebody did something that changes nothing here: a service got a token, an administrator read the log."""
        self._count(action, "ok", actor, target, PUBLISH_SECONDS)

    def published(self, publisher: Principal, drafts: Sequence[Draft]) -> None:
        """An administrator published. The hub calls this for each request, after it was done."""
        note = self._count("publish", "ok", Actor.of(publisher), "", PUBLISH_SECONDS, len(drafts))
        # Samples only: the log has the events themselves, by id, with their publisher.
        if len(note.ids) < _SAMPLE:
            note.ids += [draft.id for draft in drafts[: _SAMPLE - len(note.ids)]]
        if len(note.topics) < _SAMPLE:
            seen = [str(topic) for draft in drafts[:_SAMPLE] for topic in draft.topics[:_SAMPLE]]
            note.topics = list(dict.fromkeys(note.topics + seen))[:_SAMPLE]

    def take(self, *, everything: bool = False) -> list[Note]:
        """The notes that are due, the oldest first; they are forgotten here."""
        now = self._clock()
        due = [note for note in self._notes.values() if everything or note.due <= now]
        for note in due:
            del self._notes[note.key]
        return sorted(due, key=lambda note: note.first)

    def put_back(self, notes: Iterable[Note]) -> None:
        """They could not be written; they are due again at once."""
        for note in notes:
            newer = self._notes.get(note.key)
            if newer is not None:
                note.add(newer)
            self._notes[note.key] = note

    def _count(self, action: str, outcome: str, actor: Actor, target: str, within: float, number: int = 1) -> Note:
        now = self._clock()
        note = self._notes.get((action, outcome, actor, target))
        if note is None:
            stranger = actor.source == "anonymous"
            if len(self._notes) >= _MAX_NOTES or (stranger and self._strangers.take(None)):
                # Gathered further: whom and from where is given up, what and how often is not.
                actor, target, within = Actor(actor.source), "", PUBLISH_SECONDS
            fresh = Note(action, outcome, actor, target, first=now, due=now + within, last=now)
            note = self._notes.setdefault(fresh.key, fresh)
        note.last = now
        note.count += number
        return note


def without_unknown(notes: Iterable[Note], accounts: Collection[str]) -> list[Note]:
    """The notes, with the claims taken out that are no account's id, and those that are then alike made one.

    What is no account's id may be a password, typed into the wrong field.
    """
    found: dict[_Key, Note] = {}
    for note in notes:
        if note.claimed and note.claimed not in accounts:
            note = replace(note, target="")
        if note.key in found:
            found[note.key].add(note)
        else:
            found[note.key] = note
    return list(found.values())
