"""Names in full and local names: there and back, whatever the name."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub import model, tenancy
from hub.errors import HubError

TENANTS = st.from_regex(re.compile(r"[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?"), fullmatch=True)
SEGMENTS: Any = st.text("ABCabc019_.@+/=|~-", min_size=1, max_size=20)
TOPICS = st.lists(SEGMENTS, min_size=1, max_size=5).map(":".join)


@given(st.one_of(st.just(tenancy.DEFAULT), TENANTS), TOPICS)
def test_a_name_in_full_comes_apart_as_it_was_put_together(tenant: str, name: str) -> None:
    full = tenancy.join(tenant, name)
    assert tenancy.split(full) == (tenant, name)
    assert (tenancy.tenant_of(full), tenancy.local(full)) == (tenant, name)


@given(st.tuples(TENANTS | st.just(""), TOPICS), st.tuples(TENANTS | st.just(""), TOPICS))
def test_two_names_are_the_same_in_full_only_if_tenant_and_name_are(
    one: tuple[str, str], other: tuple[str, str]
) -> None:
    assert (tenancy.join(*one) == tenancy.join(*other)) == (one == other)


@given(TENANTS, TOPICS)
def test_nobody_can_say_a_name_in_full(tenant: str, name: str) -> None:
    full = tenancy.join(tenant, name)
    with pytest.raises(HubError, match="topic_invalid"):
        model.topic(full)
    assert not model.is_subject(full)


@given(TENANTS)
def test_a_tenant_is_checked(tenant: str) -> None:
    assert tenancy.check(tenant) == tenant


@pytest.mark.parametrize("name", ["", "A", "acme#b", "-a", "a-", "a:b", "a b", "é", "a\n", "*", "a" * 41, "a.b"])
def test_what_is_no_tenant_is_refused(name: str) -> None:
    with pytest.raises(HubError, match="request_invalid"):
        tenancy.check(name)


@given(st.text(max_size=60))
def test_whatever_passes_can_be_put_in_front(text: str) -> None:
    try:
        tenancy.check(text)
    except HubError:
        return
    assert tenancy.split(tenancy.join(text, "x")) == (text, "x")
