"""Reading the stream: pages of some topics, the newest of them, and everything in order.

Pages come by *batched direct get* (NATS ADR-31), which any replica answers, without a consumer for each reader. A
replica may be behind, and does not say how far it is. So the end of a page is not believed: where a replica says that
nothing follows, the leader is asked for what follows. What the stream no longer has it skips in silence; so a page that
does not begin right after where its reader was is held against the floor.

A page costs one request for each topic, one more for the entries of several topics, and as many to the leader where it
reaches the end; the common short resume never gets here (``hub.recent``).
"""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any

from nats.aio.msg import Msg

from hub.engine.nats_link import Headers, Link, Refused
from hub.engine.nats_record import Record, decode
from hub.engine.nats_stream import Stream, StreamState
from hub.errors import HubError
from hub.model import Entry, Page, Topic

PAGE_BYTES = 256 * 1024
"""Bytes of events in a page, so that a reader who catches up holds little."""
_NEWEST_BYTES = 4 << 20
"""The same for the newest events, of which there is no second page."""
_TIMEOUT = 5.0
_NO_MESSAGE = 10037


@dataclass(frozen=True, slots=True)
class _Run:
    """Entries of one subject in their order, and through which seq that is all of them (None: to the end)."""

    entries: list[Entry]
    through: int | None


