"""The SQL of the embedded log: its schema, what one commit writes, what retention takes, what a reader sees.

A commit appends entries, which are neighbours in the file. The index of their topics is spread all over the file, so it
is made later, for many entries at once (``index``): a commit of 64 events would change some 64 pages of it and take
several times as long. A reader looks through the few entries that are not in it yet.

Every function is handed a connection and runs on whatever thread that belongs to; threads and the event loop are the
business of ``hub.engine.sqlite``.
"""

from __future__ import annotations

import heapq
import json
import secrets
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from hub.errors import HubError
from hub.model import Draft, Entry, Page, Receipt, Topic

_SCHEMA = """
CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS entry (
    seq INTEGER PRIMARY KEY,
    time REAL NOT NULL,
    topics TEXT NOT NULL,      -- JSON array, in the publisher's order
    body BLOB NOT NULL,        -- the event object, as it goes out
    exclude TEXT,              -- JSON array of client ids
    expires_at REAL
);
-- One row for each topic of an entry: a reader's page is a range of this index, whatever the size of the log.
-- Has the entries up to meta's 'indexed'.
CREATE TABLE IF NOT EXISTS entry_topic (topic TEXT, seq INTEGER, PRIMARY KEY (topic, seq)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS entry_expiry ON entry (expires_at) WHERE expires_at IS NOT NULL;
-- Outlives the entry, which retention may take first.
CREATE TABLE IF NOT EXISTS dedupe (
    key TEXT PRIMARY KEY, seq INTEGER NOT NULL, time REAL NOT NULL, fingerprint BLOB NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS dedupe_time ON dedupe (time);
"""
_VERSION = 1
_CACHE_KIB = 4 * 1024
_CHECKPOINT_PAGES = 8192
"""Pages of the WAL (32 MiB) after which it is copied back into the file."""
_COLUMNS = "seq, topics, body, exclude, expires_at"
_PAGE_BYTES = 256 * 1024
"""Bytes of events in a page, so that a reader who catches up holds little."""
_NEWEST_BYTES = 4 << 20
"""The same for the newest events, of which there is no second page."""


@dataclass(frozen=True, slots=True)
class Extent:
    """How far a log reaches: entries after ``floor`` up to ``head`` are retained, in ``size`` bytes of events.

    Those up to ``indexed`` are in the index of topics. ``inherited``: see ``Engine.inherited``.
    """

    epoch: str
    floor: int
    head: int
    size: int
    indexed: int
    inherited: Mapping[str, int] = field(default_factory=dict)


def connect(path: Path) -> sqlite3.Connection:
    """A connection whose transactions are begun and ended by hand. One thread at a time uses it."""
    return sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=5)


def open_writer(path: Path) -> tuple[sqlite3.Connection, Extent]:
    """Open or create the log; raises ``OSError`` if a newer hub wrote it, ``sqlite3.Error`` if it is no log."""
    path.touch(mode=0o600)  # Its WAL gets the same mode: events are private.
    connection = connect(path)
    # Lets retention give pages back to the file system; has to come before the first table.
    connection.execute("PRAGMA auto_vacuum=INCREMENTAL")
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    # An event changes a page for each of its topics, all over the index: they stay in memory, and are written back to
    # the file once for many commits.
    connection.execute(f"PRAGMA cache_size=-{_CACHE_KIB}")
    connection.execute(f"PRAGMA wal_autocheckpoint={_CHECKPOINT_PAGES}")
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version > _VERSION:
        connection.close()
        raise OSError(f"the log {path} is of a newer hub (schema {version}); run that version")
    connection.executescript(_SCHEMA)
    connection.execute(f"PRAGMA user_version={_VERSION}")
    defaults = (("epoch", secrets.token_hex(6)), ("floor", 0), ("bytes", 0), ("indexed", 0), ("swept", 0))
    connection.executemany("INSERT OR IGNORE INTO meta VALUES (?, ?)", defaults)
    meta = dict(connection.execute("SELECT key, value FROM meta"))
    floor = int(meta["floor"])
    head, indexed = _head(connection, max(floor, int(meta["swept"]))), int(meta["indexed"])
    inherited = json.loads(meta.get("inherited", "{}"))
    return connection, Extent(str(meta["epoch"]), floor, head, int(meta["bytes"]), indexed, inherited)


