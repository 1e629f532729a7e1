"""API keys of services: what they may, how long they live, and that what is revoked is over."""

from __future__ import annotations

import asyncio
import math
import re
import secrets
from typing import Any

import pytest

from hub.errors import HubError, NotYet
from hub.identity.accounts import Update
from hub.identity.scope import Scope
from hub.identity.service import Identity
from hub.identity.service_keys import MAX_KEYS
from hub.model import Grants, Principal
from hub.transports.credentials import admit

from .conftest import Clock, Connections, OpenIdentity
from .test_feed import until

pytestmark = [pytest.mark.anyio, pytest.mark.both_databases]

RIGHTS = Grants(("orders:*",), ("orders:*", "user:*", "all"))


@pytest.fixture
async def shop(identity: Identity) -> Identity:
    """With a service, shop."""
    await identity.accounts.create_service("shop", grants=RIGHTS, topics=("orders:new", "orders:eu:new"))
    return identity


def code_of(identity: Identity, text: str) -> str:
    with pytest.raises(HubError) as refused:
        identity.authenticate(text)
    assert len(text) < 10 or text not in str(refused.value)
    return refused.value.code


def rights(principal: Principal) -> tuple[Any, ...]:
    return principal.grants.subscribe, principal.grants.publish, principal.topics, principal.admin


async def refused(work: Any) -> str:
    with pytest.raises(HubError) as error:
        await work
    return f"{error.value.code}: {error.value.detail}"


async def test_a_key_is_taken_where_a_token_is(shop: Identity) -> None:
    key, text = await shop.service_keys.create("shop", name="the till")
    assert re.fullmatch(r"hubk_[0-9a-f]{12}_[A-Za-z0-9_-]{43}", text)
    assert text.startswith(f"hubk_{key.id}_")
    who = shop.authenticate(text)
    assert (who.source, who.session, who.expires_at, who.expires) == ("service:shop", f"key:{key.id}", math.inf, None)
    assert rights(who) == (RIGHTS.subscribe, RIGHTS.publish, ("orders:new", "orders:eu:new"), False)
    assert shop.authenticate(text) is who, "the second time as the first: a look-up"


async def test_several_keys_each_with_its_scope(shop: Identity) -> None:
    _, reads = await shop.service_keys.create("shop", scope=Scope(("orders:eu:*",), ()))
    _, writes = await shop.service_keys.create("shop", scope=Scope((), ("orders:{sub}:*", "all")))
    assert rights(shop.authenticate(reads)) == (("orders:eu:*",), (), ("orders:eu:new",), False)
    assert rights(shop.authenticate(writes)) == ((), ("orders:shop:*", "all"), (), False)


@pytest.mark.parametrize(
    ("scope", "sentence"),
    [
        (Scope(("chat:*",)), "request_invalid: 'shop' itself may not subscribe 'chat:*', so no key of its may."),
        (Scope(publish=("*",)), "request_invalid: 'shop' itself may not publish '*', so no key of its may."),
        (Scope(admin=True), "request_invalid: 'shop' itself is no administrator, so no key of its is."),
        (Scope(("a*",)), "topic_invalid: 'a*': in a pattern, '*' must be a whole segment."),
        (Scope(tuple(f"orders:{n}" for n in range(500))), "request_invalid: The grants and topics have"),
    ],
)
async def test_no_key_may_more_than_its_service(shop: Identity, scope: Scope, sentence: str) -> None:
    before = len(await shop.service_keys.of("shop"))
    assert (await refused(shop.service_keys.create("shop", scope=scope))).startswith(sentence)
    assert len(await shop.service_keys.of("shop")) == before


