"""What a publisher says becomes a draft: checked, bounded, encoded once."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.errors import HubError
from hub.model import Draft, Grants, Principal
from hub.publication import Publication, make_draft

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
