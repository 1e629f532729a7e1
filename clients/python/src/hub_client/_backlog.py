"""What waits to be published, bounded in bytes, and which of it goes next. Pure: no clock, no socket, no waiting."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Generic, TypeVar

from hub_client._batch import MAX_BYTES, MAX_EVENTS, Batch
from hub_client._models import NewEvent

T = TypeVar("T")


@dataclass(slots=True, eq=False)
class Waiting(Generic[T]):
    """One event, as JSON text, and whoever is to be told of its end."""

    event: NewEvent
    text: str
    told: T
    size: int = field(init=False)

    def __post_init__(self) -> None:
        self.size = len(self.text.encode()) + 1


class Backlog(Generic[T]):
    """The queue. An event counts until it is settled, also while it is under way.

    ``max_bytes`` bounds all together; ``batch_events`` and ``batch_bytes`` one request.
    """

    def __init__(self, max_bytes: int, batch_events: int = MAX_EVENTS, batch_bytes: int = MAX_BYTES) -> None:
        if not (max_bytes > 0 and 0 < batch_events <= MAX_EVENTS and 0 < batch_bytes <= MAX_BYTES):
            raise ValueError(f"a request holds 1 to {MAX_EVENTS} events and at most {MAX_BYTES} bytes")
        self._max_bytes = max_bytes
        self._batch_events = batch_events
        self._batch_bytes = batch_bytes
        self._items: deque[Waiting[T]] = deque()
        self.size = 0
        """Bytes that wait."""

    def __len__(self) -> int:
        return len(self._items)

    def __iter__(self) -> Iterator[Waiting[T]]:
        return iter(self._items)

    def has_room_for(self, size: int) -> bool:
        """Whether one more may be added: always if there is nothing else."""
        return not self._items or self.size + size <= self._max_bytes

    @property
    def fills_a_request(self) -> bool:
        """Whether waiting for more would not make the next request larger."""
        return len(self._items) >= self._batch_events or self.size >= self._batch_bytes

    def add(self, item: Waiting[T]) -> None:
        """Put it at the end."""
        self._items.append(item)
        self.size += item.size

    def next(self) -> list[Waiting[T]]:
        """The oldest ones, as many as fit into a request. They stay until they are ``settled``.

        All durable or all not: a request with ephemeral events in it may not be repeated.
        """
        taken: list[Waiting[T]] = []
        size = 0
        for item in islice(self._items, self._batch_events):
            size += item.size
            if taken and (size > self._batch_bytes or item.event.durable != taken[0].event.durable):
                break
            taken.append(item)
        return taken

    def settle(self, count: int) -> None:
        """The oldest ``count`` are over."""
        for _ in range(count):
            self.size -= self._items.popleft().size


def batch_of(items: list[Waiting[T]]) -> Batch:
    """As one request."""
    return Batch(
        [item.event.id or "" for item in items], [item.text for item in items], all(i.event.durable for i in items)
    )
