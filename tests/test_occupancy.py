"""Connections are counted by user and by address, exactly."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from hub.errors import HubError
from hub.model import Principal
from hub.occupancy import Occupancy

ALICE = Principal("alice", "user", "s", 2e9)
ADMIN = Principal("root", "user", "s", 2e9, admin=True)
SHOP = Principal("alice", "service", "s", 2e9)


def session(principal: Principal, address: str = "192.0.2.1") -> Any:
    return SimpleNamespace(principal=principal, user=principal.subject, address=address)


def occupancy(per_user: int = 0, per_address: int = 0) -> Occupancy:
    return Occupancy(per_user, per_address, lambda address: address == "127.0.0.1")


def enter(counted: Occupancy, principal: Principal, address: str = "192.0.2.1") -> Any:
    counted.check(principal, address)
    entered = session(principal, address)
    counted.enter(entered)
    return entered


def refused(counted: Occupancy, principal: Principal, address: str = "192.0.2.1") -> bool:
    try:
        counted.check(principal, address)
    except HubError as error:
        assert (error.code, error.kind.close) == ("too_many_connections", 1013)
        return True
    return False


def test_a_user_has_so_many_and_whoever_leaves_makes_room() -> None:
    counted = occupancy(per_user=2)
    first = enter(counted, ALICE)
    enter(counted, ALICE, "192.0.2.2")
    assert refused(counted, ALICE, "192.0.2.3")
    counted.leave(first)
    enter(counted, ALICE)
    assert refused(counted, ALICE)


def test_services_and_administrators_have_no_bound_of_their_own() -> None:
    counted = occupancy(per_user=1)
    enter(counted, ALICE)
    for _ in range(10):
        enter(counted, ADMIN)
        enter(counted, SHOP)
    assert refused(counted, ALICE)


def test_who_becomes_an_administrator_meanwhile_is_left_as_what_was_entered() -> None:
    counted = occupancy(per_user=1)
    entered = enter(counted, ALICE)
    entered.principal = Principal("alice", "user", "s", 2e9, admin=True)
    counted.leave(entered)
    enter(counted, ALICE)


@pytest.mark.parametrize(
    ("one", "other"), [("192.0.2.1", "192.0.2.2"), ("2001:db8:0:1::1", "2001:db8:0:2::1"), ("unknown", "192.0.2.1")]
)
def test_an_address_has_so_many_whoever_they_are(one: str, other: str) -> None:
    counted = occupancy(per_address=2)
    first = enter(counted, ALICE, one)
    enter(counted, SHOP, one)
    assert refused(counted, ADMIN, one)
    enter(counted, ADMIN, other)
    counted.leave(first)
    assert not refused(counted, ADMIN, one)


def test_a_network_of_ipv6_is_one() -> None:
    counted = occupancy(per_address=1)
    enter(counted, ALICE, "2001:db8::1")
    assert refused(counted, SHOP, "2001:db8::ffff")


def test_a_proxy_may_be_anybody() -> None:
    counted = occupancy(per_address=1)
    here = [enter(counted, ALICE, "127.0.0.1") for _ in range(10)]
    for one in here:
        counted.leave(one)