async def test_nor_later(shop: Identity, connections: Connections) -> None:
    _, text = await shop.service_keys.create("shop", scope=Scope(("orders:eu:*",), ("orders:*",)))
    connections.held.append(shop.authenticate(text))
    await shop.accounts.update("service", "shop", Update(grants=Grants(("orders:*:new",), ("orders:us:*", "chat:*"))))
    assert rights(shop.authenticate(text)) == (("orders:eu:new",), ("orders:us:*",), ("orders:eu:new",), False)
    assert connections.held == [shop.authenticate(text)], "its connection stays, with the new rights"
    assert connections.ended == []
    await shop.accounts.update("service", "shop", Update(grants=RIGHTS))
    assert rights(shop.authenticate(text))[0] == ("orders:eu:*",), "and what comes back comes back to it"


async def test_a_change_that_is_none_leaves_its_connections_as_they_are(shop: Identity) -> None:
    _, text = await shop.service_keys.create("shop")
    who = shop.authenticate(text)
    await shop.service_keys.create("shop", name="another")
    assert shop.review(who) is who


async def test_administration_has_to_be_asked_for(shop: Identity) -> None:
    _, first = await shop.accounts.create_service("robot", admin=True)
    _, plain = await shop.service_keys.create("robot")
    _, admin = await shop.service_keys.create("robot", scope=Scope(admin=True))
    assert [shop.authenticate(text).admin for text in (first, plain, admin)] == [True, False, True]
    assert not shop.authenticate((await shop.client_credentials("robot", plain)).access_token).admin
    await shop.accounts.update("service", "robot", Update(admin=False))
    assert not shop.authenticate(admin).admin
    await shop.accounts.update("service", "robot", Update(admin=True))
    assert await shop.bootstrap(), "a service cannot log in, so the first administrator is still to be made"
    await shop.accounts.update("service", "robot", Update(disabled=True))


# --- Its end


async def test_what_is_revoked_is_over_in_every_process(open_identity: OpenIdentity, connections: Connections) -> None:
    async with open_identity(revocation_poll=0.01) as hub, open_identity(quiet=True) as cli:
        await hub.accounts.create_service("shop")
        key, text = await hub.service_keys.create("shop")
        _, other = await hub.service_keys.create("shop")
        token = (await hub.client_credentials("shop", text)).access_token
        connections.held += [hub.authenticate(each) for each in (text, token, other)]
        await cli.service_keys.revoke(key.id)
        await until(lambda: len(connections.ended) == 2)
        assert connections.codes == ["key_unknown", "token_revoked"]
        assert code_of(hub, text) == "key_unknown"
        assert code_of(hub, token) == "token_revoked"
        assert (await refused(hub.client_credentials("shop", text))).startswith("credentials_invalid")
        assert hub.authenticate(other)
    async with open_identity() as hub:
        assert code_of(hub, text) == "key_unknown"
        assert code_of(hub, token) == "token_revoked"
        assert hub.authenticate(other)


async def test_whoever_has_a_key_can_end_it_without_knowing_whose_it_is(shop: Identity) -> None:
    key, text = await shop.service_keys.create("shop")
    ended = await shop.endings.token(text)
    assert (ended.kind, ended.id, ended.subject, ended.until) == ("key", key.id, "shop", None)
    assert code_of(shop, text) == "key_unknown"
    for gone in (text, f"hubk_{'0' * 12}_{'A' * 43}", "hubk_x"):
        assert (await refused(shop.endings.token(gone))).startswith("request_invalid: This token is refused already")
    _, other = await shop.service_keys.create("shop")
    wrong = other[:-43] + secrets.token_urlsafe(32)
    assert (await refused(shop.endings.token(wrong))).startswith("request_invalid")
    assert shop.authenticate(other)


async def test_a_key_ends_by_itself(shop: Identity, clock: Clock) -> None:
    _, text = await shop.service_keys.create("shop", expires_at=clock() + 100)
    token = (await shop.client_credentials("shop", text)).access_token
    assert shop.authenticate(token).expires_at == shop.authenticate(text).expires_at
    clock.ahead = 101
    assert code_of(shop, text) == "key_expired"
    assert code_of(shop, token) == "token_expired", "a token of a key lives no longer than the key"
    assert await refused(shop.client_credentials("shop", text)) == "credentials_invalid: This secret has expired."
    assert len(await shop.service_keys.of("shop")) == 2
    clock.ahead += 31 * 86400
    await shop.service_keys.create("shop")
    assert len(await shop.service_keys.of("shop")) == 2, "in the end it is forgotten"
    assert (await refused(shop.service_keys.create("shop", expires_at=clock() - 1))).startswith("request_invalid")


