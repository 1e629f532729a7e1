"""The outbox: its bound, its states, and that order and once-only hold whatever the transport does."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from hub.outbox import Outbox, Setup, State
from hub.wire import Chunk, Frame, Kind

from .fakes import FakeLink


class Bench:
    """An outbox on a fake link, with a loop whose ticks the test turns."""

    def __init__(self, *, limit: int = 1000, live: bool = True, position: int = 0) -> None:
        self.link = FakeLink()
        self.scheduled: list[Outbox] = []
        self.behind = 0
        setup = Setup(limit, self.scheduled.append, self._on_behind)
        self.outbox = Outbox(self.link, setup, position=position, live=live)
        self.outbox.owner = self

    def _on_behind(self, owner: object) -> None:
        assert owner is self
        self.behind += 1

    def tick(self) -> None:
        due, self.scheduled[:] = list(self.scheduled), []
        for outbox in due:
            outbox.flush()

    def texts(self) -> list[str]:
        return self.link.texts()


def frame(text: str | int, size: int = 0) -> Frame:
    return Frame(str(text).encode().ljust(size, b" "))


def chunk(seq: int, *frames: Frame) -> Chunk:
    return Chunk([(seq + n, 0, f) for n, f in enumerate(frames)])


def passing(text: str, size: int = 0) -> Chunk:
    return Chunk([(1, 0, frame(text, size))], Kind.EPHEMERAL)


def presence(text: str, size: int = 0) -> Frame:
    return Frame(text.encode().ljust(size, b" "), Kind.PRESENCE)


def test_all_frames_of_a_tick_go_out_in_one_write() -> None:
    bench = Bench()
    bench.outbox.control(frame("welcome"))
    for seq in (1, 2, 3):
        bench.outbox.offer(chunk(seq, frame(seq)))
    assert bench.link.writes == 0
    bench.tick()
    assert bench.texts() == ["welcome", "1", "2", "3"]
    assert bench.link.writes == 1
    assert bench.outbox.position == 3
    assert bench.outbox.queued_bytes == 0


def test_an_entry_is_queued_once_whatever_number_of_topics_brings_it() -> None:
    bench = Bench()
    for seq in (1, 1, 2, 1, 2):
        bench.outbox.offer(chunk(seq, frame(seq)))
    bench.tick()
    assert bench.texts() == ["1", "2"]


def test_a_full_transport_makes_it_wait_and_an_overflow_makes_it_catch_up() -> None:
    bench = Bench(limit=100)
    bench.link.writable = False
    bench.outbox.control(frame("answer"))
    for seq in range(1, 6):
        bench.outbox.offer(chunk(seq, frame(seq, 30)))
    assert bench.outbox.state is State.CATCHING_UP
    assert bench.behind == 1
    assert bench.outbox.queued_bytes < 100
    bench.link.writable = True
    bench.outbox.resume()
    assert bench.texts() == ["answer"], "events are dropped, answers are not"
    assert bench.outbox.position == 0
    bench.outbox.offer(chunk(6, frame(6)))
    bench.outbox.page(chunk(1, frame(1), frame(2)), through=2)
    bench.outbox.page(chunk(3, *(frame(n) for n in range(3, 7))), through=6)
    bench.outbox.go_live()
    bench.outbox.offer(chunk(6, frame(6)))
    bench.outbox.offer(chunk(7, frame(7)))
    bench.tick()
    assert bench.texts() == ["answer", "1", "2", "3", "4", "5", "6", "7"]


def test_an_answer_does_not_overtake_the_events_before_it() -> None:
    """It may name a cursor. Who is told that they were sent all up to there would not ask for what was dropped."""
    bench = Bench(limit=100)
    bench.link.writable = False
    bench.outbox.offer(chunk(1, frame(1, 30)))
    bench.outbox.control(frame("all up to 1"))
    bench.outbox.offer(chunk(2, frame(2, 30)))
    bench.outbox.offer(chunk(3, frame(3, 80)))
    assert bench.outbox.state is State.CATCHING_UP
    assert (bench.outbox.offered, bench.outbox.position) == (1, 0)
    bench.link.writable = True
    bench.outbox.resume()
    assert [text.strip() for text in bench.texts()] == ["1", "all up to 1"]
    assert bench.outbox.position == 1
    bench.outbox.page(chunk(2, frame(2), frame(3)), through=3)
    bench.tick()
    assert bench.texts()[2:] == ["2", "3"]


def test_a_burst_in_one_tick_to_a_fast_reader_is_no_overflow() -> None:
    bench = Bench(limit=100)
    for seq in range(1, 50):
        bench.outbox.offer(chunk(seq, frame(seq, 30)))
    bench.tick()
    assert bench.behind == 0
    assert [text.strip() for text in bench.texts()] == [str(seq) for seq in range(1, 50)]


def test_a_reader_that_was_idle_for_long_falls_back_only_to_what_it_missed() -> None:
    """Its last event may be below the log's floor; falling back to that would be a reset for nothing."""
    bench = Bench(limit=100, position=10)
    bench.link.writable = False
    for seq in range(1_000_000, 1_000_005):
        bench.outbox.offer(chunk(seq, frame(seq, 40)))
    assert bench.outbox.state is State.CATCHING_UP
    assert bench.outbox.position == 999_999


