"""The newest entries of the log, in memory: a client that was away for a moment is served without touching the disk.

Two generations by topic. Entries go into the young one; when that holds half of the bytes, it becomes the old one and
the old one is let go of, all at once. So nothing is paid for each entry that leaves. No I/O, no tasks; knows model
and wire.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from hub import wire
from hub.model import Entry, Topic
from hub.wire import Chunk, Frame

_OVERHEAD = 400
"""Bytes that an entry takes here besides its body and its frame, about."""
_SHARED = 32
"""Pieces that are kept joined, for all who missed the same."""
_MOST = 2048
"""Entries of one topic that are looked at for one piece: who missed a hundred thousand takes them a piece at a time,
and must not have all of them gone through for each while everybody else waits."""


class _Kept:
    """An entry under one of its topics."""

    __slots__ = ("entry", "frame", "rank", "seq")

    def __init__(self, entry: Entry, rank: int, frame: Frame | None) -> None:
        self.seq = entry.seq
        self.rank = rank
        self.entry = entry
        self.frame = frame


def _seq(kept: _Kept) -> int:
    return kept.seq


class _Generation:
    __slots__ = ("after", "bytes", "topics")

    def __init__(self, after: int) -> None:
        self.after = after
        self.bytes = 0
        self.topics: dict[Topic, list[_Kept]] = {}


@dataclass(frozen=True, slots=True)
class Piece:
    """What a reader missed: events (None: there were none of theirs) and through which seq that goes."""

    chunk: Chunk | None
    through: int
    more: bool


class Recent:
    """The tail's newest entries, of all topics."""

    def __init__(self, limit: int) -> None:
        """``limit``: bytes to hold at most, roughly; at least half as many are there once as many came."""
        self._half = limit // 2
        self._epoch = ""
        self._tail = 0
        self._old = _Generation(0)
        self._young = _Generation(0)
        self._joined: dict[tuple[Topic, int, int, int | None, int], Piece] = {}

    def start(self, epoch: str, head: int) -> None:
        """Begin, empty, after the newest entry of a log."""
        self._epoch, self._tail = epoch, head
        self._old, self._young = _Generation(head), _Generation(head)
        self._joined.clear()

    @property
    def floor(self) -> int:
        """Every entry after this one is here, up to the tail."""
        return self._old.after

    @property
    def bytes(self) -> int:
        """Bytes held, roughly."""
        return self._old.bytes + self._young.bytes

    def add(self, entries: Sequence[Entry], frames: dict[tuple[int, int], Frame]) -> None:
        """Keep what the tail brought, in its order, and the frames that were made of it, by seq and topic's rank."""
        for entry in entries:
            young = self._young
            if young.bytes > self._half:
                self._old, self._young = young, _Generation(self._tail)
                young = self._young
                self._joined.clear()
            for rank, topic in enumerate(entry.topics):
                kept = _Kept(entry, rank, frames.get((entry.seq, rank)))
                young.topics.setdefault(topic, []).append(kept)
                young.bytes += 2 * len(entry.body) + _OVERHEAD
            self._tail = entry.seq

    def read(self, topics: Collection[Topic], after: int, *, names: frozenset[str], now: float, size: int) -> Piece:
        """What is here of some topics after ``after`` (not before ``floor``), about ``size`` bytes at most.

        Each event once, under the first of its topics; without those that exclude one of ``names`` or are past their
        time at ``now``.
        """
        runs = [run for topic in topics if (run := self._run(topic, after))]
        if not runs:
            return Piece(None, self._tail, more=False)
        # Where there is more of a topic than was looked at, the piece ends, whatever there is of the others.
        end = min((run[_MOST - 1].seq for run in runs if len(run) > _MOST), default=None)
        if len(runs) > 1:
            return self._piece(_once(runs, end), names, now, size, end)
        run = runs[0][:_MOST]
        # Many of those who come back after a restart missed the same: it is joined once for all of them.
        key = (run[0].entry.topics[run[0].rank], run[0].seq, run[-1].seq, end, size)
        piece = self._joined.get(key)
        if piece is None:
            piece = self._piece(run, names, now, size, end)
            if len(run) > 1 and not any(kept.entry.exclude or kept.entry.expires_at for kept in run):
                if len(self._joined) >= _SHARED:
                    self._joined.clear()
                self._joined[key] = piece
        # The tail may have moved since, with nothing for this topic.
        return piece if piece.more else Piece(piece.chunk, self._tail, more=False)

    def _run(self, topic: Topic, after: int) -> list[_Kept]:
        """The topic's entries after ``after``: one more than ``_MOST`` if there are more than that."""
        run: list[_Kept] = []
        for generation in (self._old, self._young):
            kept = generation.topics.get(topic)
            if kept and kept[-1].seq > after:
                start = bisect_right(kept, after, key=_seq)
                run += kept[start : start + _MOST + 1 - len(run)]
        return run

    def _piece(self, run: Iterable[_Kept], names: frozenset[str], now: float, size: int, end: int | None) -> Piece:
        """``end``: through where the run goes; None: through the tail."""
        items: list[wire.Item] = []
        used, through = 0, 0
        more = False
        for kept in run:
            entry = kept.entry
            if used > size:
                more = True
                break
            through = kept.seq
            if entry.exclude and not names.isdisjoint(entry.exclude):
                continue
            if entry.expires_at is not None and entry.expires_at <= now:
                continue
            frame = kept.frame
            if frame is None:
                frame = kept.frame = wire.event_frame(self._epoch, entry.topics[kept.rank], entry)
            used += len(frame.websocket)
            items.append((kept.seq, kept.rank, frame))
        if not more:
            through, more = (self._tail, False) if end is None else (end, True)
        return Piece(Chunk(items) if items else None, through, more)


def _once(runs: Sequence[Sequence[_Kept]], end: int | None) -> list[_Kept]:
    """Several topics' runs in one order, through ``end``; an event that is in more of them comes under the first of its
    topics."""
    best: dict[int, _Kept] = {}
    for run in runs:
        for kept in run:
            known = best.get(kept.seq)
            if known is None or kept.rank < known.rank:
                best[kept.seq] = kept
    return [best[seq] for seq in sorted(best) if end is None or seq <= end]
