"""``hub service key``, beside a hub that runs, and what it says when it cannot."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.hub_process import HubProcess
from tests.transports.raw import RawSocket

from .conftest import Run


async def gone(socket: RawSocket) -> None:
    """Leave, in this loop's time."""
    socket.cut()
    await asyncio.sleep(0)


def listed(run: Run, *arguments: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in run("service", "key", "list", *arguments, "--json").out.splitlines()]


def test_keys_are_made_and_listed(run: Run, data_dir: Path) -> None:
    run("service", "add", "shop")
    made = run(
        "service", "key", "create", "shop", "--name", "the till", "--publish", "orders:*", "--no-subscribe",
        "--expires-in", "90d",
    )  # fmt: skip
    assert made.code == 0
    assert re.fullmatch(r"hubk_[0-9a-f]{12}_[\w-]{43}\n", made.out), "the key alone, for $(…)"
    assert re.search(r"Key [0-9a-f]{12} of shop was made, and ends 20\S+Z\. It is shown only this once:", made.err)
    first, key = listed(run, "shop")
    assert first["name"] == "first"
    assert (key["id"], key["name"]) == (made.out[5:17], "the till")
    assert key["scope"] == {"subscribe": [], "publish": ["orders:*"], "admin": False}
    assert key["expires"] - key["created"] == pytest.approx(90 * 86400, abs=60)
    shown = run("service", "key", "list").out
    assert re.search(rf"^{key['id']} +shop +the till +nothing +orders:\* +20\S+Z +never$", shown, re.M)
    assert re.search(r"first +\(as its service\) +\(as its service\) +never +never$", shown, re.M)
    assert made.out.strip()[17:] not in shown


def test_a_key_is_replaced_and_revoked(run: Run, data_dir: Path) -> None:
    run("service", "add", "shop")
    [old] = listed(run)
    made = run("service", "key", "rotate", old["id"])
    assert made.code == 0
    assert f"Key {old['id']} goes on until you revoke it. Key {made.out[5:17]} of shop was made." in made.err
    assert f"Key {old['id']} ends 20" in run("service", "key", "rotate", old["id"], "--overlap", "24h").err
    assert f"Key {old['id']} of shop is revoked." in run("service", "key", "revoke", old["id"]).err
    assert old["id"] not in [key["id"] for key in listed(run)]
    told = [json.loads(line)["action"] for line in run("audit", "list", "--json").out.splitlines()]
    assert told[:4] == ["service.create", "key.rotate", "key.rotate", "key.revoke"]


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (["create", "nothing"], 1, "There is no service 'nothing'."),
        (["create", "shop", "--subscribe", "chat:*"], 1, "'shop' itself may not subscribe 'chat:*'"),
        (["create", "shop", "--admin"], 1, "'shop' itself is no administrator"),
        (["create", "shop", "--publish", "a", "--no-publish"], 2, "Give --publish or --no-publish, not both."),
        (["create", "shop", "--expires-in", "soon"], 2, "--expires-in is a time such as 90s, 24h or 30d, not 'soon'."),
        (["create", "shop", "--expires-in", "-1"], 2, "--expires-in is a time"),
        (["rotate", "x"], 1, "There is no API key 'x'."),
        (["rotate", "x", "--overlap", "1 fortnight"], 2, "--overlap is a time"),
        (["revoke", "x"], 1, "There is no API key 'x'."),
    ],
)
def test_what_cannot_be_done_is_one_sentence(
    run: Run, data_dir: Path, arguments: list[str], code: int, sentence: str
) -> None:
    run("service", "add", "shop")
    refused = run("service", "key", *arguments)
    assert (refused.code, refused.out) == (code, "")
    assert sentence in refused.err
    assert refused.err.count("\n") == 1


def test_beside_a_running_hub(run: Run, hub: HubProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    """A key works when the command is done; revoked, its socket is closed within a second; also after a restart."""
    monkeypatch.setenv("HUB_DATA_DIR", str(hub.data_dir))
    hub.add_service("shop")
    key = run("service", "key", "create", "shop").out.strip()
    headers = {"Authorization": f"Bearer {key}"}
    body = {"type": "order.paid", "to": {"users": ["alice"]}}
    assert hub.http.post("/v1/events", headers=headers, json=body).status_code == 200
    assert hub.http.post("/v1/events", headers=headers, json=body).status_code == 200

    async def story() -> tuple[int, str]:
        socket = await RawSocket.connect(hub.port, headers=[("Authorization", f"Bearer {key}")])
        _, welcome = await socket.receive()
        assert json.loads(welcome)["expires"] is None
        await asyncio.to_thread(run, "service", "key", "revoke", key[5:17])
        async with asyncio.timeout(1):
            return await socket.end(answer=True)

    code, reason = asyncio.run(story())
    assert (code, reason.partition(":")[0]) == (1008, "key_unknown")
    for restarted in (False, True):
        if restarted:
            hub.stop()
            hub.start()
        refused = hub.http.post("/v1/events", headers=headers, json=body)
        assert (refused.status_code, refused.json()["code"]) == (401, "key_unknown")
    assert key not in hub.log()
    assert key[18:] not in hub.log()


def test_new_rights_reach_an_open_connection(run: Run, hub: HubProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HUB_DATA_DIR", str(hub.data_dir))
    key = run("service", "add", "reader", "--subscribe", "orders:*").out.strip()

    async def story() -> None:
        socket = await RawSocket.connect(hub.port, headers=[("Authorization", f"Bearer {key}")])
        await socket.receive()
        socket.say(type="subscribe", ref=1, topics=["orders:a"])
        assert b'"type":"ok"' in (await socket.receive())[1]
        await asyncio.to_thread(run, "service", "grant", "reader", "--subscribe", "chat:*")
        async with asyncio.timeout(5):
            while True:
                socket.say(type="subscribe", ref=2, topics=["chat:b"])
                answer = json.loads((await socket.receive())[1])
                if answer["type"] == "ok":
                    break
        assert answer["topics"] == ["chat:b"], "and what it may not read any more it has left"
        await gone(socket)

    asyncio.run(story())
