"""The tables of the inbox. ``seq`` is a place in the log, ``owner`` a user's own topic, ``lane`` the number of a topic.

Nothing here is particular to a database. Knows only the root of the models.
"""

from __future__ import annotations

from sqlalchemy import Index, SmallInteger, column
from sqlalchemy.orm import Mapped, mapped_column

from hub.database.base import BIG, Base

WRITERS = "inbox"
"""The group that writes these tables, one at a time in all nodes (``Store.write_apart``): a piece of the log takes
long, and nobody who logs in is to wait for it."""

_COMPACT = {"sqlite_with_rowid": False}


class Progress(Base):
    """How far the log was read: one row. Whoever changes it does so from the place it was read at, so that of several
    nodes one does a given piece."""

    __tablename__ = "inbox_progress"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    epoch: Mapped[str]
    """Of the log. With another log, everything begins anew."""
    seq: Mapped[int] = mapped_column(BIG)
    lanes: Mapped[int] = mapped_column(BIG)
    """The number that the newest lane was given."""


class Lane(Base):
    """A topic that has events."""

    __tablename__ = "inbox_lanes"
    __table_args__ = (Index("inbox_lanes_by_seq", "seq"),)

    id: Mapped[int] = mapped_column(BIG, primary_key=True, autoincrement=False)
    topic: Mapped[str] = mapped_column(unique=True)
    ordinal: Mapped[int] = mapped_column(BIG)
    """Of its newest entry."""
    floor: Mapped[int] = mapped_column(BIG)
    """Ordinals up to this one are no longer retained."""
    gaps: Mapped[int] = mapped_column(BIG)
    """How many there have been: 0 spares the look."""
    shared: Mapped[int] = mapped_column(BIG)
    """How many entries there have been that are shared, or counted in the lane of a combination."""
    seq: Mapped[int] = mapped_column(BIG)
    """Of its newest event: once that is no longer retained, neither is the lane."""


class Combined(Base):
    """A lane that is a combination of topics, and one of them."""

    __tablename__ = "inbox_combined"
    __table_args__ = (Index("inbox_combined_by_lane", "lane"), _COMPACT)

    member: Mapped[int] = mapped_column(BIG, primary_key=True, autoincrement=False)
    lane: Mapped[int] = mapped_column(BIG, primary_key=True, autoincrement=False)


class Event(Base):
    """An event that is in the log, without its body: that is read from there, so that nothing large is written
    twice."""

    __tablename__ = "inbox_events"
    __table_args__ = (
        Index("inbox_events_by_id", "id"),
        Index(
            "inbox_events_by_end",
            "expires_at",
            sqlite_where=column("expires_at").is_not(None),
            postgresql_where=column("expires_at").is_not(None),
        ),
    )

    seq: Mapped[int] = mapped_column(BIG, primary_key=True, autoincrement=False)
    id: Mapped[str]
    """Its publisher's: another publisher may use the same."""
    type: Mapped[str]
    expires_at: Mapped[float | None]
    collapse_key: Mapped[str | None]
    lanes: Mapped[str]
    """Their numbers, with commas, in the publisher's order; the combination's last."""


class Entry(Base):
    """An event in a lane, as long as no newer one has taken its place there."""

    __tablename__ = "inbox_entries"
    __table_args__ = (
        Index(
            "inbox_entries_shared",
            "lane",
            "kind",  # Always the same: with it, the index is seen to be better than the primary key.
            "seq",
            sqlite_where=column("kind") == 2,
            postgresql_where=column("kind") == 2,
        ),
        _COMPACT,
    )

    lane: Mapped[int] = mapped_column(BIG, primary_key=True, autoincrement=False)
    seq: Mapped[int] = mapped_column(BIG, primary_key=True, autoincrement=False)
    ordinal: Mapped[int] = mapped_column(BIG)
    """Of the newest counted entry of the lane up to this one."""
    kind: Mapped[int] = mapped_column(SmallInteger)
    """See ``lanes.Kind``."""
    rank: Mapped[int] = mapped_column(SmallInteger)
    """The topic's place in the publisher's order."""


