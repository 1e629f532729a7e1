"""What another process changes reaches this one, once; and what was revoked stays so after a restart."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable

import jwt
import pytest
from sqlalchemy import text

from hub.errors import HubError
from hub.identity.accounts import Update
from hub.identity.service import Identity
from hub.model import Grants
from hub.settings import SettingsError

from .conftest import PASSWORD, Clock, Connections, OpenIdentity
from .test_sessions import token_refused
from .test_tokens import SECRET

pytestmark = [pytest.mark.anyio, pytest.mark.both_databases]


async def until(condition: Callable[[], bool]) -> None:
    """Wait for what a poll brings."""
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.005)


async def test_what_another_process_does_is_learnt_by_polling(
    open_identity: OpenIdentity, connections: Connections
) -> None:
    async with open_identity(revocation_poll=0.01) as hub, open_identity(quiet=True) as cli:
        await hub.accounts.create_user("alice", PASSWORD)
        tokens = await hub.login("alice", PASSWORD)
        connections.held.append(hub.authenticate(tokens.access_token))
        await cli.accounts.update("user", "alice", Update(disabled=True))
        await until(lambda: bool(connections.ended))
        assert token_refused(hub, tokens) == "user_disabled"

        await cli.accounts.update("user", "alice", Update(disabled=False))
        other = await hub.login("alice", PASSWORD)
        await until(lambda: token_refused(hub, tokens) == "token_revoked")
        connections.held.append(hub.authenticate(other.access_token))

        await cli.logout(cli.authenticate(other.access_token))
        await until(lambda: len(connections.ended) == 2)
        assert connections.codes == ["user_disabled", "logged_out"]


async def test_ones_own_change_is_told_once_though_it_is_polled_too(
    open_identity: OpenIdentity, connections: Connections
) -> None:
    async with open_identity(revocation_poll=0.001) as hub:
        await hub.accounts.create_user("alice", PASSWORD)
        for n in range(20):
            await hub.accounts.update("user", "alice", Update(grants=Grants((f"t{n}",))))
            assert connections.told == [{"alice"}] * (n + 1), "told before the call returns"
            tokens = await hub.login("alice", PASSWORD)
            assert hub.authenticate(tokens.access_token)
        await hub._feed.catch_up()
        assert len(connections.told) == 20


async def test_a_token_minted_from_the_old_rights_never_slips_through(open_identity: OpenIdentity) -> None:
    """Whatever the order of login and change, no token with the old rights is good after the change returned."""
    async with open_identity() as hub:
        _, secret = await hub.accounts.create_service("billing")
        for n in range(20):
            before = hub.client_credentials("billing", secret)
            change = hub.accounts.update("service", "billing", Update(grants=Grants(publish=(f"t{n}",))))
            tokens, _ = await asyncio.gather(before, change)
            with contextlib.suppress(HubError):
                assert hub.authenticate(tokens.access_token).grants.publish == (f"t{n}",)


async def test_what_was_revoked_stays_so_after_a_restart(open_identity: OpenIdentity, connections: Connections) -> None:
    async with open_identity() as hub:
        for name in ("alice", "bob", "carol", "dave"):
            await hub.accounts.create_user(name, PASSWORD)
        tokens = {name: await hub.login(name, PASSWORD) for name in ("alice", "bob", "carol", "dave")}
        await hub.logout(hub.authenticate(tokens["alice"].access_token))
        await hub.accounts.update("user", "bob", Update(disabled=True))
        await hub.accounts.update("user", "carol", Update(password="another horse"))
    connections.told.clear()
    async with open_identity() as hub:
        assert token_refused(hub, tokens["alice"]) == "logged_out"
        assert token_refused(hub, tokens["bob"]) == "user_disabled"
        assert token_refused(hub, tokens["carol"]) == "token_revoked"
        assert hub.authenticate(tokens["dave"].access_token)
        await hub._feed.catch_up()
        assert connections.told == [], "what was before the start is not told again"


async def test_a_change_stays_in_force_when_the_feed_has_forgotten_it(
    open_identity: OpenIdentity, clock: Clock
) -> None:
    async with open_identity(access_ttl=86400) as hub:
        await hub.accounts.create_user("alice", PASSWORD)
        tokens = await hub.login("alice", PASSWORD)
        await hub.accounts.update("user", "alice", Update(grants=Grants(("news",))))
    clock.ahead = 7200
    async with open_identity(access_ttl=86400) as hub:
        assert token_refused(hub, tokens) == "token_revoked"


async def test_tokens_of_ones_own_code_are_revoked_by_their_time(open_identity: OpenIdentity) -> None:
    def token(issued: float) -> str:
        claims = {"iss": "notification-hub", "aud": "notification-hub", "sub": "alice", "jti": "j",
                  "iat": int(issued), "exp": int(issued) + 600}  # fmt: skip
        return jwt.encode(claims, SECRET, "HS256", headers={"typ": "at+jwt"})

    async with open_identity(signing_secret=SECRET) as hub:
        old = token(time.time())
        assert hub.authenticate(old).subject == "alice", "an account is not needed"
        await hub.accounts.create_user("alice", PASSWORD)
        assert hub.authenticate(old)
        await hub.accounts.end_sessions("alice")
        with pytest.raises(HubError, match="token_revoked"):
            hub.authenticate(old)
        assert hub.authenticate(token(time.time() + 2))
        await hub.logout(hub.authenticate(token(time.time() + 2)))
        with pytest.raises(HubError, match="logged_out"):
            hub.authenticate(token(time.time() + 3))


async def test_a_database_that_fails_for_a_while_does_not_end_the_watch(
    open_identity: OpenIdentity, connections: Connections, caplog: pytest.LogCaptureFixture
) -> None:
    async with open_identity(revocation_poll=0.005) as hub, open_identity(quiet=True) as other:
        await hub.accounts.create_user("alice", PASSWORD)
        tokens = await hub.login("alice", PASSWORD)
        async with other._store.write() as db:
            await db.execute(text("ALTER TABLE changes RENAME TO elsewhere"))
        await until(lambda: bool(caplog.records))
        async with other._store.write() as db:
            await db.execute(text("ALTER TABLE elsewhere RENAME TO changes"))
        await other.accounts.update("user", "alice", Update(disabled=True))
        await until(lambda: bool(connections.told))
        assert token_refused(hub, tokens) == "user_disabled"
        assert len(caplog.records) == 1, "told once, not at every poll"
        await hub.check()


async def test_news_that_could_not_be_read_at_once_are_read_later(
    open_identity: OpenIdentity, connections: Connections, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_identity(revocation_poll=0.005) as hub, open_identity(quiet=True) as cli:
        await hub.accounts.create_user("alice", PASSWORD)
        catch_up, failures = hub._feed.catch_up, [OSError("no descriptors left"), RuntimeError("a bug")]

        async def failing() -> None:
            if failures:
                raise failures.pop()
            await catch_up()

        monkeypatch.setattr(hub._feed, "catch_up", failing)
        await cli.accounts.update("user", "alice", Update(disabled=True))
        await until(lambda: bool(connections.told))
        assert not failures


@pytest.mark.both_databases(False)
async def test_an_idle_hub_reads_nothing(open_identity: OpenIdentity, monkeypatch: pytest.MonkeyPatch) -> None:
    async with open_identity(revocation_poll=0.001) as hub:
        await hub.accounts.create_user("alice", PASSWORD)
        looks: list[bool] = []
        has_news = hub._store.has_news

        async def looking() -> bool:
            looks.append(await has_news())
            return looks[-1]

        monkeypatch.setattr(hub._store, "has_news", looking)
        await until(lambda: len(looks) > 20)
        assert not any(looks[5:])


def threads_but_the_loops() -> set[threading.Thread]:
    """The loop keeps its own pool. A thread that is done is gone a moment after it said so."""
    return {thread for thread in threading.enumerate() if not thread.name.startswith("asyncio_")}


async def test_nothing_is_left_running(open_identity: OpenIdentity) -> None:
    tasks, threads = asyncio.all_tasks(), set(threading.enumerate())
    async with open_identity(revocation_poll=0.001) as hub:
        await hub.accounts.create_user("alice", PASSWORD)
        await hub.login("alice", PASSWORD)
        assert asyncio.all_tasks() > tasks
        assert set(threading.enumerate()) > threads
    assert asyncio.all_tasks() == tasks
    await until(lambda: threads_but_the_loops() <= threads)


async def test_nothing_is_left_running_after_a_failed_start(open_identity: OpenIdentity) -> None:
    async with open_identity() as hub, hub._store.write() as db:
        await db.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    threads = set(threading.enumerate())
    with pytest.raises(SettingsError, match="a newer hub has used it"):
        async with open_identity():
            pass
    await until(lambda: threads_but_the_loops() <= threads)


async def test_it_must_be_started(identity: Identity) -> None:
    with pytest.raises(RuntimeError, match="before it was started"):
        Identity(identity._settings).authenticate("x")
