"""The inbox, with a real hub: what is in it, marks, and that other devices learn of them."""

from __future__ import annotations

import asyncio

import pytest
from hub_client import AsyncClient, Client, Refused

from tests.hub_process import HubProcess

from .test_real_hub import login, service

pytestmark = [pytest.mark.anyio]


async def test_read_mark_and_be_told(shared_hub: HubProcess, leakless: None) -> None:
    shared_hub.add_user("ines")
    for number in range(5):
        shared_hub.publish("order.paid" if number % 2 else "news", number, users=["ines"], id=f"inbox-{number}")
    async with (
        AsyncClient(shared_hub.url, **login("ines")) as phone,
        AsyncClient(shared_hub.url, **login("ines")) as laptop,
    ):
        told = laptop.events()
        page = await phone.inbox.page(limit=2)
        assert [(item.event.data, item.event.topic, item.read, item.archived) for item in page] == [
            (4, "user:ines", False, False),
            (3, "user:ines", False, False),
        ]
        assert (page.unread, len(page)) == (5, 2)
        rest = await phone.inbox.page(after=page.next)
        assert [item.event.data for item in rest] == [2, 1, 0]
        assert rest.next is None

        marked = await phone.inbox.mark_read("inbox-3", "inbox-1", "nothing of ours")
        assert (marked.changed, marked.unread) == (2, 3)
        mark = await anext(told)
        assert (mark.type, mark.data["action"], mark.data["unread"]) == ("hub.inbox", "read", 3)
        assert [item.event.data for item in await phone.inbox.page(unread=True)] == [4, 2, 0]
        assert [item.event.data for item in await phone.inbox.page(unread=False, type="order.*")] == [3, 1]
        assert (await phone.inbox.mark_unread("inbox-1")).unread == 4
        assert (await phone.inbox.archive("inbox-0")).unread == 3
        assert [item.event.data for item in await phone.inbox.page(archived=True)] == [0]
        assert len(await phone.inbox.page(archived="any", topic="user:ines")) == 5
        assert (await phone.inbox.unarchive("inbox-0")).changed == 1
        assert (await phone.inbox.mark_read(up_to=page.cursor)).unread == 0
        for wrong in ({}, {"up_to": "x"}):
            with pytest.raises(ValueError, match="ids, or up_to"):
                await phone.inbox.archive(*(["a"] if wrong else []), **wrong)
    async with AsyncClient(shared_hub.url, **service(shared_hub, "no-inbox")) as client:
        with pytest.raises(Refused, match="forbidden"):
            await client.inbox.page()

    def plain() -> None:
        with Client(shared_hub.url, **login("ines")) as client:
            assert client.inbox.page().unread == 0
            assert client.inbox.mark_unread("inbox-4").unread == 1
            assert client.inbox.mark_read("inbox-4").changed == 1
            assert client.inbox.archive("inbox-4").changed == 1
            assert client.inbox.unarchive("inbox-4").changed == 1

    await asyncio.to_thread(plain)