class Replaced(Base):
    """An event whose place in a lane a newer one of its collapse key has taken."""

    __tablename__ = "inbox_replaced"
    __table_args__ = (_COMPACT,)

    lane: Mapped[int] = mapped_column(BIG, primary_key=True, autoincrement=False)
    hidden: Mapped[bool] = mapped_column(primary_key=True)
    """Nobody had read it. Otherwise, those who had still see it."""
    seq: Mapped[int] = mapped_column(BIG, primary_key=True, autoincrement=False)
    by: Mapped[int] = mapped_column(BIG)
    """The newer one's seq."""
    kind: Mapped[int] = mapped_column(SmallInteger)
    rank: Mapped[int] = mapped_column(SmallInteger)


class Key(Base):
    """The newest event of a collapse key in a lane."""

    __tablename__ = "inbox_keys"
    __table_args__ = (_COMPACT,)

    lane: Mapped[int] = mapped_column(BIG, primary_key=True, autoincrement=False)
    key: Mapped[str] = mapped_column(primary_key=True)
    seq: Mapped[int] = mapped_column(BIG)


class Gap(Base):
    """How many ordinals of a block have no entry any more. A block of level n has 64ⁿ ordinals."""

    __tablename__ = "inbox_gaps"
    __table_args__ = (_COMPACT,)

    lane: Mapped[int] = mapped_column(BIG, primary_key=True, autoincrement=False)
    level: Mapped[int] = mapped_column(SmallInteger, primary_key=True, autoincrement=False)
    block: Mapped[int] = mapped_column(BIG, primary_key=True, autoincrement=False)
    n: Mapped[int] = mapped_column(BIG)


class Reader(Base):
    """A user's watermarks."""

    __tablename__ = "inbox_readers"

    owner: Mapped[str] = mapped_column(primary_key=True)
    read_to: Mapped[int] = mapped_column(BIG)
    archived_to: Mapped[int] = mapped_column(BIG)


class ReadUp(Base):
    """When (at which place in the log) a user had read up to where: whether an event had been read when another took
    its place."""

    __tablename__ = "inbox_read_ups"
    __table_args__ = (Index("inbox_read_ups_by_place", "read_to"),)

    owner: Mapped[str] = mapped_column(primary_key=True)
    read_to: Mapped[int] = mapped_column(BIG, primary_key=True, autoincrement=False)
    at: Mapped[int] = mapped_column(BIG)
    time: Mapped[float]


class Mark(Base):
    """What a user said of one event, whatever the watermarks say."""

    __tablename__ = "inbox_marks"
    __table_args__ = (
        Index("inbox_marks_by_seq", "seq"),
        Index(
            "inbox_marks_shared",
            "owner",
            "lane",
            "seq",
            sqlite_where=column("lane") == 0,
            postgresql_where=column("lane") == 0,
        ),
        _COMPACT,
    )

    owner: Mapped[str] = mapped_column(primary_key=True)
    seq: Mapped[int] = mapped_column(BIG, primary_key=True, autoincrement=False)
    lane: Mapped[int] = mapped_column(BIG)
    """The one that counts it for this user; 0: it is shared."""
    read: Mapped[bool]
    archived: Mapped[bool]
    kept: Mapped[bool]
    """It had been read when another took its place."""
    delta: Mapped[int] = mapped_column(SmallInteger)
    """What it adds to the sum of its lane: -1, 0 or 1."""
    time: Mapped[float]
    """When it was last said."""


class Tally(Base):
    """The sum of a user's deltas in a lane."""

    __tablename__ = "inbox_tallies"
    __table_args__ = (_COMPACT,)

    owner: Mapped[str] = mapped_column(primary_key=True)
    lane: Mapped[int] = mapped_column(BIG, primary_key=True, autoincrement=False)
    n: Mapped[int] = mapped_column(BIG)


ALL: tuple[type[Base], ...] = (
    Progress, Lane, Combined, Event, Entry, Replaced, Key, Gap, Reader, ReadUp, Mark, Tally,
)  # fmt: skip
"""All of these."""
