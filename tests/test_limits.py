"""Buckets: never more than the rate, exact waits, bounded memory."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.limits import Buckets, Rate, network

from .fakes import Clock


def buckets(rate: Rate, max_keys: int = 100) -> tuple[Buckets[str], Clock]:
    clock = Clock()
    return Buckets(rate, max_keys=max_keys, clock=clock), clock


def test_a_burst_and_then_one_at_a_time() -> None:
    limit, clock = buckets(Rate(3, 30))
    assert [limit.take("a") for _ in range(3)] == [0, 0, 0]
    assert limit.take("a") == pytest.approx(10)
    assert limit.take("b") == 0, "each key has its own"
    clock.now += 4
    assert limit.take("a") == pytest.approx(6), "a refusal takes nothing"
    clock.now += 6
    assert limit.take("a") == 0
    assert limit.take("a") == pytest.approx(10)


def test_a_full_bucket_holds_no_more_than_its_count() -> None:
    limit, clock = buckets(Rate(3, 30))
    clock.now += 1e6
    assert [bool(limit.take("a")) for _ in range(5)] == [False, False, False, True, True]


def test_looking_takes_nothing() -> None:
    limit, _ = buckets(Rate(1, 10))
    assert (limit.wait("a"), limit.wait("a"), limit.take("a")) == (0, 0, 0)
    assert limit.wait("a") == pytest.approx(10)


def test_amounts() -> None:
    limit, clock = buckets(Rate(1000, 1))
    assert limit.take("a", 600) == 0
    assert limit.take("a", 600) == pytest.approx(0.2)
    clock.now += 0.2
    assert limit.take("a", 600) == 0


def test_more_than_a_bucket_is_taken_from_a_full_one() -> None:
    limit, clock = buckets(Rate(1000, 1))
    assert limit.take("a", 3000) == 0
    assert limit.take("a", 1) == pytest.approx(2.001)
    clock.now += 2.5
    assert limit.take("a", 3000) == pytest.approx(0.5), "and only from a full one"


def test_a_charge_is_taken_in_any_case_and_its_debt_has_an_end() -> None:
    limit, _ = buckets(Rate(2, 20))
    for _ in range(3):
        limit.charge("a")
    assert limit.wait("a") == pytest.approx(20)
    for _ in range(100):
        limit.charge("a")
    assert limit.wait("a") == pytest.approx(30), "one bucket of debt, and the one that is asked for"


def test_what_is_given_back_can_be_taken() -> None:
    limit, _ = buckets(Rate(2, 20))
    limit.take("a")
    limit.take("a")
    limit.give_back("a")
    assert limit.take("a") == 0
    assert limit.take("a") > 0
    limit.refill("a")
    assert [limit.take("a"), limit.take("a")] == [0, 0]
    limit.give_back("nobody")
    assert limit.wait("nobody") == 0


def test_no_limit() -> None:
    limit, _ = buckets(Rate(0, 1))
    for _ in range(1000):
        assert limit.take("a", 1e9) == 0
        limit.charge("a")
    assert len(limit) == 0


def test_memory_is_bounded_and_what_was_used_longest_ago_goes_first() -> None:
    limit, _ = buckets(Rate(1, 1000), max_keys=100)
    limit.take("victim")
    for number in range(99):
        limit.take(f"x{number}")
    assert limit.wait("victim") > 0
    for number in range(10_000):
        limit.take(f"y{number}")
        assert len(limit) <= 100
    assert limit.wait("victim") == 0
    assert limit.wait("y9999") > 0


def test_full_buckets_are_let_go() -> None:
    limit, clock = buckets(Rate(1, 10), max_keys=1000)
    for number in range(1000):
        limit.take(f"x{number}")
    for _ in range(600):
        clock.now += 11
        limit.take("a")
    assert len(limit) == 1, "those who come pay for it"


@given(
    st.integers(1, 20),
    st.floats(0.1, 1000),
    st.lists(st.tuples(st.floats(0, 100), st.booleans()), max_size=200),
)
def test_in_no_span_of_time_is_more_taken_than_the_rate_allows(
    count: int, seconds: float, steps: list[tuple[float, bool]]
) -> None:
    limit, clock = buckets(Rate(count, seconds))
    taken: list[float] = []
    for passed, wait_for_it in steps:
        clock.now += passed
        wait = limit.take("a")
        if wait and wait_for_it:
            clock.now += wait
            assert limit.take("a") == 0, "what it says is long enough"
            wait = 0
        if not wait:
            taken.append(clock.now)
    for first, start in enumerate(taken):
        for last in range(first, len(taken)):
            allowed = count + (taken[last] - start) * count / seconds
            assert last - first + 1 <= allowed + 1e-3


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("10/15m", Rate(10, 900)),
        ("100/s", Rate(100, 1)),
        ("5 / 2h", Rate(5, 7200)),
        ("1.5/60", Rate(1.5, 60)),
        ("0", Rate(0, 1)),
        (0, Rate(0, 1)),
        ("0/1m", Rate(0, 60)),
    ],
)
def test_rates_as_people_write_them(text: object, rate: Rate) -> None:
    assert Rate.read(text) == rate
    assert Rate.read(str(rate)) == rate or not rate


@pytest.mark.parametrize(
    "text", ["10", 10, "", "x/1m", "10/", "10/0", "10/-1", "-1/1m", "10/15x", "nan/1m", "inf/1s", "1/2/3"]
)
def test_what_is_no_rate(text: object) -> None:
    with pytest.raises(ValueError, match="is not a rate: write a number and a time"):
        Rate.read(text)


def test_rates_of_bytes() -> None:
    assert Rate.read_bytes("16MiB/10s") == Rate(16 << 20, 10)
    assert Rate.read_bytes("4096/s") == Rate(4096, 1)
    assert not Rate.read_bytes("0")
    with pytest.raises(ValueError, match="is not a rate"):
        Rate.read_bytes("16M/10s")


def test_other_kinds_of_value_are_left_to_the_validation() -> None:
    assert Rate.read(True) is True
    assert Rate.read(Rate(1, 1)) == Rate(1, 1)


@pytest.mark.parametrize(
    ("address", "stands_for"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:DB8:1:2::", "2001:db8:1:2::/64"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::1", "::/64"),
        ("unknown", "unknown"),
        ("", ""),
    ],
)
def test_whom_an_address_stands_for(address: str, stands_for: str) -> None:
    assert network(address) == stands_for
