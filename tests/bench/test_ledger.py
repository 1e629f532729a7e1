"""Exactly once and in order: each way to break that is found, whoever else does what."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.bench.ledger import Ledger, Reader, Verdict
from hub.bench.wire import token


def sequence(*numbers: int, lane: int = 0) -> list[bytes]:
    return [token(lane, number) for number in numbers]


def judge(*readers: list[bytes], published: dict[int, int], pieces: int = 3) -> Verdict:
    """Each reader gets its events in pieces, in turn with the others."""
    ledger, seats = Ledger(), [Reader() for _ in readers]
    for start in range(0, max(map(len, readers), default=0), pieces):
        for seat, events in zip(seats, readers, strict=True):
            if events[start : start + pieces]:
                ledger.take(seat, events[start : start + pieces])
    return ledger.judge(seats, published)


GOOD = sequence(*range(10))


def test_all_got_all() -> None:
    verdict = judge(GOOD, GOOD, GOOD, published={0: 10})
    assert verdict == Verdict(30)
    assert verdict.good


@pytest.mark.parametrize(
    ("events", "missing", "repeated", "disordered"),
    [
        (sequence(0, 1, 2, 4, 5, 6, 7, 8, 9), 1, 0, 0),
        (sequence(*range(7)), 3, 0, 0),
        ([], 10, 0, 0),
        (sequence(3, 4, 5, 6, 7, 8, 9), 3, 0, 0),
        (sequence(0, 1, 2, 3, 3, 4, 5, 6, 7, 8, 9), 0, 1, 0),
        (sequence(*range(10), 9), 0, 1, 0),
        (sequence(*range(10), 0), 0, 1, 0),
        (sequence(0, 2, 1, 3, 4, 5, 6, 7, 8, 9), 0, 0, 1),
        (sequence(9, 0, 1, 2, 3, 4, 5, 6, 7, 8), 0, 0, 9),
        (sequence(0, 0, 2, 3, 5, 4, 6, 7, 8, 9), 1, 1, 1),
    ],
)
@pytest.mark.parametrize("place", ["alone", "first", "last"])
def test_one_who_did_not(events: list[bytes], missing: int, repeated: int, disordered: int, place: str) -> None:
    readers = {"alone": [events], "first": [events, GOOD, GOOD], "last": [GOOD, GOOD, events]}[place]
    assert judge(*readers, published={0: 10}) == Verdict(len(readers) * 10, missing, repeated, disordered)


def test_publishers_mix_as_they_like_but_the_same_for_all() -> None:
    a, b = sequence(0, 1, 2, lane=0), sequence(0, 1, 2, lane=1)
    one, other = [*a[:2], *b, a[2]], [*b, *a]
    assert judge(one, one, published={0: 3, 1: 3}).good
    assert judge(one, other, published={0: 3, 1: 3}) == Verdict(12, disordered=1)
    assert judge([*a, b[1], b[0], b[2]], published={0: 3, 1: 3}) == Verdict(6, disordered=1)


def test_what_was_missing_for_all_is_missing() -> None:
    assert judge(GOOD[:5], GOOD[:5], published={0: 10}) == Verdict(20, missing=10)
    assert judge(GOOD, GOOD, published={0: 10, 1: 1}) == Verdict(22, missing=2)


def test_the_digest_is_that_of_the_order() -> None:
    def digest(events: list[bytes]) -> str:
        ledger = Ledger()
        ledger.take(Reader(), events)
        return ledger.digest

    a, b = sequence(0, 1, lane=0), sequence(0, 1, lane=1)
    assert digest(a + b) == digest(a + b)
    assert digest(a + b) != digest(b + a)


@given(
    st.lists(st.tuples(st.sampled_from(["drop", "twice", "late"]), st.integers(0, 39)), max_size=6), st.integers(1, 9)
)
def test_as_a_slow_and_plain_judge_would(damage: list[tuple[str, int]], pieces: int) -> None:
    order = [token(number % 3, number // 3) for number in range(42)]
    events = list(order)
    for kind, at in damage:
        at %= max(1, len(events))
        if kind == "drop":
            del events[at : at + 1]
        elif kind == "twice":
            events[at:at] = events[at : at + 1]
        else:
            events[at:at] = events[at + 1 : at + 2]
            del events[at + 2 : at + 3]
    verdict = judge(order, events, order, published={0: 14, 1: 14, 2: 14}, pieces=pieces)
    assert verdict.missing == len(set(order) - set(events))
    # An event that came early and again in its place: whichever of the two is called the repeated one.
    assert verdict.repeated == len(events) - len(set(events))
    assert verdict.good == (events == order)


def test_in_the_usual_case_no_event_is_taken_apart() -> None:
    """That is what makes the client faster than what it measures."""
    ledger, seats = Ledger(), [Reader(), Reader()]
    events = sequence(*range(1000))
    for start in range(0, 1000, 100):
        for seat in seats:
            ledger.take(seat, events[start : start + 100])
    assert [(seat.at, seat.stray) for seat in seats] == [(1000, None)] * 2
