"""Gaps are counted exactly, whatever the ordinals."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from hub.inbox import tables

_ordinals = st.one_of(st.integers(1, 300), st.integers(1, 20_000), st.integers(1, 2**40))


@given(st.sets(_ordinals), _ordinals)
def test_the_blocks_after_an_ordinal_hold_the_gaps_after_it(gone: set[int], ordinal: int) -> None:
    blocks = Counter((level, one >> (6 * level)) for one in gone for level in range(tables.LEVELS))
    found = sum(
        n
        for (level, block), n in blocks.items()
        for wanted, after, before in tables.gap_blocks(ordinal)
        if level == wanted and after < block < before
    )
    assert found == sum(one > ordinal for one in gone)


@given(st.sets(_ordinals), _ordinals, _ordinals)
def test_what_is_let_go_below_an_ordinal_is_not_missed_after_it(gone: set[int], floor: int, more: int) -> None:
    blocks = Counter((level, one >> (6 * level)) for one in gone for level in range(tables.LEVELS))
    for level, before in tables.below(floor):
        for key in [key for key in blocks if key[0] == level and key[1] < before]:
            del blocks[key]
    ordinal = floor + more
    found = sum(
        n
        for (level, block), n in blocks.items()
        for wanted, after, before in tables.gap_blocks(ordinal)
        if level == wanted and after < block < before
    )
    assert found == sum(one > ordinal for one in gone)
