"""What a publisher says becomes a draft: checked, bounded, encoded once."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.errors import HubError
from hub.model import Draft, Grants, Principal, Topic
from hub.publication import Publication, head_of, make_draft, make_own

SHOP = Principal("shop", "service", "s", 0, grants=Grants(publish=("*", "user:*", "all")))


def draft(said: str | dict[str, Any], publisher: Principal = SHOP, **options: Any) -> Draft:
    text = said if isinstance(said, str) else json.dumps(said)
    return make_draft(Publication.model_validate_json(text), publisher, **{"now": 5.0, "max_bytes": 1000} | options)


def event(**fields: Any) -> dict[str, Any]:
    return {"type": "order.paid", "to": {"topics": ["orders"]}} | fields


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(_json, st.text(min_size=1, max_size=128))
def test_data_and_type_arrive_as_they_were(data: Any, kind: str) -> None:
    made = draft(event(data=data, type=kind), max_bytes=1 << 20)
    body = json.loads(made.body)
    assert body["data"] == data
    assert body["type"] == kind
    assert body["source"] == "service:shop"
    assert body["id"] == made.id
    assert body["time"] == "1970-01-01T00:00:05.000Z"


def test_targets_become_topics_once_and_in_order() -> None:
    made = draft(event(to={"users": ["bob", "alice", "bob"], "topics": ["orders", "user:alice"], "all": True}))
    assert made.topics == ("user:bob", "user:alice", "orders", "all")


def test_an_id_made_by_the_hub_is_no_promise_and_a_given_one_is_the_publishers_own() -> None:
    assert draft(event()).dedupe is None
    assert draft(event(id="7", durable=False)).dedupe is None
    other = Principal("shop", "user", "s", 0, grants=SHOP.grants)
    assert draft(event(id="7")).dedupe != draft(event(id="7"), other).dedupe


def test_the_same_content_is_recognised_whatever_the_order_of_its_keys() -> None:
    one = draft('{"id":"7","type":"t","data":{"a":1,"b":2},"to":{"topics":["x"]}}')
    two = draft('{"to":{"topics":["x"]},"data":{"b":2,"a":1},"type":"t","id":"7"}', now=99.0)
    assert one.fingerprint == two.fingerprint
    for change in ({"data": 2}, {"type": "u"}, {"to": {"topics": ["y"]}}, {"ttl": 5}):
        changed = draft(event(id="7", type="t", data={"a": 1, "b": 2}, to={"topics": ["x"]}) | change)
        assert changed.fingerprint != one.fingerprint


def test_time_to_live_is_counted_from_now() -> None:
    assert draft(event(ttl=60)).expires_at == 65.0
    assert draft(event()).expires_at is None


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"to": {}}, "event_invalid"),
        ({"to": {"all": False}}, "event_invalid"),
        ({"to": {"topics": ["a b"]}}, "topic_invalid"),
        ({"to": {"users": ["a:b"]}}, "topic_invalid"),
        ({"exclude": ["short"]}, "client_invalid"),
        ({"data": "x" * 1000}, "event_too_large"),
    ],
)
def test_what_is_refused_and_how(fields: dict[str, Any], code: str) -> None:
    with pytest.raises(HubError) as refused:
        draft(event(**fields))
    assert refused.value.code == code


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999", '{"deep":[1e999]}'])
def test_numbers_that_json_does_not_have_are_refused(number: str) -> None:
    with pytest.raises(HubError, match="event_invalid"):
        draft(f'{{"type":"t","data":{number},"to":{{"all":true}}}}')
    assert draft(event(data="NaN Infinity")).body, "as text they are fine"


def test_a_target_that_is_not_granted_is_refused_and_named() -> None:
    chatter = Principal("alice", "user", "s", 0, grants=Grants(publish=("chat:*",)))
    assert draft(event(to={"topics": ["chat:1"]}), chatter).topics == ("chat:1",)
    for to in ({"topics": ["chat:1", "orders"]}, {"users": ["bob"]}, {"all": True}, {"users": ["alice"]}):
        with pytest.raises(HubError, match="forbidden"):
            draft(event(to=to), chatter)


def test_what_few_events_have_stands_in_the_event_and_ttl_as_the_time_it_ends() -> None:
    display = {"title": "Paid", "body": "Order 7", "url": "/orders/7", "icon": "https://x.example/i.png"}
    made = draft(event(ttl=2.5, collapse_key="order-7", priority="high", display=display, data={"a": 1}))
    body = json.loads(made.body)
    assert body["expires"] == "1970-01-01T00:00:07.500Z"
    assert (body["collapse_key"], body["priority"], body["display"]) == ("order-7", "high", display)
    assert list(body)[-1] == "data"
    assert made.expires_at == 7.5
    assert set(json.loads(draft(event()).body)) == {"id", "type", "source", "time", "data"}
    assert json.loads(draft(event(display={"title": "x"})).body)["display"] == {"title": "x"}


@given(_json, st.text(min_size=1, max_size=100), st.text(min_size=1, max_size=100))
def test_the_head_of_an_event_is_read_without_its_data(data: Any, key: str, title: str) -> None:
    made = draft(event(data=data, collapse_key=key, display={"title": title}, type=f'{key},"data":'), max_bytes=1 << 20)
    whole = json.loads(made.body)
    del whole["data"]
    assert head_of(made.body) == whole


@pytest.mark.parametrize(
    "fields",
    [
        {"type": "hub.inbox"},
        {"type": "hub."},
        {"collapse_key": ""},
        {"collapse_key": "x" * 129},
        {"priority": "urgent"},
        {"display": {"colour": "red"}},
        {"display": {"title": ""}},
        {"display": {"url": "javascript:alert(1)"}},
        {"display": {"url": " https://x.example"}},
        {"display": {"icon": "data:image/png;base64,AAAA"}},
        {"display": {"url": "//evil.example"}},
        {"display": {"url": "/\\evil.example"}},
        {"display": {"url": "/\t/evil.example"}},
        {"display": {"url": "\\\\evil.example"}},
        {"display": {"icon": "//evil.example/i.png"}},
        {"display": {"url": "/orders\n"}},
    ],
)
def test_what_is_not_to_be_said_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises((HubError, ValueError)):
        draft(event(**fields))


@pytest.mark.parametrize("url", ["/", "/orders/7", "/?order=7", "/#inbox", "/a//b", "https://x.example//y", "http://x"])
def test_a_link_is_of_the_web_or_a_path_of_the_pages_own_site(url: str) -> None:
    assert json.loads(draft(event(display={"url": url})).body)["display"] == {"url": url}


def test_a_repeat_has_the_same_collapse_key_priority_and_display() -> None:
    plain = draft(event(id="7"))
    for fields in ({"collapse_key": "a"}, {"priority": "low"}, {"display": {"title": "x"}}, {"ttl": 3}):
        other = draft(event(id="7", **fields))
        assert other.fingerprint != plain.fingerprint
        assert other.fingerprint == draft(event(id="7", **fields), now=99.0).fingerprint


def test_an_event_of_the_hubs_own_has_a_type_that_nobody_else_may_use() -> None:
    made = make_own("inbox", {"action": "read"}, SHOP, Topic("user:alice"), now=5.0)
    body = json.loads(made.body)
    assert (body["type"], body["data"], body["source"]) == ("hub.inbox", {"action": "read"}, "service:shop")
    assert made.topics == ("user:alice",)
    assert made.durable