def place(connection: sqlite3.Connection) -> tuple[str, int, int]:
    """Epoch, floor and head of a log; raises ``sqlite3.Error`` if it is none."""
    epoch = str(connection.execute("SELECT value FROM meta WHERE key = 'epoch'").fetchone()[0])
    return (epoch, *_reach(connection))


def fork(connection: sqlite3.Connection) -> str:
    """Make a copy of a log that was put back a log of its own; its new epoch.

    The one that it was taken from may have gone on, so that the same seq names different entries in the two. Up to the
    copy's head they are the same: a cursor from there is still good.
    """
    old, _, head = place(connection)
    row = connection.execute("SELECT value FROM meta WHERE key = 'inherited'").fetchone()
    # An ancestor's cursors are good up to where the log left it, which it never did behind its own head.
    inherited = {**({} if row is None else json.loads(row[0])), old: head}
    epoch = secrets.token_hex(6)
    connection.executemany(
        "INSERT OR REPLACE INTO meta VALUES (?, ?)", (("epoch", epoch), ("inherited", json.dumps(inherited)))
    )
    return epoch


def index(connection: sqlite3.Connection, extent: Extent) -> int:
    """Put the newest entries into the index of topics, in the open transaction; up to which seq it goes then."""
    # In the index's own order, so that each of its pages is changed once.
    connection.execute(
        "INSERT OR IGNORE INTO entry_topic SELECT value, seq FROM entry, json_each(topics) WHERE seq > ? ORDER BY 1, 2",
        (extent.indexed,),
    )
    connection.execute("UPDATE meta SET value = ? WHERE key = 'indexed'", (extent.head,))
    return extent.head


def trim(
    connection: sqlite3.Connection,
    extent: Extent,
    *,
    now: float,
    age: float,
    size: int,
    dedupe_window: float,
    limit: int,
) -> tuple[int, int, bool]:
    """Delete the oldest entries that are too old or too many bytes, and ids that are past; at most ``limit`` of each.

    Returns the new floor and size, and whether there may be more to delete.
    """
    past = "SELECT key FROM dedupe WHERE time < ? ORDER BY time LIMIT ?"
    forgotten = connection.execute(f"DELETE FROM dedupe WHERE key IN ({past})", (now - dedupe_window, limit)).rowcount  # noqa: S608
    oldest = connection.execute(
        "SELECT seq, time, topics, length(body) FROM entry ORDER BY seq LIMIT ?", (limit,)
    ).fetchall()
    left, floor = extent.size, extent.floor
    doomed: list[tuple[str, int]] = []
    for seq, written, topics, length in oldest:
        if written >= now - age and left <= size:
            break
        left, floor = left - length, seq
        doomed += [(name, seq) for name in json.loads(topics)]
    if floor > extent.floor:
        connection.execute("DELETE FROM entry WHERE seq <= ?", (floor,))
        connection.executemany("DELETE FROM entry_topic WHERE topic = ? AND seq = ?", doomed)
        connection.execute("UPDATE meta SET value = ? WHERE key = 'floor'", (floor,))
        connection.execute("UPDATE meta SET value = ? WHERE key = 'bytes'", (left,))
    more = len(oldest) == limit and oldest[-1][0] == floor
    return floor, left, more or forgotten == limit


