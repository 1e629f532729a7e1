"""Guessing is slow; whoever knows the password, and was there before, comes in."""

from __future__ import annotations

import asyncio
import logging

import pytest

from hub.errors import HubError
from hub.identity.attempts import AttemptLimits, Attempts
from hub.limits import Rate
from tests.fakes import Clock

HOME, CAFE = "192.0.2.1", "198.51.100.7"
OFF = Rate(0, 1)
PAIR, ACCOUNT, ADDRESS = Rate(3, 300), Rate(10, 1000), Rate(6, 600)


@pytest.fixture
def clock() -> Clock:
    return Clock(0)


@pytest.fixture
def attempts(clock: Clock) -> Attempts:
    return make(clock)


def make(
    clock: Clock,
    pair: Rate = PAIR,
    account: Rate = ACCOUNT,
    address: Rate = ADDRESS,
    successes: Rate = OFF,
) -> Attempts:
    return Attempts(AttemptLimits(pair, account, address, successes), clock=clock)


def attempt(attempts: Attempts, account: str, address: str, ends: str = "") -> str:
    """Try, and let the attempt end so; the code of the answer, "" if it was let in."""
    try:
        with attempts.of(account, address):
            if ends:
                raise HubError(ends)
    except HubError as error:
        return error.code
    return ""


def wrong(attempts: Attempts, account: str, address: str) -> str:
    return attempt(attempts, account, address, "credentials_invalid")


def stranger(number: int) -> str:
    return f"203.0.{number // 256}.{number % 256}"


def test_guesses_at_one_account_from_one_address(attempts: Attempts, clock: Clock) -> None:
    assert [wrong(attempts, "user:alice", HOME) for _ in range(3)] == ["credentials_invalid"] * 3
    for _ in range(100):
        assert attempt(attempts, "user:alice", HOME) == "too_many_attempts", "not even with the right password"
    assert attempt(attempts, "user:alice", CAFE) == "", "from elsewhere she comes in"
    assert attempt(attempts, "user:bob", HOME) == "", "others do from there"
    clock.now += 100
    assert wrong(attempts, "user:alice", HOME) == "credentials_invalid"
    assert wrong(attempts, "user:alice", HOME) == "too_many_attempts"


def test_it_says_how_long_to_wait(attempts: Attempts, clock: Clock) -> None:
    for _ in range(3):
        wrong(attempts, "user:alice", HOME)
    clock.now += 0.5
    with pytest.raises(HubError) as refused, attempts.of("user:alice", HOME):
        pytest.fail("was let in")
    assert refused.value.extra == {"retry_after": 100}, "whole seconds, rounded up"
    clock.now += 100
    assert attempt(attempts, "user:alice", HOME) == ""


def test_a_success_forgets_the_failures_before(attempts: Attempts) -> None:
    for _ in range(20):
        wrong(attempts, "user:alice", HOME)
        assert attempt(attempts, "user:alice", HOME) == ""
        if attempts._addresses.wait(HOME):
            break
    assert wrong(attempts, "user:alice", HOME) == "too_many_attempts", "the address is used up all the same"
    assert attempt(attempts, "user:alice", HOME) == "", "but a right password at home is let in"


@pytest.mark.parametrize("code", ["overloaded", "database_unavailable", "user_disabled"])
def test_what_is_no_guess_does_not_count(attempts: Attempts, code: str) -> None:
    for _ in range(20):
        assert attempt(attempts, "user:alice", HOME, code) == code


def test_a_failure_of_ours_does_not_count(attempts: Attempts) -> None:
    for _ in range(20):
        with pytest.raises(ZeroDivisionError), attempts.of("user:alice", HOME):
            raise ZeroDivisionError
    assert attempt(attempts, "user:alice", HOME) == ""


def test_one_address_that_tries_many_names(attempts: Attempts, clock: Clock) -> None:
    answers = [wrong(attempts, f"user:name{number}", CAFE) for number in range(50)]
    assert answers == ["credentials_invalid"] * 6 + ["too_many_attempts"] * 44
    assert attempt(attempts, "user:alice", CAFE) == "too_many_attempts"
    assert attempt(attempts, "user:alice", HOME) == ""
    clock.now += 100
    assert attempt(attempts, "user:alice", CAFE) == ""


def test_a_64_is_one_address(attempts: Attempts) -> None:
    answers = [wrong(attempts, f"user:name{number}", f"2001:db8:0:1::{number:x}") for number in range(10)]
    assert answers.count("too_many_attempts") == 4
    assert wrong(attempts, "user:alice", "2001:db8:0:2::1") == "credentials_invalid"


