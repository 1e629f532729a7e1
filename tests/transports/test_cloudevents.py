"""CloudEvents 1.0 at the door: what each content mode becomes, by the letter of the specification.

The reference library is the oracle of what is well-formed; where it is more lenient than the specification (it makes up
ids and times), the specification wins.
"""

from __future__ import annotations

import base64
import json
from datetime import datetime
from typing import Any

import pytest
from cloudevents.core.bindings import http as oracle
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent
from hypothesis import given
from hypothesis import strategies as st

from .clouds import BATCH, binary, cloud, parse, structured


def test_structured() -> None:
    said = structured(
        time="2026-01-02T03:04:05.678901234Z",
        subject="7",
        datacontenttype="application/json",
        dataschema="https://example.com/s.json",
        data={"order": 7},
        traceparent="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        retries=3,
        urgent=True,
        nothing=None,
    )
    assert (said.id, said.type, said.data, said.to.users) == ("7", "paid", {"order": 7}, ["alice"])
    assert said.cloudevent == {
        "source": "/shop",
        "time": "2026-01-02T03:04:05.678901234Z",
        "subject": "7",
        "datacontenttype": "application/json",
        "dataschema": "https://example.com/s.json",
        "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "retries": 3,
        "urgent": True,
    }


def test_what_the_hub_s_own_extensions_say() -> None:
    said = structured(
        hubusers="alice, bob", hubtopics="a:b,c", huball=True, hubdurable=False, hubttl=60, hubexclude="tab-00000001"
    )
    assert (said.to.users, said.to.topics, said.to.all) == (["alice", "bob"], ["a:b", "c"], True)
    assert (said.durable, said.ttl, said.exclude) == (False, 60, ["tab-00000001"])
    assert (structured(hubcollapsekey="k", hubpriority="high").model_dump().items()) >= (
        {"collapse_key": "k", "priority": "high", "cloudevent": {"source": "/shop"}}.items()
    )
    assert said.cloudevent == {"source": "/shop"}  # They are for the hub, and tell receivers nothing.
    assert binary({"ce-huball": "true", "ce-hubdurable": "false", "ce-hubttl": "60"}).model_dump() == (
        structured(huball=True, hubdurable=False, hubttl=60).model_dump()
    )


def test_the_query_has_the_targets_of_those_who_name_none() -> None:
    body = json.dumps([cloud(), cloud(id="8", hubusers=...)]).encode()
    said, single = parse(BATCH, body, users="carol", topics="x,y", all="true")
    assert not single
    assert [(one.to.users, one.to.topics, one.to.all) for one in said] == [
        (["alice"], [], False),
        (["carol"], ["x", "y"], True),
    ]


def test_an_empty_batch_is_one() -> None:
    assert parse(BATCH, b"[]") == ([], False)


@pytest.mark.parametrize(
    ("content_type", "body", "data", "is_base64"),
    [
        ("application/json", b'{"order":7}', {"order": 7}, False),
        ("application/json; charset=utf-8", b"null", None, False),
        ("application/vnd.shop+json", b"[1]", [1], False),
        ("text/plain", "Grüße".encode(), "Grüße", False),
        ("text/plain; charset=latin-1", "Grüße".encode("latin-1"), "R3L832U=", True),
        ("text/plain", b"\xff", "/w==", True),
        ("application/xml", b"<a/>", "<a/>", False),
        ("image/svg+xml", b"<a/>", "<a/>", False),
        ("image/png", b"\x89PNG", "iVBORw==", True),
        ("application/json", b"", None, False),
    ],
)
def test_binary(content_type: str, body: bytes, data: Any, is_base64: bool) -> None:
    said = binary({"Content-Type": content_type}, body)
    assert said.data == data
    assert said.cloudevent == {"source": "/shop", "datacontenttype": content_type} | (
        {"data_base64": True} if is_base64 else {}
    )


def test_a_body_of_no_type_is_bytes() -> None:
    said = binary({}, b"abc")
    assert (said.data, said.cloudevent) == ("YWJj", {"source": "/shop", "data_base64": True})


def test_headers_are_decoded_once() -> None:
    said = binary({"ce-subject": "Gr%C3%BC%C3%9Fe%20%2525 %", "ce-note": r'"a \"b\" c"'})
    assert said.cloudevent == {"source": "/shop", "subject": "Grüße %25 %", "note": 'a "b" c'}


# --- The oracle


# No space at an end: in a header, it would not be the value's.
_text = st.text(
    st.characters(min_codepoint=0x21, max_codepoint=0x2FFF, exclude_categories=("Cc", "Cs")), min_size=1, max_size=128
)
_events = st.fixed_dictionaries(
    {"id": st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=128), "type": _text},
    optional={
        "subject": _text,
        "dataschema": st.just("https://example.com/schema#1"),
        "time": st.datetimes(min_value=datetime(1, 1, 2), max_value=datetime(9999, 12, 30)).map(
            lambda time: time.isoformat() + "+00:00"
        ),
        "comexample": _text,
    },
)
_data = st.one_of(
    st.none(), st.dictionaries(st.text(max_size=5), st.integers(-9, 9) | st.text(max_size=5)), st.binary()
)


@given(_events, _data)
def test_it_is_read_as_the_reference_library_writes_it(attributes: dict[str, str], data: Any) -> None:
    kind = "application/octet-stream" if isinstance(data, bytes) else "application/json"
    given = {"specversion": "1.0", "source": "/shop", "datacontenttype": kind, "hubtopics": "x"} | attributes
    time = datetime.fromisoformat(attributes.get("time", "2026-01-01T00:00:00+00:00"))
    event = CloudEvent(given | {"time": time}, data)
    for write in (oracle.to_structured, oracle.to_binary):
        message = write(event, JSONFormat())
        [said], _ = parse(message.headers, message.body)
        assert (said.id, said.type) == (attributes["id"], attributes["type"])
        kept = said.cloudevent or {}
        for name in ("subject", "dataschema", "comexample"):
            assert kept.get(name) == attributes.get(name)
        assert datetime.fromisoformat(str(kept["time"])) == time
        if isinstance(data, bytes):
            if data:
                assert kept["data_base64"] is True
                assert base64.b64decode(str(said.data)) == data
        else:
            assert said.data == data