def sweep(connection: sqlite3.Connection, extent: Extent, *, now: float, limit: int) -> tuple[int, bool]:
    """Delete entries past their time, at most ``limit``, in the open transaction.

    What is left is ``size`` bytes; and whether there may be more to delete. An empty sweep writes nothing.
    """
    past = connection.execute(
        "SELECT seq, topics, length(body) FROM entry WHERE expires_at <= ? ORDER BY expires_at LIMIT ?", (now, limit)
    ).fetchall()
    if not past:
        return extent.size, False
    left = extent.size - sum(length for _, _, length in past)
    connection.executemany("DELETE FROM entry WHERE seq = ?", [(seq,) for seq, _, _ in past])
    connection.executemany(
        "DELETE FROM entry_topic WHERE topic = ? AND seq = ?",
        [(name, seq) for seq, topics, _ in past for name in json.loads(topics)],
    )
    # The newest entry may be among them; its seq is not to be used again.
    connection.execute("UPDATE meta SET value = ? WHERE key = 'swept'", (extent.head,))
    connection.execute("UPDATE meta SET value = ? WHERE key = 'bytes'", (left,))
    return left, len(past) == limit


def scan_page(connection: sqlite3.Connection, after: int, limit: int) -> Page:
    """A page of all entries, from one moment of the log: to be called in a transaction. See ``Engine.scan``."""
    floor, head = _reach(connection)
    start = max(after, floor)
    rows = connection.execute(
        f"SELECT {_COLUMNS} FROM entry WHERE seq > ? ORDER BY seq LIMIT ?",  # noqa: S608
        (start, limit + 1),
    )
    size, more = 0, False
    entries: list[Entry] = []
    for row in rows:
        if len(entries) == limit or (size and size + len(row[2]) > _PAGE_BYTES):
            more = True
            break
        size += len(row[2])
        entries.append(_entry(*row))
    rows.close()
    return Page(entries, entries[-1].seq if more else max(head, start), floor, more)


def read_page(
    connection: sqlite3.Connection, topics: Sequence[Topic], after: int | None, limit: int, now: float
) -> Page:
    """A page, from one moment of the log: to be called in a transaction. See ``Engine.read``."""
    floor, head = _reach(connection)
    [[indexed]] = connection.execute("SELECT value FROM meta WHERE key = 'indexed'")
    newest = after is None
    start = floor if after is None else max(after, floor)
    order = "DESC" if newest else "ASC"
    # Those past their time are few: they are swept every second.
    current = "seq NOT IN (SELECT seq FROM entry WHERE expires_at <= ?)"
    statement = f"SELECT seq FROM entry_topic WHERE topic = ? AND seq > ? AND {current} ORDER BY seq {order} LIMIT ?"  # noqa: S608
    found: set[int] = set()
    for name in topics:
        found.update(seq for (seq,) in connection.execute(statement, (name, start, now, limit + 1)))
    if head > indexed:
        statement = f"""
            SELECT seq FROM entry WHERE seq > ? AND {current} AND EXISTS (
                SELECT 1 FROM json_each(entry.topics) WHERE value IN (SELECT value FROM json_each(?))
            ) ORDER BY seq {order} LIMIT ?
        """  # noqa: S608
        newer = connection.execute(statement, (max(indexed, start), now, json.dumps(topics), limit + 1))
        found.update(seq for (seq,) in newer)
    wanted = (heapq.nlargest if newest else heapq.nsmallest)(limit, found)
    more = len(found) > len(wanted)
    statement = f"SELECT {_COLUMNS} FROM entry WHERE seq IN (SELECT value FROM json_each(?)) ORDER BY seq {order}"  # noqa: S608
    rows = connection.execute(statement, (json.dumps(wanted),))
    size, last, bound = 0, start, _NEWEST_BYTES if newest else _PAGE_BYTES
    entries: list[Entry] = []
    for row in rows:
        if size and size + len(row[2]) > bound:
            more = True
            break
        size, last = size + len(row[2]), row[0]
        entries.append(_entry(*row))
    rows.close()
    if newest:
        entries.reverse()
        return Page(entries, head, floor, more=False)
    return Page(entries, last if more else max(head, start), floor, more)


def _reach(connection: sqlite3.Connection) -> tuple[int, int]:
    """Floor and head."""
    meta = dict(connection.execute("SELECT key, value FROM meta WHERE key IN ('floor', 'swept')"))
    floor = int(meta["floor"])
    return floor, _head(connection, max(floor, int(meta["swept"])))


def write_probe(connection: sqlite3.Connection, size: int) -> None:
    """Write so many bytes that nobody reads."""
    connection.execute("INSERT OR REPLACE INTO meta VALUES ('probe', randomblob(?))", (size,))