def test_a_crowd_of_guessers_locks_out_nobody_who_was_there_before(attempts: Attempts, clock: Clock) -> None:
    assert attempt(attempts, "user:alice", HOME) == ""
    answers = [wrong(attempts, "user:alice", stranger(number)) for number in range(100)]
    assert answers == ["credentials_invalid"] * 10 + ["too_many_attempts"] * 90
    assert attempt(attempts, "user:alice", CAFE) == "too_many_attempts", "a place nobody knows"
    assert attempt(attempts, "user:alice", HOME) == "", "at home she comes in"
    attempts.know("user:alice", "2001:db8::1")
    assert attempt(attempts, "user:alice", "2001:db8::2") == "", "and where she refreshed"
    clock.now += 100
    assert attempt(attempts, "user:alice", CAFE) == "", "it is over soon after the crowd is gone"


def test_at_home_too_a_guesser_is_slow_and_is_answered_as_strangers_are(attempts: Attempts) -> None:
    attempt(attempts, "user:alice", HOME)
    for number in range(6):
        wrong(attempts, f"user:name{number}", HOME)
    assert wrong(attempts, "user:alice", HOME) == wrong(attempts, "user:nobody", HOME) == "too_many_attempts"
    assert attempt(attempts, "user:alice", HOME) == ""
    for _ in range(3):
        assert wrong(attempts, "user:alice", HOME) == "too_many_attempts"
    assert attempt(attempts, "user:alice", HOME) == "too_many_attempts", "three guesses here, too"


def test_typing_errors_at_home_do_not_close_the_account_elsewhere(clock: Clock) -> None:
    attempts = make(clock, pair=Rate(1000, 1), address=OFF, account=Rate(5, 500))
    attempt(attempts, "user:alice", HOME)
    for _ in range(50):
        wrong(attempts, "user:alice", HOME)
    assert attempt(attempts, "user:alice", CAFE) == ""


def test_attempts_at_the_same_moment_count_each(attempts: Attempts) -> None:
    async def guess(judge: asyncio.Event) -> str:
        try:
            with attempts.of("user:alice", HOME):
                await judge.wait()
                raise HubError("credentials_invalid")
        except HubError as error:
            return error.code

    async def all_at_once() -> list[str]:
        judge = asyncio.Event()
        guesses = [asyncio.create_task(guess(judge)) for _ in range(50)]
        await asyncio.sleep(0)
        judge.set()
        return await asyncio.gather(*guesses)

    assert asyncio.run(all_at_once()).count("credentials_invalid") == 3


def test_a_program_that_logs_in_all_the_time_is_told(clock: Clock) -> None:
    attempts = make(clock, successes=Rate(5, 50))
    answers = [attempt(attempts, "user:robot", HOME) for _ in range(8)]
    assert answers == [""] * 5 + ["too_many_attempts"] * 3
    assert attempt(attempts, "user:alice", HOME) == ""
    clock.now += 10
    assert attempt(attempts, "user:robot", HOME) == ""


def test_a_guesser_cannot_spend_the_successes(clock: Clock) -> None:
    attempts = make(clock, successes=Rate(5, 50))
    for number in range(50):
        wrong(attempts, "user:alice", stranger(number))
    attempts.know("user:alice", HOME)
    assert attempt(attempts, "user:alice", HOME) == ""


def test_all_limits_can_be_switched_off(clock: Clock) -> None:
    attempts = make(clock, OFF, OFF, OFF, OFF)
    for _ in range(1000):
        assert wrong(attempts, "user:alice", HOME) == "credentials_invalid"


def test_memory_is_bounded_whatever_is_tried(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hub.identity.attempts.MAX_KEYS", 50)
    attempts = make(clock, address=OFF)
    for number in range(70_000):
        wrong(attempts, f"user:name{number}", HOME)
    assert len(attempts._pairs) == len(attempts._accounts) == 65536
    for number in range(100):
        attempts.know(f"user:name{number}", HOME)
    assert len(attempts._known) == 50


def test_a_burst_is_logged_once_and_names_are_cut(
    attempts: Attempts, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "hub")
    name = "user:" + "x" * 100 + "\n"
    for _ in range(100):
        wrong(attempts, name, HOME)
    assert len(caplog.records) == 1
    line = caplog.records[0].getMessage()
    assert line.startswith("too many attempts on 'user:xxx")
    assert line.endswith(f" from {HOME}: refused for 100 s")
    assert len(line) < 120
    for number in range(100):
        wrong(attempts, f"user:name{number}", HOME)
    assert [record.getMessage() for record in caplog.records[1:]] == [
        f"too many attempts from {HOME}: refused for 100 s"
    ], "one for the address, none for each name"
    clock.now += 61
    wrong(attempts, name, HOME)
    assert len(caplog.records) == 3, "it goes on"
