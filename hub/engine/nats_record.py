"""How an entry lies in the stream: its subject and its bytes. Pure.

The subject lets a reader find the entries of a topic without going through all others: an entry of one topic has that
topic's subject; one of several topics (a message has one subject) lies with all others of its kind, and readers look at
its topics. The bytes are one line of JSON, what the hub knows of the event, and the event object as it goes out. Not
headers: those may have 64 KiB at most, which the names of a thousand users do not fit into.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from typing import NamedTuple

from hub.model import Draft, Entry, Topic


class Record(NamedTuple):
    """What a message of the stream says: the entry, and what is needed to recognise its publisher's next try."""

    entry: Entry
    time: float
    fingerprint: bytes


class Subjects:
    """The names of one stream's subjects; ``stream`` is one token."""

    def __init__(self, stream: str) -> None:
        self.log = f"{stream}.log"
        self.all = f"{self.log}.>"
        """Every entry."""
        self.several = f"{self.log}.several"
        """The entries of more than one topic."""
        self.tail = f"{stream}.tail"
        """Where the stream republishes, with the rest of the entry's subject behind."""
        self.node = f"{stream}.node"
        """What nodes tell each other besides the log."""

    def of_topic(self, topic: Topic) -> str:
        """Where the entries of this topic alone are. No name of a topic has a ``%``, a ``*`` or a ``>``."""
        return f"{self.log}.topic.{topic.replace('.', '%')}"

    def of(self, topics: tuple[Topic, ...]) -> str:
        """Where an entry of these topics is."""
        return self.of_topic(topics[0]) if len(topics) == 1 else self.several

    def to_read(self, topics: Collection[Topic]) -> list[str]:
        """Where all entries of these topics are."""
        return [*(self.of_topic(topic) for topic in topics), self.several]


def encode(draft: Draft) -> bytes:
    """The bytes of a draft."""
    said: dict[str, object] = {"topics": draft.topics, "time": draft.time}
    if draft.dedupe is not None:
        said["fingerprint"] = draft.fingerprint.hex()
    if draft.exclude:
        said["exclude"] = draft.exclude
    if draft.expires_at is not None:
        said["expires"] = draft.expires_at
    return json.dumps(said, separators=(",", ":")).encode() + b"\n" + draft.body


def encode_signal(draft: Draft) -> bytes:
    """The bytes of an ephemeral event, for other nodes."""
    said = {"id": draft.id, "topics": draft.topics, "time": draft.time, "exclude": draft.exclude}
    return json.dumps(said, separators=(",", ":")).encode() + b"\n" + draft.body


def decode_signal(data: bytes) -> Draft:
    """Read what ``encode_signal`` wrote; raises ``ValueError`` or ``KeyError`` if somebody else did."""
    line, _, body = data.partition(b"\n")
    said = json.loads(line)
    return Draft(said["id"], tuple(said["topics"]), body, said["time"], durable=False, exclude=tuple(said["exclude"]))


def decode(seq: int, data: bytes) -> Record:
    """Read what ``encode`` wrote. What somebody else wrote is an entry of no topic, which nobody gets."""
    line, _, body = data.partition(b"\n")
    try:
        said = json.loads(line)
        entry = Entry(seq, tuple(said["topics"]), body, tuple(said.get("exclude", ())), said.get("expires"))
        return Record(entry, float(said["time"]), bytes.fromhex(said.get("fingerprint", "")))
    except (ValueError, KeyError, TypeError, AttributeError):
        return Record(Entry(seq, (), b""), 0.0, b"")