async def test_a_disabled_service_is_out_with_all_its_keys(shop: Identity, connections: Connections) -> None:
    _, text = await shop.service_keys.create("shop")
    connections.held.append(shop.authenticate(text))
    await shop.accounts.update("service", "shop", Update(disabled=True))
    assert code_of(shop, text) == "user_disabled"
    assert connections.codes == ["user_disabled"]
    await shop.accounts.update("service", "shop", Update(disabled=False))
    assert shop.authenticate(text)


async def test_a_key_has_no_session_to_log_out_of(shop: Identity) -> None:
    _, text = await shop.service_keys.create("shop")
    assert (await refused(shop.logout(shop.authenticate(text)))).startswith("forbidden")
    assert shop.authenticate(text)


# --- Its replacement


async def test_a_key_is_replaced_with_an_overlap(shop: Identity, clock: Clock, connections: Connections) -> None:
    scope = Scope(("orders:eu:*",), ())
    old, first = await shop.service_keys.create("shop", name="the till", scope=scope, expires_at=clock() + 1000)
    clock.ahead = 900
    new, second, before = await shop.service_keys.rotate(old.id)
    assert (new.name, new.subscribe, new.publish) == ("the till", ["orders:eu:*"], [])
    assert new.expires_at == pytest.approx(clock() + 1000, abs=5)
    assert before.expires_at == old.expires_at
    assert rights(shop.authenticate(first)) == rights(shop.authenticate(second))
    connections.held.append(shop.authenticate(second))
    third, _, before = await shop.service_keys.rotate(new.id, overlap=60)
    assert before.expires_at == pytest.approx(clock() + 60, abs=5)
    assert connections.held[0].expires_at == before.expires_at, "its connections end then"
    clock.ahead += 61
    assert code_of(shop, second) == "key_expired"
    _, _, before = await shop.service_keys.rotate(third.id, overlap=5000)
    assert before.expires_at == third.expires_at, "an overlap makes no key live longer"


async def test_a_key_without_an_end_is_replaced_by_another_such(shop: Identity) -> None:
    old, text = await shop.service_keys.create("shop")
    new, _, before = await shop.service_keys.rotate(old.id, service_id="shop")
    assert (new.expires_at, before.expires_at) == (None, None)
    await shop.service_keys.rotate(old.id, overlap=0)
    assert code_of(shop, text) == "key_expired"


async def test_what_there_is_not(shop: Identity) -> None:
    key, _ = await shop.service_keys.create("shop")
    await shop.accounts.create_service("other")
    keys = shop.service_keys
    for work in (
        keys.create("nothing"), keys.create("alice"), keys.of("alice"), keys.rotate("x"), keys.revoke("x"),
        keys.rotate(key.id, service_id="other"), keys.revoke(key.id, service_id="other"),
    ):  # fmt: skip
        assert (await refused(work)).startswith("not_found")
    for name in ("x" * 101, "a\nb", "\x1b[2J"):
        assert (await refused(keys.create("shop", name=name))).startswith("request_invalid")


async def test_their_number_is_bounded(shop: Identity) -> None:
    for _ in range(MAX_KEYS - 1):
        await shop.service_keys.create("shop")
    assert "revoke those that nobody uses" in await refused(shop.service_keys.create("shop"))
    assert len(await shop.service_keys.all()) == MAX_KEYS


