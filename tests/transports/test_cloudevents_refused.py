"""What is no CloudEvent, or one that the hub does not take, is refused in words."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.errors import HubError
from hub.transports import cloudevents

from .clouds import BATCH, STRUCTURED, cloud, parse, refused


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"id": ...}, "id"),
        ({"id": ""}, "id"),
        ({"id": "a b"}, "id"),
        ({"id": "x" * 129}, "id"),
        ({"id": 7}, "id"),
        ({"id": None}, "id"),
        ({"source": ...}, "source"),
        ({"source": ""}, "source"),
        ({"source": "a b"}, "source"),
        ({"source": "%zz"}, "source"),
        ({"source": "x" * 1025}, "source"),
        ({"type": ...}, "type"),
        ({"type": ""}, "type"),
        ({"type": "x" * 129}, "type"),
        ({"specversion": ...}, "specversion"),
        ({"specversion": "0.3"}, "specversion"),
        ({"specversion": 1.0}, "specversion"),
        ({"time": "yesterday"}, "time"),
        ({"time": "2026-13-01T00:00:00Z"}, "time"),
        ({"time": "2026-01-01T00:00:00"}, "time"),
        ({"time": 5}, "time"),
        ({"subject": ""}, "subject"),
        ({"subject": "a\nb"}, "subject"),
        ({"subject": "\ufffe"}, "subject"),
        ({"dataschema": "/relative"}, "dataschema"),
        ({"datacontenttype": "json"}, "datacontenttype"),
        ({"Extension": "x"}, "Extension"),
        ({"under_score": "x"}, "under_score"),
        ({"x" * 65: "x"}, "attribute"),
        ({"list": ["x"]}, "list"),
        ({"map": {}}, "map"),
        ({"float": 1.5}, "float"),
        ({"big": 2**31}, "big"),
        ({"data": 1, "data_base64": "MQ=="}, "data_base64"),
        ({"data_base64": "not base64"}, "data_base64"),
        ({"data_base64": 5}, "data_base64"),
        ({"hubusers": ...}, "target"),
        ({"hubusers": ""}, "target"),
        ({"hubusers": ["alice"]}, "hubusers"),
        ({"huball": "yes"}, "huball"),
        ({"huball": 1}, "huball"),
        ({"hubttl": "soon"}, "hubttl"),
        ({"hubttl": 0}, "ttl"),
        ({"hubttl": True}, "hubttl"),
        ({"hubdurable": "maybe"}, "hubdurable"),
        ({"hubpriority": "urgent"}, "priority"),
    ],
    ids=str,
)
def test_refused_in_words(change: dict[str, Any], words: str) -> None:
    refusal = refused(STRUCTURED, json.dumps(cloud(**change)).encode())
    assert refusal.code == "event_invalid"
    assert words in refusal.detail


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b"null", b'"x"', b"\xff", b"[" * 100_000, b'{"a":' * 100_000, b'{"data":NaN}', b"{}" * 2],
    ids=lambda body: repr(body[:12]),
)
def test_a_body_that_is_none(body: bytes) -> None:
    assert refused(STRUCTURED, body).code == "event_invalid"
    assert refused({"ce-specversion": "1.0", "content-type": "application/json"}, body).code == "event_invalid"


def test_in_a_batch_the_first_wrong_one_is_named() -> None:
    refusal = refused(BATCH, json.dumps([cloud(), cloud(time="x"), 5]).encode())
    assert refusal.extra == {"index": 1}
    assert "1000" in refused(BATCH, json.dumps([cloud()] * 1001).encode()).detail
    assert "array" in refused(BATCH, json.dumps(cloud()).encode()).detail


@pytest.mark.parametrize(
    "content_type",
    [
        "application/cloudevents",
        "application/cloudevents+xml",
        "application/cloudevents+avro",
        "application/cloudevents-batch+protobuf",
        "application/cloudevents+json; charset=utf-16",
    ],
)
def test_formats_that_are_not_spoken(content_type: str) -> None:
    assert refused({"content-type": content_type}, json.dumps(cloud()).encode()).code == "media_type_unsupported"


def test_headers_that_could_be_read_in_two_ways() -> None:
    head = [(b"ce-specversion", b"1.0"), (b"ce-id", b"7"), (b"ce-id", b"8"), (b"ce-source", b"/"), (b"ce-type", b"t")]
    with pytest.raises(HubError, match="more than once"):
        cloudevents.parse(head, {}, b"")
    two = [(b"content-type", b"application/cloudevents+json"), (b"content-type", b"text/plain")]
    with pytest.raises(HubError, match="more than one"):
        cloudevents.parse(two, {}, b"{}")
    assert "ce-data" in refused({"ce-specversion": "1.0", "ce-data": "x"}, b"").detail
    assert "UTF-8" in refused({"ce-specversion": "1.0", "ce-subject": "%ff"}, b"").detail


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
_names = [
    "specversion",
    "id",
    "source",
    "type",
    "time",
    "subject",
    "data",
    "data_base64",
    "datacontenttype",
    "hubusers",
]
_almost = st.dictionaries(st.sampled_from([*_names, "dataschema", "huball", "hubttl", "x", "X"]), _json)
_ce = st.sampled_from([*_names, "x", "", "\xff"]).map(lambda name: f"ce-{name}".encode("latin-1"))


@given(st.binary(max_size=50) | _almost.map(lambda change: json.dumps(cloud() | change).encode()))
def test_whatever_a_body_is_it_is_taken_or_refused(body: bytes) -> None:
    for content_type in (cloudevents.STRUCTURED, cloudevents.BATCH):
        content = b"[%b]" % body if content_type == cloudevents.BATCH else body
        with contextlib.suppress(HubError):
            parse({"content-type": content_type}, content)


@given(st.dictionaries(_ce, st.binary(max_size=12)), st.binary(max_size=12), st.binary(max_size=12))
def test_whatever_headers_are_they_are_taken_or_refused(head: dict[bytes, bytes], kind: bytes, body: bytes) -> None:
    known = {f"ce-{name}".encode(): value.encode() for name, value in cloud().items()}
    headers = [*(known | head).items(), (b"content-type", kind)]
    with contextlib.suppress(HubError):
        cloudevents.parse(headers, {"users": "alice", "all": "maybe"}, body)
