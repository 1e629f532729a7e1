"""Reading the audit log: pages of it, whether it is whole; and letting go of what is old.

What is let go is told in the log itself: the line ``audit.prune`` holds the hash of the last line that went, from which
the first that is left can still be checked. Knows store, models and audit.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from time import time
from typing import Any

from sqlalchemy import ColumnElement, Select, delete, func, or_, select
from sqlalchemy.orm import InstrumentedAttribute

from hub import tenancy
from hub.database.store import Store
from hub.errors import HubError
from hub.identity.audit import HUB, Record, append, described, link
from hub.identity.models import AuditEntry

_PAGE = 1000
_DAY = 86400.0
_MOST = 50_000
"""Lines that are let go in one transaction: nobody else writes meanwhile."""


@dataclass(frozen=True, slots=True)
class Filter:
    """Which lines are wanted; None: whatever it is. An ``action`` such as ``user.*`` is all that begin so. ``since``
    and ``until`` are Unix seconds; ``until`` is not included. Of a ``tenant`` (another than the default one): the lines
    about its own people (what they did, what was done to them); ``actor`` and ``target`` are then local names."""

    actor: str | None = None
    action: str | None = None
    target: str | None = None
    outcome: str | None = None
    since: float | None = None
    until: float | None = None
    tenant: str | None = None

    def apply(self, query: Select[AuditEntry]) -> Select[AuditEntry]:
        """The query, narrowed."""
        for column, value in (
            (AuditEntry.actor, self._in_full(self.actor)),
            (AuditEntry.target, self._in_full(self.target)),
            (AuditEntry.outcome, self.outcome),
        ):
            if value is not None:
                query = query.where(column == value)
        if self.action is not None and self.action.endswith("*"):
            # Not LIKE, to which upper and lower case are the same on SQLite.
            prefix = self.action[:-1]
            query = query.where(func.substr(AuditEntry.action, 1, len(prefix)) == prefix)
        elif self.action is not None:
            query = query.where(AuditEntry.action == self.action)
        if self.since is not None:
            query = query.where(AuditEntry.time >= self.since)
        if self.until is not None:
            query = query.where(AuditEntry.time < self.until)
        if self.tenant is not None:
            query = query.where(or_(_begins(AuditEntry.actor, self.tenant), _begins(AuditEntry.target, self.tenant)))
        return query

    def _in_full(self, name: str | None) -> str | None:
        if name is None or self.tenant is None or name == "anonymous":
            return name
        return tenancy.join(self.tenant, name)


def _begins(column: InstrumentedAttribute[str], tenant: str) -> ColumnElement[bool]:
    """Whether it is a name of the tenant's."""
    prefix = tenancy.join(tenant, "")
    return func.substr(column, 1, len(prefix)) == prefix


