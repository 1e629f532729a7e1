"""Rotating and retiring keys: nobody is logged out, but by a key that is not to be trusted."""

from __future__ import annotations

import os
import stat
import time
from pathlib import Path
from typing import Any

import jwt
import pytest

from hub.data_directory import SIGNING_KEY
from hub.errors import HubError
from hub.identity import keys
from hub.identity.service import Identity, UserTokens
from hub.identity.signing import SigningKeys
from hub.settings import SettingsError

from .conftest import PASSWORD, Clock, Connections, OpenIdentity
from .test_feed import until
from .test_keys import write_key
from .test_tokens import SECRET

pytestmark = pytest.mark.anyio


def keys_of(identity: Identity) -> SigningKeys:
    return identity._signing_keys


def kid(tokens: UserTokens) -> str:
    name: str = jwt.get_unverified_header(tokens.access_token)["kid"]
    return name


def published(identity: Identity) -> list[str]:
    return [key["kid"] for key in identity.jwks()["keys"]]


def code_of(identity: Identity, token: str) -> str:
    with pytest.raises(HubError) as refused:
        identity.authenticate(token)
    return refused.value.code


async def states(identity: Identity) -> dict[str, str]:
    return {info.id: info.state for info in await keys_of(identity).all()}


async def test_a_running_hub_learns_of_a_rotation_and_nobody_is_logged_out(
    open_identity: OpenIdentity, connections: Connections
) -> None:
    async with open_identity(revocation_poll=0.01) as hub, open_identity(quiet=True) as cli:
        await hub.accounts.create_user("alice", PASSWORD)
        before = await hub.login("alice", PASSWORD)
        connections.held.append(hub.authenticate(before.access_token))
        new = await keys_of(cli).rotate()
        await until(lambda: published(hub) == [new.id, kid(before)])
        after = await hub.refresh(before.refresh_token)
        assert kid(after) == new.id
        for tokens in (before, after):
            assert hub.authenticate(tokens.access_token).subject == "alice"
        assert connections.ended == []
        assert await states(hub) == {new.id: "signs", kid(before): "accepted"}


async def test_an_old_key_is_dropped_when_its_last_token_has_ended(open_identity: OpenIdentity, clock: Clock) -> None:
    async with open_identity(access_ttl=5000) as hub:
        await hub.accounts.create_user("alice", PASSWORD)
        before = await hub.login("alice", PASSWORD)
    # Whoever rotates has other settings than the hub.
    async with open_identity(access_ttl=10) as cli:
        new = await keys_of(cli).rotate()
    async with open_identity() as hub:
        clock.ahead = 4990
        assert hub.authenticate(before.access_token)
        assert published(hub) == [new.id, kid(before)]
        clock.ahead = 5200
        assert code_of(hub, before.access_token) == "token_expired"
        assert published(hub) == [new.id]
        assert (await states(hub))[kid(before)] == "out of use"
        stolen = jwt.encode(
            jwt.decode(before.access_token, options={"verify_signature": False}) | {"exp": time.time() + 99999},
            "x" * 32, "HS256", headers={"kid": kid(before), "typ": "at+jwt"},
        )  # fmt: skip
        assert code_of(hub, stolen) == "token_expired", "whatever it says of itself"
    clock.ahead += 100 * 86400
    async with open_identity() as hub:
        assert await states(hub) == {new.id: "signs"}
        assert code_of(hub, before.access_token) == "token_signature"


async def test_the_file_is_private_and_the_old_key_is_gone(open_identity: OpenIdentity, tmp_path: Path) -> None:
    async with open_identity() as hub:
        path = tmp_path / "signing.key"
        old = path.read_bytes()
        new = await keys_of(hub).rotate()
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert path.read_bytes() != old
        assert keys.read_private(path).id == new.id
        stored = b"".join(file.read_bytes() for file in tmp_path.iterdir() if file.is_file())
        assert old.split(b"\n")[1] not in stored
        assert {file.name for file in tmp_path.iterdir()} - {"identity.db", "identity.db-wal", "identity.db-shm"} == {
            "signing.key"
        }


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
async def test_root_rotates_the_key_of_a_hub_that_runs_as_somebody_else(
    open_identity: OpenIdentity, tmp_path: Path
) -> None:
    async with open_identity() as hub:
        os.chown(tmp_path / "signing.key", 12345, 23456)
        await keys_of(hub).rotate()
        status = (tmp_path / "signing.key").stat()
        assert (status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode)) == (12345, 23456, 0o600)


