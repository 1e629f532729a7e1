"""What part a topic plays for an event: pure.

Knows only model and tenancy.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum

from hub import tenancy
from hub.model import ALL, Topic


class Kind(IntEnum):
    """How an event is counted in one of its lanes."""

    COUNTED = 1
    """By the lane's ordinals."""
    SHARED = 2
    """One by one: those who have several of its lanes are to count it once."""
    SHADOW = 3
    """Not at all: it is also for all, or in the lane of a combination, and counted there."""


def kinds(topics: Sequence[Topic]) -> list[Kind]:
    """Of an event that goes to these, one each. Of those in one user's inbox, one at most is counted."""
    if len(topics) == 1:
        return [Kind.COUNTED]
    if any(is_all(topic) for topic in topics):
        return [Kind.COUNTED if is_all(topic) else Kind.SHADOW for topic in topics]
    return [Kind.COUNTED if is_own(topic) else Kind.SHARED for topic in topics]


def combination(topics: Sequence[Topic]) -> Topic | None:
    """The name of the lane of all events that go to exactly these topics, where none of them is all's or a user's own;
    None for a single one. Such a lane is in the inbox of whoever has one of them, and so counts the event once."""
    if len(topics) < 2 or any(is_all(topic) or is_own(topic) for topic in topics):
        return None
    # No topic has this character, so no topic has such a name.
    return Topic("&".join(sorted(topics)))


def is_all(topic: Topic) -> bool:
    """Whether it is everybody's (of its tenant)."""
    return tenancy.local(topic) == ALL


def is_own(topic: Topic) -> bool:
    """Whether it is one user's own."""
    segments = tenancy.local(topic).split(":")
    return len(segments) == 2 and segments[0] == "user"