def test_a_frame_larger_than_the_limit_goes_alone() -> None:
    bench = Bench(limit=100)
    bench.outbox.offer(chunk(1, frame(1, 5000)))
    bench.tick()
    assert bench.behind == 0
    assert len(bench.link.written) == 1


def test_lossy_frames_never_push_out_durable_ones() -> None:
    bench = Bench(limit=100)
    bench.link.writable = False
    bench.outbox.offer(chunk(1, frame(1, 60)))
    bench.outbox.offer_ephemeral(passing("typing", 60))
    assert bench.outbox.state is State.LIVE
    assert not bench.outbox.lost_presence
    bench.outbox.offer_presence(presence("join", 60))
    assert bench.outbox.lost_presence
    bench.link.writable = True
    bench.outbox.resume()
    assert [text.strip() for text in bench.texts()] == ["1"]


def test_presence_lost_while_behind_is_owed() -> None:
    bench = Bench(live=False)
    bench.outbox.offer_ephemeral(passing("typing"))
    assert not bench.outbox.lost_presence
    bench.outbox.offer_presence(presence("join"))
    assert bench.outbox.lost_presence


def test_a_closed_outbox_takes_nothing() -> None:
    bench = Bench()
    bench.outbox.offer(chunk(1, frame(1)))
    bench.outbox.close()
    bench.outbox.offer(chunk(2, frame(2)))
    bench.outbox.control(frame("answer"))
    bench.outbox.page(chunk(3, frame(3)), through=3)
    bench.tick()
    assert bench.link.written == []
    assert bench.outbox.queued_bytes == 0


_steps = st.lists(
    st.one_of(
        st.tuples(st.just("publish"), st.integers(1, 90)),
        st.tuples(st.just("tick"), st.just(0)),
        st.tuples(st.just("full"), st.just(0)),
        st.tuples(st.just("empty"), st.just(0)),
        st.tuples(st.just("page"), st.integers(1, 4)),
        st.tuples(st.just("lossy"), st.integers(1, 90)),
    ),
    max_size=120,
)


@given(_steps)
# Overflow right after a flush that the overflowing burst itself had caused.
@example([("publish", 7), ("publish", 90), ("full", 0), ("publish", 7)])
def test_whatever_happens_events_go_out_once_in_order_and_memory_is_bounded(steps: list[tuple[str, int]]) -> None:
    bench = Bench(limit=100)
    log: list[tuple[int, Frame]] = []

    def page(count: int) -> None:
        box = bench.outbox
        if box.state is State.CATCHING_UP and box.is_writable():
            entries = [(seq, 0, f) for seq, f in log if seq > box.offered][:count]
            box.page(Chunk(entries) if entries else None, through=entries[-1][0] if entries else len(log))
            if box.offered >= len(log):
                box.go_live()

    for action, number in steps:
        match action:
            case "publish":
                seq = len(log) + 1
                log.append((seq, frame(seq, number)))
                bench.outbox.offer(chunk(seq, log[-1][1]))
            case "lossy":
                bench.outbox.offer_ephemeral(passing("~", number))
            case "tick":
                bench.tick()
            case "full":
                bench.link.writable = False
            case "empty":
                bench.link.writable = True
                bench.outbox.resume()
            case "page":
                page(number)
        # A page waits besides, until the end of the tick in which it was handed over.
        assert bench.outbox.queued_bytes <= 100 + 4 * 92
        seen = [int(text) for text in bench.texts() if text.strip() != "~"]
        assert seen == list(range(1, len(seen) + 1))
        assert bench.outbox.position <= len(log)
    bench.link.writable = True
    bench.outbox.resume()
    bench.tick()
    while bench.outbox.state is State.CATCHING_UP:
        page(4)
    bench.tick()
    assert [int(text) for text in bench.texts() if text.strip() != "~"] == list(range(1, len(log) + 1))
