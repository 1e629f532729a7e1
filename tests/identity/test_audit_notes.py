"""Notes: what is alike is one line with its count; strangers fill neither the memory nor the log."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest
from sqlalchemy import text

from hub.errors import HubError
from hub.identity.audit import Actor
from hub.identity.audit_notes import FAILURE_SECONDS, PUBLISH_SECONDS, Note, Notes, without_unknown
from hub.identity.service import Identity
from hub.model import Draft, Principal, Topic
from tests.fakes import Clock

from .conftest import PASSWORD, OpenIdentity

ROOT = Principal("root", "user", "s1", 2e9, admin=True)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def notes(clock: Clock) -> Notes:
    return Notes(clock=clock)


def drafts(*topics: str, count: int = 1, name: str = "e") -> list[Draft]:
    return [Draft(f"{name}{number}", tuple(Topic(t) for t in topics), b"{}", 0.0) for number in range(count)]


def failed(notes: Notes, name: str = "alice", address: str = "192.0.2.1", code: str = "credentials_invalid") -> None:
    notes.refused("login", f"user:{name}", address, code)


def test_failures_that_are_alike_are_one_note(notes: Notes, clock: Clock) -> None:
    for _ in range(5):
        failed(notes)
        clock.now += 1
    failed(notes, address="192.0.2.2")
    failed(notes, name="bob")
    failed(notes, code="too_many_attempts")
    first, *others = notes.take()
    assert others == [], "these are not due yet"
    record = first.record()
    assert (record.actor, record.action, record.target) == (Actor("anonymous", "", "192.0.2.1"), "login", "user:alice")
    assert (record.outcome, record.details) == ("credentials_invalid", {"count": 5, "until": 1004.0})
    assert first.first == 1000.0
    clock.now += FAILURE_SECONDS
    assert [note.record().details for note in notes.take()] == [{}, {}, {}]
    assert len(notes) == 0


@pytest.mark.parametrize("code", ["overloaded", "database_unavailable", "refresh_reused", "internal"])
def test_what_judged_nobody_or_is_told_elsewhere_is_not_noted(notes: Notes, code: str) -> None:
    failed(notes, code=code)
    assert len(notes) == 0


def test_what_a_refresh_is_counted_by_is_not_noted(notes: Notes) -> None:
    notes.refused("refresh", "5e884898da280471", "192.0.2.1", "refresh_invalid")
    [note] = notes.take(everything=True)
    assert (note.action, note.target) == ("refresh", "")


def test_publishing_as_an_administrator(notes: Notes, clock: Clock) -> None:
    notes.published(ROOT, drafts("a", "b"))
    clock.now += 30
    notes.published(ROOT, drafts("b", "c", name="f"))
    clock.now += PUBLISH_SECONDS - 30
    [note] = notes.take()
    record = note.record()
    assert record.actor == Actor("user:root", "s1")
    assert (record.action, record.outcome) == ("publish", "ok")
    assert record.details == {"count": 2, "until": 1030.0, "ids": ["e0", "f0"], "topics": ["a", "b", "c"]}


def test_a_flood_of_publishing_is_a_count_and_samples(notes: Notes) -> None:
    for number in range(100):
        notes.published(ROOT, drafts(*(f"t{number}.{n}" for n in range(50)), count=1000))
    assert len(notes) == 1
    [note] = notes.take(everything=True)
    details = note.record().details
    assert details["count"] == 100_000
    assert len(details["ids"]) == len(details["topics"]) == 20


def test_sessions_are_told_apart(notes: Notes) -> None:
    for session in ("s1", "s2", "s1"):
        notes.published(Principal("root", "user", session, 2e9, admin=True), drafts("t"))
    assert [note.count for note in notes.take(everything=True)] == [2, 1]


def test_strangers_are_gathered_further_when_they_are_many(notes: Notes, clock: Clock) -> None:
    for number in range(50_000):
        failed(notes, name=f"name{number}", address=f"10.{number // 65536}.{number // 256 % 256}.{number % 256}")
    assert len(notes) == 1001, "a thousand, and one for all others"
    clock.now += PUBLISH_SECONDS
    taken = notes.take()
    assert sum(note.count for note in taken) == 50_000, "none is forgotten"
    rest = max(taken, key=lambda note: note.count)
    assert (rest.actor, rest.target, rest.count) == (Actor("anonymous"), "", 49_000)


def test_those_who_are_known_fill_no_memory_either(notes: Notes) -> None:
    for number in range(10_000):
        notes.done("token", Actor("service:shop", address=str(number)))
    assert len(notes) == 4097
    assert sum(note.count for note in notes.take(everything=True)) == 10_000


def test_claims_of_nobodys_name_are_taken_out(notes: Notes) -> None:
    """They may be passwords, typed into the wrong field."""
    for name in ("alice", "hunter22", "correct horse", "a:b:c"):
        failed(notes, name=name)
    notes.done("token", Actor("service:gone"), "service:gone")
    taken = notes.take(everything=True)
    assert {note.claimed for note in taken} == {"alice", "hunter22", "correct horse", "a:b:c", ""}
    told = [(note.target, note.count) for note in without_unknown(taken, {"alice"})]
    assert told == [("user:alice", 1), ("", 3), ("service:gone", 1)]


def test_what_could_not_be_written_is_put_back(notes: Notes, clock: Clock) -> None:
    failed(notes)
    taken = notes.take(everything=True)
    clock.now += 3
    failed(notes)
    notes.put_back(taken)
    clock.now += 2
    [note] = notes.take()
    assert (note.first, note.last, note.count) == (1000.0, 1003.0, 2)


# --- Kept by an identity


async def told(identity: Identity) -> Sequence[tuple[str, str, str, str]]:
    return [
        (line["actor"], line["action"], line["target"], line["outcome"])
        async for line in identity.audit.lines()
        if not line["action"].endswith(".create")
    ]


@pytest.mark.anyio
async def test_failures_and_services_get_into_the_log(open_identity: OpenIdentity) -> None:
    async with open_identity(login_failures="2/1h") as identity:
        await identity.accounts.create_user("alice", PASSWORD)
        _, secret = await identity.accounts.create_service("shop")
        for name in ("alice", "alice", "alice", "hunter22"):
            with pytest.raises(HubError):
                await identity.login(name, "wrong horse", "192.0.2.1")
        with pytest.raises(HubError):
            await identity.client_credentials("shop", "wrong")
        for _ in range(3):
            await identity.client_credentials("shop", secret)
        await identity._keeper.write(everything=True)
        assert await told(identity) == [
            ("anonymous", "login", "user:alice", "credentials_invalid"),
            ("anonymous", "login", "user:alice", "too_many_attempts"),
            ("anonymous", "login", "", "credentials_invalid"),
            ("anonymous", "token", "service:shop", "credentials_invalid"),
            ("service:shop", "token", "", "ok"),
        ]
        assert (await identity.audit.verify()).fault is None


@pytest.mark.anyio
async def test_a_hub_that_stops_writes_what_it_gathered(open_identity: OpenIdentity) -> None:
    async with open_identity() as identity:
        identity.notes.published(ROOT, drafts("t"))
    async with open_identity() as identity:
        assert await told(identity) == [("user:root", "publish", "", "ok")]


@pytest.mark.anyio
async def test_the_keeper_outlives_a_log_that_cannot_be_written(
    open_identity: OpenIdentity, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hub.identity.audit_keeper._LOOK_SECONDS", 0.01)
    monkeypatch.setattr("hub.identity.audit_notes.PUBLISH_SECONDS", 0.0)
    tries = 0
    async with open_identity() as identity:
        write = identity._keeper._write

        async def counted(notes: list[Note]) -> None:
            nonlocal tries
            tries += 1
            await write(notes)

        monkeypatch.setattr(identity._keeper, "_write", counted)
        async with identity._store.write() as db:
            await db.execute(
                text("CREATE TRIGGER full BEFORE INSERT ON audit BEGIN SELECT RAISE(ABORT, 'the disk is full'); END")
            )
        identity.notes.published(ROOT, drafts("t"))
        while tries < 10:
            await asyncio.sleep(0.01)
        assert len(caplog.records) == 1, "said once"
        async with identity._store.write() as db:
            await db.execute(text("DROP TRIGGER full"))
        while not await told(identity):
            await asyncio.sleep(0.01)
        assert await told(identity) == [("user:root", "publish", "", "ok")]


@pytest.mark.anyio
async def test_the_keeper_lets_go_of_old_lines(open_identity: OpenIdentity, monkeypatch: pytest.MonkeyPatch) -> None:
    async with open_identity() as identity:
        for _ in range(1020):
            identity.notes.done("token", Actor("service:shop", address=str(_)))
    async with open_identity(audit_max_lines=1000) as identity:
        while (await identity.audit.verify()).lines != 1001:
            await asyncio.sleep(0.01)
