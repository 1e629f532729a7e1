"""One round of a relay, without I/O."""

from __future__ import annotations

from hub_client import Refused
from hub_client.outbox._round import Round, Row


def test_a_round_searches_for_what_is_refused() -> None:
    done = Round([Row(n, str(n), None, "{}") for n in range(8)])
    while (batch := done.next()) is not None:
        if "5" in batch.ids:
            done.refused(Refused("event_invalid", "no", 422))  # It does not say which.
        else:
            done.acknowledged()
    assert [row.id for row in done.sent] == [0, 1, 2, 3, 4, 6, 7]
    assert [row.id for row, _ in done.parked] == [5]
