"""A key does what its service may and its scope allows: exactly that, for all patterns there are."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from hub.identity.scope import Scope, common, covers
from hub.model import Grants, Topic
from hub.policy import matches

_words = st.sampled_from(["a", "b", "all", "user"])
topics = st.lists(_words, min_size=1, max_size=5).map(":".join)
patterns = st.lists(_words | st.just("*"), min_size=1, max_size=4).map(":".join)


@settings(max_examples=1000, deadline=None)
@given(one=patterns, other=patterns, topic=topics)
@example("a:*", "*:*:b", "a:a:b")
@example("*", "user:*", "user:a")
@example("*:a", "a:*", "a:a")
def test_what_is_common_matches_what_both_match(one: str, other: str, topic: str) -> None:
    shared = common(one, other)
    both = matches(one, topic) and matches(other, topic)
    assert both == (shared is not None and matches(shared, topic))
    assert shared == common(other, one)


@settings(max_examples=500, deadline=None)
@given(wider=patterns, pattern=patterns, topic=topics)
def test_who_covers_matches_whatever_the_other_does(wider: str, pattern: str, topic: str) -> None:
    if covers(wider, pattern) and matches(pattern, topic):
        assert matches(wider, topic)


_some = st.lists(patterns, max_size=4).map(tuple)


@settings(max_examples=500, deadline=None)
@given(granted=_some, scope=st.none() | _some, topic=topics)
def test_a_scope_cuts_grants_exactly(granted: tuple[str, ...], scope: tuple[str, ...] | None, topic: str) -> None:
    left = Scope(subscribe=scope).narrow(Grants(subscribe=granted)).subscribe
    may = any(matches(pattern, topic) for pattern in granted)
    allowed = scope is None or any(matches(pattern, topic) for pattern in scope)
    assert any(matches(pattern, topic) for pattern in left) == (may and allowed)
    if scope is not None and Scope(subscribe=scope).beyond(Grants(subscribe=granted)) is None:
        assert all(any(matches(pattern, topic) for pattern in granted) for p in scope if matches(p, topic))


@pytest.mark.parametrize(
    ("one", "other", "shared"),
    [
        ("orders:*", "orders:*", "orders:*"),
        ("orders:*", "orders:eu:*", "orders:eu:*"),
        ("orders:*:new", "orders:eu:*", "orders:eu:new"),
        ("*:*", "orders:*", "orders:*"),
        ("*", "orders", "orders"),
        ("orders", "orders:*", None),
        ("a:*", "b:*", None),
        ("*", "all", None),
        ("*", "user:*", None),
        ("user:*", "user:alice", "user:alice"),
        ("all", "all", "all"),
    ],
)
def test_some_that_people_write(one: str, other: str, shared: str | None) -> None:
    assert common(one, other) == common(other, one) == shared


def test_what_goes_beyond_is_named() -> None:
    grants = Grants(("orders:*",), ("orders:*", "all"))
    assert Scope().beyond(grants) is None
    assert Scope((), ()).beyond(grants) is None
    assert Scope(("orders:eu:*",), ("all",)).beyond(grants) is None
    assert Scope(("orders:eu:*", "chat:*"), ("all",)).beyond(grants) == ("subscribe", "chat:*")
    assert Scope(None, ("*",)).beyond(grants) == ("publish", "*")


def test_what_another_pattern_covers_is_left_out() -> None:
    grants = Grants(publish=("*", "user:*", "all"))
    assert Scope(publish=("orders:*", "orders:eu:*", "all")).narrow(grants).publish == ("orders:*", "all")
    assert Scope(publish=()).narrow(grants).publish == ()
    assert Scope().narrow(grants) is not None
    assert Scope().narrow(grants) == grants


def test_topics_of_the_service_are_cut_as_well() -> None:
    topics = (Topic("orders:new"), Topic("chat:a"))
    assert Scope().narrow_topics(topics) == topics
    assert Scope(subscribe=("orders:*",)).narrow_topics(topics) == topics[:1]
    assert Scope(subscribe=()).narrow_topics(topics) == ()
