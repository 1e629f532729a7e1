"""One round of a relay, sans I/O: which events go in which request, and what became of each."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

from hub_client._batch import Batch, split
from hub_client._errors import Refused


@dataclass(frozen=True, slots=True)
class Row:
    """An event of the outbox: its place, its id, its order's key, and the body that is posted."""

    id: int
    event_id: str
    key: str | None
    body: str


class Round:
    """The rows of one round, in order. Until ``next`` gives None: post what it gives, say how that went."""

    def __init__(self, rows: Iterable[Row]) -> None:
        rows = list(rows)
        by_id = {row.event_id: row for row in rows}
        whole = Batch([row.event_id for row in rows], [row.body for row in rows], True)
        self._todo = deque([[by_id[id] for id in part.ids] for part in whole.parts()])
        self.sent: list[Row] = []
        """Acknowledged."""
        self.parked: list[tuple[Row, Refused]] = []
        """Refused, and why."""

    def next(self) -> Batch | None:
        """What to post next; the same again until one of the two below was called."""
        if not self._todo:
            return None
        rows = self._todo[0]
        return Batch([row.event_id for row in rows], [row.body for row in rows], True)

    def acknowledged(self) -> None:
        """The hub has it."""
        self.sent += self._todo.popleft()

    def refused(self, refusal: Refused) -> None:
        """The hub took none of it. One alone is parked; of several, the one that it names, or each half, is tried."""
        rows = self._todo.popleft()
        if len(rows) == 1:
            self.parked.append((rows[0], refusal))
            return
        self._todo.extendleft(reversed(split(rows, refusal.index)))