# --- In memory


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("hubk_", "token_malformed"),
        (f"hubk_{'0' * 12}_{'A' * 42}", "token_malformed"),
        (f"hubk_{'G' * 12}_{'A' * 43}", "token_malformed"),
        (f"hubk_{'0' * 12}_{'A' * 43}\n", "token_malformed"),
        (f"hubk_{'0' * 12}_{'A' * 43}", "key_unknown"),
        ("hubr_AAAA.BBBB", "token_type"),
    ],
)
async def test_what_is_no_key(shop: Identity, text: str, code: str) -> None:
    assert code_of(shop, text) == code


async def test_one_letter_of_a_key_is_not_another(shop: Identity) -> None:
    _, text = await shop.service_keys.create("shop")
    assert code_of(shop, text[:-1] + ("A" if text[-1] != "A" else "B")) == "key_unknown"


async def test_a_key_made_by_another_process_is_good_at_once(open_identity: OpenIdentity) -> None:
    """Although the hub looks for changes only now and then (here: never)."""
    async with open_identity() as hub, open_identity(quiet=True) as cli:
        await hub.accounts.create_service("shop")
        for _ in range(3):
            _, text = await cli.service_keys.create("shop")
            with pytest.raises(NotYet):
                hub.authenticate(text)
            assert (await admit(hub.authenticate, text)).subject == "shop"
        _, text = await cli.service_keys.create("shop")
        token = (await hub.client_credentials("shop", text)).access_token
        assert hub.authenticate(token).subject == "shop"


async def test_made_up_keys_cost_few_reads(shop: Identity, monkeypatch: pytest.MonkeyPatch) -> None:
    reads = 0
    catch_up = shop._feed.catch_up

    async def counted() -> None:
        nonlocal reads
        reads += 1
        await catch_up()

    monkeypatch.setattr(shop._feed, "catch_up", counted)

    async def guess() -> str:
        return await refused(admit(shop.authenticate, f"hubk_{secrets.token_hex(6)}_{'A' * 43}"))

    answers = await asyncio.gather(*(guess() for _ in range(500)))
    assert set(answers) == {"key_unknown: The API key is unknown or was revoked."}
    assert reads <= 2


@pytest.mark.both_databases(False)
async def test_keys_are_stored_as_hashes(shop: Identity) -> None:
    _, text = await shop.service_keys.create("shop")
    await shop.stop()
    stored = b"".join(path.read_bytes() for path in shop._settings.data_dir.glob("identity.db*"))
    assert text.encode() not in stored
    assert text[18:].encode() not in stored


# --- When it was last used


async def test_its_last_use_is_written_down_later_and_for_all_at_once(
    open_identity: OpenIdentity, clock: Clock
) -> None:
    async with open_identity() as hub:
        await hub.accounts.create_service("shop")
        key, text = await hub.service_keys.create("shop")
        idle, _ = await hub.service_keys.create("shop")
        for n in range(100):
            clock.ahead = n
            hub.authenticate(text)
        stored = {each.id: each.last_used_at for each in await hub.service_keys.of("shop")}
        assert set(stored.values()) == {None}, "not by each request"
        await hub._key_usage.write()
        stored = {each.id: each.last_used_at for each in await hub.service_keys.of("shop")}
        assert stored[key.id] == pytest.approx(clock(), abs=5)
        assert stored[idle.id] is None
        clock.ahead = 500
        await hub.client_credentials("shop", text)
    async with open_identity() as hub:
        stored = {each.id: each.last_used_at for each in await hub.service_keys.of("shop")}
        assert stored[key.id] == pytest.approx(clock(), abs=5), "written when the hub stops, too"


async def test_a_last_use_that_cannot_be_written_is_not_lost(shop: Identity, monkeypatch: pytest.MonkeyPatch) -> None:
    key, text = await shop.service_keys.create("shop")
    shop.authenticate(text)

    def failing() -> Any:
        raise HubError("database_unavailable")

    with monkeypatch.context() as patched:
        patched.setattr(shop._store, "write_beside", failing)
        with pytest.raises(HubError):
            await shop._key_usage.write()
    await shop._key_usage.write()
    assert [each.last_used_at is not None for each in await shop.service_keys.of("shop") if each.id == key.id] == [True]