class Reader:
    """Reads one stream."""

    def __init__(
        self,
        link: Link,
        stream: Stream,
        *,
        clock: Callable[[], float],
        extent: Callable[[], StreamState],
    ) -> None:
        """``extent``: how far the stream reaches, as this node knows."""
        self._link = link
        self._stream = stream.name
        self._subjects = stream.subjects
        self._state = stream.state
        self._clock = clock
        self._extent = extent

    async def page(self, topics: Collection[Topic], after: int, limit: int) -> Page:
        """See ``Engine.read``."""
        return await self._page(self._subjects.to_read(topics), frozenset(topics), after, limit)

    async def scan(self, after: int, limit: int) -> Page:
        """See ``Engine.scan``."""
        return await self._page([self._subjects.all], None, after, limit)

    async def newest(self, topics: Collection[Topic], limit: int) -> Page:
        """The newest ``limit`` entries of some topics, oldest first.

        The stream is read forwards only, but tells how many entries of a subject follow a seq: so the place from which
        there are about enough is searched for first.
        """
        subjects, wanted, head = self._subjects.to_read(topics), frozenset(topics), self._extent().head
        low = (await self._state()).floor + 1
        asked = limit
        while True:
            start = await self._start_of(subjects, asked, low, head)
            runs = await asyncio.gather(*(self._all(subject, start - 1, head) for subject in subjects))
            of_theirs = [entry for run in runs for entry in run if not wanted.isdisjoint(entry.topics)]
            found = sorted((entry for entry in self._living(of_theirs) if entry.seq <= head), key=_seq)
            # Those of several topics were counted whatever their topics, and those past their time, too.
            if len(found) >= limit or start <= low:
                break
            asked *= 4
        size, first = 0, len(found)
        while first > max(0, len(found) - limit):
            size += len(found[first - 1].body)
            if size > _NEWEST_BYTES and first < len(found):
                break
            first -= 1
        return Page(found[first:], head, low - 1, more=False)

    async def record(self, seq: int) -> Record | None:
        """One message, as the leader has it; None if it is no longer retained. Raises ``log_unavailable``."""
        return await self._from_leader({"seq": seq})

    # --- Inside

    async def _page(self, subjects: Sequence[str], wanted: frozenset[Topic] | None, after: int, limit: int) -> Page:
        head = self._extent().head
        runs = await asyncio.gather(*(self._run(subject, after, limit, head) for subject in subjects))
        through = min((run.through for run in runs if run.through is not None), default=None)
        found = sorted(
            (
                entry
                for run in runs
                for entry in run.entries
                if (through is None or entry.seq <= through) and (wanted is None or not wanted.isdisjoint(entry.topics))
            ),
            key=_seq,
        )
        floor = await self._floor(runs, after, head)
        kept: list[Entry] = []
        size = 0
        for entry in found:
            if len(kept) == limit or (size and size + len(entry.body) > PAGE_BYTES):
                return Page(self._living(kept), kept[-1].seq, floor, more=True)
            size += len(entry.body)
            kept.append(entry)
        if through is not None:
            return Page(self._living(kept), through, floor, more=True)
        last = kept[-1].seq if kept else 0
        return Page(self._living(kept), max(after, head, last), floor, more=False)

    async def _run(self, subject: str, after: int, limit: int, head: int) -> _Run:
        """What follows ``after``, checked against the leader if it seems to be all."""
        entries, complete = await self._get(subject, after, limit, PAGE_BYTES)
        if entries and not complete:
            return _Run(entries, entries[-1].seq)
        last = entries[-1].seq if entries else after
        if last < head:
            missed = await self._from_leader({"seq": last + 1, "next_by_subj": subject})
            if missed is not None and missed.entry.seq <= head:
                return _Run([*entries, missed.entry], missed.entry.seq)
        return _Run(entries, None)

    async def _all(self, subject: str, after: int, head: int) -> list[Entry]:
        """Everything of a subject after ``after``, through ``head``."""
        found: list[Entry] = []
        while True:
            run = await self._run(subject, after, 1000, head)
            found += run.entries
            if run.through is None or run.through >= head:
                return found
            after = run.through

    async def _get(self, subject: str, after: int, limit: int, size: int) -> tuple[list[Entry], bool]:
        """A batch from some replica, and whether that has no more."""
        request = {"seq": after + 1, "next_by_subj": subject, "batch": limit, "max_bytes": size}
        messages, end = await self._direct(request)
        return [_entry(message) for message in messages], end.get("Nats-Num-Pending", "0") == "0"

    async def _direct(self, request: dict[str, Any]) -> tuple[list[Msg], Headers]:
        """Ask some replica; its messages and the headers that ended them. Raises ``log_unavailable``."""
        payload = json.dumps(request).encode()
        messages, end = await self._link.collect(f"$JS.API.DIRECT.GET.{self._stream}", payload, timeout=_TIMEOUT)
        if end["Status"] not in ("204", "404"):
            raise HubError("log_unavailable", f"The log cannot be read: {end.get('Description', end['Status'])}.")
        return messages, end

    async def _from_leader(self, request: dict[str, Any]) -> Record | None:
        """One message by the leader's word; None if there is none."""
        try:
            answer = await self._link.call(f"STREAM.MSG.GET.{self._stream}", request, timeout=_TIMEOUT)
        except Refused as refusal:
            if refusal.code == _NO_MESSAGE:
                return None
            raise HubError("log_unavailable", f"The log cannot be read: {refusal}.") from refusal
        message = answer["message"]
        return decode(message["seq"], base64.b64decode(message.get("data", "")))

    async def _floor(self, runs: Sequence[_Run], after: int, head: int) -> int:
        """The floor as this reader has to know it: past ``after`` if, and only if, something behind ``after`` is gone.

        (A replica may let go of an entry a moment before the leader does: an entry in the last second of its retention
        may be missed without a word.)
        """
        if after < head and not any(run.entries and run.entries[0].seq == after + 1 for run in runs):
            messages, _ = await self._direct({"seq": after + 1, "batch": 1})
            if not messages or _entry(messages[0]).seq != after + 1:
                return (await self._state()).floor
        return min(after, self._extent().floor)

    async def _start_of(self, subjects: Sequence[str], enough: int, low: int, head: int) -> int:
        """A seq from which on there are at least ``enough`` entries of the subjects, and not many more; or ``low``."""
        span, beyond = 4 * enough, head + 1
        start = max(low, head + 1 - span)
        while (count := await self._count(subjects, start)) < enough and start > low:
            span, beyond = span * 8, start
            start = max(low, head + 1 - span)
        # Between ``start``, from which there are enough, and ``beyond``, from which there are not.
        while count > 2 * enough and beyond - start > 1:
            middle = (start + beyond) // 2
            counted = await self._count(subjects, middle)
            if counted >= enough:
                start, count = middle, counted
            else:
                beyond = middle
        return start

    async def _count(self, subjects: Sequence[str], start: int) -> int:
        """How many entries of the subjects there are from ``start`` on, as some replica sees it."""
        requests = ({"seq": start, "next_by_subj": subject, "batch": 1} for subject in subjects)
        answers = await asyncio.gather(*(self._direct(request) for request in requests))
        return sum(len(messages) + int(end.get("Nats-Num-Pending", 0)) for messages, end in answers)

    def _living(self, entries: Sequence[Entry]) -> list[Entry]:
        now = self._clock()
        return [entry for entry in entries if entry.expires_at is None or entry.expires_at > now]


def _entry(message: Msg) -> Entry:
    assert message.headers is not None
    return decode(int(message.headers["Nats-Sequence"]), message.data).entry


def _seq(entry: Entry) -> int:
    return entry.seq
