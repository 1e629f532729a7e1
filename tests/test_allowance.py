"""Publishing at a rate: who is counted how, what a refusal says, and that it costs next to nothing."""

from __future__ import annotations

import pytest

from hub.allowance import UNLIMITED, Account, Allowance, PublishRates
from hub.errors import HubError
from hub.limits import Rate
from hub.model import Principal

from .fakes import Clock

ALICE = Principal("alice", "user", "s", 2e9)
BOB = Principal("bob", "user", "s", 2e9)
ADMIN = Principal("root", "user", "s", 2e9, admin=True)
SHOP = Principal("shop", "service", "s", 2e9)
NONE = Rate(0, 1)


def allowance(
    users: PublishRates = UNLIMITED, others: PublishRates = UNLIMITED, **more: int
) -> tuple[Allowance, Clock]:
    clock = Clock()
    return Allowance(users, others, clock=clock, **more), clock


def take(limit: Allowance, publisher: Principal, events: int = 1) -> Account:
    account = limit.take(publisher, events)
    assert account is not None
    return account


def test_a_user_who_is_over_is_told_when_to_come_back() -> None:
    limit, clock = allowance(PublishRates(Rate(10, 5), NONE))
    take(limit, ALICE, 10).charge(1 << 30)
    with pytest.raises(HubError) as refused:
        limit.take(ALICE, 3)
    assert (refused.value.code, refused.value.extra) == ("rate_limited", {"retry_after": 2})
    take(limit, BOB, 10)
    clock.now += 1.5
    take(limit, ALICE, 3)


def test_more_than_a_bucket_is_taken_from_a_full_one_and_owed() -> None:
    limit, clock = allowance(PublishRates(Rate(10, 5), NONE))
    take(limit, ALICE, 20)
    with pytest.raises(HubError) as refused:
        limit.take(ALICE, 1)
    assert refused.value.extra == {"retry_after": 6}
    clock.now += 5.5
    take(limit, ALICE, 1)


def test_bytes_are_owed_and_the_next_one_waits_for_them() -> None:
    limit, clock = allowance(PublishRates(NONE, Rate(1000, 10)))
    take(limit, ALICE).charge(1000)
    take(limit, ALICE).charge(200)
    with pytest.raises(HubError) as refused:
        limit.take(ALICE, 1)
    assert refused.value.extra == {"retry_after": 2}
    clock.now += 2
    take(limit, ALICE).charge(1)


def test_a_refusal_takes_nothing() -> None:
    limit, clock = allowance(PublishRates(Rate(10, 10), Rate(100, 10)))
    take(limit, ALICE, 5).charge(200)
    for _ in range(100):
        with pytest.raises(HubError):
            limit.take(ALICE, 1)
    clock.now += 10
    take(limit, ALICE, 10)


def test_services_and_administrators_have_rates_of_their_own() -> None:
    limit, _ = allowance(PublishRates(Rate(1, 100), Rate(1, 100)))
    for publisher in (SHOP, ADMIN):
        assert limit.take(publisher, 1_000_000) is None
    limit, _ = allowance(others=PublishRates(Rate(1, 100), NONE))
    for publisher in (SHOP, ADMIN):
        take(limit, publisher)
        with pytest.raises(HubError, match="rate_limited"):
            limit.take(publisher, 1)
    assert limit.take(ALICE, 1_000_000) is None


def test_a_service_is_not_the_administrator_of_the_same_name() -> None:
    limit, _ = allowance(others=PublishRates(Rate(1, 100), NONE))
    take(limit, Principal("root", "service", "s", 2e9))
    take(limit, ADMIN)


def user(number: int) -> Principal:
    return Principal(f"u{number}", "user", "s", 2e9)


def test_those_who_owe_nothing_are_forgotten_first() -> None:
    limit, clock = allowance(PublishRates(Rate(2, 1000), NONE), max_accounts=10)
    take(limit, ALICE, 2)
    for number in range(1000):
        clock.now += 0.01
        take(limit, user(number), 0)
        with pytest.raises(HubError):
            limit.take(ALICE, 2)


def test_memory_is_bounded() -> None:
    limit, _ = allowance(PublishRates(Rate(2, 1000), NONE), max_accounts=10)
    for number in range(1000):
        take(limit, user(number), 2)
    refused = 0
    for number in range(1000):
        try:
            limit.take(user(number), 2)
        except HubError:
            refused += 1
    assert refused <= 10
