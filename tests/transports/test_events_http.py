"""``POST /v1/events``: what is taken, what is refused and in which words, and that it is all or nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.hub_process import HubProcess

from .api import Api


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubProcess]:
    """One hub for the module; what it was sent leaves no traceback in its log."""
    hub = HubProcess(tmp_path_factory.mktemp("events"), max_event_bytes=10_000)
    try:
        yield hub.start()
        assert "Traceback" not in hub.log()
    finally:
        hub.close()


@pytest.fixture(scope="module")
def admin(hub: HubProcess) -> Api:
    return Api(hub, hub.admin_headers()["Authorization"].removeprefix("Bearer "))


@pytest.fixture(scope="module")
def service(hub: HubProcess, admin: Api) -> Api:
    """With the grants that a service has by default."""
    made = hub.add_service("billing")
    form = {"grant_type": "client_credentials", "client_id": made["id"], "client_secret": made["secret"]}
    return admin.with_token(hub.http.post("/v1/auth/token", data=form).json()["access_token"])


def event(**fields: Any) -> dict[str, Any]:
    return {"type": "t", "data": 1, "to": {"topics": ["orders"]}} | fields


def newest(admin: Api, topic: str = "orders") -> dict[str, Any]:
    entry: dict[str, Any] = admin.get("/v1/events", topics=topic, limit=1)["events"][-1]
    return entry


def head(admin: Api) -> str:
    cursor: str = admin.get("/v1/events", topics="all")["cursor"]
    return cursor


# --- Taken


def test_one_event(admin: Api) -> None:
    receipt = admin.publish(event(data={"order": 7}))
    assert set(receipt) == {"id", "cursor", "time", "duplicate"}
    assert receipt["duplicate"] is False
    entry = newest(admin)
    assert (entry["cursor"], entry["topic"]) == (receipt["cursor"], "orders")
    assert entry["event"] == {
        "id": receipt["id"],
        "type": "t",
        "source": "user:admin",
        "time": receipt["time"],
        "data": {"order": 7},
    }


def test_the_source_is_the_hub_s_word(service: Api, admin: Api) -> None:
    service.publish(event())
    assert newest(admin)["event"]["source"] == "service:billing"


def test_an_array_keeps_its_order_and_has_nothing_in_between(admin: Api) -> None:
    receipts = admin.publish([event(data=n, durable=n != 2) for n in range(1000)])
    assert [receipt["cursor"] is None for receipt in receipts] == [n == 2 for n in range(1000)]
    places = [int(receipt["cursor"].partition(":")[2]) for receipt in receipts if receipt["cursor"]]
    assert places == list(range(places[0], places[0] + 999))
    found = admin.get("/v1/events", topics="orders", limit=999)["events"]
    assert [entry["event"]["data"] for entry in found] == [n for n in range(1000) if n != 2]


def test_an_array_of_one_gets_an_array(admin: Api) -> None:
    assert len(admin.publish([event()])) == 1


def test_an_ephemeral_event_has_no_cursor_and_no_history(admin: Api) -> None:
    before = head(admin)
    receipt = admin.publish(event(durable=False, id="e-1"))
    assert receipt["cursor"] is None
    assert receipt["id"] == "e-1"
    # Nor is it remembered: the same id again is another event.
    assert admin.publish(event(durable=False, id="e-1", data=2))["duplicate"] is False
    assert head(admin) == before


@pytest.mark.parametrize(
    "data",
    [
        None,
        True,
        "",
        "\u0000",
        "\U0001f4a9\u2028\u2029</script>",
        "NaN",
        {"Infinity": ["-Infinity"]},
        0,
        -0.0,
        1e300,
        5e-324,
        0.1,
        2**53 + 1,
        2**64,
        -(10**100),
        [],
        {},
        {"": {"a b": [None, {"\ud7ff": 1.5}]}},
        [[[[[[[[[[1]]]]]]]]]],
    ],
)
def test_data_comes_out_as_it_went_in(admin: Api, data: Any) -> None:
    admin.publish(event(data=data))
    assert json.dumps(newest(admin)["event"]["data"]) == json.dumps(data)


def test_of_a_key_given_twice_the_last_one_counts(admin: Api) -> None:
    body = '{"type":"t","type":"u","data":{"a":1,"a":2},"to":{"topics":["orders"]}}'
    assert admin.call("POST", "/v1/events", content=body).status_code == 200
    told = newest(admin)["event"]
    assert (told["type"], told["data"]) == ("u", {"a": 2})


def test_an_event_of_the_largest_size(admin: Api) -> None:
    admin.publish(event(data=""))
    room = 10_000 - len(json.dumps(newest(admin)["event"], separators=(",", ":")))
    admin.publish(event(data="x" * room))
    problem = admin.refused("POST", "/v1/events", json=event(data="x" * (room + 1)))
    assert problem["code"] == "event_too_large"
    assert "10001 bytes" in problem["detail"]
    assert "10000" in problem["detail"]


# --- Once


def test_the_same_id_again_is_a_duplicate(admin: Api) -> None:
    first = admin.publish(event(id="once", data={"a": 1, "b": 2}))
    place = head(admin)
    again = admin.publish(event(id="once", data={"b": 2, "a": 1}))
    assert again == first | {"duplicate": True}
    assert head(admin) == place


@pytest.mark.parametrize(
    "change", [{"data": 2}, {"data": True}, {"type": "u"}, {"to": {"topics": ["other"]}}, {"ttl": 9}]
)
def test_the_same_id_with_other_content_is_a_conflict(admin: Api, change: dict[str, Any]) -> None:
    admin.publish(event(id="conflict"))
    problem = admin.refused("POST", "/v1/events", json=event(id="conflict", **change))
    assert problem["code"] == "id_conflict"
    assert "'conflict'" in problem["detail"]


def test_another_publisher_s_ids_are_its_own(admin: Api, service: Api) -> None:
    admin.publish(event(id="shared", data="the administrator's"))
    assert service.publish(event(id="shared", data="the service's"))["duplicate"] is False


def test_the_same_id_twice_in_an_array(admin: Api) -> None:
    first, second = admin.publish([event(id="twin"), event(id="twin")])
    assert second == first | {"duplicate": True}
    before = head(admin)
    problem = admin.refused("POST", "/v1/events", json=[event(), event(id="rivals"), event(id="rivals", data=2)])
    assert (problem["code"], problem["index"]) == ("id_conflict", 2)
    assert head(admin) == before
    # Nothing of it was taken, not even the id.
    assert admin.publish(event(id="rivals", data=2))["duplicate"] is False


# --- Refused


REFUSED: list[tuple[str, str, str]] = [
    ("", "event_invalid", "JSON"),
    ("{", "event_invalid", "JSON"),
    ("null", "event_invalid", "object"),
    ('"x"', "event_invalid", "object"),
    ("7", "event_invalid", "object"),
    ("{}", "event_invalid", "type: Field required"),
    ('{"type":"t"}', "event_invalid", "to: Field required"),
    ('{"type":"t","to":{}}', "event_invalid", "at least one"),
    ('{"type":"t","to":{"users":[],"topics":[],"all":false}}', "event_invalid", "at least one"),
    ('{"type":"t","to":["orders"]}', "event_invalid", "to:"),
    ('{"type":"t","to":{"topics":"orders"}}', "event_invalid", "to.topics"),
    ('{"type":"t","to":{"topics":[7]}}', "event_invalid", "to.topics.0"),
    ('{"type":"t","to":{"all":"yes"}}', "event_invalid", "to.all"),
    ('{"type":"t","to":{"group":["x"]}}', "event_invalid", "to.group"),
    ('{"type":"","to":{"all":true}}', "event_invalid", "type"),
    ('{"type":7,"to":{"all":true}}', "event_invalid", "type"),
    ('{"type":"' + "t" * 129 + '","to":{"all":true}}', "event_invalid", "type"),
    ('{"type":"t","to":{"all":true},"id":""}', "event_invalid", "id"),
    ('{"type":"t","to":{"all":true},"id":"a b"}', "event_invalid", "id"),
    ('{"type":"t","to":{"all":true},"id":"a\\n"}', "event_invalid", "id"),
    ('{"type":"t","to":{"all":true},"id":"\\u00e9"}', "event_invalid", "id"),
    ('{"type":"t","to":{"all":true},"id":"' + "i" * 129 + '"}', "event_invalid", "id"),
    ('{"type":"t","to":{"all":true},"id":7}', "event_invalid", "id"),
    ('{"type":"t","to":{"all":true},"durable":"no"}', "event_invalid", "durable"),
    ('{"type":"t","to":{"all":true},"ttl":0}', "event_invalid", "ttl"),
    ('{"type":"t","to":{"all":true},"ttl":-1}', "event_invalid", "ttl"),
    ('{"type":"t","to":{"all":true},"ttl":NaN}', "event_invalid", "ttl"),
    ('{"type":"t","to":{"all":true},"ttl":1e999}', "event_invalid", "ttl"),
    ('{"type":"t","to":{"all":true},"ttl":"5"}', "event_invalid", "ttl"),
    ('{"type":"t","to":{"all":true},"exclude":["short"]}', "client_invalid", "8-64"),
    ('{"type":"t","to":{"all":true},"exclude":"tab-00000001"}', "event_invalid", "exclude"),
    ('{"type":"t","to":{"all":true},"exclude":' + json.dumps(["tab-00000001"] * 17) + "}", "event_invalid", "exclude"),
    ('{"type":"t","to":{"all":true},"date":1}', "event_invalid", "date"),
    ('{"type":"t","to":{"topics":["a b"]}}', "topic_invalid", "'a b'"),
    ('{"type":"t","to":{"topics":["a::b"]}}', "topic_invalid", "'a::b'"),
    ('{"type":"t","to":{"topics":["orders:*"]}}', "topic_invalid", "'orders:*'"),
    ('{"type":"t","to":{"topics":["' + "x" * 201 + '"]}}', "topic_invalid", "1-200"),
    ('{"type":"t","to":{"users":["a:b"]}}', "topic_invalid", "'a:b'"),
    ('{"type":"t","to":{"users":[""]}}', "topic_invalid", "user id"),
    ('{"type":"t","to":{"users":' + json.dumps(["u"] * 1001) + "}}", "event_invalid", "to.users"),
    ('{"type":"t","to":{"all":true},"data":NaN}', "event_invalid", "NaN"),
    ('{"type":"t","to":{"all":true},"data":[{"a":-Infinity}]}', "event_invalid", "infinite"),
    ('{"type":"t","to":{"all":true},"data":1e400}', "event_invalid", "infinite"),
    ('{"type":"t","to":{"all":true},"data":["NaN",NaN]}', "event_invalid", "NaN"),
    ('{"type":"t","to":{"all":true},"data":"\\ud800"}', "event_invalid", "JSON"),
    ('{"type":"\\ud800","to":{"all":true}}', "event_invalid", "JSON"),
    ('{"type":"t","to":{"all":true},"data":' + "9" * 5000 + "}", "event_invalid", ""),
    ('{"type":"t","to":{"all":true},"id":"big","data":' + "9" * 4400 + "}", "event_invalid", ""),
    ('{"type":"t","to":{"all":true},"data":' + "[" * 5000 + "]" * 5000 + "}", "event_invalid", "recursion"),
    ('{"type":"t","to":{"all":true}}{}', "event_invalid", "trailing"),
    ("[]", "event_invalid", "1 to 1000"),
    ("[[]]", "event_invalid", "0"),
]


@pytest.mark.parametrize(("body", "code", "words"), REFUSED, ids=[f"{n}" for n in range(len(REFUSED))])
def test_what_is_not_well_formed(admin: Api, body: str, code: str, words: str) -> None:
    before = head(admin)
    problem = admin.refused("POST", "/v1/events", content=body)
    assert problem["code"] == code, problem
    assert words in problem["detail"]
    assert len(problem["detail"]) < 300
    assert head(admin) == before


@pytest.mark.parametrize("body", [b"\xff\xfe{}", b'{"type":"\xff","to":{"all":true}}', b"\xef\xbb\xbf{}", b"\x00"])
def test_what_is_no_text(admin: Api, body: bytes) -> None:
    assert admin.refused("POST", "/v1/events", content=body)["code"] == "event_invalid"


@pytest.mark.parametrize(
    ("bad", "code", "status"),
    [
        (event(type=""), "event_invalid", 422),
        (event(surprise=1), "event_invalid", 422),
        (event(to={}), "event_invalid", 422),
        (event(to={"topics": ["a b"]}), "topic_invalid", 422),
        (event(exclude=["short"]), "client_invalid", 422),
        (event(data="x" * 10_000), "event_too_large", 413),
        (event(id="taken", data="other"), "id_conflict", 409),
    ],
)
def test_an_array_with_one_bad_event_is_refused_whole(admin: Api, bad: dict[str, Any], code: str, status: int) -> None:
    admin.publish(event(id="taken"))
    before = head(admin)
    for index in (0, 3, 9):
        array = [event(data=n) for n in range(10)]
        array[index] = bad
        problem = admin.refused("POST", "/v1/events", json=array)
        assert (problem["code"], problem["status"], problem["index"]) == (code, status, index)
    assert head(admin) == before


def test_an_array_has_its_limit(admin: Api) -> None:
    problem = admin.refused("POST", "/v1/events", json=[event()] * 1001)
    assert problem["code"] == "event_invalid"
    assert "1001" in problem["detail"]


def test_a_body_has_its_limit(admin: Api) -> None:
    assert admin.refused("POST", "/v1/events", content=b" " * (9 << 20))["code"] == "request_too_large"


# --- Allowed


def test_grants_say_who_may_publish_where(hub: HubProcess, admin: Api, service: Api) -> None:
    hub.add_user("writer", publish=["chat:*", "orders"])
    hub.add_user("reader", subscribe=["chat:*"])
    writer, reader = (admin.with_token(hub.token(name)) for name in ("writer", "reader"))
    writer.publish(event(to={"topics": ["chat:1", "chat:1:2", "orders"]}))
    for to, name in (
        ({"topics": ["orders", "secrets"]}, "secrets"),
        ({"topics": ["chat"]}, "chat"),
        ({"users": ["writer"]}, "user:writer"),
        ({"topics": ["user:reader"]}, "user:reader"),
        ({"all": True}, "all"),
    ):
        problem = writer.refused("POST", "/v1/events", json=event(to=to))
        assert (problem["code"], problem["topic"]) == ("forbidden", name)
    assert reader.refused("POST", "/v1/events", json=event(to={"topics": ["chat:1"]}))["code"] == "forbidden"
    problem = writer.refused("POST", "/v1/events", json=[event(), event(to={"all": True})])
    assert (problem["code"], problem["index"]) == ("forbidden", 1)
    # A service may publish anywhere, unless it is told otherwise.
    service.publish(event(to={"topics": ["x:y"], "users": ["writer"], "all": True}))


def test_nobody_publishes_without_a_token(admin: Api) -> None:
    assert admin.with_token(None).refused("POST", "/v1/events", json=event())["code"] == "token_missing"
    assert admin.with_token("nonsense").refused("POST", "/v1/events", json=event())["code"] == "token_malformed"
    other_scheme = {"Authorization": "Basic YTpi"}
    assert admin.refused("POST", "/v1/events", json=event(), headers=other_scheme)["code"] == "token_malformed"
    twice = [("Authorization", "Bearer a"), ("Authorization", "Bearer b")]
    problem = admin.with_token(None).refused("POST", "/v1/events", json=event(), headers=twice)
    assert problem["code"] == "credentials_ambiguous"


def test_the_index_counts_what_the_publisher_sent(admin: Api) -> None:
    """Ephemeral ones included, which the log never sees."""
    admin.publish(event(id="index-1"))
    batch = [event(durable=False), event(), event(durable=False), event(id="index-1", data="other")]
    refused = admin.refused("POST", "/v1/events", json=batch)
    assert (refused["code"], refused["index"]) == ("id_conflict", 3)
    assert "index" not in admin.refused("POST", "/v1/events", json=event(id="index-1", data="other"))


def test_a_request_has_so_many_targets(admin: Api) -> None:
    wide = event(to={"topics": [f"t{n}" for n in range(1000)]})
    assert len(admin.publish([wide] * 10)) == 10
    refused = admin.refused("POST", "/v1/events", json=[wide] * 11)
    assert (refused["code"], refused["index"]) == ("event_invalid", 10)


def test_a_topic_named_twice_is_read_once(hub: HubProcess, admin: Api) -> None:
    admin.publish(event(to={"topics": ["twice"]}))
    for query in ("twice,twice", "twice,other,twice"):
        page = admin.get("/v1/events", topics=query, after="earliest", wait=0)
        assert [entry["topic"] for entry in page["events"]] == ["twice"]
