"""CloudEvents 1.0 at the door: each content mode by the letter of the specification, and what is refused.

The reference library is the oracle of what is well-formed; where it is more lenient than the specification (it makes up
ids and times), the specification wins.
"""

from __future__ import annotations

import base64
import contextlib
import json
from collections.abc import Iterator
from dataclasses import fields
from datetime import datetime
from typing import Any

import pytest
from cloudevents.core.bindings import http as oracle
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent
from hypothesis import given
from hypothesis import strategies as st

from hub.errors import HubError
from hub.publication import Publication
from hub.transports import cloudevents
from hub.transports.direct import Direct
from tests.hub_process import HubProcess

from .api import Api

STRUCTURED = {"content-type": cloudevents.STRUCTURED}
BATCH = {"content-type": cloudevents.BATCH}


def cloud(**attributes: Any) -> dict[str, Any]:
    event = {"specversion": "1.0", "id": "7", "source": "/shop", "type": "paid", "hubusers": "alice"} | attributes
    return {name: value for name, value in event.items() if value is not ...}


def parse(headers: dict[str, str], body: bytes, **query: str) -> tuple[list[Publication], bool]:
    raw = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
    assert cloudevents.is_meant(raw)
    return cloudevents.parse(raw, query, body)


def structured(**attributes: Any) -> Publication:
    [said], single = parse(STRUCTURED, json.dumps(cloud(**attributes)).encode())
    assert single
    return said


def binary(headers: dict[str, str], body: bytes = b"", **query: str) -> Publication:
    known = {f"ce-{name}": value for name, value in cloud().items()}
    [said], single = parse(known | headers, body, **query)
    assert single
    return said


def refused(headers: dict[str, str], body: bytes, **query: str) -> HubError:
    with pytest.raises(HubError) as caught:
        parse(headers, body, **query)
    return caught.value


# --- What it becomes


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


# --- What is refused


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


# --- A real hub


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubProcess]:
    hub = HubProcess(tmp_path_factory.mktemp("cloudevents"), max_event_bytes=1000)
    try:
        hub.start().add_user("alice")
        yield hub
        assert hub.stop() == 0
        assert "Traceback" not in hub.log()
    finally:
        hub.close()


@pytest.fixture(scope="module")
def admin(hub: HubProcess) -> Api:
    return Api(hub, hub.admin_headers()["Authorization"].removeprefix("Bearer "))


def post(
    hub: HubProcess, headers: dict[str, str], content: bytes, query: str = "", token: str | None = None
) -> tuple[int, Any]:
    authorization = hub.admin_headers() if token is None else {"Authorization": f"Bearer {token}"}
    response = hub.http.post("/v1/events" + query, headers=authorization | headers, content=content)
    return response.status_code, response.json()


def test_in_and_out(hub: HubProcess, admin: Api) -> None:
    event = CloudEvent(
        {
            "id": "a",
            "source": "https://example.com/shop",
            "type": "paid",
            "subject": "ü",
            "hubtopics": "orders",
            "datacontenttype": "application/json",
        },
        {"order": 7},
    )
    for number, write in enumerate((oracle.to_structured, oracle.to_binary)):
        message = write(event, JSONFormat())
        status, receipt = post(hub, message.headers, message.body)
        # Also across the modes it is one and the same event.
        assert (status, receipt["id"], receipt["duplicate"]) == (200, "a", bool(number))
    [entry] = admin.get("/v1/events", topics="orders")["events"]
    assert (entry["event"]["source"], entry["event"]["data"]) == ("user:admin", {"order": 7})
    kept = entry["event"]["cloudevent"]
    assert (kept["source"], kept["subject"]) == ("https://example.com/shop", "ü")


def test_a_batch_is_taken_as_a_whole_or_not_at_all(hub: HubProcess, admin: Api) -> None:
    many = [cloud(id=str(number), hubusers=...) for number in range(3)]
    status, receipts = post(hub, BATCH, json.dumps(many).encode(), "?topics=many")
    assert (status, [one["id"] for one in receipts]) == (200, ["0", "1", "2"])
    status, problem = post(hub, BATCH, json.dumps([*many, cloud(id="3", data="x" * 1000)]).encode(), "?topics=many")
    assert (status, problem["code"], problem["index"]) == (413, "event_too_large", 3)
    assert post(hub, BATCH, b"[]") == (200, [])
    assert len(admin.get("/v1/events", topics="many")["events"]) == 3


