"""A publish under way: its body, in whatever pieces it comes."""

from __future__ import annotations

import time

from hypothesis import given
from hypothesis import strategies as st

from hub.transports.cycle import PublishCycle


@given(st.lists(st.binary()))
def test_a_body_is_its_pieces(pieces: list[bytes]) -> None:
    cycle = PublishCycle(keep_alive=True)
    for piece in pieces:
        cycle.add(piece)
    assert cycle.take_body() == b"".join(pieces)
    assert cycle.take_body() == b""


def test_a_body_in_one_piece_is_not_copied() -> None:
    cycle, body = PublishCycle(keep_alive=True), b"x" * 100
    cycle.add(body)
    assert cycle.take_body() is body


def test_a_body_in_many_pieces_is_not_copied_for_each() -> None:
    """A publisher who sends a long one byte by byte must not keep the hub from the others: that would take a minute."""
    cycle = PublishCycle(keep_alive=True)
    cycle.add(b"x" * (8 << 20))
    began = time.process_time()
    for _ in range(50_000):
        cycle.add(b"x")
    assert time.process_time() - began < 2
    assert len(cycle.take_body()) == (8 << 20) + 50_000
