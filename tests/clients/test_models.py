"""What is taken and handed out."""

from __future__ import annotations

import datetime as dt

import pytest
from hub_client import Event, NewEvent, Receipt, Refused
from hub_client._models import check_client, check_topics


def test_a_body_says_what_is_not_the_default() -> None:
    assert NewEvent("x", all=True, id="i").body() == {"id": "i", "type": "x", "data": None, "to": {"all": True}}
    full = NewEvent("x", [1], users="a", topics=("b", "c"), id="i", durable=False, ttl=0.5, exclude=["tab-00000001"])
    assert full.body() == {
        "id": "i",
        "type": "x",
        "data": [1],
        "to": {"users": ["a"], "topics": ["b", "c"]},
        "durable": False,
        "ttl": 0.5,
        "exclude": ["tab-00000001"],
    }


def test_an_event_to_nobody_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="target"):
        NewEvent("x").body()


def test_an_id_is_made_up_once() -> None:
    event = NewEvent("x", all=True).with_id()
    assert event.id
    assert event.with_id() is event
    assert NewEvent("x", all=True).with_id().id != event.id


def test_times() -> None:
    when = dt.datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=dt.UTC)
    assert Event("i", "t", "user:a", "2026-01-02T03:04:05.678901Z", "all").at == when
    assert Receipt("i", None, "2026-01-02T03:04:05.678901Z").at == when


def test_topics_are_checked_here_as_the_hub_would() -> None:
    assert check_topics(["a", "b:c", "a"]) == ("a", "b:c")
    for name in ("", "a b", "a::b", "ä", "a,b", "x" * 201):
        with pytest.raises(Refused) as caught:
            check_topics([name])
        assert caught.value.code == "topic_invalid"


def test_client_ids() -> None:
    assert check_client("tab-00000001") == "tab-00000001"
    assert check_client(check_client(None)) != check_client(None)
    for name in ("short", "x" * 65, "with space"):
        with pytest.raises(ValueError, match="client id"):
            check_client(name)
