"""May this principal do that? The truth table, and properties over random names and patterns."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub import tenancy
from hub.errors import HubError
from hub.model import Grants, Principal, Topic, topic
from hub.policy import Action, automatic_topics, check_pattern, expand, matches, may, require


def principal(
    kind: str = "user", *, admin: bool = False, subscribe: str = "", publish: str = "", topics: str = ""
) -> Principal:
    return Principal(
        subject="alice",
        kind="user" if kind == "user" else "service",
        session="s",
        expires_at=0,
        admin=admin,
        grants=Grants(tuple(subscribe.split()), tuple(publish.split())),
        topics=tuple(Topic(name) for name in topics.split()),
    )


@pytest.mark.parametrize(
    ("pattern", "name", "matched"),
    [
        ("orders", "orders", True),
        ("orders", "orders:7", False),
        ("orders:*", "orders:7", True),
        ("orders:*", "orders:7:items", True),
        ("orders:*", "orders", False),
        ("orders:*", "ordersx:7", False),
        ("*:7", "orders:7", True),
        ("*:7", "orders:8:7", False),
        ("a:*:c", "a:b:c", True),
        ("a:*:c", "a:b:b:c", False),
        ("*", "orders", True),
        ("*", "orders:7", True),
        ("*", "all", False),
        ("*", "user:bob", False),
        ("*:*", "user:bob", False),
        ("*:bob", "user:bob", False),
        ("all", "all", True),
        ("user:*", "user:bob", True),
        ("user:bob", "user:bob", True),
        ("user:bob:*", "user:bob", False),
        ("user", "user", True),
        ("users:*", "users:1", True),
        ("a.c", "abc", False),
        ("a+", "aa", False),
    ],
)
def test_patterns(pattern: str, name: str, matched: bool) -> None:
    assert matches(pattern, name) is matched


@pytest.mark.parametrize(
    ("who", "action", "name", "allowed"),
    [
        # Nobody is given anything but what is theirs.
        (principal(), "subscribe", "user:alice", True),
        (principal(), "subscribe", "all", True),
        (principal(), "subscribe", "user:bob", False),
        (principal(), "subscribe", "orders", False),
        (principal(), "publish", "user:alice", False),
        (principal(), "publish", "all", False),
        (principal(topics="team:red"), "subscribe", "team:red", True),
        (principal(topics="team:red"), "publish", "team:red", False),
        # A grant for one action is none for the other.
        (principal(subscribe="chat:*"), "subscribe", "chat:1", True),
        (principal(subscribe="chat:*"), "publish", "chat:1", False),
        (principal(publish="chat:*"), "publish", "chat:1", True),
        (principal(publish="chat:*"), "subscribe", "chat:1", False),
        # A star opens no private topics.
        (principal(subscribe="*", publish="*"), "subscribe", "user:bob", False),
        (principal(subscribe="*", publish="*"), "publish", "user:bob", False),
        (principal(subscribe="*", publish="*"), "publish", "all", False),
        (principal(publish="user:*"), "publish", "user:bob", True),
        # A service has no inbox of its own.
        (principal("service"), "subscribe", "user:alice", False),
        (principal("service"), "subscribe", "all", False),
        (principal("service", subscribe="all"), "subscribe", "all", True),
        # An administrator may do anything.
        (principal(admin=True), "subscribe", "user:bob", True),
        (principal(admin=True), "publish", "all", True),
    ],
)
def test_the_truth_table(who: Principal, action: str, name: str, allowed: bool) -> None:
    assert may(who, Action(action), Topic(name)) is allowed


_segment = st.text("abcXYZ019_.@+/=|~-", min_size=1, max_size=6)
_name = st.lists(_segment, min_size=1, max_size=5).map(":".join)


@given(_name, st.data())
def test_a_name_with_some_segments_starred_matches_it(name: str, data: st.DataObject) -> None:
    segments = name.split(":")
    stars = data.draw(st.lists(st.booleans(), min_size=len(segments), max_size=len(segments)))
    pattern = ":".join("*" if star else segment for star, segment in zip(stars, segments, strict=True))
    assert check_pattern(pattern) == pattern
    assert matches(pattern, name)


@given(_name, _name)
def test_a_pattern_without_stars_is_equality(pattern: str, name: str) -> None:
    assert matches(pattern, name) is (pattern == name)


@given(_name, _name)
def test_no_wildcard_reaches_somebody_elses_topic(pattern: str, rest: str) -> None:
    starred = principal(subscribe=f"* *:* {pattern}:*", publish="* *:*")
    assert not may(starred, Action.PUBLISH, Topic(f"user:{rest}"))


def test_require_names_the_first_that_is_not_allowed() -> None:
    with pytest.raises(HubError, match="orders:8") as refused:
        require(principal(subscribe="orders:7"), Action.SUBSCRIBE, [Topic("orders:7"), Topic("orders:8")])
    assert refused.value.code == "forbidden"


def test_automatic_topics_are_there_once() -> None:
    assert automatic_topics(principal(topics="all team:red")) == ("user:alice", "all", "team:red")
    assert automatic_topics(principal("service", topics="jobs")) == ("jobs",)


@pytest.mark.parametrize("pattern", ["", ":", "a:", "a*", "**", "a:*b", "ä", "a b", "x" * 201])
def test_what_is_no_pattern_is_refused(pattern: str) -> None:
    with pytest.raises(HubError, match="topic_invalid"):
        check_pattern(pattern)


def test_the_subject_is_put_in() -> None:
    assert expand("user:{sub}:*", "alice") == "user:alice:*"
    for hostile in ("*", "a:b", "", "a b"):
        with pytest.raises(HubError, match="topic_invalid"):
            expand("user:{sub}:*", hostile)
    assert topic(expand("room:{sub}", "alice")) == "room:alice"


_tenant = st.sampled_from(["", "acme", "globex"])
_any_name = st.one_of(_name, _segment.map("user:{}".format), st.just("all"))


@given(_tenant, _tenant, _any_name, _name, st.booleans(), st.sampled_from(["user", "service"]), st.sampled_from(Action))
def test_no_right_reaches_another_tenant(
    mine: str, theirs: str, name: str, other: str, admin: bool, kind: str, action: Action
) -> None:
    own = Principal(
        subject=tenancy.join(mine, "alice"),
        kind="user" if kind == "user" else "service",
        session="s",
        expires_at=0,
        admin=admin,
        grants=Grants(("*", "*:*", "all", "user:*", name, other), ("*", "*:*", "all", "user:*", name, other)),
        topics=(topic(name, mine), topic(other, mine)),
    )
    assert may(own, action, topic(name, mine))
    if mine != theirs:
        assert not may(own, action, topic(name, theirs))
    assert all(tenancy.tenant_of(each) == mine for each in automatic_topics(own))


def test_a_refusal_says_local_names() -> None:
    stranger = Principal(subject="acme#alice", kind="user", session="s", expires_at=0)
    with pytest.raises(HubError) as refused:
        require(stranger, Action.SUBSCRIBE, [topic("orders:8", "acme")])
    assert "#" not in str(refused.value)
    assert "acme" not in f"{refused.value} {refused.value.extra}"