EVERYTHING = Filter()


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether the lines are whole. ``lines`` were looked at, up to the line ``seq`` with its ``hash``; ``fault`` says
    what is wrong with the next one, if something is."""

    lines: int
    seq: int
    hash: str
    fault: str | None = None


class AuditLog:
    """The audit log of one database."""

    def __init__(self, store: Store, *, clock: Callable[[], float] = time) -> None:
        self._store = store
        self._clock = clock

    async def write(self, *records: Record) -> None:
        """Add lines that belong to no other change. Raises ``database_unavailable``."""
        async with self._store.write() as db:
            for record in records:
                await append(db, record, now=self._clock())

    async def page(
        self, wanted: Filter = EVERYTHING, *, after: int | None = None, before: int | None = None, limit: int = 100
    ) -> tuple[Sequence[AuditEntry], bool]:
        """Up to ``limit`` lines, the oldest first, and whether there are more in that direction: those that follow line
        ``after``; without it the newest ones, or the newest before line ``before``."""
        query = wanted.apply(select(AuditEntry))
        if before is not None:
            query = query.where(AuditEntry.seq < before)
        if after is not None:
            query = query.where(AuditEntry.seq > after)
        newest_first = after is None
        order = AuditEntry.seq.desc() if newest_first else AuditEntry.seq
        async with self._store.read() as db:
            found: Sequence[AuditEntry] = (await db.scalars(query.order_by(order).limit(limit + 1))).all()
        page = found[:limit]
        return page[::-1] if newest_first else page, len(found) > limit

    async def lines(self, wanted: Filter = EVERYTHING, *, after: int = 0) -> AsyncIterator[dict[str, Any]]:
        """All lines that follow line ``after``, as JSON, the oldest first; read in pages, so that nobody waits."""
        more = True
        while more:
            page, more = await self.page(wanted, after=after, limit=_PAGE)
            for entry in page:
                after = entry.seq
                yield described(entry)

    async def verify(self) -> Verdict:
        """Check every line against the one before it."""
        async with self._store.read() as db:
            first = await db.scalar(select(func.min(AuditEntry.seq)))
            pruned = await db.scalar(
                select(AuditEntry).where(AuditEntry.action == "audit.prune").order_by(AuditEntry.seq.desc()).limit(1)
            )
        if first is None:
            return Verdict(0, 0, "")
        check = Check(anchor=pruned.details if pruned is not None else None)
        async for line in self.lines():
            if not check.take(line):
                break
        return check.verdict

    async def holds(self, seq: int, hash: str) -> bool:
        """Whether the line ``seq`` is there, with that hash."""
        async with self._store.read() as db:
            entry = await db.get(AuditEntry, seq)
        return entry is not None and entry.hash == hash

    async def prune(self, *, older_than: float, keep: int) -> int:
        """Let go of the lines that are older than that many seconds and more than a day, and of the oldest while there
        are more than ``keep``; how many went.

        Done once a day's worth has gathered, since each time adds a line.
        """
        now = self._clock()
        async with self._store.write() as db:
            first, last = (await db.execute(select(func.min(AuditEntry.seq), func.max(AuditEntry.seq)))).one()
            if first is None:
                return 0
            oldest = await db.get_one(AuditEntry, first)
            through = first - 1
            if oldest.time < now - older_than - _DAY:
                young = select(func.min(AuditEntry.seq)).where(AuditEntry.time >= now - older_than)
                through = (await db.scalar(young) or last + 1) - 1
            if last - first + 1 > keep * 1.01:
                through = max(through, last - keep)
            if through < first:
                return 0
            through = min(through, first + _MOST - 1)
            newest_gone = await db.get_one(AuditEntry, through)
            gone: int = through - first + 1
            details = {"through": through, "hash": newest_gone.hash, "lines": gone}
            await append(db, Record(HUB, "audit.prune", details=details), now=now)
            await db.execute(delete(AuditEntry).where(AuditEntry.seq <= through))
        return gone


class Check:
    """Follows the chain from line to line; also through an export, if that is of all lines.

    ``anchor`` has ``through`` and ``hash`` of the line before the first; without it the first must be line 1, or
    (``trusting``) is believed.
    """

    def __init__(self, *, anchor: Mapping[str, Any] | None = None, trusting: bool = False) -> None:
        self._anchor = anchor
        self._trusting = trusting
        self.verdict = Verdict(0, 0, "")

    def take(self, line: Mapping[str, Any]) -> bool:
        """Look at the next line; False if it is wrong, which the verdict tells."""
        before = self.verdict
        try:
            seq, claimed = int(line["seq"]), str(line["hash"])
        except (KeyError, TypeError, ValueError):
            raise HubError("request_invalid", "A line has no seq or no hash: this is no audit log.") from None
        previous = before.hash
        fault = None
        if not before.lines and seq != 1:
            if self._anchor is not None and self._anchor.get("through") == seq - 1:
                previous = str(self._anchor["hash"])
            elif self._trusting:
                self.verdict = Verdict(1, seq, claimed)
                return True
            else:
                fault = f"the lines before line {seq} are missing, and no line says that they were let go"
        elif seq != before.seq + 1:
            fault = f"line {before.seq + 1} is missing: line {seq} follows line {before.seq}"
        if fault is None and link(previous, line) != claimed:
            fault = f"line {seq} is not what it was when it was written"
        if fault is None:
            self.verdict = Verdict(before.lines + 1, seq, claimed)
        else:
            self.verdict = Verdict(before.lines, before.seq, before.hash, fault)
        return fault is None