async def test_the_algorithm_stays_unless_another_is_wanted(open_identity: OpenIdentity) -> None:
    async with open_identity() as hub:
        assert (await keys_of(hub).rotate()).algorithm == "EdDSA"
        assert (await keys_of(hub).rotate("ES256")).algorithm == "ES256"
        last = await keys_of(hub).rotate()
        assert last.algorithm == "ES256"
        assert (await keys_of(hub).retire(last.id)).algorithm == "ES256"


async def test_a_retired_key_is_refused_at_once_and_after_a_restart(
    open_identity: OpenIdentity, connections: Connections
) -> None:
    async with open_identity(revocation_poll=0.01) as hub, open_identity(quiet=True) as cli:
        await hub.accounts.create_user("alice", PASSWORD)
        first = await hub.login("alice", PASSWORD)
        connections.held.append(hub.authenticate(first.access_token))
        await keys_of(cli).rotate()
        await until(lambda: len(published(hub)) == 2)
        second = await hub.refresh(first.refresh_token)
        connections.held.append(hub.authenticate(second.access_token))
        await keys_of(cli).retire(kid(first))
        await until(lambda: connections.codes == ["token_revoked"])
        assert code_of(hub, first.access_token) == "token_revoked"
        assert hub.authenticate(second.access_token)
        # The one that signs, too: then another does.
        new = await keys_of(cli).retire(kid(second))
        await until(lambda: connections.codes == ["token_revoked"] * 2)
        third = await hub.refresh(second.refresh_token)
        assert kid(third) == new.id
        assert published(hub) == [new.id]
    async with open_identity() as hub:
        assert code_of(hub, first.access_token) == code_of(hub, second.access_token) == "token_revoked"
        assert hub.authenticate(third.access_token)


async def test_a_retired_key_that_comes_back_with_a_backup_is_not_signed_with(
    open_identity: OpenIdentity, tmp_path: Path
) -> None:
    async with open_identity() as hub:
        stolen = (tmp_path / "signing.key").read_bytes()
        await keys_of(hub).retire(keys.read_private(tmp_path / "signing.key").id)
    (tmp_path / "signing.key").write_bytes(stolen)
    with pytest.raises(SettingsError, match="was retired"):
        async with open_identity():
            pass
    (tmp_path / "signing.key").unlink()
    async with open_identity() as hub:
        assert "retired" in (await states(hub)).values()


async def test_a_key_that_was_replaced_by_hand_or_lost_is_a_rotation(
    open_identity: OpenIdentity, tmp_path: Path
) -> None:
    async with open_identity() as hub:
        await hub.accounts.create_user("alice", PASSWORD)
        tokens = [await hub.login("alice", PASSWORD)]
    (tmp_path / "signing.key").unlink()
    async with open_identity() as hub:
        tokens.append(await hub.login("alice", PASSWORD))
    write_key(tmp_path / "signing.key", keys.generate("ES256")[0].private)
    async with open_identity() as hub:
        tokens.append(await hub.login("alice", PASSWORD))
        assert len({kid(each) for each in tokens}) == 3
        for each in tokens:
            assert hub.authenticate(each.access_token)


async def test_an_old_key_that_is_put_back_signs_again(open_identity: OpenIdentity, tmp_path: Path) -> None:
    async with open_identity() as hub:
        first = (tmp_path / "signing.key").read_bytes()
        key_id = keys.read_private(tmp_path / "signing.key").id
        new = await keys_of(hub).rotate()
    (tmp_path / "signing.key").write_bytes(first)
    async with open_identity() as hub:
        assert await states(hub) == {key_id: "signs", new.id: "accepted"}


