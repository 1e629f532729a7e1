"""The newest entries in memory: what is read is what a plain list gives, whatever is cut and shared."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from hub import wire
from hub.model import Entry, Topic
from hub.recent import Piece, Recent

TOPICS = [Topic(name) for name in "abcd"]
NAMES = ["client-0", "client-1", "user:u client-0"]
NOBODY: frozenset[str] = frozenset()
BIG = 1 << 30


def entry(
    seq: int,
    topics: Sequence[Topic] = TOPICS[:1],
    exclude: Sequence[str] = (),
    expires: float | None = None,
    pad: int = 0,
) -> Entry:
    body = json.dumps({"id": str(seq), "type": "t", "data": seq, "pad": "x" * pad}).encode()
    return Entry(seq, tuple(topics), body, tuple(exclude), expires)


def filled(limit: int, *entries: Entry, head: int = 0) -> Recent:
    recent = Recent(limit)
    recent.start("e", head)
    for one in entries:
        recent.add([one], {})
    return recent


def events(piece: Piece) -> list[tuple[str, int]]:
    """(topic, seq) of each event, as a receiver reads it, after a look at what the chunk says of itself."""
    if piece.chunk is None:
        return []
    said = [json.loads(frame.json) for frame in piece.chunk.frames]
    seqs = [int(frame["cursor"].removeprefix("e:")) for frame in said]
    assert piece.chunk.seqs == seqs == [frame["event"]["data"] for frame in said]
    assert piece.chunk.websocket == b"".join(frame.websocket for frame in piece.chunk.frames)
    return [(frame["topic"], seq) for frame, seq in zip(said, seqs, strict=True)]


def expected(
    log: Sequence[Entry], topics: set[Topic], after: int, names: frozenset[str], now: float
) -> list[tuple[str, int]]:
    """A plain reading of the promise."""
    return [
        (next(name for name in one.topics if name in topics), one.seq)
        for one in log
        if one.seq > after
        and topics & set(one.topics)
        and names.isdisjoint(one.exclude)
        and not (one.expires_at is not None and one.expires_at <= now)
    ]


def read_all(recent: Recent, topics: set[Topic], after: int, names: frozenset[str], now: float, size: int) -> Any:
    """All pieces one after the other, as a catch-up reads them: the events, and through where the last went."""
    got: list[tuple[str, int]] = []
    while True:
        piece = recent.read(topics, after, names=names, now=now, size=size)
        assert piece.through > after or not piece.more, "it goes on"
        found = events(piece)
        assert all(after < seq <= piece.through for _, seq in found)
        if piece.chunk is not None and len(found) > 1:
            assert len(piece.chunk) - len(piece.chunk.frames[-1]) <= size
        got += found
        after = piece.through
        if not piece.more:
            return got, after


_entries = st.lists(
    st.builds(
        lambda topics, exclude, expires, pad: (topics, exclude, expires, pad),
        st.lists(st.sampled_from(TOPICS), min_size=1, max_size=4, unique=True),
        st.one_of(st.just([]), st.lists(st.sampled_from(NAMES), unique=True)),
        st.one_of(st.none(), st.integers(0, 10)),
        st.one_of(st.just(0), st.integers(0, 2000)),
    ),
    max_size=30,
)
_reads = st.lists(
    st.tuples(
        st.sets(st.sampled_from(TOPICS), max_size=4),
        st.integers(0, 40),
        st.frozensets(st.sampled_from(NAMES)),
        st.integers(0, 10),
        st.one_of(st.just(BIG), st.integers(1, 2000)),
    ),
    min_size=1,
    max_size=4,
)


@settings(deadline=None)
@given(
    log=_entries,
    reads=_reads,
    limit=st.sampled_from([0, 3000, 20_000, BIG]),
    gaps=st.lists(st.integers(1, 3), min_size=30, max_size=30),
    cuts=st.sets(st.integers(0, 30)),
    most=st.sampled_from([1, 2, 5, 2048]),
    framed=st.booleans(),
)
def test_what_is_read_is_what_the_log_has(
    log: list[Any], reads: list[Any], limit: int, gaps: list[int], cuts: set[int], most: int, framed: bool
) -> None:
    """Read again and again while it grows, so that what was joined for one is met by the others."""
    head = 7
    recent = filled(limit, head=head)
    entries: list[Entry] = []
    group: list[Entry] = []
    tail = head
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("hub.recent._MOST", most)
        for number, ((topics, exclude, expires, pad), gap) in enumerate(zip(log, gaps, strict=False)):
            made = entry((entries[-1].seq if entries else head) + gap, topics, exclude, expires, pad)
            entries.append(made)
            group.append(made)
            if number in cuts or number == len(log) - 1:
                frames = {
                    (one.seq, rank): wire.event_frame("e", name, one)
                    for one in group
                    for rank, name in enumerate(one.topics)
                    if framed
                }
                recent.add(group, frames)
                tail, group = made.seq, []
                for topics_read, offset, names, now, size in reads:
                    after = min(recent.floor + offset, tail)
                    got, through = read_all(recent, topics_read, after, names, now, size)
                    assert got == expected(entries, topics_read, after, names, now)
                    assert through == tail
    assert recent.floor >= head
    if limit == BIG:
        assert recent.floor == head, "nothing had to go"


@settings(deadline=None)
@given(sizes=st.lists(st.integers(0, 3000), max_size=200), limit=st.integers(0, 50_000))
@example(sizes=[0] * 200, limit=0)
@example(sizes=[500] * 200, limit=20_000)
def test_memory_is_bounded_and_half_of_it_is_kept(sizes: list[int], limit: int) -> None:
    recent = filled(limit)
    cost: list[int] = []
    for seq, size in enumerate(sizes, 1):
        before = recent.bytes
        made = entry(seq, pad=size)
        recent.add([made], {})
        cost.append(2 * len(made.body) + 400)
        assert recent.bytes <= before + cost[-1]
        # Each half may be over by the one that filled it.
        assert recent.bytes <= limit + 2 * max(cost)
        kept = sum(cost[recent.floor :])
        assert kept == recent.bytes, "the floor says what is here"
        assert kept >= min(sum(cost), limit // 2)


def test_a_start_forgets() -> None:
    recent = filled(BIG, entry(1), entry(2))
    recent.read(TOPICS[:1], 0, names=NOBODY, now=0, size=BIG)
    recent.start("f", 1)
    assert (recent.floor, recent.bytes) == (1, 0)
    assert recent.read(TOPICS[:1], 1, names=NOBODY, now=0, size=BIG) == Piece(None, 1, more=False)
    recent.add([entry(2), entry(3)], {})
    piece = recent.read(TOPICS[:1], 0, names=NOBODY, now=0, size=BIG)
    assert piece.chunk is not None
    assert b'"cursor":"f:2"' in piece.chunk.websocket


def test_those_who_missed_the_same_share_the_bytes() -> None:
    recent = filled(BIG, *(entry(seq) for seq in range(1, 11)))

    def read(after: int, topics: Sequence[Topic] = TOPICS[:1], size: int = BIG) -> Piece:
        return recent.read(topics, after, names=NOBODY, now=0, size=size)

    first = read(3)
    assert read(3).chunk is first.chunk
    # Other topics that had nothing do not matter.
    assert read(3, TOPICS[:3]).chunk is first.chunk
    assert read(4).chunk is not first.chunk
    assert events(read(4)) == [("a", seq) for seq in range(5, 11)]
    # Something for others: the same bytes, and it goes further.
    recent.add([entry(11, TOPICS[1:2])], {})
    assert (read(3).chunk, read(3).through, read(3).more) == (first.chunk, 11, False)
    # Something for them: no longer the same.
    recent.add([entry(12)], {})
    assert events(read(3)) == [("a", seq) for seq in (*range(4, 11), 12)]
    # A smaller piece than what was joined before.
    assert len(events(read(3, size=1))) == 1


def test_what_is_not_for_everybody_is_not_shared() -> None:
    recent = filled(BIG, entry(1), entry(2, exclude=["client-0"]), entry(3, expires=5), entry(4))

    def seqs(names: frozenset[str], now: float) -> list[int]:
        return [seq for _, seq in events(recent.read(TOPICS[:1], 0, names=names, now=now, size=BIG))]

    assert seqs(NOBODY, 0) == [1, 2, 3, 4]
    assert seqs(frozenset({"client-0"}), 0) == [1, 3, 4]
    assert seqs(NOBODY, 5) == [1, 2, 4]
    assert seqs(NOBODY, 0) == [1, 2, 3, 4]


def test_shared_pieces_do_not_pile_up() -> None:
    recent = filled(BIG, *(entry(seq) for seq in range(1, 201)))
    for after in range(150):
        recent.read(TOPICS[:1], after, names=NOBODY, now=0, size=BIG)
    assert len(recent._joined) <= 32


def test_a_generation_that_goes_takes_its_shared_pieces_along() -> None:
    recent = filled(4000, *(entry(seq, pad=100) for seq in range(1, 4)))
    recent.read(TOPICS[:1], recent.floor, names=NOBODY, now=0, size=BIG)
    floor = recent.floor
    for seq in range(4, 40):
        recent.add([entry(seq, pad=100)], {})
    assert recent.floor > floor
    assert not recent._joined


def test_a_long_absence_is_not_gone_through_for_each_piece(monkeypatch: pytest.MonkeyPatch) -> None:
    """Others wait meanwhile. One piece costs what is in it, however much there is behind it."""
    monkeypatch.setattr("hub.recent._MOST", 50)
    recent = filled(BIG, *(entry(seq, TOPICS[:2]) for seq in range(1, 1001)))
    for topics in (TOPICS[:1], TOPICS[:2]):
        piece = recent.read(topics, 0, names=NOBODY, now=0, size=BIG)
        assert (events(piece), piece.through, piece.more) == ([("a", seq) for seq in range(1, 51)], 50, True)
        assert read_all(recent, set(topics), 0, NOBODY, 0, BIG)[0] == [("a", seq) for seq in range(1, 1001)]


def test_a_piece_that_was_whole_is_not_taken_for_the_whole_later(monkeypatch: pytest.MonkeyPatch) -> None:
    """It ends where it did, but now there is more behind it."""
    monkeypatch.setattr("hub.recent._MOST", 5)
    recent = filled(BIG, *(entry(seq) for seq in range(1, 6)))
    assert not recent.read(TOPICS[:1], 0, names=NOBODY, now=0, size=BIG).more
    recent.add([entry(6)], {})
    assert read_all(recent, set(TOPICS[:1]), 0, NOBODY, 0, BIG)[0] == [("a", seq) for seq in range(1, 7)]


def test_no_frame_is_made_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    made = entry(1, TOPICS[:2])
    recent = Recent(BIG)
    recent.start("e", 0)
    known = wire.event_frame("e", TOPICS[0], made)
    recent.add([made], {(1, 0): known})
    piece = recent.read(TOPICS[:1], 0, names=NOBODY, now=0, size=BIG)
    assert piece.chunk is not None
    assert piece.chunk.frames[0] is known
    other = recent.read(TOPICS[1:2], 0, names=NOBODY, now=0, size=BIG)
    assert other.chunk is not None
    monkeypatch.setattr("hub.wire.event_frame", lambda *_: pytest.fail("made before"))
    again = recent.read(TOPICS[1:2], 0, names=NOBODY, now=0, size=BIG)
    assert again.chunk is not None
    assert again.chunk.frames[0] is other.chunk.frames[0]