def entries_after(connection: sqlite3.Connection, seq: int) -> list[Entry]:
    """Every entry after ``seq``, of whatever topics."""
    rows = connection.execute(f"SELECT {_COLUMNS} FROM entry WHERE seq > ? ORDER BY seq", (seq,))  # noqa: S608
    return [_entry(*row) for row in rows]


def _entry(seq: int, topics: str, body: bytes, exclude: str | None, expires_at: float | None) -> Entry:
    return Entry(seq, tuple(json.loads(topics)), body, tuple(json.loads(exclude)) if exclude else (), expires_at)


def _names(names: Sequence[str]) -> str:
    """A JSON array. No name of a topic or a client has a character that JSON would escape: see ``hub.model``."""
    return '["' + '","'.join(names) + '"]'


def _head(connection: sqlite3.Connection, least: int) -> int:
    """The newest seq. Where the newest entries were deleted, it is ``least``."""
    return max(connection.execute("SELECT max(seq) FROM entry").fetchone()[0] or 0, least)


class Group:
    """What one commit writes. Each request's drafts are checked whole before any of them is taken."""

    def __init__(self, head: int, oldest_key: float) -> None:
        self.entries: list[Entry] = []
        self.bytes = 0
        self._head = head
        self._oldest_key = oldest_key
        self._times: list[float] = []
        self._keys: dict[str, tuple[int, float, bytes]] = {}

    def add(self, connection: sqlite3.Connection, drafts: Sequence[Draft]) -> list[Receipt]:
        """Take one request's drafts, all or none; raises ``id_conflict``."""
        receipts: list[Receipt] = []
        entries: list[Entry] = []
        times: list[float] = []
        keys: dict[str, tuple[int, float, bytes]] = {}
        for index, draft in enumerate(drafts):
            known = self._known(connection, keys, draft.dedupe)
            if known is not None:
                seq, first_time, fingerprint = known
                if fingerprint != draft.fingerprint:
                    raise HubError(
                        "id_conflict",
                        f"The id {draft.id!r} was used for an event with other content. Use a new id for a new event.",
                        index=index,
                    )
                receipts.append(Receipt(draft.id, seq, first_time, duplicate=True))
                continue
            seq = self._head + len(self.entries) + len(entries) + 1
            if draft.dedupe is not None:
                keys[draft.dedupe] = (seq, draft.time, draft.fingerprint)
            entries.append(Entry(seq, draft.topics, draft.body, draft.exclude, draft.expires_at))
            times.append(draft.time)
            receipts.append(Receipt(draft.id, seq, draft.time))
        self.entries += entries
        self.bytes += sum(len(entry.body) for entry in entries)
        self._times += times
        self._keys |= keys
        return receipts

    def _known(
        self, connection: sqlite3.Connection, keys: dict[str, tuple[int, float, bytes]], key: str | None
    ) -> tuple[int, float, bytes] | None:
        if key is None:
            return None
        known = keys.get(key) or self._keys.get(key)
        if known is None:
            known = connection.execute(
                "SELECT seq, time, fingerprint FROM dedupe WHERE key = ? AND time >= ?", (key, self._oldest_key)
            ).fetchone()
        return known

    def write(self, connection: sqlite3.Connection, stored_bytes: int) -> None:
        """Put the group into the open transaction. With nothing to write it still writes one row, so that the commit
        is a real one."""
        connection.executemany(
            "INSERT INTO entry VALUES (?, ?, ?, ?, ?, ?)",
            [
                (e.seq, t, _names(e.topics), e.body, _names(e.exclude) if e.exclude else None, e.expires_at)
                for e, t in zip(self.entries, self._times, strict=True)
            ],
        )
        connection.executemany(
            "INSERT OR REPLACE INTO dedupe VALUES (?, ?, ?, ?)", [(key, *kept) for key, kept in self._keys.items()]
        )
        connection.execute("UPDATE meta SET value = ? WHERE key = 'bytes'", (stored_bytes + self.bytes,))