async def test_a_crash_before_the_commit_leaves_one_key_signing_and_both_accepted(
    open_identity: OpenIdentity, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_identity() as hub:
        await hub.accounts.create_user("alice", PASSWORD)
        before = await hub.login("alice", PASSWORD)
        write = SigningKeys._write

        def crash(self: SigningKeys, pem: bytes) -> None:
            write(self, pem)
            raise KeyboardInterrupt

        monkeypatch.setattr(SigningKeys, "_write", crash)
        with pytest.raises(KeyboardInterrupt):
            await keys_of(hub).rotate()
        assert hub.authenticate((await hub.login("alice", PASSWORD)).access_token), "it goes on with the old one"
    async with open_identity() as hub:
        assert sorted((await states(hub)).values()) == ["accepted", "signs"]
        assert hub.authenticate(before.access_token)
        assert hub.authenticate((await hub.login("alice", PASSWORD)).access_token)


async def test_a_hub_that_learns_late_says_until_when_its_tokens_live(
    open_identity: OpenIdentity, clock: Clock
) -> None:
    async with open_identity() as hub:
        await hub.accounts.create_user("alice", PASSWORD)
        old = kid(await hub.login("alice", PASSWORD))
        await keys_of(hub).rotate()
        clock.ahead = 600
        last = await hub.login("alice", PASSWORD)
        assert kid(last) == old
        await hub._renew_keys()
        clock.ahead = 1490
        assert hub.authenticate(last.access_token), "900 s from when it was signed, not from the rotation"


async def test_a_key_that_cannot_be_read_stops_nothing_else(
    open_identity: OpenIdentity,
    connections: Connections,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with open_identity(revocation_poll=0.01) as hub, open_identity(quiet=True) as cli:
        await hub.accounts.create_user("alice", PASSWORD)
        tokens = await hub.login("alice", PASSWORD)
        connections.held.append(hub.authenticate(tokens.access_token))
        write = SigningKeys._write
        good: list[bytes] = []

        def spoil(self: SigningKeys, pem: bytes) -> None:
            write(self, pem)
            good.append(pem)
            (tmp_path / "signing.key").write_bytes(b"junk")

        monkeypatch.setattr(SigningKeys, "_write", spoil)
        new = await keys_of(cli).rotate()
        await until(lambda: "is not a private key" in caplog.text)
        assert published(hub) == [kid(tokens)], "it goes on with what it has"
        await cli.accounts.end_sessions("alice")
        await until(lambda: connections.codes == ["token_revoked"])
        (tmp_path / "signing.key").write_bytes(good[0])
        await until(lambda: published(hub)[0] == new.id)


@pytest.mark.parametrize("origin", ["HUB_SIGNING_SECRET", "HUB_SIGNING_KEY_FILE"])
async def test_a_key_of_the_settings_is_rotated_there(open_identity: OpenIdentity, tmp_path: Path, origin: str) -> None:
    old: dict[str, Any] = {"signing_secret": SECRET}
    new: dict[str, Any] = {"signing_secret": SECRET[::-1], "signing_secret_previous": SECRET}
    if origin == "HUB_SIGNING_KEY_FILE":
        first = write_key(tmp_path / "first.pem", keys.generate("ES256")[0].private)
        second = write_key(tmp_path / "second.pem", keys.generate("EdDSA")[0].private)
        old = {"signing_key_file": first}
        new = {"signing_key_file": second, "signing_key_previous": str(first)}
    async with open_identity(**old) as hub:
        await hub.accounts.create_user("alice", PASSWORD)
        before = await hub.login("alice", PASSWORD)
        for change in (keys_of(hub).rotate(), keys_of(hub).retire("x")):
            with pytest.raises(HubError, match=f"The hub signs with {origin}") as refused:
                await change
            assert refused.value.code == "request_invalid"
        assert not (tmp_path / "signing.key").exists(), "no key is made beside it"
    async with open_identity(**new) as hub:
        after = await hub.login("alice", PASSWORD)
        for tokens in (before, after):
            assert hub.authenticate(tokens.access_token)
        assert list((await states(hub)).items()) == [(kid(after), "signs"), (kid(before), "accepted")]
    async with open_identity(**new | {"signing_secret_previous": None, "signing_key_previous": ()}) as hub:
        assert code_of(hub, before.access_token) in ("token_signature", "token_algorithm")


async def test_what_there_is_not_cannot_be_retired(open_identity: OpenIdentity) -> None:
    async with open_identity() as hub:
        with pytest.raises(HubError, match="not_found"):
            await keys_of(hub).retire("nothing")
        assert SIGNING_KEY in (await keys_of(hub).all())[0].origin
