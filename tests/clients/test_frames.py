"""The codec. What a frame is and is not, the wire vectors say."""

from __future__ import annotations

import math

import pytest
from hub_client._frames import Verdict, decode, encode, judge
from hypothesis import given
from hypothesis import strategies as st

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=10,
)


@given(json_values)
def test_what_is_encoded_is_decoded(value: object) -> None:
    text = encode(value)
    assert decode(text) == value
    assert decode(text.encode()) == value


@pytest.mark.parametrize("value", [math.nan, math.inf, "\ud800", b"bytes", {1, 2}, object()])
def test_what_json_cannot_say(value: object) -> None:
    with pytest.raises((TypeError, ValueError)):
        encode(value)


@pytest.mark.parametrize("text", ["NaN", "Infinity", "{", "", "[" * 100_000, b"\xff\xfe"])
def test_what_is_no_json(text: str | bytes) -> None:
    assert decode(text) is None


@given(json_values | st.dictionaries(st.sampled_from(["type", "cursor", "ref", "event", "topic"]), json_values))
def test_anything_can_be_judged(value: object) -> None:
    assert judge(value) in Verdict
