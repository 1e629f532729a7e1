"""The audit log: what is in it and what is not, its chain, its pages, and its end."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import text

from hub.errors import HubError
from hub.identity.accounts import Update
from hub.identity.audit import Actor, Record, link
from hub.identity.audit_log import AuditLog, Check, Filter
from hub.identity.service import Identity
from hub.model import Grants

from .conftest import PASSWORD, Clock, OpenIdentity

pytestmark = [pytest.mark.anyio, pytest.mark.both_databases]

ROOT = Actor("user:root", "s1", "192.0.2.1")


@pytest.fixture
async def empty(open_identity: OpenIdentity) -> AsyncIterator[Identity]:
    """With nobody in it."""
    async with open_identity() as identity:
        yield identity


async def lines(identity: Identity, **wanted: Any) -> list[dict[str, Any]]:
    return [line async for line in identity.audit.lines(Filter(**wanted))]


def short(line: dict[str, Any]) -> tuple[str, str, str, str]:
    return line["actor"], line["action"], line["target"], line["outcome"]


# --- What is in it


async def test_the_life_of_accounts(empty: Identity) -> None:
    accounts = empty.accounts.by(ROOT)
    await accounts.create_user("alice", PASSWORD, admin=True, grants=Grants(subscribe=("a:*",)))
    await accounts.update("user", "alice", Update(grants=Grants(publish=("b:{sub}",)), topics=("news",)))
    await accounts.create_user("bob", PASSWORD, admin=True)
    await accounts.update("user", "alice", Update(password="another horse", admin=False))
    await accounts.update("user", "alice", Update(disabled=True))
    await accounts.update("user", "alice", Update(disabled=True))
    await accounts.end_sessions("alice")
    await accounts.create_service("shop")
    assert [(line["action"], line["target"], line["details"]) for line in await lines(empty)] == [
        ("user.create", "user:alice", {"admin": True, "subscribe": ["a:*"]}),
        (
            "user.change",
            "user:alice",
            {"subscribe": [["a:*"], []], "publish": [[], ["b:{sub}"]], "topics": [[], ["news"]]},
        ),
        ("user.create", "user:bob", {"admin": True}),
        ("user.change", "user:alice", {"password": True, "admin": [True, False]}),
        ("user.change", "user:alice", {"disabled": [False, True]}),
        # What changed nothing is not told.
        ("user.logout", "user:alice", {}),
        ("service.create", "service:shop", {"publish": ["*", "user:*", "all"]}),
    ]
    for line in await lines(empty):
        assert (line["actor"], line["session"], line["address"], line["outcome"]) == (
            "user:root",
            "s1",
            "192.0.2.1",
            "ok",
        )


async def test_the_first_administrator_is_the_hubs_doing(empty: Identity) -> None:
    await empty.bootstrap()
    assert [short(line) for line in await lines(empty)] == [("hub", "user.create", "user:admin", "ok")]


async def test_who_came_and_went(identity: Identity, clock: Clock) -> None:
    tokens = await identity.login("alice", PASSWORD, "192.0.2.1")
    principal = identity.authenticate(tokens.access_token)
    await identity.refresh(tokens.refresh_token, "192.0.2.1")
    await identity.logout(principal, "192.0.2.2")
    _, login, logout = await lines(identity)
    assert short(login) == ("user:alice", "login", "", "ok")
    assert (login["session"], login["address"]) == (principal.session, "192.0.2.1")
    assert short(logout) == ("user:alice", "logout", "", "ok")
    assert (logout["session"], logout["address"]) == (principal.session, "192.0.2.2")


async def test_a_stolen_refresh_token(identity: Identity, clock: Clock) -> None:
    tokens = await identity.login("alice", PASSWORD)
    session = identity.authenticate(tokens.access_token).session
    await identity.refresh(tokens.refresh_token)
    clock.ahead = 60
    with pytest.raises(HubError, match="refresh_reused"):
        await identity.refresh(tokens.refresh_token, "203.0.113.9")
    told = (await lines(identity))[-1]
    assert short(told) == ("anonymous", "refresh", "user:alice", "refresh_reused")
    assert (told["address"], told["details"]) == ("203.0.113.9", {"session": session})


async def test_a_change_that_is_refused_is_not_told(identity: Identity) -> None:
    before = await lines(identity)
    with pytest.raises(HubError, match="name_taken"):
        await identity.accounts.create_user("alice", PASSWORD)
    with pytest.raises(HubError, match="not_found"):
        await identity.accounts.end_sessions("nobody")
    assert await lines(identity) == before


def full_disk(dialect: str) -> list[str]:
    """Statements after which no line can be written."""
    if dialect == "sqlite":
        return ["CREATE TRIGGER full_disk BEFORE INSERT ON audit BEGIN SELECT RAISE(ABORT, 'the disk is full'); END"]
    return [
        "CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RAISE EXCEPTION 'the disk is full'; END$$",
        "CREATE TRIGGER full_disk BEFORE INSERT ON audit FOR EACH ROW EXECUTE FUNCTION fail()",
    ]


async def test_a_change_that_cannot_be_told_is_not_made(identity: Identity) -> None:
    tokens = await identity.login("alice", PASSWORD)
    principal = identity.authenticate(tokens.access_token)
    async with identity._store.write() as db:
        for statement in full_disk(db.get_bind().dialect.name):
            await db.execute(text(statement))
    accounts = identity.accounts.by(ROOT)
    for change in (
        lambda: accounts.create_user("bob", PASSWORD),
        lambda: accounts.update("user", "alice", Update(disabled=True)),
        lambda: accounts.update("user", "alice", Update(grants=Grants(publish=("*",)))),
        lambda: accounts.end_sessions("alice"),
        lambda: accounts.create_service("shop"),
        lambda: identity.logout(principal),
        lambda: identity.login("alice", PASSWORD),
    ):
        with pytest.raises(Exception, match="the disk is full"):
            await change()
    users, _ = await accounts.page("user")
    assert [(user.id, user.disabled, user.publish) for user in users] == [("alice", False, [])]
    assert await accounts.page("service") == ([], False)
    assert identity.authenticate(tokens.access_token), "nobody was logged out"


async def test_no_secret_is_in_it(identity: Identity, clock: Clock) -> None:
    """Of all that is given out and typed here, nothing is in the table."""
    accounts = identity.accounts.by(ROOT)
    tokens = await identity.login("alice", PASSWORD)
    fresh = await identity.refresh(tokens.refresh_token)
    _, secret = await accounts.create_service("shop")
    token = (await identity.client_credentials("shop", secret)).access_token
    ticket = identity.tickets.issue(token).value
    [first] = await identity.service_keys.of("shop")
    _, renewed, _ = await identity.service_keys.rotate(first.id)
    await identity.service_keys.revoke(first.id)
    await accounts.update("user", "alice", Update(password="another horse"))
    for name, password in (("alice", "wrong password"), ("typed into the name", "x"), ("shop", secret)):
        with pytest.raises(HubError):
            await identity.login(name, password)
    with pytest.raises(HubError):
        await identity.client_credentials("shop", secret)
    for spent in (tokens.refresh_token, "hubr_made.up"):
        with pytest.raises(HubError):
            await identity.refresh(spent)
    await identity._keeper.write(everything=True)
    everything = json.dumps(await lines(identity))
    assert everything.count('"login"') == 4
    for hidden in (
        PASSWORD, "another horse", "wrong password", "typed into the name", secret, renewed, token, ticket,
        tokens.access_token, tokens.refresh_token, fresh.access_token, fresh.refresh_token, "argon2", "hubr_", "hubk_",
    ):  # fmt: skip
        assert hidden not in everything
    async with identity._store.read() as db:
        for hashed in (
            await db.execute(
                text("SELECT secret_hash FROM accounts WHERE kind = 'user' UNION SELECT secret_hash FROM service_keys")
            )
        ).scalars():
            assert hashed not in everything


# --- The chain


async def test_a_log_is_whole_until_somebody_touches_it(identity: Identity) -> None:
    for _ in range(5):
        await identity.login("alice", PASSWORD)
    verdict = await identity.audit.verify()
    assert (verdict.lines, verdict.seq, verdict.fault) == (6, 6, None)
    assert await identity.audit.holds(6, verdict.hash)
    assert not await identity.audit.holds(5, verdict.hash)
    assert not await identity.audit.holds(7, verdict.hash)


@pytest.mark.parametrize(
    ("tampering", "good", "fault"),
    [
        ("UPDATE audit SET actor = 'user:eve' WHERE seq = 3", 2, "line 3 is not what it was when it was written"),
        ("UPDATE audit SET time = time - 1 WHERE seq = 3", 2, "line 3 is not what it was"),
        ("UPDATE audit SET details = '{\"count\": 1}' WHERE seq = 6", 5, "line 6 is not what it was"),
        ("UPDATE audit SET hash = hash || 'x' WHERE seq = 3", 2, "line 3 is not what it was"),
        ("DELETE FROM audit WHERE seq = 3", 2, "line 3 is missing: line 4 follows line 2"),
        ("DELETE FROM audit WHERE seq <= 2", 0, "the lines before line 3 are missing"),
        ("UPDATE audit SET seq = 9 WHERE seq = 6", 5, "line 6 is missing: line 9 follows line 5"),
    ],
)
async def test_tampering_shows(identity: Identity, tampering: str, good: int, fault: str) -> None:
    for _ in range(5):
        await identity.login("alice", PASSWORD)
    async with identity._store.write() as db:
        await db.execute(text(tampering))
    verdict = await identity.audit.verify()
    assert verdict.fault is not None
    assert verdict.fault.startswith(fault)
    assert verdict.seq == good


async def test_a_tail_that_was_cut_off_shows_to_who_kept_its_hash(identity: Identity) -> None:
    for _ in range(5):
        await identity.login("alice", PASSWORD)
    mark = await identity.audit.verify()
    async with identity._store.write() as db:
        await db.execute(text("DELETE FROM audit WHERE seq > 4"))
    await identity.login("alice", PASSWORD)
    await identity.login("alice", PASSWORD)
    assert (await identity.audit.verify()).fault is None
    assert not await identity.audit.holds(mark.seq, mark.hash)


async def test_writers_at_the_same_time_make_one_chain(open_identity: OpenIdentity) -> None:
    async with open_identity() as one, open_identity(quiet=True) as other:
        await one.accounts.create_user("alice", PASSWORD)
        await asyncio.gather(
            *(identity.login("alice", PASSWORD, str(n)) for n in range(20) for identity in (one, other))
        )
        verdict = await one.audit.verify()
    assert (verdict.lines, verdict.fault) == (41, None)


async def test_an_export_can_be_checked_without_the_hub(identity: Identity) -> None:
    """As docs/audit.md says it, with nothing of ours."""
    import hashlib

    for _ in range(3):
        await identity.login("alice", PASSWORD)
    previous = ""
    for exported in [json.dumps(line) for line in await lines(identity)]:
        line = json.loads(exported)
        claimed = line.pop("hash")
        content = json.dumps(line, sort_keys=True, separators=(",", ":"))
        previous = hashlib.sha256(f"{previous}\n{content}".encode()).hexdigest()
        assert previous == claimed


@given(st.dictionaries(st.text(), st.one_of(st.text(), st.integers(), st.lists(st.text())), max_size=4), st.text())
def test_any_line_changed_in_any_way_has_another_hash(details: dict[str, Any], other: str) -> None:
    line = {"seq": 1, "actor": "hub", "details": details}
    assert link("", line) == link("", json.loads(json.dumps(line)))
    for changed in (line | {"actor": "hub" + other + "x"}, line | {"details": {**details, "x" + other: [other]}}):
        if changed != line:
            assert link("", changed) != link("", line)
    assert link("a", line) != link("b", line)


def test_what_is_no_line() -> None:
    for line in ({}, {"seq": "x", "hash": "y"}, {"hash": "y"}):
        with pytest.raises(HubError, match="this is no audit log"):
            Check().take(line)


# --- Pages


async def test_pages_and_filters(empty: Identity, clock: Clock) -> None:
    log = empty.audit
    start = clock()
    for number in range(10):
        clock.ahead = number * 10
        actor = Actor(f"user:u{number % 2}")
        await log.write(
            Record(actor, "user.create" if number < 5 else "login", f"user:t{number}", "ok" if number else "x")
        )

    async def seqs(wanted: Filter = Filter(), **page: Any) -> tuple[list[int], bool]:  # noqa: B008 - frozen
        found, more = await log.page(wanted, **page)
        return [entry.seq for entry in found], more

    assert await seqs() == ([*range(1, 11)], False)
    assert await seqs(limit=3) == ([8, 9, 10], True)
    assert await seqs(limit=3, before=8) == ([5, 6, 7], True)
    assert await seqs(limit=3, before=3) == ([1, 2], False)
    assert await seqs(limit=3, after=0) == ([1, 2, 3], True)
    assert await seqs(limit=3, after=8) == ([9, 10], False)
    assert await seqs(after=10) == ([], False)
    everything = Filter()
    assert await seqs(replace(everything, actor="user:u1")) == ([2, 4, 6, 8, 10], False)
    assert await seqs(replace(everything, actor="user:u1"), limit=2, after=4) == ([6, 8], True)
    assert await seqs(replace(everything, action="user.*")) == ([1, 2, 3, 4, 5], False)
    assert await seqs(replace(everything, action="user%*")) == ([], False)
    assert await seqs(replace(everything, action="login", target="user:t7")) == ([8], False)
    assert await seqs(replace(everything, outcome="x")) == ([1], False)
    assert await seqs(replace(everything, since=start + 75)) == ([9, 10], False)
    assert await seqs(replace(everything, until=start + 15)) == ([1, 2], False)


@pytest.mark.both_databases(False)
async def test_filters_use_indexes(empty: Identity) -> None:
    for column in ("actor", "target"):
        query = f"EXPLAIN QUERY PLAN SELECT * FROM audit WHERE {column} = 'x' ORDER BY seq DESC LIMIT 10"
        async with empty._store.read() as db:
            plan = " ".join(row.detail for row in (await db.execute(text(query))).all())
        assert f"audit_by_{column}" in plan
        assert "TEMP B-TREE" not in plan


# --- Its end


async def fill(log: AuditLog, clock: Clock, number: int, seconds: float) -> None:
    for _ in range(number):
        await log.write(Record(ROOT, "user.create"))
        clock.ahead += seconds


async def test_old_lines_go_and_the_rest_is_whole(empty: Identity, clock: Clock) -> None:
    log, day = empty.audit, 86400
    await fill(log, clock, 20, day)
    assert await log.prune(older_than=30 * day, keep=1000) == 0
    assert await log.prune(older_than=10.5 * day, keep=1000) == 10
    verdict = await log.verify()
    assert (verdict.lines, verdict.seq, verdict.fault) == (11, 21, None)
    last = (await lines(empty))[-1]
    assert short(last) == ("hub", "audit.prune", "", "ok")
    assert (last["details"]["through"], last["details"]["lines"]) == (10, 10)
    assert await log.prune(older_than=10.5 * day, keep=1000) == 0, "not for every line"
    await fill(log, clock, 20, day)
    assert await log.prune(older_than=10.5 * day, keep=1000) == 21
    assert (await log.verify()).fault is None, "also where the line that told of the first time is gone"


async def test_even_all_lines_may_go(empty: Identity, clock: Clock) -> None:
    await fill(empty.audit, clock, 5, 10)
    clock.ahead += 10 * 86400
    assert await empty.audit.prune(older_than=86400, keep=1000) == 5
    assert [line["seq"] for line in await lines(empty)] == [6]
    verdict = await empty.audit.verify()
    assert (verdict.lines, verdict.fault) == (1, None)


async def test_there_are_no_more_lines_than_are_to_be_kept(empty: Identity, clock: Clock) -> None:
    await fill(empty.audit, clock, 120, 0)
    assert await empty.audit.prune(older_than=86400, keep=100) == 20
    assert (await empty.audit.verify()).lines == 101
    assert await empty.audit.prune(older_than=86400, keep=100) == 0


async def test_taking_out_more_than_was_let_go_shows(empty: Identity, clock: Clock) -> None:
    await fill(empty.audit, clock, 120, 0)
    await empty.audit.prune(older_than=86400, keep=100)
    async with empty._store.write() as db:
        await db.execute(text("DELETE FROM audit WHERE seq <= 30"))
    fault = (await empty.audit.verify()).fault
    assert fault is not None
    assert fault.startswith("the lines before line 31 are missing")


async def test_a_log_without_lines_is_whole(empty: Identity) -> None:
    assert await empty.audit.verify() == await empty.audit.verify()
    assert await empty.audit.prune(older_than=86400, keep=1000) == 0
    assert (await empty.audit.verify()).lines == 0