def test_the_same_id_of_another_source_is_another_event(hub: HubProcess, admin: Api) -> None:
    for source in ("/one", "/two"):
        status, receipt = post(hub, STRUCTURED, json.dumps(cloud(source=source, hubtopics="sources")).encode())
        assert (status, receipt["duplicate"]) == (200, False)
    status, problem = post(hub, STRUCTURED, json.dumps(cloud(source="/one", subject="x")).encode())
    assert (status, problem["code"]) == (409, "id_conflict")


def test_grants_hold_for_it(hub: HubProcess, admin: Api) -> None:
    status, problem = post(hub, STRUCTURED, json.dumps(cloud(hubusers="bob")).encode(), token=hub.token("alice"))
    assert (status, problem["code"]) == (403, "forbidden")
    status, problem = post(hub, STRUCTURED, json.dumps(cloud(type="hub.inbox")).encode())
    assert (status, problem["code"]) == (422, "event_invalid")
    status, problem = post(hub, STRUCTURED, json.dumps(cloud(hubtopics="a,,b c")).encode())
    assert (status, problem["code"]) == (422, "topic_invalid")
    status, problem = post(hub, {"content-type": "application/cloudevents+xml"}, b"<event/>")
    assert (status, problem["code"]) == (415, "media_type_unsupported")


def test_its_attributes_may_be_said_in_ordinary_json(hub: HubProcess, admin: Api) -> None:
    body = {"type": "t", "to": {"topics": ["plain"]}, "cloudevent": {"source": "/x", "ext": 5}}
    assert admin.call("POST", "/v1/events", json=body).status_code == 200
    assert admin.get("/v1/events", topics="plain")["events"][0]["event"]["cloudevent"] == {"source": "/x", "ext": 5}
    for wrong in ({}, {"source": "/x", "id": "7"}, {"source": "/x", "Ext": 5}, {"source": "/x", "data_base64": "x"}):
        assert admin.refused("POST", "/v1/events", json=body | {"cloudevent": wrong})["code"] == "event_invalid"


def test_read_as_cloudevents(hub: HubProcess, admin: Api) -> None:
    for number, event in enumerate((cloud(id="out", data={"order": 7}), cloud(id="bytes", data_base64="/w=="))):
        post(hub, STRUCTURED, json.dumps(event | {"subject": str(number), "hubtopics": "out"}).encode())
    admin.publish({"type": "own", "data": [1], "to": {"topics": ["out"]}})
    headers = hub.admin_headers() | {"Accept": f"text/html, {cloudevents.BATCH};q=0.5"}
    response = hub.http.get("/v1/events", params={"topics": "out", "after": "earliest", "limit": 2}, headers=headers)
    assert response.headers["content-type"] == cloudevents.BATCH
    assert (response.headers["hub-more"], response.headers["hub-reset"]) == ("true", "false")
    first, second = [JSONFormat().read(CloudEvent, json.dumps(one)) for one in response.json()]
    assert (first.get_id(), first.get_source(), first.get_subject(), first.get_data()) == (
        "out", "/shop", "0", {"order": 7},
    )  # fmt: skip
    assert first.get_extension("hubpublisher") == "user:admin"
    assert second.get_data() == b"\xff"
    query = {"topics": "out", "after": response.headers["hub-cursor"]}
    [own] = hub.http.get("/v1/events", params=query, headers=headers).json()
    assert (own["source"], own["data"], own["hubtopic"]) == ("user:admin", [1], "out")
    for accept in ("*/*", f"{cloudevents.BATCH}; q=0", "application/cloudevents+json"):
        plain = hub.http.get("/v1/events", params=query, headers=hub.admin_headers() | {"Accept": accept})
        assert plain.headers["content-type"] == "application/json"


def test_ordinary_publishes_keep_their_short_way() -> None:
    direct = Direct(**{each.name: None for each in fields(Direct)} | {"max_body": 10})  # type: ignore[arg-type]
    head = [(b"content-length", b"5"), (b"content-type", b"application/json"), (b"ce-id", b"5")]
    assert direct.takes(b"POST", b"/v1/events", head)
    assert not direct.takes(b"POST", b"/v1/events", [*head, (b"ce-specversion", b"1.0")])
    assert not direct.takes(b"POST", b"/v1/events", [head[0], (b"content-type", b"Application/CloudEvents+json")])
