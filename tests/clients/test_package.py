"""The package as one imports it."""

from __future__ import annotations

import dataclasses
import inspect
import re
from collections.abc import Callable
from importlib.metadata import requires

import hub_client
from hub_client import (
    AsyncBuffer,
    AsyncClient,
    AsyncInbox,
    AsyncPublisher,
    AsyncSubscription,
    Buffer,
    Client,
    Inbox,
    NewEvent,
    Publisher,
    Subscription,
    _errors,
)
from hub_client.outbox import Outbox


def test_everything_public_is_exported_and_sorted() -> None:
    assert sorted(hub_client.__all__, key=str.casefold) == sorted(hub_client.__all__, key=str.casefold)
    public = {
        name for name, value in vars(hub_client).items() if not name.startswith("_") and not inspect.ismodule(value)
    }
    assert public == set(hub_client.__all__)
    assert list(hub_client.__all__) == sorted(hub_client.__all__)


def test_what_is_exported_is_documented_and_called_by_its_public_name() -> None:
    for name in hub_client.__all__:
        value = getattr(hub_client, name)
        assert value.__module__ == "hub_client"
        assert inspect.getdoc(value), name
        for member, function in vars(value).items():
            if inspect.isfunction(function) and not member.startswith("_"):
                assert inspect.getdoc(function), f"{name}.{member}"


def test_the_tree_of_exceptions_is_as_it_is_drawn() -> None:
    drawn = set(re.findall(r"[├└]── (\w+)", _errors.__doc__ or ""))
    tree = {cls.__name__ for cls in hub_client.HubClientError.__subclasses__() if cls.__module__ == "hub_client"}
    assert drawn == tree
    assert drawn < set(hub_client.__all__)


def test_it_stands_on_two_libraries() -> None:
    needed = [each for each in requires("notification-hub-client") or () if "extra ==" not in each]
    assert {re.split(r"[^\w-]", each)[0] for each in needed} == {"httpx", "websockets"}


def test_the_sync_versions_are_the_async_ones() -> None:
    for sync, asynchronous in (
        (Client, AsyncClient),
        (Publisher, AsyncPublisher),
        (Buffer, AsyncBuffer),
        (Inbox, AsyncInbox),
        (Subscription, AsyncSubscription),
    ):
        for name, function in inspect.getmembers(sync, inspect.isfunction):
            if name.startswith("_") and (name != "__init__" or sync in (Buffer, Inbox)):
                continue
            theirs = inspect.signature(getattr(asynchronous, name)).parameters
            ours = inspect.signature(function).parameters
            if name.startswith("on") or name == "events":
                assert set(theirs) <= set(ours), name
            else:
                assert [str(one) for one in ours.values()] == [str(one) for one in theirs.values()], name


def test_what_can_be_said_of_an_event_is_the_same_everywhere() -> None:
    def of(function: Callable[..., object], *besides: str) -> dict[str, str]:
        parameters = inspect.signature(function).parameters
        return {name: str(one) for name, one in parameters.items() if name not in ("self", *besides)}

    assert of(AsyncBuffer.add) == of(AsyncPublisher.publish)
    assert of(Outbox.add, "session", "key") == of(AsyncPublisher.publish, "durable")
    fields = {field.name for field in dataclasses.fields(NewEvent)}
    assert set(of(AsyncPublisher.publish)) == fields - {"cloudevent"}
    assert set(of(AsyncClient.publish, "echo")) == fields - {"cloudevent", "exclude"}
